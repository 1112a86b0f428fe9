// What the models make of the drawing: reconstructions, morphing, samples, noise.

const [FRAMES, SAMPLES] = [9, 12];
let models = []; // Those that could be loaded.
let results = []; // For each model: image, latents, deviations, reconstruction, error and score.
let cards = [];
let filters = []; // {std, unit, weights, noisy_mean, mean}
const ofChosen = () => results[models.indexOf(view.model)];

function makeCard(model, number) {
  const block = (className, ...children) => element("div", { className }, ...children);
  const input = element("input", { type: "radio", name: "model", onchange: () => chooseModel(number) });
  const [out, heat, bar, numbers, verdict] = [picture(), picture(), element("i"), block("numbers"), block("verdict")];
  const root = element("label", { className: "card" }, input, block("name", model.name), block("facts", `${model.units} latents\n${model.parameters.toLocaleString("en")} parameters`),
    block("pair", out, heat), numbers, block("bar", bar), verdict);
  return { root, input, out, heat, numbers, bar, verdict };
}

function showResult(card, model, result) {
  paint(card.out, result?.reconstruction, `Reconstruction by ${model.name}`);
  paint(card.heat, null, "Errors");
  card.root.className = "card unjudged";
  [card.numbers.textContent, card.verdict.textContent, card.bar.style.width] = ["", "Nothing drawn", 0];
  if (!result) return;
  const { image, reconstruction, error, score } = result;
  const fits = score <= model.threshold; // Not so if the score is no number.
  paintErrors(card.heat, image, reconstruction, `Errors of ${model.name}`);
  card.root.className = `card ${fits ? "fitting" : "anomalous"}`;
  card.numbers.textContent = `error ${format(error)}\nscore ${format(score)}`;
  card.verdict.textContent = `${fits ? "✓ fits" : "⚠ anomalous"}, limit ${format(model.threshold)}`;
  card.bar.style.width = `${clip((50 * score) / model.threshold, 0, 100)}%`;
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
  const latents = ofChosen()?.latents;
  byId("again").hidden = !view.model.variational;
  for (const button of [byId("again"), ...document.querySelectorAll(".reset")]) button.disabled = !latents;
  movePoint(point?.length === view.model.units && point.every(Number.isFinite) ? point : (latents ?? view.model.mean));
}

function sampleAgain() {
  const [{ latents, deviations }, draw] = [ofChosen(), gaussian(randomSeed())];
  movePoint(latents.map((mean, i) => mean + deviations[i] * draw()));
}

function chooseModel(number, point) {
  const model = models[number];
  cards[number].input.checked = true;
  makeView(model);
  makeSliders(model);
  for (const select of document.querySelectorAll(".chosen")) select.selectedIndex = number;
  byId("source").textContent = model.variational ? "from the prior, a standard Gaussian"
    : `from a Gaussian fitted to the latents of training images${
      model.stds.length < model.units ? `, along their first ${model.stds.length} principal axes` : ""}`;
  byId("path").disabled = !model.variational;
  byId("path-note").textContent = model.variational ? "" : "Linear only: spherical paths are for latents with a Gaussian prior.";
  resetPoint(point);
  showSamples(model);
  updateLater();
}

// === Morphing ===

const showMorph = newestWins(async (model) => {
  const [start, end, fraction] = [state.kept, state.image, Number(byId("fraction").value)];
  paint(byId("start"), start, "Kept image");
  paint(byId("end"), end, "Drawing");
  if (!end) return;
  const path = model.variational && byId("path").value === "spherical" ? sphericalPath : linearPath;
  const ends = [await model.encode(start), await model.encode(end)].map(({ latents }) => latents);
  const shares = Array.from({ length: FRAMES }, (_, i) => i / (FRAMES - 1));
  const [between, ...images] = await model.decodeAll([fraction, ...shares].map((share) => path(...ends, share)));
  paint(byId("between"), between, `Image at ${percent(fraction)}`);
  fillStrip(byId("frames"), images, shares.map(percent), (i) => setFraction(shares[i]));
});

function setFraction(fraction) {
  byId("fraction").value = fraction;
  showMorph(view.model);
}

let playing = null;
function play() {
  let way = Number(byId("fraction").value); // There, and from 1 to 2 back.
  const step = () => setFraction(1 - Math.abs(1 - (way = (way + 0.02) % 2)));
  playing = playing ? clearInterval(playing) : setInterval(step, 30);
  Object.assign(byId("play"), { ariaPressed: Boolean(playing), textContent: playing ? "Pause" : "Play" });
  save();
}

// === Samples ===

const showSamples = newestWins(async (model) => {
  const draw = gaussian(state.samples);
  const latents = Array.from({ length: SAMPLES }, () => drawLatents(model, draw));
  const images = await model.decodeAll(latents);
  fillStrip(byId("drawn"), images, images.map((_, i) => `Sample ${i + 1}`), (i) => movePoint(latents[i]));
});

// === Noise ===

let denoised = {}; // What the panel shows, by name: {image, error}.

const showNoise = newestWins(async (image) => {
  const std = Number(byId("std").value);
  const noisy = image && addNoise(image, std, state.noise);
  const made = { noisy };
  for (const model of models) made[model.name] = image && (await model.decode((await model.encode(noisy)).latents));
  const [filter] = filters.toSorted((one, other) => Math.abs(one.std - std) - Math.abs(other.std - std));
  if (filter) made["affine filter"] = image && applyFilter(filter, noisy);
  byId("std-value").textContent = std.toFixed(2);
  byId("filter-note").textContent = filter
    ? `The affine filter is the best linear way to remove noise of ${filter.std} from training images.`
    : "There is no affine filter for images of this size.";
  denoised = Object.fromEntries(Object.entries(made).map(([name, one]) =>
    [name, { image: one, error: image && meanSquaredError(image, one) }]));
  const least = Math.min(...Object.values(denoised).map(({ error }) => error));
  byId("noisy").replaceChildren(...Object.entries(denoised).map(([name, { image, error }]) => {
    const [canvas, isBest] = [picture(), image && error === least];
    paint(canvas, image, name);
    return element("figure", {}, canvas, element("figcaption", {}, element("span", { className: "name", textContent: name }),
      element("span", { className: isBest ? "best" : "", textContent: image ? `${isBest ? "✓ " : ""}${format(error)}` : "" })));
  }));
});

// What can wait until a stroke is done.
const updateLater = newestWins(async () => {
  await showMorph(view.model);
  await showNoise(state.image);
  save();
}, 80);
