"use strict";
// Starts the page: loads models, connects buttons, keeps the state in the URL's fragment.

let labels = []; // Of the test images.
let digits = null; // Their bytes, one after the other.
// The drawing as the models see it, latents of the chosen model, the image to morph from, and settings.
const state = { image: null, point: null, kept: null, fraction: 0.5, path: "linear", noise: { std: 0.3, seed: 1 }, samples: 1 };

const size = () => about.shape.reduce((product, side) => product * side);
const toImage = (bytes) => Float32Array.from(bytes, (byte) => byte / 255);
const digitImage = (digit) => toImage(row(digits, digit, size()));

// === The fragment of the URL ===

let saved = "";
const imageToText = (image) => toText(image.map((value) => Math.round(255 * value)));

function save() {
  const { base, strokes } = drawing;
  const own = results[models.indexOf(view.model)]?.latents;
  const parts = {
    model: view.model.name, digit: base?.digit,
    pixels: base && base.digit === undefined ? imageToText(base.values) : undefined,
    strokes: strokes.length ? strokesToText(strokes) : undefined,
    point: own && state.point !== own ? toText(new Uint8Array(state.point.slice().buffer)) : undefined,
    kept: imageToText(state.kept), fraction: state.fraction.toFixed(2), path: state.path,
    noise: `${state.noise.std},${state.noise.seed}`, samples: state.samples,
  };
  saved = `#${new URLSearchParams(Object.entries(parts).filter(([, value]) => value !== undefined))}`;
  // Browsers limit how often it may change; the next change brings it up to date.
  try { history.replaceState(null, "", saved); } catch {}
}

// Takes from the fragment what it can; anything else stays as it is.
function restore() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const get = (name, convert, isGood) => {
    try {
      const value = parts.has(name) ? convert(parts.get(name)) : undefined;
      if (value !== undefined && isGood(value)) return value;
    } catch {} // Somebody has spoilt it.
  };
  const getImage = (name) => get(name, (text) => toImage(fromText(text)), (image) => image.length === size());
  const digit = get("digit", Number, (value) => Number.isInteger(value) && value >= 0 && value < about.digits);
  const values = digit === undefined ? getImage("pixels") : digitImage(digit);
  const strokes = get("strokes", strokesFromText, isDrawable) ?? [];
  const [std, seed] = get("noise", (text) => text.split(",").map(Number),
    ([one, other]) => one >= 0 && one <= 0.5 && Number.isInteger(other)) ?? Object.values(state.noise);
  const point = get("point", (text) => new Float32Array(fromText(text).buffer), (some) => some.every(Number.isFinite));
  Object.assign(state, {
    noise: { std, seed },
    samples: get("samples", Number, Number.isInteger) ?? state.samples,
    fraction: get("fraction", Number, (value) => value >= 0 && value <= 1) ?? state.fraction,
    path: get("path", String, (text) => ["linear", "spherical"].includes(text)) ?? state.path,
    kept: getImage("kept") ?? state.kept ?? digitImage(Math.min(3, about.digits - 1)),
  });
  [byId("std").value, byId("fraction").value, byId("path").value] = [std, state.fraction, state.path];
  drawingChanged = () => {}; // One run of the models is enough.
  const isEmpty = parts.has("model") && !values && !strokes.length;
  if (values || strokes.length || isEmpty) setDrawing(values ? { values, digit } : null, strokes);
  else setDrawing({ values: digitImage(0), digit: 0, example: true });
  drawingChanged = update;
  chooseModel(Math.max(0, models.findIndex(({ name }) => name === parts.get("model"))), point);
  update(point);
}

function update(point) {
  state.image = drawnImage();
  paint(byId("seen"), state.image, "What the models see");
  byId("empty").textContent = state.image ? "" : "nothing: the drawing is empty";
  [byId("undo").disabled, byId("keep").disabled] = [!drawing.past.length, !state.image];
  runModels(state.image, point);
}

// === Buttons ===

function setErasing(erasing) {
  [drawing.erasing, byId("pen").ariaPressed, byId("eraser").ariaPressed] = [erasing, !erasing, erasing];
}

