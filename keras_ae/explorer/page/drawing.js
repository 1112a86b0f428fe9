"use strict";
// The drawing: strokes over a base image, and their way into the form of the training images.

const pad = byId("pad");
const GRID = 255; // Strokes have whole coordinates up to this, so that a link holds them exactly.
const INK = 0.1; // As in build.py.
const drawing = {
  base: null, // A test image or a picture: {values, digit, example}.
  strokes: [], // {erase, points: [x, y, x, y, ...]}
  past: [], // What to undo, newest last.
  erasing: false,
  cursor: null, // Where the keys are: {x, y, down}.
};
let drawingChanged = () => {};

const isDrawable = () => about.shape[2] === 1;
const background = () => about.form?.background ?? 0;
const grey = (value) => `rgb(${255 * value} ${255 * value} ${255 * value})`;

function remember() {
  drawing.past.push({ base: drawing.base, strokes: [...drawing.strokes] });
  if (drawing.past.length > 200) drawing.past.shift();
}

function setDrawing(base, strokes = []) {
  Object.assign(drawing, { base, strokes });
  showDrawing();
}

function takeDigit(digit, example = false) {
  remember();
  setDrawing({ values: digitImage(digit), digit, example });
}

// Draws base and strokes; `pen` is the width of lines in pixels of the canvas.
function render(canvas, pen) {
  const context = contextOf(canvas);
  const { width, height } = canvas;
  context.fillStyle = grey(background());
  context.fillRect(0, 0, width, height);
  if (drawing.base) {
    const small = element("canvas");
    paint(small, drawing.base.values, "");
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, width, height);
  }
  context.lineCap = context.lineJoin = "round";
  for (const { erase, points } of drawing.strokes) {
    context.strokeStyle = grey(erase ? background() : 1 - background());
    context.lineWidth = erase ? 2 * pen : pen;
    context.beginPath();
    for (let i = 0; i < points.length; i += 2) {
      const [x, y] = [(points[i] * width) / GRID, (points[i + 1] * height) / GRID];
      if (i === 0) context.moveTo(x, y);
      context.lineTo(x, y);
    }
    context.stroke();
  }
}

function showDrawing() {
  const { cursor } = drawing;
  render(pad, penWidth());
  if (cursor) {
    const context = contextOf(pad);
    context.strokeStyle = cursor.down ? "#ff7b72" : "#58a6ff";
    context.lineWidth = pad.width / 90;
    context.beginPath();
    context.arc((cursor.x * pad.width) / GRID, (cursor.y * pad.height) / GRID, penWidth() / 2, 0, 7);
    context.stroke();
  }
  drawingChanged();
}

// As thick as the strokes of MNIST, 2.4 of 28 pixels.
const penWidth = () => 0.085 * Math.max(pad.width, pad.height);

// Returns the drawing as the models see it, or nothing where it is empty.
function drawnImage() {
  if (!drawing.strokes.length) return drawing.base?.values ?? null;
  const canvas = element("canvas", { width: pad.width, height: pad.height });
  if (drawing.base || !about.form) {
    render(canvas, penWidth());
    const image = average(greyOf(canvas), canvas.width, pad.width / about.shape[1]);
    return image.some((value) => Math.abs(value - background()) > INK) ? image : null;
  }
  // Lines are to be as thick as ever after the drawing has been scaled.
  const points = drawing.strokes.filter(({ erase }) => !erase).map((stroke) => stroke.points);
  const extent = (start) => {
    const values = points.flatMap((some) => some.filter((_, i) => i % 2 === start));
    return values.length ? Math.max(...values) - Math.min(...values) : 0;
  };
  const side = Math.max((extent(0) * pad.width) / GRID, (extent(1) * pad.height) / GRID);
  const pixel = pad.width / about.shape[1];
  const pen = (penWidth() / pixel) * (side / (about.form.box - penWidth() / pixel));
  render(canvas, Math.min(Math.max(pen, penWidth() / 3), penWidth()));
  const ink = greyOf(canvas).map((value) => Math.abs(value - background()));
  return place(ink, canvas.width, canvas.height, 3 / pixel);
}

function greyOf(canvas) {
  const { data } = contextOf(canvas).getImageData(0, 0, canvas.width, canvas.height);
  return Float32Array.from({ length: data.length / 4 }, (_, i) =>
    (0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]) / 255);
}

// Returns the means of blocks, rounded to bytes as training images are.
function average(values, width, factor) {
  const [columns, rows] = [width / factor, values.length / width / factor];
  const sums = new Float64Array(columns * rows);
  values.forEach((value, i) => {
    sums[Math.floor(i / width / factor) * columns + Math.floor((i % width) / factor)] += value;
  });
  return Float32Array.from(sums, (sum) => Math.round((255 * sum) / factor ** 2) / 255);
}

// Scales and moves ink, from 0 to 1, to where that of the training images is.
function place(ink, width, height, largestScale = Infinity) {
  const { box, by_mass, centre } = about.form;
  let [left, right, top, bottom, mass, massX, massY] = [width, -1, height, -1, 0, 0, 0];
  ink.forEach((value, i) => {
    if (value <= INK) return;
    const [x, y] = [i % width, Math.floor(i / width)];
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
    [mass, massX, massY] = [mass + value, massX + value * (x + 0.5), massY + value * (y + 0.5)];
  });
  if (right < 0) return null;
  const scale = Math.min(box / Math.max(right - left + 1, bottom - top + 1), largestScale);
  const [x, y] = by_mass ? [massX / mass, massY / mass] : [(left + right + 1) / 2, (top + bottom + 1) / 2];
  const source = element("canvas", { width, height });
  const pixels = new ImageData(width, height);
  ink.forEach((value, i) => pixels.data.set([255, 255, 255, 255 * value], 4 * i));
  contextOf(source).putImageData(pixels, 0, 0);
  const fine = 4; // Drawn larger, and averaged.
  const [rows, columns] = about.shape;
  const canvas = element("canvas", { width: fine * columns, height: fine * rows });
  const context = contextOf(canvas);
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.setTransform(fine * scale, 0, 0, fine * scale,
    fine * (centre[1] - scale * x), fine * (centre[0] - scale * y));
  context.drawImage(source, 0, 0);
  return average(greyOf(canvas).map((value) => Math.abs(value - background())), canvas.width, fine);
}

