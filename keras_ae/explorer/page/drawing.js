"use strict";
// The drawing: strokes over a base image, and their way into the form of the training images.

const pad = byId("pad");
const GRID = 255; // Strokes have whole coordinates up to this, so that a link holds them exactly.
const INK = 0.1; // As in build.py.
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
// A base, that is {values, digit, example} of a test image or picture; strokes {erase, points: [[x, y], ...]};
// what to undo, newest last; and where the keys are, {x, y, down}.
const drawing = { base: null, strokes: [], past: [], erasing: false, cursor: null };
let drawingChanged = () => {};

const isDrawable = () => about.shape[2] === 1;
const background = () => about.form?.background ?? 0;
const grey = (value) => `rgb(${255 * value} ${255 * value} ${255 * value})`;
const pixelSize = () => pad.width / about.shape[1]; // Of an image's pixel on the pad.
const penWidth = () => 0.085 * Math.max(pad.width, pad.height); // As of MNIST: 2.4 of 28 pixels.
const onPad = ([x, y]) => [(x * pad.width) / GRID, (y * pad.height) / GRID];
const remember = () => drawing.past.push({ base: drawing.base, strokes: [...drawing.strokes] });

function setDrawing(base, strokes = []) {
  Object.assign(drawing, { base, strokes });
  showDrawing();
}

function replaceDrawing(base) {
  remember();
  setDrawing(base);
}
const takeDigit = (digit) => replaceDrawing({ values: digitImage(digit), digit });
const undo = () => setDrawing(...Object.values(drawing.past.pop() ?? { base: drawing.base, strokes: drawing.strokes }));

// Draws base and strokes; `pen` is the width of lines in pixels of the canvas.
function render(canvas, pen) {
  const context = contextOf(canvas);
  context.fillStyle = grey(background());
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (drawing.base) {
    const small = picture();
    paint(small, drawing.base.values, "");
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
  }
  context.lineCap = context.lineJoin = "round";
  for (const { erase, points } of drawing.strokes) {
    context.strokeStyle = grey(erase ? background() : 1 - background());
    context.lineWidth = erase ? 2 * pen : pen;
    context.beginPath();
    for (const point of [points[0], ...points]) context.lineTo(...onPad(point));
    context.stroke();
  }
}

function showDrawing() {
  render(pad, penWidth());
  if (drawing.cursor) {
    const [context, { x, y, down }] = [contextOf(pad), drawing.cursor];
    Object.assign(context, { strokeStyle: down ? "#ff7b72" : "#58a6ff", lineWidth: pad.width / 90 });
    context.beginPath();
    context.arc(...onPad([x, y]), penWidth() / 2, 0, 7);
    context.stroke();
  }
  drawingChanged();
}

// Returns the drawing as the models see it, or nothing where it is empty.
function drawnImage() {
  if (!drawing.strokes.length) return drawing.base?.values ?? null;
  const canvas = element("canvas", { width: pad.width, height: pad.height });
  if (drawing.base || !about.form) {
    render(canvas, penWidth());
    const image = average(valuesOf(canvas), canvas.width, pixelSize());
    return image.some((value) => Math.abs(value - background()) > INK) ? image : null;
  }
  // Lines are to have the right width after the drawing has been scaled.
  const points = drawing.strokes.filter(({ erase }) => !erase).flatMap((stroke) => stroke.points.map(onPad));
  const sides = [0, 1].map((axis) => points.map((point) => point[axis]))
    .map((values) => Math.max(0, ...values) - Math.min(...values, Infinity));
  const pen = (penWidth() * Math.max(0, ...sides)) / (about.form.box * pixelSize() - penWidth());
  render(canvas, clip(pen, penWidth() / 3, penWidth()));
  return place(canvas, 3 / pixelSize());
}

// Returns the pixels of a canvas from 0 to 1: of one channel, or grey.
function valuesOf(canvas, channel) {
  const { data } = contextOf(canvas).getImageData(0, 0, canvas.width, canvas.height);
  const [red, green, blue] = channel === undefined ? [0.299, 0.587, 0.114] : [0, 1, 2].map((c) => Number(c === channel));
  const values = new Float32Array(data.length / 4);
  for (let i = 0; i < data.length; i += 4) values[i / 4] = (red * data[i] + green * data[i + 1] + blue * data[i + 2]) / 255;
  return values;
}

// Returns the means of blocks, rounded to bytes as training images are.
function average(values, width, factor) {
  const columns = width / factor;
  const sums = new Float64Array(values.length / factor ** 2);
  values.forEach((value, i) => {
    sums[Math.floor(i / width / factor) * columns + Math.floor((i % width) / factor)] += value;
  });
  return Float32Array.from(sums, (sum) => Math.round((255 * sum) / factor ** 2) / 255);
}

// Scales and moves what a canvas shows on the background to where that of the training images is.
function place(source, largestScale = Infinity) {
  const { box, by_mass, centre } = about.form;
  const { width, height } = source;
  let [left, right, top, bottom, mass, massX, massY] = [width, -1, height, -1, 0, 0, 0];
  valuesOf(source).forEach((value, i) => {
    const ink = Math.abs(value - background());
    if (ink <= INK) return;
    const [x, y] = [i % width, Math.floor(i / width)];
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
    [mass, massX, massY] = [mass + ink, massX + ink * (x + 0.5), massY + ink * (y + 0.5)];
  });
  if (right < 0) return null;
  const scale = Math.min(box / Math.max(right - left + 1, bottom - top + 1), largestScale);
  const [x, y] = by_mass ? [massX / mass, massY / mass] : [(left + right + 1) / 2, (top + bottom + 1) / 2];
  const fine = 4; // Drawn larger, and averaged.
  const [rows, columns] = about.shape;
  const canvas = drawOn(fine * columns, fine * rows, grey(background()), source, fine * (centre[1] - scale * x),
    fine * (centre[0] - scale * y), fine * scale);
  return average(valuesOf(canvas), canvas.width, fine);
}

