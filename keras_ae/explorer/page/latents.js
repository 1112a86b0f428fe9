// The latent space of the chosen model: the map, the point in it, and sliders along its axes.

const [map, bubble] = [byId("map"), byId("bubble")];
const SLIDERS = 8;
const STRIP = [-2, -1, 0, 1, 2]; // Standard deviations of the images beside a slider.
let view = null; // Of the chosen model: the places of test images on its map, and what of the plane the map shows.
let dots = null; // The test images, drawn once.
let sliders = [];

const inPlane = ([x, y = 0]) => [x, y]; // A single latent has no second axis.
const placeOf = (latents) => inPlane(coordinatesOf(view.model, latents));

function makeView(model) {
  const places = Array.from({ length: about.digits }, (_, digit) => inPlane(digitCoordinates(model, digit)));
  const ranges = [0, 1].map((axis) => places.map((place) => place[axis]))
    .map((values) => [Math.min(...values), Math.max(...values)]);
  const extent = 1.1 * Math.max(...ranges.map(([low, high]) => high - low), 1e-6);
  view = { model, places, extent, middle: ranges.map(([low, high]) => (low + high) / 2) };
}

const toCanvas = ([x, y], side) => [
  side * (0.5 + (x - view.middle[0]) / view.extent), side * (0.5 - (y - view.middle[1]) / view.extent)];

function fromEvent(event) {
  const box = map.getBoundingClientRect();
  return [view.middle[0] + ((event.clientX - box.left) / box.width - 0.5) * view.extent,
    view.middle[1] - ((event.clientY - box.top) / box.height - 0.5) * view.extent];
}

function drawDots(side) {
  const key = `${view.model.key} ${side} ${dark.matches}`;
  if (dots?.key === key) return;
  dots = { key, canvas: element("canvas", { width: side, height: side }) };
  const context = dots.canvas.getContext("2d");
  const size = side / 42;
  Object.assign(context, { font: `600 ${size}px system-ui, sans-serif`, textAlign: "center", textBaseline: "middle" });
  const asText = about.classes.length && about.classes.every((name) => name.length === 1);
  view.places.forEach((place, i) => {
    context.fillStyle = classColour(labels[i]);
    context.beginPath();
    if (asText) context.fillText(about.classes[labels[i]], ...toCanvas(place, side));
    else context.arc(...toCanvas(place, side), size / 4, 0, 7);
    context.fill();
  });
}

function drawMap() {
  const side = Math.round(map.clientWidth * devicePixelRatio);
  if (!view || !side) return;
  Object.assign(map, { width: side, height: side });
  drawDots(side);
  const [context, style] = [map.getContext("2d"), getComputedStyle(map)];
  const { latents, deviations } = results[models.indexOf(view.model)] ?? {};
  context.drawImage(dots.canvas, 0, 0);
  Object.assign(context, { strokeStyle: style.color, fillStyle: style.accentColor, lineWidth: side / 300 });
  const draw = (place, radii, angle = 0) => {
    context.beginPath();
    context.ellipse(...toCanvas(place, side), ...radii, angle, 0, 7);
    context.stroke();
  };
  if (deviations) drawPosterior(placeOf(latents), deviations, (place, radii, angle) =>
    draw(place, radii.map((radius) => (radius * side) / view.extent), angle));
  if (latents) draw(placeOf(latents), [side / 90, side / 90]);
  draw(placeOf(state.point), [side / 60, side / 60]);
  context.fill();
}

// Draws ellipses of one and two standard deviations: those of the covariance in the plane.
function drawPosterior(place, deviations, draw) {
  const [a, b] = [axisOf(view.model, 0), axisOf(view.model, 1)];
  const sum = (some, others) => deviations.reduce((all, std, i) => all + some[i] * others[i] * std ** 2, 0);
  const [xx, xy, yy] = b.length ? [sum(a, a), sum(a, b), sum(b, b)] : [sum(a, a), 0, 0];
  const root = Math.hypot((xx - yy) / 2, xy);
  const radii = [root, -root].map((one) => Math.sqrt(Math.max(0, (xx + yy) / 2 + one)));
  for (const times of [1, 2]) draw(place, radii.map((radius) => times * radius), -Math.atan2(2 * xy, xx - yy) / 2);
}

const decodePoint = newestWins(async (model, point, inBubble) => {
  const [image, canvases] = [await model.decode(point), [byId("decoded"), ...(inBubble ? [bubble.firstChild] : [])]];
  for (const canvas of canvases) paint(canvas, image, "The point, decoded");
});