async function openPicture(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    tellProblem(`expected a picture that the browser can read, received ${file.name}`);
    return;
  }
  const values = imageOf(bitmap);
  bitmap.close();
  if (!values) {
    tellProblem(`expected a picture that shows something, received ${file.name}`);
    return;
  }
  remember();
  setDrawing({ values });
}

function imageOf(bitmap) {
  const [rows, columns, channels] = about.shape;
  const asItIs = bitmap.width === columns && bitmap.height === rows;
  if (about.form && !asItIs) {
    const shrink = Math.min(1, 400 / Math.max(bitmap.width, bitmap.height));
    const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.ceil(shrink * side));
    const values = greyOf(drawBitmap(bitmap, width, height, shrink, 0, 0));
    const edge = values.filter((_, i) =>
      i % width === 0 || (i + 1) % width === 0 || i < width || i >= values.length - width).sort();
    const level = edge[edge.length >> 1];
    const ink = values.map((value) => Math.abs(value - level));
    const most = ink.reduce((some, other) => Math.max(some, other), 0);
    // Paper is not even.
    return most < INK ? null : place(ink.map((value) => Math.max(0, value / most - 0.2) / 0.8), width, height);
  }
  const fine = asItIs ? 1 : 4;
  const [width, height] = [fine * columns, fine * rows];
  const scale = Math.max(width / bitmap.width, height / bitmap.height);
  const canvas = drawBitmap(bitmap, width, height, scale,
    (width - scale * bitmap.width) / 2, (height - scale * bitmap.height) / 2);
  if (channels === 1) return average(greyOf(canvas), width, fine);
  const { data } = contextOf(canvas).getImageData(0, 0, width, height);
  const image = new Float32Array(rows * columns * channels);
  for (let c = 0; c < channels; c++) {
    const plane = average(Float32Array.from({ length: width * height }, (_, i) => data[4 * i + c] / 255), width, fine);
    plane.forEach((value, i) => (image[i * channels + c] = value));
  }
  return image;
}

function drawBitmap(bitmap, width, height, scale, x, y) {
  const canvas = element("canvas", { width, height });
  const context = contextOf(canvas);
  context.fillStyle = "#fff"; // Behind what is transparent.
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, x, y, scale * bitmap.width, scale * bitmap.height);
  return canvas;
}

// Starts a stroke; the first line over the example of the beginning replaces it.
function beginStroke(x, y) {
  remember();
  if (drawing.base?.example && !drawing.erasing) drawing.base = null;
  drawing.strokes.push({ erase: drawing.erasing, points: [x, y] });
}

function extendStroke(x, y) {
  drawing.strokes.at(-1).points.push(x, y);
}

function undo() {
  const { base, strokes } = drawing.past.pop() ?? drawing;
  setDrawing(base, strokes);
}

function clearDrawing() {
  remember();
  setDrawing(null);
}

const strokesToText = (strokes) => strokes.map(({ erase, points }) =>
  (erase ? "_" : ".") + points.map((value) => value.toString(16).padStart(2, "0")).join("")).join("");

const strokesFromText = (text) => [...text.matchAll(/([._])((?:[0-9a-f]{4})+)/g)].map(([, kind, points]) =>
  ({ erase: kind === "_", points: points.match(/../g).map((value) => parseInt(value, 16)) }));

function listenToPad() {
  let pointer = null;
  const place = (event) => {
    const box = pad.getBoundingClientRect();
    const share = (value, side) => Math.round(GRID * Math.min(1, Math.max(0, value / side)));
    return [share(event.clientX - box.left, box.width), share(event.clientY - box.top, box.height)];
  };
  pad.addEventListener("pointerdown", (event) => {
    if (pointer !== null || event.button > 0 || !isDrawable()) return;
    pointer = event.pointerId;
    pad.setPointerCapture(pointer);
    drawing.cursor = null;
    beginStroke(...place(event));
    showDrawing();
  });
  pad.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length ? events : [event]) extendStroke(...place(one));
    showDrawing();
  });
  for (const end of ["pointerup", "pointercancel"]) {
    pad.addEventListener(end, (event) => {
      if (event.pointerId === pointer) pointer = null;
    });
  }
  pad.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[event.key];
    if ((!step && event.key !== " ") || !isDrawable()) return;
    event.preventDefault();
    const cursor = (drawing.cursor ??= { x: 128, y: 64, down: false });
    if (step) {
      const moved = (value, by) => Math.min(GRID, Math.max(0, value + 8 * by));
      Object.assign(cursor, { x: moved(cursor.x, step[0]), y: moved(cursor.y, step[1]) });
      if (cursor.down) extendStroke(cursor.x, cursor.y);
    } else {
      cursor.down = !cursor.down;
      if (cursor.down) beginStroke(cursor.x, cursor.y);
    }
    showDrawing();
  });
  pad.addEventListener("blur", () => {
    drawing.cursor = null;
    showDrawing();
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) openPicture(event.dataTransfer.files[0]);
  });
}
