"use strict";
// The latent space of the chosen model: the map, the point in it, and sliders along its axes.

const map = byId("map");
const bubble = byId("bubble");
const AXES = 8;
const STRIP = [-2, -1, 0, 1, 2]; // Standard deviations of the images beside a slider.
const NEAREST = 8;
let view = null; // Of the chosen model: axes, places of test images, and how they lie on the canvas.
let dots = null; // The test images, drawn once.

// The two directions of the map. A code of two units is the plane itself.
function mapAxes(model) {
  if (model.units === 2) return [Float32Array.of(1, 0), Float32Array.of(0, 1)];
  const first = row(model.axes, 0, model.units);
  return [first, model.units > 1 ? row(model.axes, 1, model.units) : new Float32Array(1)];
}

function makeView(model) {
  const axes = mapAxes(model);
  const placeOf = (latents) => axes.map((axis) => dot(latents, axis));
  const places = Array.from({ length: about.digits }, (_, i) => placeOf(row(model.latents, i, model.units)));
  const ranges = [0, 1].map((axis) => {
    const values = places.map((place) => place[axis]);
    return [Math.min(...values), Math.max(...values)];
  });
  const extent = 1.1 * Math.max(...ranges.map(([low, high]) => high - low), 1e-6);
  const middle = ranges.map(([low, high]) => (low + high) / 2);
  view = { model, axes, placeOf, places, extent, middle };
}

function toCanvas([x, y], side) {
  const scale = side / view.extent;
  return [side / 2 + scale * (x - view.middle[0]), side / 2 - scale * (y - view.middle[1])];
}

function fromEvent(event) {
  const box = map.getBoundingClientRect();
  return [
    view.middle[0] + ((event.clientX - box.left) / box.width - 0.5) * view.extent,
    view.middle[1] - ((event.clientY - box.top) / box.height - 0.5) * view.extent,
  ];
}

function drawDots(side) {
  const key = `${view.model.key} ${side} ${dark.matches}`;
  if (dots?.key === key) return;
  dots = { key, canvas: element("canvas", { width: side, height: side }) };
  const context = dots.canvas.getContext("2d");
  const size = side / 42;
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const short = about.classes.length && about.classes.every((name) => name.length === 1);
  view.places.forEach((place, i) => {
    const [x, y] = toCanvas(place, side);
    context.fillStyle = classColour(labels[i]);
    if (short) {
      context.fillText(className(labels[i]), x, y);
    } else {
      context.beginPath();
      context.arc(x, y, size / 4, 0, 7);
      context.fill();
    }
  });
}

function drawMap() {
  const side = Math.round(map.clientWidth * devicePixelRatio);
  if (!view || !side) return;
  Object.assign(map, { width: side, height: side });
  drawDots(side);
  const context = map.getContext("2d");
  context.drawImage(dots.canvas, 0, 0);
  const [text, accent] = ["--text", "--accent"].map((name) => getComputedStyle(map).getPropertyValue(name));
  const { latents, deviations } = results[models.indexOf(view.model)] ?? {};
  context.strokeStyle = text;
  context.lineWidth = side / 300;
  if (deviations) {
    const [a, b] = view.axes;
    const sum = (some, others) => deviations.reduce((all, std, i) => all + some[i] * others[i] * std ** 2, 0);
    const [xx, xy, yy] = [sum(a, a), sum(a, b), sum(b, b)];
    const root = Math.hypot((xx - yy) / 2, xy);
    const radii = [(xx + yy) / 2 + root, Math.max(0, (xx + yy) / 2 - root)].map(Math.sqrt);
    for (const times of [1, 2]) {
      context.beginPath();
      context.ellipse(...toCanvas(view.placeOf(latents), side),
        ...radii.map((radius) => (times * radius * side) / view.extent), -Math.atan2(2 * xy, xx - yy) / 2, 0, 7);
      context.stroke();
    }
  }
  if (latents) {
    context.beginPath();
    context.arc(...toCanvas(view.placeOf(latents), side), side / 90, 0, 7);
    context.stroke();
  }
  context.beginPath();
  context.arc(...toCanvas(view.placeOf(state.point), side), side / 60, 0, 7);
  context.fillStyle = accent;
  context.fill();
  context.stroke();
}

const decodePoint = newestWins(async (model, point, inBubble) => {
  const image = await model.decode(point);
  paint(byId("decoded"), image, "The point, decoded");
  if (inBubble) paint(bubble.firstChild, image, "The point, decoded");
});

