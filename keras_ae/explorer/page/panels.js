// What the models make of the drawing: reconstructions, morphing, samples, noise.

const SAMPLES = 12;
let models = []; // Those that could be loaded.
let results = []; // For each model: image, latents, deviations, reconstruction, error and score.
let cards = [];
const ofChosen = () => results[models.indexOf(view.model)];

function makeCard(model, number) {
  const block = (className, ...children) => element("div", { className }, ...children);
  const input = element("input", { type: "radio", name: "model", onchange: () => chooseModel(number) });
  const [out, heat, numbers, verdict] = [picture(), picture(), block("numbers"), block("verdict")];
  const meter = element("meter", { max: 2, high: 1, optimum: 0, ariaLabel: "Score, in limits" });
  const root = element("label", { className: "card" }, input, " ", element("b", { textContent: model.name }), block("facts", `${model.units} latents\n${model.parameters.toLocaleString("en")} parameters`),
    block("pair", out, heat), numbers, meter, verdict);
  return { root, input, out, heat, numbers, meter, verdict };
}

function showResult(card, model, result) {
  paint(card.out, result?.reconstruction, `Reconstruction by ${model.name}`);
  paint(card.heat, null, "Errors");
  card.root.className = "card unjudged";
  [card.numbers.textContent, card.verdict.textContent, card.meter.value] = ["", "Nothing drawn", 0];
  if (!result) return;
  const { image, reconstruction, error, score } = result;
  const fits = score <= model.threshold; // Not so if the score is no number.
  paintErrors(card.heat, image, reconstruction, `Errors of ${model.name}`);
  card.root.className = `card ${fits ? "fitting" : "anomalous"}`;
  card.numbers.textContent = `error ${format(error)}\nscore ${format(score)}`;
  card.verdict.textContent = `${fits ? "✓ fits" : "⚠ anomalous"}, limit ${format(model.threshold)}`;
  card.meter.value = score / model.threshold || 0;
}

// Runs every model on the drawing, and puts the point where the chosen model has it.
const runModels = newestWins(async (image, point) => {
  const fresh = [];
  for (const model of image ? models : []) {
    const [encoded, score] = [await model.encode(image), await model.score(image)];
    const reconstruction = await model.decode(encoded.latents);
    fresh.push({ ...encoded, image, reconstruction, score, error: meanSquaredError(image, reconstruction) });
  }
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
    : "from a Gaussian fitted to the latents of training images";
  byId("path").disabled = !model.variational;
  byId("path-note").textContent = model.variational ? "" : "Linear only: spherical paths are for latents with a Gaussian prior.";
  resetPoint(point);
  updateLater();
}

const showMorph = newestWins(async (model) => {
  const [start, end, fraction] = [state.kept, state.image, Number(byId("fraction").value)];
  paint(byId("start"), start, "Kept image");
  paint(byId("end"), end, "Drawing");
  if (!end) return;
  const path = model.variational && byId("path").value === "spherical" ? sphericalPath : linearPath;
  const ends = [await model.encode(start), await model.encode(end)].map(({ latents }) => latents);
  paint(byId("between"), await model.decode(path(...ends, fraction)), `Image at ${Math.round(100 * fraction)} %`);
});

let playing = null;
function play() {
  let way = Number(byId("fraction").value); // There, and from 1 to 2 back.
  const step = () => {
    way = (way + 0.02) % 2;
    byId("fraction").value = 1 - Math.abs(1 - way);
    showMorph(view.model);
  };
  playing = playing ? clearInterval(playing) : setInterval(step, 30);
  Object.assign(byId("play"), { ariaPressed: Boolean(playing), textContent: playing ? "Pause" : "Play" });
  save();
}

const showSamples = newestWins(async (model) => {
  const draw = gaussian(state.samples);
  const latents = Array.from({ length: SAMPLES }, () => drawLatents(model, draw));
  const images = [];
  for (const one of latents) images.push(await model.decode(one));
  fillStrip(byId("drawn"), images, images.map((_, i) => `Sample ${i + 1}`), (i) => movePoint(latents[i]));
});

let denoised = {}; // The images of the panel, by name.
const showNoise = newestWins(async (image) => {
  const [std, draw] = [Number(byId("std").value), gaussian(1)];
  const noisy = image && image.map((value) => clip(value + std * draw(), 0, 1));
  denoised = { noisy };
  for (const model of models) denoised[model.name] = image && (await model.decode((await model.encode(noisy)).latents));
  const [filter] = about.filters.toSorted((one, other) => Math.abs(one.std - std) - Math.abs(other.std - std));
  if (filter) denoised["affine filter"] = image && applyFilter(filter, noisy);
  byId("std-value").textContent = std.toFixed(2);
  byId("filter-note").textContent = filter
    ? `The affine filter is the best linear way to remove noise of ${filter.std} from training images.`
    : "There is no affine filter for images of this size.";
  const errors = Object.values(denoised).map((one) => image && meanSquaredError(image, one));
  byId("noisy").replaceChildren(...Object.entries(denoised).map(([name, one], i) => {
    const [canvas, isBest] = [picture(), errors[i] === Math.min(...errors)];
    paint(canvas, one, name);
    const numbers = element("span", { className: isBest ? "best" : "", textContent: image ? format(errors[i]) : "" });
    return element("figure", {}, canvas, element("b", { textContent: name }), numbers);
  }));
});

// What can wait until a stroke is done.
const updateLater = newestWins(async () => {
  await showMorph(view.model);
  await showSamples(view.model);
  await showNoise(state.image);
  save();
}, 80);