const showNearest = newestWins(async (model, point) => {
  const nearest = nearestImages(model, point, 8);
  const names = nearest.map((digit) => about.classes[labels[digit]] ?? "");
  fillStrip(byId("nearest"), nearest.map(digitImage), nearest.map((digit, i) => `Test image ${digit} ${names[i]}`),
    (i) => takeDigit(nearest[i]), names);
  save();
}, 60);

// Everything that moves the point comes through here.
function movePoint(point, inBubble = false) {
  state.point = point;
  drawMap();
  const coordinates = coordinatesOf(view.model, point);
  sliders.forEach(({ input, output }, number) => {
    const value = (coordinates[number] / view.model.stds[number]).toFixed(1);
    Object.assign(input, { value, ariaValueText: `${value} standard deviations` });
    output.textContent = `${value} σ`;
  });
  decodePoint(view.model, point, inBubble);
  showNearest(view.model, point);
}

// Moves the point along one axis.
const movedTo = (point, number, coordinate) =>
  along(point, coordinate - coordinatesOf(view.model, point)[number], axisOf(view.model, number));

function movePointTo([x, y], inBubble) {
  const point = movedTo(state.point, 0, x);
  movePoint(view.model.stds.length > 1 ? movedTo(point, 1, y) : point, inBubble);
}

const movePointToDigit = async (digit) => movePoint((await view.model.encode(digitImage(digit))).latents);

function showBubble({ clientX, clientY }, text) {
  bubble.lastChild.textContent = text;
  bubble.style.left = `${clip(clientX - bubble.offsetWidth / 2, 4, innerWidth - bubble.offsetWidth - 4)}px`;
  bubble.style.top = `${clientY + (clientY < bubble.offsetHeight + 28 ? 24 : -24 - bubble.offsetHeight)}px`;
}

// Returns the number of the test image under the pointer, or nothing.
function imageAt(event) {
  const [x, y] = fromEvent(event);
  const distances = view.places.map((place) => Math.hypot(place[0] - x, place[1] - y));
  const nearest = distances.indexOf(Math.min(...distances));
  return distances[nearest] < (12 * view.extent) / map.clientWidth ? nearest : null;
}

function listenToMap() {
  let pressed = null; // Where.
  map.onpointerdown = (event) => {
    map.setPointerCapture(event.pointerId);
    pressed = event;
  };
  map.onpointermove = (event) => {
    const isDragged = map.hasPointerCapture(event.pointerId);
    const digit = isDragged ? null : imageAt(event);
    bubble.hidden = !isDragged && digit === null;
    if (isDragged) movePointTo(fromEvent(event), true);
    else if (digit !== null) paint(bubble.firstChild, digitImage(digit), `Test image ${digit}`);
    showBubble(event, isDragged ? "decoded" : `test image ${digit}`);
  };
  map.onpointerup = (event) => {
    const isClick = Math.hypot(event.clientX - pressed.clientX, event.clientY - pressed.clientY) < 5;
    const digit = isClick ? imageAt(event) : null;
    if (digit !== null) movePointToDigit(digit);
    else movePointTo(fromEvent(event));
  };
  map.onpointerleave = map.onlostpointercapture = () => (bubble.hidden = true);
  map.onkeydown = (event) => {
    const step = STEPS[event.key]?.map((one) => (one * view.extent) / 40);
    if (!step && event.key !== "Enter") return;
    event.preventDefault();
    const [x, y] = placeOf(state.point);
    if (step) movePointTo([x + step[0], y - step[1]]);
    else movePointToDigit(nearestImages(view.model, state.point, 1)[0]);
  };
  new ResizeObserver(drawMap).observe(map);
}

const showAxes = newestWins(async (model) => {
  for (const [number, { strip }] of sliders.entries()) {
    const at = (times) => along(model.mean, times * model.stds[number], axisOf(model, number));
    const images = await model.decodeAll(STRIP.map(at));
    if (model !== view.model) return;
    images.forEach((image, i) => paint(strip.children[i], image, `At ${STRIP[i]}`));
  }
});

function makeSliders(model) {
  const used = model.stds.slice(0, SLIDERS).filter((std) => std > 1e-3 * model.stds[0]);
  sliders = Array.from(used, (std, number) => {
    const strip = element("div", { className: "strip" }, ...STRIP.map(picture));
    const input = element("input", { id: `axis-${number + 1}`, type: "range", min: -4, max: 4, step: 0.1 });
    input.oninput = () => movePoint(movedTo(state.point, number, input.value * std));
    return { strip, input, output: element("output") };
  });
  byId("sliders").replaceChildren(...sliders.map(({ strip, input, output }, number) => element("div", { className: "axis" },
    element("label", { htmlFor: input.id, textContent: `Axis ${number + 1}` }), strip, input, output)));
  showAxes(model);
}
