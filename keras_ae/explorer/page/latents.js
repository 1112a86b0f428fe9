"use strict";
// The latent space of the chosen model: the map, the point in it, and sliders along its axes.

const [map, bubble] = [byId("map"), byId("bubble")];
const AXES = 8;
const STRIP = [-2, -1, 0, 1, 2]; // Standard deviations of the images beside a slider.
let view = null; // Of the chosen model: its map, and the places of test images on it.
let dots = null; // The test images, drawn once.
let sliders = [];

function makeView(model) {
  const first = row(model.axes, 0, model.units);
  // A code of two units is the plane itself.
  const axes = model.units === 2 ? [Float32Array.of(1, 0), Float32Array.of(0, 1)]
    : [first, model.units > 1 ? row(model.axes, 1, model.units) : new Float32Array(1)];
  const placeOf = (latents) => axes.map((axis) => dot(latents, axis));
  const places = Array.from({ length: about.digits }, (_, i) => placeOf(latentsOf(model, i)));
  const ranges = [0, 1].map((axis) => places.map((place) => place[axis]))
    .map((values) => [Math.min(...values), Math.max(...values)]);
  const extent = 1.1 * Math.max(...ranges.map(([low, high]) => high - low), 1e-6);
  view = { model, axes, placeOf, places, extent, middle: ranges.map(([low, high]) => (low + high) / 2) };
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
    if (asText) context.fillText(className(labels[i]), ...toCanvas(place, side));
    else context.arc(...toCanvas(place, side), size / 4, 0, 7);
    context.fill();
  });
}

function drawMap() {
  const side = Math.round(map.clientWidth * devicePixelRatio);
  if (!view || !side) return;
  Object.assign(map, { width: side, height: side });
  drawDots(side);
  const context = map.getContext("2d");
  const { latents, deviations } = results[models.indexOf(view.model)] ?? {};
  const style = getComputedStyle(map);
  context.drawImage(dots.canvas, 0, 0);
  Object.assign(context, { strokeStyle: style.color, fillStyle: style.getPropertyValue("--accent"), lineWidth: side / 300 });
  const draw = (place, radii, angle = 0) => {
    context.beginPath();
    context.ellipse(...toCanvas(view.placeOf(place), side), ...radii, angle, 0, 7);
    context.stroke();
  };
  if (deviations) {
    const [a, b] = view.axes;
    const sum = (some, others) => deviations.reduce((all, std, i) => all + some[i] * others[i] * std ** 2, 0);
    const [xx, xy, yy] = [sum(a, a), sum(a, b), sum(b, b)];
    const root = Math.hypot((xx - yy) / 2, xy);
    for (const times of [1, 2]) {
      const radii = [root, -root].map((one) => (times * side * Math.sqrt(Math.max(0, (xx + yy) / 2 + one))) / view.extent);
      draw(latents, radii, -Math.atan2(2 * xy, xx - yy) / 2);
    }
  }
  if (latents) draw(latents, [side / 90, side / 90]);
  draw(state.point, [side / 60, side / 60]);
  context.fill();
}

const decodePoint = newestWins(async (model, point, inBubble) => {
  const [image, canvases] = [await model.decode(point), [byId("decoded"), ...(inBubble ? [bubble.firstChild] : [])]];
  for (const canvas of canvases) paint(canvas, image, "The point, decoded");
});

const describePoint = newestWins(async (model, point) => {
  const nearest = nearestImages(model, point, 8);
  const names = nearest.map((digit) => className(labels[digit]));
  fillStrip(byId("nearest"), nearest.map(digitImage), nearest.map((digit, i) => `Test image ${digit} ${names[i]}`),
    (i) => takeDigit(nearest[i]), names);
  const places = [0, 1].slice(0, model.units).map((axis) => onAxis(model, point, axis).toFixed(1));
  byId("where").textContent = `Standard deviations on the first axes: ${places.join(", ")}`;
  save();
}, 60);

