"use strict";
// Starts the page: loads models, connects buttons, keeps the state in the URL's fragment.

let labels = []; // Of the test images.
let digits = null; // Their bytes, one after the other.
const state = {
  image: null, // The drawing as the models see it.
  point: null, // Latents of the chosen model.
  kept: null, // The image to morph from.
  fraction: 0.5,
  path: "linear",
  noise: { std: 0.3, seed: 1 },
  samples: 1,
};

function digitImage(digit) {
  const length = about.shape.reduce((product, side) => product * side);
  return Float32Array.from(row(digits, digit, length), (byte) => byte / 255);
}

// === The fragment of the URL ===

const toText = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
const fromText = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
const imageToText = (image) => toText(image.map((value) => Math.round(255 * value)));
const imageFromText = (text) => Float32Array.from(fromText(text), (byte) => byte / 255);

function save() {
  const { base, strokes } = drawing;
  const own = results[models.indexOf(view.model)]?.latents;
  const parts = {
    model: view.model.name,
    digit: base?.digit,
    pixels: base && base.digit === undefined ? imageToText(base.values) : undefined,
    strokes: strokes.length ? strokesToText(strokes) : undefined,
    point: own && state.point !== own ? toText(new Uint8Array(state.point.slice().buffer)) : undefined,
    kept: state.kept ? imageToText(state.kept) : undefined,
    fraction: state.fraction.toFixed(2),
    path: state.path,
    noise: `${state.noise.std},${state.noise.seed}`,
    samples: state.samples,
  };
  const known = Object.entries(parts).filter(([, value]) => value !== undefined);
  saved = `#${new URLSearchParams(known)}`;
  try {
    history.replaceState(null, "", saved);
  } catch {
    // Browsers limit how often it may change; the next change brings it up to date.
  }
}

let saved = "";
const size = () => about.shape.reduce((product, side) => product * side);

// Takes from the fragment what it can; anything else stays as it is.
function restore() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const get = (name, convert, isGood) => {
    try {
      const value = parts.has(name) ? convert(parts.get(name)) : undefined;
      return value !== undefined && isGood(value) ? value : undefined;
    } catch {
      return undefined;
    }
  };
  const isImage = (image) => image.length === size();
  const isShare = (value) => value >= 0 && value <= 1;
  const digit = get("digit", Number, (value) => Number.isInteger(value) && value >= 0 && value < about.digits);
  const values = digit === undefined ? get("pixels", imageFromText, isImage) : digitImage(digit);
  const strokes = get("strokes", strokesFromText, isDrawable) ?? [];
  const isEmpty = parts.has("model") && !values && !strokes.length;
  const [std, seed] = get("noise", (text) => text.split(",").map(Number), ([one, other]) =>
    one >= 0 && one <= 0.5 && Number.isInteger(other)) ?? [state.noise.std, state.noise.seed];
  Object.assign(state, {
    noise: { std, seed },
    samples: get("samples", Number, Number.isInteger) ?? state.samples,
    fraction: get("fraction", Number, isShare) ?? state.fraction,
    path: get("path", String, (text) => text === "linear" || text === "spherical") ?? state.path,
    kept: get("kept", imageFromText, isImage) ?? state.kept ?? digitImage(Math.min(1, about.digits - 1)),
  });
  byId("std").value = std;
  byId("fraction").value = state.fraction;
  byId("path").value = state.path;
  const point = get("point", (text) => new Float32Array(fromText(text).buffer), (some) => some.every(Number.isFinite));
  const number = models.findIndex(({ name }) => name === parts.get("model"));
  drawingChanged = () => {}; // One run of the models is enough.
  if (values || strokes.length || isEmpty) setDrawing(values ? { values, digit } : null, strokes);
  else setDrawing({ values: digitImage(0), digit: 0, example: true });
  drawingChanged = update;
  chooseModel(Math.max(number, 0));
  update(point);
}

function update(point) {
  state.image = drawnImage();
  paint(byId("seen"), state.image, "What the models see");
  byId("empty").textContent = state.image ? "" : "nothing: the drawing is empty";
  byId("undo").disabled = !drawing.past.length;
  runModels(state.image, point);
}

// === Buttons ===

function setErasing(erasing) {
  drawing.erasing = erasing;
  byId("pen").setAttribute("aria-pressed", !erasing);
  byId("eraser").setAttribute("aria-pressed", erasing);
}

