"use strict";
// Arrays on canvases.

const dark = matchMedia("(prefers-color-scheme: dark)");
const byId = (id) => document.getElementById(id);
const contextOf = (canvas) => canvas.getContext("2d", { willReadFrequently: true });

// Paints an image of values in [0, 1], grey or colour; nothing makes it blank.
function paint(canvas, image, label) {
  const [height, width, channels] = about.shape;
  Object.assign(canvas, { width, height });
  canvas.setAttribute("aria-label", image ? label : `${label}: nothing`);
  if (!image) return;
  const pixels = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = Math.round(255 * image[i * channels + (c % channels)]);
    pixels.data[4 * i + 3] = 255;
  }
  contextOf(canvas).putImageData(pixels, 0, 0);
}

// Paints what a reconstruction lost in red, and what it added in blue, on white or black.
function paintErrors(canvas, image, reconstruction, label) {
  const [height, width, channels] = about.shape;
  const difference = Float32Array.from({ length: width * height }, (_, i) => {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += image[i * channels + c] - reconstruction[i * channels + c];
    return sum / channels;
  });
  Object.assign(canvas, { width, height });
  canvas.setAttribute("aria-label", label);
  const pixels = new ImageData(width, height);
  const [ground, lost, added] = dark.matches
    ? [[15, 18, 22], [255, 110, 95], [90, 170, 255]]
    : [[255, 255, 255], [190, 20, 10], [10, 80, 190]];
  difference.forEach((value, i) => {
    const full = value > 0 ? lost : added;
    const share = Math.min(1, Math.abs(value)) ** 0.7;
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = ground[c] + share * (full[c] - ground[c]);
    pixels.data[4 * i + 3] = 255;
  });
  contextOf(canvas).putImageData(pixels, 0, 0);
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// A canvas with a name and a line of numbers below.
function figure(parent, name) {
  const canvas = element("canvas");
  canvas.setAttribute("role", "img");
  const numbers = element("span");
  parent.append(element("figure", {}, canvas,
    element("figcaption", {}, element("span", { className: "name", textContent: name }), " ", numbers)));
  return { canvas, numbers };
}

// Fills a strip with images to choose from; canvases that are there already stay.
function fillStrip(strip, images, labels, choose, captions = []) {
  while (strip.children.length > images.length) strip.lastChild.remove();
  images.forEach((image, i) => {
    const button = strip.children[i] ?? strip.appendChild(element("button", {}, element("canvas"), element("span")));
    paint(button.firstChild, image, labels[i]);
    button.firstChild.setAttribute("role", "img");
    button.lastChild.textContent = captions[i] ?? "";
    button.onclick = () => choose(i);
  });
}

const className = (label) => about.classes[label] ?? "";

// Hues apart from each other; dark enough on white, or light enough on black.
function classColour(label) {
  const hue = (label * 360) / Math.max(about.classes.length, 1);
  return about.classes.length ? `hsl(${hue} 75% ${dark.matches ? 70 : 33}%)` : "gray";
}

// At least three digits that say something.
function format(value) {
  return value < 0.001 ? value.toExponential(1) : value.toPrecision(3);
}
