// The latent space of the chosen model: the map, the point in it, and sliders along its axes.

const [map, bubble] = [byId("map"), byId("bubble")];
const SLIDERS = 8;
const STRIP = [-2, -1, 0, 1, 2]; // Standard deviations of the images beside a slider.
let view = null; // Of the chosen model: the places of test images, and how much of the plane its map shows.
let sliders = [];

const inPlane = ([x, y = 0]) => [x, y]; // A single latent has no second axis.
const placeOf = (latents) => inPlane(coordinatesOf(view.model, latents));

function makeView(model) {
  const places = Array.from({ length: about.digits }, (_, digit) => inPlane(digitCoordinates(model, digit)));
  view = { model, places, extent: 2.1 * Math.max(1e-6, ...places.flat().map(Math.abs)) }; // The mean lies in the middle.
}

const toCanvas = ([x, y], side) => [side * (0.5 + x / view.extent), side * (0.5 - y / view.extent)];
const placeUnder = (event) => pointerOn(event).map((share, axis) => view.extent * (axis ? 0.5 - share : share - 0.5));

function drawMap() {
  const side = Math.round(map.clientWidth * devicePixelRatio);
  if (!view || !side) return;
  Object.assign(map, { width: side, height: side });
  const [context, style] = [map.getContext("2d"), getComputedStyle(map)];
  const font = `600 ${side / 42}px system-ui, sans-serif`;
  Object.assign(context, { font, textAlign: "center", textBaseline: "middle", strokeStyle: style.color, lineWidth: side / 300 });
  const drawDisc = (place, radius) => {
    context.beginPath();
    context.arc(...toCanvas(place, side), radius * side, 0, 7);
    context.fill();
  };
  const asText = about.classes.length && about.classes.every((name) => name.length === 1);
  view.places.forEach((place, i) => {
    context.fillStyle = classColour(labels[i]);
    if (asText) context.fillText(about.classes[labels[i]], ...toCanvas(place, side));
    else drawDisc(place, 0.006);
  });
  context.fillStyle = style.accentColor;
  const { latents, deviations } = ofChosen() ?? {};
  if (latents) drawDisc(placeOf(latents), 0.008);
  if (deviations) drawPosterior(placeOf(latents), deviations, context, side);
  drawDisc(placeOf(state.point), 0.016);
  context.stroke();
}

// Draws ellipses of one and two standard deviations: circles, times a root of the covariance in the plane.
function drawPosterior(place, deviations, context, side) {
  const [a, b] = [axisOf(view.model, 0), axisOf(view.model, 1)];
  const covariance = (some, others) => deviations.reduce((sum, std, i) => sum + some[i] * others[i] * std ** 2, 0);
  const right = Math.sqrt(covariance(a, a));
  const slope = covariance(a, b) / right || 0; // A single latent has no second axis.
  const up = Math.sqrt(covariance(b, b) - slope ** 2) || 0;
  for (const times of [1, 2].map((std) => (std * side) / view.extent)) {
    context.beginPath();
    context.setTransform(times * right, -times * slope, 0, -times * up, ...toCanvas(place, side));
    context.arc(0, 0, 1, 0, 7);
    context.resetTransform();
    context.stroke();
  }
}

const decodePoint = newestWins(async (model, point) => {
  const image = await model.decode(point);
  for (const canvas of [byId("decoded"), bubble.firstChild]) paint(canvas, image, "The point, decoded");
});

const showNearest = newestWins(async (model, point) => {
  const nearest = nearestImages(model, point, 8);
  const names = nearest.map((digit) => about.classes[labels[digit]] ?? "");
  fillStrip(byId("nearest"), nearest.map(digitImage), nearest.map((digit, i) => `Test image ${digit} ${names[i]}`),
    (i) => takeDigit(nearest[i]), names);
  save();
}, 60);

// Everything that moves the point comes through here.
function movePoint(point) {
  state.point = point;
  drawMap();
  const coordinates = coordinatesOf(view.model, point);
  sliders.forEach(({ input, output }, number) => {
    const value = (coordinates[number] / view.model.stds[number]).toFixed(1);
    Object.assign(input, { value, ariaValueText: `${value} standard deviations` });
    output.textContent = `${value} σ`;
  });
  decodePoint(view.model, point);
  showNearest(view.model, point);
}

// Moves the point along one axis.
const movedTo = (point, number, coordinate) =>
  along(point, coordinate - coordinatesOf(view.model, point)[number], axisOf(view.model, number));

function movePointTo([x, y]) {
  const point = movedTo(state.point, 0, x);
  movePoint(view.model.stds.length > 1 ? movedTo(point, 1, y) : point);
}

const movePointToDigit = async (digit) => movePoint((await view.model.encode(digitImage(digit))).latents);

// Returns the number of the test image at a place, or nothing.
function imageAt([x, y]) {
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
    const digit = isDragged ? null : imageAt(placeUnder(event));
    bubble.hidden = !isDragged && digit === null;
    if (isDragged) movePointTo(placeUnder(event));
    else if (digit !== null) paint(bubble.firstChild, digitImage(digit), `Test image ${digit}`);
    bubble.lastChild.textContent = isDragged ? "decoded" : `test image ${digit}`;
    const [width, height] = [bubble.offsetWidth, bubble.offsetHeight];
    bubble.style.left = `${clip(event.clientX - width / 2, 4, innerWidth - width - 4)}px`;
    bubble.style.top = `${event.clientY + (event.clientY < height + 28 ? 24 : -24 - height)}px`;
  };
  map.onpointerup = (event) => {
    const isClick = Math.hypot(event.clientX - pressed.clientX, event.clientY - pressed.clientY) < 5;
    const digit = isClick ? imageAt(placeUnder(event)) : null;
    if (digit !== null) movePointToDigit(digit);
    else movePointTo(placeUnder(event));
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
    for (const [i, times] of STRIP.entries()) {
      const image = await model.decode(along(model.mean, times * model.stds[number], axisOf(model, number)));
      if (model !== view.model) return;
      paint(strip.children[i], image, `At ${times}`);
    }
  }
});

function makeSliders(model) {
  const used = model.stds.slice(0, SLIDERS).filter((std) => std > 1e-3 * model.stds[0]);
  byId("sliders").replaceChildren();
  sliders = Array.from(used, (std, number) => {
    const strip = element("div", { className: "strip" }, ...STRIP.map(picture));
    const input = element("input", { id: `axis-${number + 1}`, type: "range", min: -4, max: 4, step: 0.1 });
    input.oninput = () => movePoint(movedTo(state.point, number, input.value * std));
    const [label, output] = [element("label", { htmlFor: input.id, textContent: `Axis ${number + 1}` }), element("output")];
    byId("sliders").append(element("div", { className: "axis" }, label, strip, input, output));
    return { strip, input, output };
  });
  showAxes(model);
}