// The drawing and all reconstructions in a row, enlarged, with names and scores.
function pictureOfAll() {
  const [rows, columns] = about.shape;
  const scale = Math.ceil(140 / Math.max(rows, columns));
  const [width, height] = [scale * columns + 10, scale * rows + 44];
  const parts = [[byId("seen"), "drawing", ""], ...models.map((model, i) =>
    [cards[i].out, model.name, results[i] ? `score ${format(results[i].score)}` : ""])];
  const canvas = element("canvas", { width: width * parts.length, height });
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, height);
  context.imageSmoothingEnabled = false;
  context.fillStyle = "#000";
  context.font = "14px sans-serif";
  parts.forEach(([image, name, score], i) => {
    context.drawImage(image, i * width + 5, 5, scale * columns, scale * rows);
    context.fillText(name, i * width + 5, height - 24);
    context.fillText(score, i * width + 5, height - 7);
  });
  return canvas;
}

function connect() {
  const click = (id, action) => byId(id).addEventListener("click", action);
  click("pen", () => setErasing(false));
  click("eraser", () => setErasing(true));
  click("undo", undo);
  click("clear", clearDrawing);
  click("random", () => takeDigit(Math.floor(Math.random() * about.digits)));
  byId("file").addEventListener("change", ({ target }) => {
    if (target.files.length) openPicture(target.files[0]);
    target.value = "";
  });
  click("download", () => pictureOfAll().toBlob((blob) => {
    const url = URL.createObjectURL(blob);
    element("a", { href: url, download: "autoencoders.png" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }));
  click("share", async () => {
    save();
    const link = location.href.split("#")[0] + saved;
    await navigator.clipboard?.writeText(link).then(() => (byId("status").textContent = "Link copied"),
      () => (byId("status").textContent = "The address of this page is the link"));
  });
  click("reset", () => resetPoint());
  click("again", sampleAgain);
  click("keep", () => {
    state.kept = state.image;
    updateLater();
  });
  click("play", play);
  byId("path").addEventListener("change", ({ target }) => {
    state.path = target.value;
    updateLater();
  });
  byId("fraction").addEventListener("input", ({ target }) => setFraction(Number(target.value)));
  click("draw-samples", () => {
    state.samples = randomSeed();
    showSamples(view.model, state.samples);
    save();
  });
  const setNoise = (noise) => {
    Object.assign(state.noise, noise);
    updateLater();
  };
  byId("std").addEventListener("input", ({ target }) => setNoise({ std: Number(target.value) }));
  click("other-noise", () => setNoise({ seed: randomSeed() }));
  dark.addEventListener("change", () => models.forEach((model, i) => showResult(cards[i], model, state.image, results[i])));
  addEventListener("hashchange", () => {
    if (location.hash !== saved) restore();
  });
  listenToPad();
  listenToMap();
}

// === Start ===

async function loadModels() {
  for (const facts of about.models) {
    try {
      models.push(await Model.load(facts));
    } catch (error) {
      tellProblem(`${facts.name} is left out: ${error.message ?? error}`);
    }
  }
}

async function loadImages() {
  digits = await unpack("images");
  labels = await unpack("labels");
  for (const [std, unit] of Object.entries(about.filters)) {
    const key = `filter ${std}`;
    const weights = new Int16Array((await unpack(`${key} weights`)).buffer);
    const [noisy_mean, mean] = [await unpackFloats(`${key} noisy_mean`), await unpackFloats(`${key} mean`)];
    filters.push({ std: Number(std), unit, weights, noisy_mean, mean });
  }
}

async function start() {
  if (!about) throw new Error("data/about.js is missing or damaged");
  await Promise.all([startRuntime(), loadImages()]);
  await loadModels();
  if (!models.length) throw new Error("no model could be loaded");
  const [rows, columns] = about.shape;
  const multiple = Math.ceil(280 / Math.max(rows, columns));
  Object.assign(pad, { width: multiple * columns, height: multiple * rows });
  if (!isDrawable()) {
    byId("draw-look").textContent = "The images are in colour: open a picture, or take a test image.";
    for (const id of ["pen", "eraser"]) byId(id).disabled = true;
  }
  cards = models.map(makeCard);
  byId("cards").append(...cards.map(({ root }) => root));
  makeNoise();
  connect();
  restore();
  const seconds = (performance.now() / 1000).toFixed(1);
  byId("status").textContent = `${models.length} models on ${about.dataset}, ready after ${seconds} s`;
  document.body.dataset.ready = seconds;
}

start().catch((error) => {
  byId("status").textContent = "The page could not start.";
  tellProblem(error.message ?? error);
});
