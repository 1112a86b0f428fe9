"use strict";
// What the models make of the drawing: reconstructions, morphing, samples, noise.

const [FRAMES, SAMPLES] = [9, 12];
let models = []; // Those that could be loaded.
let results = []; // For each model: image, latents, deviations, reconstruction, error and score.
let cards = [];
let filters = []; // {std, unit, weights, noisy_mean, mean}

function makeCard(model, number) {
  const input = element("input", { type: "radio", name: "model", onchange: () => chooseModel(number) });
  const [out, heat, error, score, bar] = [picture(), picture(), element("span"), element("span"), element("i")];
  const block = (className, ...children) => element("div", { className }, ...children);
  const verdict = block("verdict");
  const root = element("label", { className: "card" }, input, " ",
    element("span", { className: "name", textContent: model.name }),
    block("facts", `${model.units} latents, ${model.parameters.toLocaleString("en")} parameters`),
    block("pair", out, heat), block("numbers", error, score), block("bar", bar), verdict);
  return { root, input, out, heat, error, score, bar, verdict };
}

function showResult(card, model, result) {
  const fits = result?.score <= model.threshold; // Not so if the score is no number.
  card.root.className = `card ${result ? (fits ? "fitting" : "anomalous") : "unjudged"}`;
  paint(card.out, result?.reconstruction, `Reconstruction by ${model.name}`);
  if (result) paintErrors(card.heat, result.image, result.reconstruction, `Errors of ${model.name}`);
  else paint(card.heat, null, "Errors");
  card.error.textContent = result ? `error ${format(result.error)}` : "";
  card.score.textContent = result ? `score ${format(result.score)}` : "";
  card.bar.style.width = result ? `${clip((50 * result.score) / model.threshold, 0, 100)}%` : 0;
  const words = fits ? "✓ fits: up to" : "⚠ anomalous: above";
  card.verdict.textContent = result ? `${words} ${format(model.threshold)}` : "Nothing drawn";
}

async function judge(model, image) {
  const encoded = await model.encode(image);
  const reconstruction = await model.decode(encoded.latents);
  return { ...encoded, image, reconstruction, error: meanSquaredError(image, reconstruction), score: await model.score(image) };
}

// Runs every model on the drawing, and puts the point where the chosen model has it.
const runModels = newestWins(async (image, point) => {
  const fresh = [];
  for (const model of models) fresh.push(image && (await judge(model, image)));
  results = fresh;
  models.forEach((model, i) => showResult(cards[i], model, results[i]));
  resetPoint(point);
  updateLater();
});

function resetPoint(point) {
  const latents = results[models.indexOf(view.model)]?.latents;
  byId("again").hidden = !view.model.variational;
  byId("again").disabled = byId("reset").disabled = !latents;
  movePoint(point?.length === view.model.units ? point : (latents ?? view.model.mean));
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
  byId("source").textContent = model.variational
    ? "from the prior, a standard Gaussian" : "from a Gaussian fitted to the latents of training images";
  byId("path").disabled = !model.variational;
  byId("path-note").textContent = model.variational ? "" : "Linear only: spherical paths are for latents with a Gaussian prior.";
  resetPoint(point);
  showSamples(model, state.samples);
  updateLater();
}

// === Morphing ===

let framesShown = [];
const showMorph = newestWins(async (model, fraction) => {
  const [start, end] = [state.kept, state.image];
  paint(byId("start"), start, "Kept image");
  paint(byId("end"), end, "Drawing");
  if (!start || !end) return;
  const path = model.variational && state.path === "spherical" ? sphericalPath : linearPath;
  const ends = [await model.encode(start), await model.encode(end)].map(({ latents }) => latents);
  const at = (share) => model.decode(path(...ends, share));
  paint(byId("between"), await at(fraction), `Image at ${percent(fraction)}`);
  const shown = [model, path, start, end];
  if (shown.every((part, i) => part === framesShown[i])) return; // The slider alone has moved.
  const [shares, images] = [Array.from({ length: FRAMES }, (_, i) => i / (FRAMES - 1)), []];
  for (const share of shares) images.push(await at(share));
  fillStrip(byId("frames"), images, shares.map(percent), (i) => setFraction(shares[i]));
  framesShown = shown;
});

function setFraction(fraction) {
  state.fraction = byId("fraction").value = fraction;
  showMorph(view.model, fraction);
}

let playing = null;
function play() {
  const start = performance.now() - 1500 * state.fraction;
  const step = (now) => {
    const way = Math.max(0, (now - start) / 1500) % 2;
    setFraction(way < 1 ? way : 2 - way);
    playing = requestAnimationFrame(step);
  };
  cancelAnimationFrame(playing);
  playing = playing ? null : requestAnimationFrame(step);
  Object.assign(byId("play"), { ariaPressed: Boolean(playing), textContent: playing ? "Pause" : "Play" });
  save();
}

// === Samples ===

const showSamples = newestWins(async (model, seed) => {
  const [draw, images] = [gaussian(seed), []];
  const latents = Array.from({ length: SAMPLES }, () => drawLatents(model, draw));
  for (const one of latents) images.push(await model.decode(one));
  fillStrip(byId("drawn"), images, images.map((_, i) => `Sample ${i + 1}`), (i) => movePoint(latents[i]));
});

// === Noise ===

let denoised = {}; // What the panel shows, by name: {image, error}.
let noiseFigures = {};

function makeNoise() {
  for (const name of ["noisy", ...models.map((model) => model.name), ...(filters.length ? ["affine filter"] : [])]) {
    const [canvas, numbers] = [picture(), element("span")];
    const title = element("span", { className: "name", textContent: name });
    byId("noisy").append(element("figure", {}, canvas, element("figcaption", {}, title, " ", numbers)));
    noiseFigures[name] = { canvas, numbers };
  }
}

const showNoise = newestWins(async (image, { std, seed }) => {
  const noisy = image && addNoise(image, std, seed);
  const filter = filters.toSorted((one, other) => Math.abs(one.std - std) - Math.abs(other.std - std))[0];
  const made = { noisy };
  for (const model of models) made[model.name] = image && (await model.decode((await model.encode(noisy)).latents));
  if (filter) made["affine filter"] = image && applyFilter(filter, noisy);
  byId("std-value").textContent = std.toFixed(2);
  byId("filter-note").textContent = filter
    ? `The affine filter is the best one, linear but for a constant, for training images with noise of ${filter.std}.`
    : "There is no affine filter for images of this size.";
  denoised = {};
  for (const [name, { canvas, numbers }] of Object.entries(noiseFigures)) {
    denoised[name] = { image: made[name], error: image && meanSquaredError(image, made[name]) };
    paint(canvas, made[name], name);
    numbers.textContent = image ? format(denoised[name].error) : "";
  }
});

// What can wait until a stroke is done.
const updateLater = newestWins(async () => {
  await showMorph(view.model, state.fraction);
  await showNoise(state.image, state.noise);
  save();
}, 80);