// The drawing and all reconstructions in a row, enlarged, with names and scores.
function pictureOfAll() {
  const [rows, columns] = about.shape;
  const scale = Math.ceil(140 / Math.max(rows, columns));
  const parts = [[byId("seen"), "drawing", ""], ...models.map((model, i) =>
    [cards[i].out, model.name, results[i] ? `score ${format(results[i].score)}` : ""])];
  const canvas = element("canvas", { width: (scale * columns + 10) * parts.length, height: scale * rows + 44 });
  const context = canvas.getContext("2d");
  Object.assign(context, { fillStyle: "#fff", font: "14px sans-serif", imageSmoothingEnabled: false });
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = "#000";
  parts.forEach(([image, name, score], i) => {
    const x = i * (scale * columns + 10) + 5;
    context.drawImage(image, x, 5, scale * columns, scale * rows);
    context.fillText(name, x, canvas.height - 24);
    context.fillText(score, x, canvas.height - 7);
  });
  return canvas;
}

function download() {
  pictureOfAll().toBlob((blob) =>
    element("a", { href: URL.createObjectURL(blob), download: "autoencoders.png" }).click());
}

async function share() {
  save();
  const copied = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
  byId("status").textContent = copied ? "Link copied" : "The address of this page is the link";
}

function connect() {
  const set = (changes) => {
    Object.assign(state, changes);
    updateLater();
  };
  const clicks = {
    pen: () => setErasing(false), eraser: () => setErasing(true), undo, clear: () => replaceDrawing(null),
    random: () => takeDigit(Math.floor(Math.random() * about.digits)), download, share,
    reset: () => resetPoint(), again: sampleAgain, keep: () => set({ kept: state.image }), play,
    "draw-samples": () => showSamples(view.model, (state.samples = randomSeed())).then(save),
    "other-noise": () => set({ noise: { ...state.noise, seed: randomSeed() } }),
  };
  for (const [id, action] of Object.entries(clicks)) byId(id).onclick = action;
  byId("path").onchange = ({ target }) => set({ path: target.value });
  byId("fraction").oninput = ({ target }) => setFraction(Number(target.value));
  byId("fraction").onchange = save;
  byId("std").oninput = ({ target }) => set({ noise: { ...state.noise, std: Number(target.value) } });
  byId("file").onchange = ({ target }) => {
    if (target.files.length) openPicture(target.files[0]);
    target.value = "";
  };
  dark.onchange = () => {
    models.forEach((model, i) => showResult(cards[i], model, results[i]));
    drawMap();
  };
  onhashchange = () => location.hash !== saved && restore();
  listenToPad();
  listenToMap();
}

// === Start ===

async function loadImages() {
  [digits, labels] = [await unpack("images"), new Uint16Array((await unpack("labels")).buffer)];
  for (const [std, unit] of Object.entries(about.filters)) {
    const weights = new Int16Array((await unpack(`filter ${std} weights`)).buffer);
    const [noisy_mean, mean] = [await unpackFloats(`filter ${std} noisy_mean`), await unpackFloats(`filter ${std} mean`)];
    filters.push({ std: Number(std), unit, weights, noisy_mean, mean });
  }
}

async function start() {
  if (!about) throw new Error("data/about.js is missing or damaged");
  await Promise.all([startRuntime(), loadImages()]);
  for (const facts of about.models) {
    const leaveOut = (error) => tellProblem(`${facts.name} is left out: ${error.message ?? error}`);
    await Model.load(facts).then((model) => models.push(model), leaveOut);
  }
  if (!models.length) throw new Error("no model could be loaded");
  const [rows, columns] = about.shape;
  const multiple = Math.ceil(280 / Math.max(rows, columns));
  Object.assign(pad, { width: multiple * columns, height: multiple * rows });
  if (!isDrawable()) byId("draw-look").textContent = "These images are in colour: open a picture, or take a test image.";
  byId("pen").disabled = byId("eraser").disabled = !isDrawable();
  byId("map-note").textContent = about.classes.length ? "" : "The images have no classes, so that all dots are grey.";
  cards = models.map(makeCard);
  byId("cards").append(...cards.map(({ root }) => root));
  makeNoise();
  connect();
  restore();
  document.body.dataset.ready = (performance.now() / 1000).toFixed(1);
  byId("status").textContent = `${models.length} models on ${about.dataset}, ready after ${document.body.dataset.ready} s`;
}

start().catch((error) => {
  byId("status").textContent = "The page could not start.";
  tellProblem(error.message ?? error);
});
