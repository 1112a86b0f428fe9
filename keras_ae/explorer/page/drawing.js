// The drawing: strokes over a base image, and their way into the form of the training images.

const pad = byId("pad");
const SCALE = Math.ceil(280 / Math.max(about.shape[0], about.shape[1])); // From pixels of images to those of the pad.
Object.assign(pad, { width: SCALE * about.shape[1], height: SCALE * about.shape[0] });
const penWidth = 0.085 * Math.max(pad.width, pad.height); // As of MNIST: 2.4 of 28 pixels.
const INK = 0.1; // As in build.py.
const FINE = 4; // Images are painted so many times larger, and averaged.
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
// A base, that is {values, digit, example} of a test image or picture; strokes {erase, points}, in shares of the
// sides of the pad; what to undo, newest last; and where the keys are, {x, y, down}.
const drawing = { base: null, strokes: [], past: [], erasing: false, cursor: null };
let drawingChanged = () => {};

const isDrawable = about.shape[2] === 1;
const background = about.form?.background ?? 0;
const grey = (value) => `rgb(${255 * value} ${255 * value} ${255 * value})`;
const onPad = ([x, y]) => [x * pad.width, y * pad.height];

function setDrawing(base, strokes = []) {
  Object.assign(drawing, { base, strokes });
  showDrawing();
}

const remember = () => drawing.past.push([drawing.base, [...drawing.strokes]]);
const undo = () => drawing.past.length && setDrawing(...drawing.past.pop());
function replaceDrawing(base) {
  remember();
  setDrawing(base);
}
const takeDigit = (digit) => replaceDrawing({ values: digitImage(digit), digit });

// Draws base and strokes; `pen` is the width of lines in pixels of the canvas.
function render(canvas, pen) {
  const context = contextOf(canvas);
  Object.assign(context, { fillStyle: grey(background), imageSmoothingEnabled: false, lineCap: "round", lineJoin: "round" });
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (drawing.base) {
    const small = picture();
    paint(small, drawing.base.values, "");
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
  }
  for (const { erase, points } of drawing.strokes) {
    context.strokeStyle = grey(erase ? background : 1 - background);
    context.lineWidth = erase ? 2 * pen : pen;
    context.beginPath();
    for (const point of [points[0], ...points]) context.lineTo(...onPad(point));
    context.stroke();
  }
}

function showDrawing() {
  render(pad, penWidth);
  if (drawing.cursor) {
    const [x, y] = onPad([drawing.cursor.x, drawing.cursor.y]);
    Object.assign(contextOf(pad), { strokeStyle: drawing.cursor.down ? "#ff7b72" : "#58a6ff", lineWidth: 3 });
    contextOf(pad).strokeRect(x - penWidth / 2, y - penWidth / 2, penWidth, penWidth);
  }
  drawingChanged();
}

// Returns the drawing as the models see it, or nothing where it is empty.
function drawnImage() {
  if (!drawing.strokes.length) return drawing.base?.values ?? null;
  const canvas = element("canvas", { width: pad.width, height: pad.height });
  if (drawing.base || !about.form) {
    render(canvas, penWidth);
    const image = imageOf(canvas);
    return image.some((value) => Math.abs(value - background) > INK) ? image : null;
  }
  // Lines are to have the right width after the drawing has been scaled.
  const points = drawing.strokes.filter(({ erase }) => !erase).flatMap((stroke) => stroke.points.map(onPad));
  const extent = (axis) => Math.max(...points.map((point) => point[axis])) - Math.min(...points.map((point) => point[axis]));
  const longest = Math.max(0, extent(0), extent(1));
  const pen = (penWidth * longest) / (about.form.box * SCALE - penWidth);
  render(canvas, clip(pen, penWidth / 3, penWidth));
  return place(canvas, 3 / SCALE);
}

const pixelsOf = (canvas) => contextOf(canvas).getImageData(0, 0, canvas.width, canvas.height);
const greyOf = (data, i) => 0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2];

// Returns the grey of each pixel of a canvas, from 0 to 1.
function valuesOf(canvas) {
  const { data } = pixelsOf(canvas);
  return new Float32Array(data.length / 4).map((_, i) => greyOf(data, 4 * i) / 255);
}

// Returns the image of a canvas that is a multiple as large: means, rounded to bytes as training images are.
function imageOf(canvas) {
  const [rows, columns, channels] = about.shape;
  const { width, height, data } = pixelsOf(canvas);
  const factor = width / columns;
  const sums = new Float64Array(rows * columns * channels);
  for (let i = 0; i < width * height; i++) {
    const first = channels * (Math.floor(i / width / factor) * columns + Math.floor((i % width) / factor));
    if (channels === 1) sums[first] += greyOf(data, 4 * i);
    else for (let colour = 0; colour < 3; colour++) sums[first + colour] += data[4 * i + colour];
  }
  return Float32Array.from(sums, (sum) => Math.round(sum / factor ** 2) / 255);
}