const describePoint = newestWins(async (model, point) => {
  const nearest = nearestImages(model, point, NEAREST);
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
  for (const [number, { input, output }] of sliders.entries()) {
    const value = onAxis(view.model, point, number);
    input.value = value;
    output.textContent = `${value.toFixed(1)} σ`;
    input.setAttribute("aria-valuetext", `${value.toFixed(1)} standard deviations`);
  }
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
  const [x, y] = [event.clientX - width / 2, event.clientY - height - 24];
  bubble.style.left = `${Math.min(innerWidth - width - 4, Math.max(4, x))}px`;
  bubble.style.top = `${y < 4 ? event.clientY + 24 : y}px`;
}

function imageAt(event) {
  const box = map.getBoundingClientRect();
  const reach = (12 * view.extent) / box.width;
  const [x, y] = fromEvent(event);
  const distances = view.places.map((place) => Math.hypot(place[0] - x, place[1] - y));
  const nearest = distances.indexOf(Math.min(...distances));
  return distances[nearest] < reach ? nearest : null;
}

const latentsOf = (model, digit) => row(model.latents, digit, model.units);

function listenToMap() {
  let pressed = null; // {x, y, moved} between press and release.
  map.addEventListener("pointerdown", (event) => {
    if (event.button > 0 || !view) return;
    map.setPointerCapture(event.pointerId);
    pressed = { x: event.clientX, y: event.clientY, moved: false };
  });
  map.addEventListener("pointermove", (event) => {
    if (!view) return;
    if (!pressed) {
      const digit = imageAt(event);
      bubble.hidden = true;
      if (digit === null) return;
      paint(bubble.firstChild, digitImage(digit), `Test image ${digit}`);
      showBubble(event, `test image ${digit}`);
    } else if (pressed.moved || Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) > 4) {
      pressed.moved = true;
      movePointTo(fromEvent(event), true);
      showBubble(event, "decoded");
    }
  });
  map.addEventListener("pointerup", (event) => {
    if (pressed && !pressed.moved) {
      const digit = imageAt(event);
      if (digit === null) movePointTo(fromEvent(event));
      else movePoint(latentsOf(view.model, digit).slice());
    }
    pressed = null;
    bubble.hidden = true;
  });
  map.addEventListener("pointercancel", () => (pressed = null));
  map.addEventListener("pointerleave", () => (bubble.hidden = true));
  map.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (!view || (!steps[event.key] && event.key !== "Enter")) return;
    event.preventDefault();
    if (event.key === "Enter") {
      movePoint(latentsOf(view.model, nearestImages(view.model, state.point, 1)[0]).slice());
    } else {
      const [x, y] = view.placeOf(state.point);
      const [right, up] = steps[event.key];
      movePointTo([x + (right * view.extent) / 40, y + (up * view.extent) / 40]);
    }
  });
  new ResizeObserver(drawMap).observe(map);
  dark.addEventListener("change", drawMap);
}

let sliders = [];

const showAxes = newestWins(async (model) => {
  for (const [number, { strip }] of sliders.entries()) {
    const axis = row(model.axes, number, model.units);
    for (const [i, times] of STRIP.entries()) {
      const image = await model.decode(along(model.mean, times * model.stds[number], axis));
      if (model !== view.model) return;
      paint(strip.children[i], image, `${times} standard deviations`);
    }
  }
});

function makeSliders(model) {
  const used = model.stds.slice(0, AXES).filter((std) => std > 1e-3 * model.stds[0]);
  sliders = Array.from(used, (_, number) => {
    const id = `axis-${number + 1}`;
    const strip = element("div", { className: "strip" }, ...STRIP.map(() => element("canvas")));
    for (const canvas of strip.children) canvas.setAttribute("role", "img");
    const input = element("input", { id, type: "range", min: -4, max: 4, step: 0.1 });
    const output = element("output");
    input.addEventListener("input", () => {
      const change = (input.value - onAxis(model, state.point, number)) * model.stds[number];
      movePoint(along(state.point, change, row(model.axes, number, model.units)));
    });
    return { strip, input, output };
  });
  byId("sliders").replaceChildren(...sliders.map(({ strip, input, output }, number) =>
    element("div", { className: "axis" },
      element("label", { htmlFor: input.id, textContent: `Axis ${number + 1}` }), strip, input, output)));
  showAxes(model);
}
