"use strict";
// Elements, and arrays on canvases.

const dark = matchMedia("(prefers-color-scheme: dark)");
const byId = (id) => document.getElementById(id);
const contextOf = (canvas) => canvas.getContext("2d", { willReadFrequently: true });

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const picture = () => element("canvas", { role: "img" });
const tellProblem = (text) => byId("problems").append(element("li", { textContent: text }));

// Gives each pixel the colour, from 0 to 255, that a function of its number returns.
function paintPixels(canvas, label, colour) {
  const [height, width] = about.shape;
  Object.assign(canvas, { width, height, ariaLabel: label });
  const pixels = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) pixels.data.set([...colour(i), 255], 4 * i);
  contextOf(canvas).putImageData(pixels, 0, 0);
}

// Paints an image of values in [0, 1], grey or colour; without one the canvas becomes blank.
function paint(canvas, image, label) {
  const channels = about.shape[2];
  if (image) paintPixels(canvas, label, (i) => [0, 1, 2].map((c) => 255 * image[i * channels + (c % channels)]));
  else Object.assign(canvas, { width: about.shape[1], height: about.shape[0], ariaLabel: `${label}: nothing` });
}

// Paints what a reconstruction lost in red, and what it added in blue, on white or black.
function paintErrors(canvas, image, reconstruction, label) {
  const channels = about.shape[2];
  const [ground, lost, added] = dark.matches
    ? [[15, 18, 22], [255, 110, 95], [90, 170, 255]] : [[255, 255, 255], [190, 20, 10], [10, 80, 190]];
  paintPixels(canvas, label, (i) => {
    let sum = 0;
    for (let j = i * channels; j < (i + 1) * channels; j++) sum += (image[j] - reconstruction[j]) / channels;
    const share = Math.min(1, Math.abs(sum)) ** 0.7;
    return linearPath(ground, sum > 0 ? lost : added, share);
  });
}

// Fills a strip with images to choose from.
function fillStrip(strip, images, labels, choose, captions = []) {
  while (strip.children.length > images.length) strip.lastChild.remove();
  images.forEach((image, i) => {
    const button = strip.children[i] ?? strip.appendChild(element("button", {}, picture(), element("span")));
    paint(button.firstChild, image, labels[i]);
    button.lastChild.textContent = captions[i] ?? "";
    button.onclick = () => choose(i);
  });
}

const className = (label) => about.classes[label] ?? "";

// Hues apart from each other, all as dark on white, or as light on black.
function classColour(label) {
  const hue = 20 + (label * 360) / about.classes.length;
  return about.classes.length ? `oklch(${dark.matches ? 80 : 47}% 0.15 ${hue})` : "gray";
}

const format = (value) => (value < 0.001 ? value.toExponential(1) : value.toPrecision(3));
const percent = (share) => `${Math.round(100 * share)} %`;