function drawOn(width, height, ground, source, x, y, scale) {
  const canvas = element("canvas", { width, height });
  const context = contextOf(canvas);
  Object.assign(context, { fillStyle: ground, imageSmoothingQuality: "high" });
  context.fillRect(0, 0, width, height);
  context.drawImage(source, x, y, scale * source.width, scale * source.height);
  return canvas;
}

async function openPicture(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  const values = bitmap && imageOf(bitmap);
  if (values) replaceDrawing({ values });
  else tellProblem(`expected a picture that the browser can read and that shows something, received ${file.name}`);
}

function imageOf(bitmap) {
  const [rows, columns, channels] = about.shape;
  const asItIs = bitmap.width === columns && bitmap.height === rows;
  if (about.form && !asItIs) {
    const shrink = Math.min(1, 400 / Math.max(bitmap.width, bitmap.height));
    const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.ceil(shrink * side));
    const canvas = drawOn(width, height, "#fff", bitmap, 0, 0, shrink);
    const values = valuesOf(canvas);
    const isEdge = (i) => i % width === 0 || (i + 1) % width === 0 || i < width || i >= values.length - width;
    const edge = values.filter((_, i) => isEdge(i)).sort();
    const ink = values.map((value) => Math.abs(value - edge[edge.length >> 1]));
    const most = ink.reduce((some, other) => Math.max(some, other), INK);
    const pixels = new ImageData(width, height);
    ink.forEach((value, i) => {
      const share = Math.max(0, value / most - 0.2) / 0.8; // Paper is not even.
      pixels.data.fill(255 * Math.abs(background() - share), 4 * i, 4 * i + 3).fill(255, 4 * i + 3, 4 * i + 4);
    });
    contextOf(canvas).putImageData(pixels, 0, 0);
    return place(canvas);
  }
  const fine = asItIs ? 1 : 4;
  const [width, height] = [fine * columns, fine * rows];
  const scale = Math.max(width / bitmap.width, height / bitmap.height);
  const canvas = drawOn(width, height, "#fff", bitmap, (width - scale * bitmap.width) / 2,
    (height - scale * bitmap.height) / 2, scale);
  const planes = Array.from({ length: channels }, (_, c) =>
    average(valuesOf(canvas, channels === 1 ? undefined : c), width, fine));
  return Float32Array.from({ length: rows * columns * channels }, (_, i) => planes[i % channels][Math.floor(i / channels)]);
}

// Starts a stroke; the first line over the example of the beginning replaces it.
function beginStroke(x, y) {
  remember();
  if (drawing.base?.example && !drawing.erasing) drawing.base = null;
  drawing.strokes.push({ erase: drawing.erasing, points: [[x, y]] });
}

const extendStroke = (x, y) => drawing.strokes.at(-1).points.push([x, y]);

// In a link: a sign for pen or eraser, and two hexadecimal numbers for each point.
const strokesToText = (strokes) => strokes.map(({ erase, points }) =>
  (erase ? "_" : ".") + points.flat().map((value) => value.toString(16).padStart(2, "0")).join("")).join("");
const strokesFromText = (text) => [...text.matchAll(/([._])((?:[0-9a-f]{4})+)/g)].map(([, kind, points]) =>
  ({ erase: kind === "_", points: points.match(/..../g).map((pair) => pair.match(/../g).map((one) => parseInt(one, 16))) }));

function listenToPad() {
  let pointer = null;
  const placeOf = (event) => {
    const box = pad.getBoundingClientRect();
    const shares = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    return shares.map((share) => Math.round(GRID * clip(share, 0, 1)));
  };
  pad.onpointerdown = (event) => {
    if (pointer !== null || event.button > 0 || !isDrawable()) return;
    pointer = event.pointerId;
    pad.setPointerCapture(pointer);
    drawing.cursor = null;
    beginStroke(...placeOf(event));
    showDrawing();
  };
  pad.onpointermove = (event) => {
    if (event.pointerId !== pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length ? events : [event]) extendStroke(...placeOf(one));
    showDrawing();
  };
  pad.onpointerup = pad.onpointercancel = (event) => (pointer = event.pointerId === pointer ? null : pointer);
  pad.onkeydown = (event) => {
    const step = STEPS[event.key];
    if ((!step && event.key !== " ") || !isDrawable()) return;
    event.preventDefault();
    const cursor = (drawing.cursor ??= { x: 128, y: 64, down: false });
    if (step) [cursor.x, cursor.y] = [clip(cursor.x + 8 * step[0], 0, GRID), clip(cursor.y + 8 * step[1], 0, GRID)];
    else cursor.down = !cursor.down;
    if (cursor.down) (step ? extendStroke : beginStroke)(cursor.x, cursor.y);
    showDrawing();
  };
  pad.onblur = () => {
    drawing.cursor = null;
    showDrawing();
  };
  document.ondragover = (event) => event.preventDefault();
  document.ondrop = (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) openPicture(event.dataTransfer.files[0]);
  };
}
