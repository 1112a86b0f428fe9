"use strict";
// What the models make of the drawing: reconstructions, morphing, samples, noise.

const FRAMES = 9;
const SAMPLES = 12;
let models = []; // Those that could be loaded.
let results = []; // For each model: latents, deviations, reconstruction, error and score.
let cards = [];
let filters = []; // {std, unit, weights, noisy_mean, mean}

function makeCard(model, number) {
  const input = element("input", { type: "radio", name: "model", value: number });
  const [out, heat] = [element("canvas"), element("canvas")];
  for (const canvas of [out, heat]) canvas.setAttribute("role", "img");
  const [error, score, bar] = [element("span"), element("span"), element("i")];
  const verdict = element("div", { className: "verdict" });
  const facts = `${model.units} latents, ${model.parameters.toLocaleString("en")} parameters`;
  const root = element("label", { className: "card unjudged" }, input, " ",
    element("span", { className: "name", textContent: model.name }),
    element("div", { className: "facts", textContent: facts }),
    element("div", { className: "pair" }, out, heat),
    element("div", { className: "numbers" }, error, score),
    element("div", { className: "bar" }, bar), verdict);
  input.addEventListener("change", () => chooseModel(number));
  return { root, input, out, heat, error, score, bar, verdict };
}

function showResult(card, model, image, result) {
  card.root.classList.toggle("unjudged", !result);
  card.root.classList.toggle("anomalous", Boolean(result) && !(result.score <= model.threshold));
  paint(card.out, result?.reconstruction, `Reconstruction by ${model.name}`);
  card.error.textContent = result ? `error ${format(result.error)}` : "";
  card.score.textContent = result ? `score ${format(result.score)}` : "";
  card.bar.style.width = result ? `${Math.min(100, Math.max(0, (50 * result.score) / model.threshold))}%` : 0;
  if (!result) {
    paint(card.heat, null, "Errors");
    card.verdict.textContent = "Nothing drawn";
    return;
  }
  paintErrors(card.heat, image, result.reconstruction, `Errors of ${model.name}`);
  const [sign, words] = result.score <= model.threshold ? ["✓ fits", "up to"] : ["⚠ anomalous", "above"];
  card.verdict.textContent = `${sign}, ${words} ${format(model.threshold)}`;
}

async function judge(model, image) {
  const encoded = await model.encode(image);
  const reconstruction = await model.decode(encoded.latents);
  const [error, score] = [meanSquaredError(image, reconstruction), await model.score(image)];
  return { ...encoded, image, reconstruction, error, score };
}

// Runs every model on the drawing, and puts the point where the chosen model has it.
const runModels = newestWins(async (image, point) => {
  const fresh = [];
  for (const model of models) fresh.push(image && (await judge(model, image)));
  results = fresh;
  models.forEach((model, i) => showResult(cards[i], model, image, results[i]));
  resetPoint(point);
  updateLater();
});

function resetPoint(point) {
  const { model } = view;
  const latents = results[models.indexOf(model)]?.latents;
  byId("again").hidden = !model.variational;
  byId("again").disabled = byId("reset").disabled = !latents;
  movePoint(point?.length === model.units ? point : (latents ?? model.mean));
}

function sampleAgain() {
  const { latents, deviations } = results[models.indexOf(view.model)];
  const draw = gaussian(randomSeed());
  movePoint(latents.map((mean, i) => mean + deviations[i] * draw()));
}

function chooseModel(number, point) {
  const model = models[number];
  cards[number].input.checked = true;
  makeView(model);
  makeSliders(model);
  for (const place of document.querySelectorAll(".chosen")) place.textContent = model.name;
  byId("map-note").textContent = about.classes.length ? "" : "The images have no classes: all dots are grey.";
  byId("source").textContent = model.variational
    ? "from the prior, a standard Gaussian"
    : "from a Gaussian fitted to the latents of training images";
  byId("path").disabled = !model.variational;
  byId("path-note").textContent = model.variational ? "" :
    "Linear only: the latents of this model have no prior to stay in.";
  resetPoint(point);
  showSamples(model, state.samples);
  updateLater();
}