// Scales and moves what a canvas shows on the background to where that of the training images is.
function place(source, largestScale = Infinity) {
  const [{ box, by_mass, centre }, { width, height }, [rows, columns]] = [about.form, source, about.shape];
  let [left, right, top, bottom, mass, massX, massY] = [width, -1, height, -1, 0, 0, 0];
  valuesOf(source).forEach((value, i) => {
    const ink = Math.abs(value - background);
    if (ink <= INK) return;
    const [x, y] = [i % width, Math.floor(i / width)];
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
    [mass, massX, massY] = [mass + ink, massX + ink * (x + 0.5), massY + ink * (y + 0.5)];
  });
  if (right < 0) return null;
  const scale = Math.min(box / Math.max(right - left + 1, bottom - top + 1), largestScale);
  const [x, y] = by_mass ? [massX / mass, massY / mass] : [(left + right + 1) / 2, (top + bottom + 1) / 2];
  const corner = [FINE * (centre[1] - scale * x), FINE * (centre[0] - scale * y)];
  return imageOf(drawOn(FINE * columns, FINE * rows, grey(background), source, FINE * scale, ...corner));
}

function drawOn(width, height, ground, source, scale, x = 0, y = 0) {
  const canvas = element("canvas", { width, height });
  const context = contextOf(canvas);
  Object.assign(context, { fillStyle: ground, imageSmoothingQuality: "high" });
  context.fillRect(0, 0, width, height);
  context.drawImage(source, x, y, scale * source.width, scale * source.height);
  return canvas;
}

async function openPicture([file]) {
  if (!file) return;
  const bitmap = await createImageBitmap(file).catch(() => null);
  const values = bitmap && imageOfPicture(bitmap);
  if (values) replaceDrawing({ values });
  else tellProblem(`expected a picture that the browser can read and that shows something, received ${file.name}`);
}

function imageOfPicture(bitmap) {
  const [rows, columns] = about.shape;
  const isOwnSize = bitmap.width === columns && bitmap.height === rows;
  if (about.form && !isOwnSize) return place(inkOf(bitmap));
  const [width, height] = isOwnSize ? [columns, rows] : [FINE * columns, FINE * rows];
  const scale = Math.max(width / bitmap.width, height / bitmap.height);
  const corner = [(width - scale * bitmap.width) / 2, (height - scale * bitmap.height) / 2];
  return imageOf(drawOn(width, height, "#fff", bitmap, scale, ...corner));
}

// Returns a canvas with what of a picture differs from its upper edge, as if drawn.
function inkOf(bitmap) {
  const scale = Math.min(1, 400 / Math.max(bitmap.width, bitmap.height));
  const canvas = drawOn(Math.ceil(scale * bitmap.width), Math.ceil(scale * bitmap.height), "#fff", bitmap, scale);
  const cover = (operation, colour) => {
    Object.assign(contextOf(canvas), { globalCompositeOperation: operation, fillStyle: colour });
    contextOf(canvas).fillRect(0, 0, canvas.width, canvas.height);
  };
  cover("difference", grey(valuesOf(canvas).subarray(0, canvas.width).sort()[canvas.width >> 1]));
  contextOf(canvas).globalCompositeOperation = "multiply";
  contextOf(canvas).drawImage(canvas, 0, 0); // Squares it: paper is not even.
  cover("color-dodge", grey(1 - Math.max(INK, valuesOf(canvas).sort().at(-1)))); // As strong as a pen.
  if (background) cover("difference", "#fff");
  return canvas;
}

// Starts a stroke; the first line over the example of the beginning replaces it.
function beginStroke(x, y) {
  remember();
  if (drawing.base?.example && !drawing.erasing) drawing.base = null;
  drawing.strokes.push({ erase: drawing.erasing, points: [[x, y]] });
}

const extendStroke = (x, y) => drawing.strokes.at(-1).points.push([x, y]);

function listenToPad() {
  const draws = (event) => event.isPrimary && isDrawable;
  pad.onpointerdown = (event) => {
    if (event.button > 0 || !draws(event)) return;
    pad.setPointerCapture(event.pointerId);
    drawing.cursor = null;
    beginStroke(...pointerOn(event));
    showDrawing();
  };
  pad.onpointermove = (event) => {
    if (!pad.hasPointerCapture(event.pointerId) || !draws(event)) return;
    extendStroke(...pointerOn(event));
    showDrawing();
  };
  pad.onkeydown = (event) => {
    const step = STEPS[event.key];
    if ((!step && event.key !== " ") || !isDrawable) return;
    event.preventDefault();
    const cursor = (drawing.cursor ??= { x: 0.5, y: 0.25, down: false });
    if (step) [cursor.x, cursor.y] = [clip(cursor.x + step[0] / 32, 0, 1), clip(cursor.y + step[1] / 32, 0, 1)];
    else cursor.down = !cursor.down;
    if (cursor.down) (step ? extendStroke : beginStroke)(cursor.x, cursor.y);
    showDrawing();
  };
  pad.onblur = () => showDrawing((drawing.cursor = null));
}