// Everything that moves the point comes through here.
function movePoint(point, inBubble = false) {
  state.point = point;
  drawMap();
  sliders.forEach(({ input, output }, number) => {
    const value = onAxis(view.model, point, number).toFixed(1);
    Object.assign(input, { value, ariaValueText: `${value} standard deviations` });
    output.textContent = `${value} σ`;
  });
  decodePoint(view.model, point, inBubble);
  describePoint(view.model, point);
}

function movePointTo([x, y], inBubble) {
  const [nowX, nowY] = view.placeOf(state.point);
  movePoint(along(along(state.point, x - nowX, view.axes[0]), y - nowY, view.axes[1]), inBubble);
}

function showBubble(event, text) {
  bubble.hidden = false;
  bubble.lastChild.textContent = text;
  const { offsetWidth: width, offsetHeight: height } = bubble;
  const above = event.clientY - height - 24;
  bubble.style.left = `${clip(event.clientX - width / 2, 4, innerWidth - width - 4)}px`;
  bubble.style.top = `${above < 4 ? event.clientY + 24 : above}px`;
}

// Returns the number of the test image under the pointer, or nothing.
function imageAt(event) {
  const [x, y] = fromEvent(event);
  const distances = view.places.map((place) => Math.hypot(place[0] - x, place[1] - y));
  const nearest = distances.indexOf(Math.min(...distances));
  return distances[nearest] < (12 * view.extent) / map.clientWidth ? nearest : null;
}

function listenToMap() {
  let pressed = null; // Where, until it is released.
  let moved = false;
  map.onpointerdown = (event) => {
    map.setPointerCapture(event.pointerId);
    [pressed, moved] = [event, false];
  };
  map.onpointermove = (event) => {
    moved ||= pressed && Math.hypot(event.clientX - pressed.clientX, event.clientY - pressed.clientY) > 4;
    const digit = pressed ? null : imageAt(event);
    bubble.hidden = !moved && digit === null;
    if (moved) movePointTo(fromEvent(event), true);
    else if (digit !== null) paint(bubble.firstChild, digitImage(digit), `Test image ${digit}`);
    if (!bubble.hidden) showBubble(event, moved ? "decoded" : `test image ${digit}`);
  };
  map.onpointerup = (event) => {
    const digit = pressed && !moved ? imageAt(event) : null;
    if (digit !== null) movePoint(latentsOf(view.model, digit).slice());
    else if (pressed && !moved) movePointTo(fromEvent(event));
    map.onpointercancel();
  };
  map.onpointerleave = () => (bubble.hidden = true);
  map.onpointercancel = () => ([pressed, moved, bubble.hidden] = [null, false, true]);
  map.onkeydown = (event) => {
    const step = STEPS[event.key]?.map((one) => (one * view.extent) / 40);
    if (!step && event.key !== "Enter") return;
    event.preventDefault();
    const [x, y] = view.placeOf(state.point);
    if (step) movePointTo([x + step[0], y - step[1]]);
    else movePoint(latentsOf(view.model, nearestImages(view.model, state.point, 1)[0]).slice());
  };
  new ResizeObserver(drawMap).observe(map);
}

const showAxes = newestWins(async (model) => {
  for (const [number, { strip }] of sliders.entries()) {
    for (const [i, times] of STRIP.entries()) {
      const axis = row(model.axes, number, model.units);
      paint(strip.children[i], await model.decode(along(model.mean, times * model.stds[number], axis)), `At ${times}`);
      if (model !== view.model) return;
    }
  }
});

function makeSliders(model) {
  const used = model.stds.slice(0, AXES).filter((std) => std > 1e-3 * model.stds[0]);
  sliders = Array.from(used, (std, number) => {
    const strip = element("div", { className: "strip" }, ...STRIP.map(picture));
    const input = element("input", { id: `axis-${number + 1}`, type: "range", min: -4, max: 4, step: 0.1 });
    input.oninput = () => movePoint(along(state.point, (input.value - onAxis(model, state.point, number)) * std,
      row(model.axes, number, model.units)));
    return { strip, input, output: element("output") };
  });
  byId("sliders").replaceChildren(...sliders.map(({ strip, input, output }, number) => element("div", { className: "axis" },
    element("label", { htmlFor: input.id, textContent: `Axis ${number + 1}` }), strip, input, output)));
  showAxes(model);
}