// === Morphing ===

const showMorph = newestWins(async (model, fraction) => {
  const [start, end] = [state.kept, state.image];
  paint(byId("start"), start, "Kept image");
  paint(byId("end"), end, "Drawing");
  if (!start || !end) return;
  const path = model.variational && state.path === "spherical" ? sphericalPath : linearPath;
  const ends = [await model.encode(start), await model.encode(end)].map(({ latents }) => latents);
  const at = (share) => model.decode(path(...ends, share));
  paint(byId("between"), await at(fraction), `Image at ${Math.round(100 * fraction)} %`);
  const key = [model.key, state.path, start, end];
  if (key.every((part, i) => part === showMorph.key?.[i])) return; // The slider alone has moved.
  const shares = Array.from({ length: FRAMES }, (_, i) => i / (FRAMES - 1));
  const images = [];
  for (const share of shares) images.push(await at(share));
  fillStrip(byId("frames"), images, shares.map((share) => `${Math.round(100 * share)} %`), (i) => setFraction(shares[i]));
  showMorph.key = key;
});

function setFraction(fraction) {
  state.fraction = fraction;
  byId("fraction").value = fraction;
  showMorph(view.model, fraction);
  save();
}

let playing = null;
function play() {
  const start = performance.now() - 1500 * state.fraction;
  const step = (now) => {
    const way = ((now - start) / 1500) % 2;
    setFraction(way < 1 ? way : 2 - way);
    playing = requestAnimationFrame(step);
  };
  if (playing) cancelAnimationFrame(playing);
  playing = playing ? null : requestAnimationFrame(step);
  byId("play").setAttribute("aria-pressed", Boolean(playing));
  byId("play").textContent = playing ? "Pause" : "Play";
}

// === Samples ===

const showSamples = newestWins(async (model, seed) => {
  const draw = gaussian(seed);
  const latents = Array.from({ length: SAMPLES }, () => drawLatents(model, draw));
  const images = [];
  for (const one of latents) images.push(await model.decode(one));
  fillStrip(byId("drawn"), images, images.map((_, i) => `Sample ${i + 1}`), (i) => movePoint(latents[i]));
});

// === Noise ===

let denoised = {}; // What the panel shows, by name: {image, error}.
let noiseFigures = {};

function makeNoise() {
  const names = ["noisy", ...models.map(({ name }) => name), ...(filters.length ? ["affine filter"] : [])];
  noiseFigures = Object.fromEntries(names.map((name) => [name, figure(byId("noisy"), name)]));
  if (!filters.length) byId("filter-note").textContent = "No affine filter: it is left out for images of this size.";
}

const showNoise = newestWins(async (image, { std, seed }) => {
  byId("std-value").textContent = std.toFixed(2);
  const noisy = image && addNoise(image, std, seed);
  const filter = filters.reduce((best, one) => (Math.abs(one.std - std) < Math.abs(best.std - std) ? one : best), filters[0]);
  const made = { noisy };
  for (const model of models) made[model.name] = image && (await model.decode((await model.encode(noisy)).latents));
  if (filter) {
    made["affine filter"] = image && applyFilter(filter, noisy);
    byId("filter-note").textContent = `The affine filter is the best linear one for noise of ${filter.std}. ` +
      "It was fitted to the training images.";
  }
  denoised = {};
  for (const [name, { canvas, numbers }] of Object.entries(noiseFigures)) {
    const error = image && meanSquaredError(image, made[name]);
    denoised[name] = { image: made[name], error };
    paint(canvas, made[name]?.map((value) => Math.min(1, Math.max(0, value))), name);
    numbers.textContent = image ? format(error) : "";
  }
});

// What can wait until a stroke is done.
const updateLater = newestWins(async () => {
  await showMorph(view.model, state.fraction);
  await showNoise(state.image, state.noise);
  save();
}, 80);
