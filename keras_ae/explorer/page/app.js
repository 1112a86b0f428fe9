// Starts the page: loads models, connects buttons, keeps the state in the URL's fragment.

let [digits, labels] = [null, []]; // The bytes of the test images, one after the other, and their labels.
// The drawing as the models see it, latents of the chosen model, the image to morph from, and a seed.
const state = { image: null, point: null, kept: null, samples: 1 };

const size = about.shape.reduce((product, side) => product * side);
const toImage = (bytes) => Float32Array.from(bytes, (byte) => byte / 255);
const digitImage = (digit) => toImage(row(digits, digit, size));

const CONTROLS = ["std", "fraction", "path"];
let saved = "";
const toText = (bytes) => bytes.toBase64({ alphabet: "base64url" });
const fromText = (text) => Uint8Array.fromBase64(text, { alphabet: "base64url" });

function save() {
  const imageToText = (image) => toText(Uint8Array.from(image, (value) => Math.round(255 * value)));
  const parts = { model: view.model.name, kept: imageToText(state.kept), samples: state.samples };
  for (const id of CONTROLS) parts[id] = byId(id).value;
  const { base, strokes } = drawing;
  if (base && !strokes.length && "digit" in base) parts.digit = base.example ? "example" : base.digit;
  else if (state.image) parts.pixels = imageToText(state.image);
  const own = ofChosen()?.latents;
  if (own && state.point !== own) parts.point = toText(new Uint8Array(state.point.slice().buffer));
  saved = `#${new URLSearchParams(parts)}`;
  // Browsers limit how often it may change; the next change brings it up to date.
  try { history.replaceState(null, "", saved); } catch {}
}

// Takes from the fragment what it can; anything else is as at the beginning.
function restore() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const get = (name, convert) => {
    try { return convert(fromText(parts.get(name) ?? "")); } catch { return null; } // Somebody has spoilt it.
  };
  const getImage = (name) => get(name, (bytes) => (bytes.length === size ? toImage(bytes) : null));
  const point = get("point", (bytes) => new Float32Array(bytes.buffer));
  for (const id of CONTROLS) if (parts.has(id)) byId(id).value = parts.get(id); // A control takes what is in its range.
  if (!byId("path").value) byId("path").value = "linear";
  state.samples = clip(Math.floor(parts.get("samples")), 1, 2 ** 30) || 1;
  state.kept = getImage("kept") ?? digitImage(Math.min(3, about.digits - 1));
  const digit = Math.floor(parts.get("digit") ?? NaN);
  const pixels = getImage("pixels");
  const number = models.findIndex(({ name }) => name === parts.get("model"));
  if (digit >= 0 && digit < about.digits) drawing.base = { values: digitImage(digit), digit };
  else if (pixels) drawing.base = { values: pixels };
  else if (number < 0 || parts.get("digit") === "example") drawing.base = { values: digitImage(0), digit: 0, example: true };
  showDrawing();
  drawingChanged = update;
  chooseModel(Math.max(0, number), point);
  update(point);
}

function update(point) {
  state.image = drawnImage();
  paint(byId("seen"), state.image, "What the models see");
  byId("empty").textContent = state.image ? "" : "nothing: the drawing is empty";
  [byId("undo").disabled, byId("keep").disabled] = [!drawing.past.length, !state.image];
  runModels(state.image, point);
}

// The drawing and all reconstructions in a row, enlarged, with names and scores.
function pictureOfAll() {
  const [width, height] = [pad.width / 2, pad.height / 2];
  const parts = [[byId("seen"), "drawing"], ...cards.map(({ out, numbers }, i) => [out, models[i].name, numbers.textContent])];
  const canvas = drawOn((width + 10) * parts.length, height + 60, "#fff", picture(), 1);
  const context = contextOf(canvas);
  Object.assign(context, { fillStyle: "#000", font: "14px sans-serif", imageSmoothingEnabled: false });
  parts.forEach(([image, name, numbers = ""], i) => {
    const x = (width + 10) * i + 5;
    context.drawImage(image, x, 5, width, height);
    [name, ...numbers.split("\n")].forEach((line, j) => context.fillText(line, x, height + 20 + 17 * j));
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
  const setErasing = (erasing) => {
    [drawing.erasing, byId("pen").ariaPressed, byId("eraser").ariaPressed] = [erasing, !erasing, erasing];
  };
  const change = (changes) => updateLater(Object.assign(state, changes));
  const clicks = {
    "#pen": () => setErasing(false), "#eraser": () => setErasing(true), "#undo": undo, "#clear": () => replaceDrawing(null),
    "#random": () => takeDigit(Math.floor(Math.random() * about.digits)), "#download": download, "#share": share,
    ".reset": () => resetPoint(), "#again": sampleAgain, "#keep": () => change({ kept: state.image }), "#play": play,
    "#draw-samples": () => change({ samples: randomSeed() }),
  };
  for (const [selector, action] of Object.entries(clicks))
    for (const button of document.querySelectorAll(selector)) button.onclick = action;
  for (const select of document.querySelectorAll(".chosen")) {
    select.append(...models.map(({ name }) => element("option", { textContent: name })));
    select.onchange = () => chooseModel(select.selectedIndex);
  }
  byId("path").onchange = byId("std").oninput = updateLater;
  byId("fraction").oninput = () => showMorph(view.model).then(save);
  byId("file").onclick = () => (byId("file").value = ""); // The same picture may be opened again.
  byId("file").onchange = () => openPicture(byId("file").files);
  ondragover = (event) => event.preventDefault();
  ondrop = (event) => {
    event.preventDefault();
    openPicture(event.dataTransfer.files);
  };
  dark.onchange = () => location.reload(); // The fragment has the state.
  onhashchange = () => location.hash !== saved && location.reload();
  listenToPad();
  listenToMap();
}

async function start() {
  await startRuntime();
  [digits, labels] = [await unpack("images"), await unpack("labels")];
  for (const filter of about.filters)
    for (const name of ["weights", "noisy_mean", "mean"]) filter[name] = await unpack(`filter ${filter.std} ${name}`);
  for (const facts of about.models) {
    const leaveOut = (error) => tellProblem(`${facts.name} is left out: ${error.message ?? error}`);
    await Model.load(facts).then((model) => models.push(model), leaveOut);
  }
  if (!models.length) throw new Error("no model could be loaded");
  if (!isDrawable) byId("draw-look").textContent = "These images are in colour: open a picture, or take a test image.";
  byId("pen").disabled = byId("eraser").disabled = !isDrawable;
  byId("map-note").textContent = about.classes.length ? "" : "The images have no classes, so that all dots are grey.";
  cards = models.map(makeCard);
  byId("cards").append(...cards.map(({ root }) => root));
  connect();
  restore();
  document.body.dataset.ready = (performance.now() / 1000).toFixed(1);
  byId("status").textContent = `${models.length} model${models.length > 1 ? "s" : ""} on ${about.dataset}`;
}

addEventListener("load", () => start().catch((error) => {
  byId("status").textContent = "The page could not start.";
  tellProblem(error);
}));
