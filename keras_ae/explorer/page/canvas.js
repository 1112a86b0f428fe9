"use strict";
// Elements, and arrays on canvases.

const byId = (id) => document.getElementById(id);
const about = JSON.parse(byId("about").textContent); // What build.py tells of dataset and models.
const dark = matchMedia("(prefers-color-scheme: dark)");
const contextOf = (canvas) => canvas.getContext("2d", { willReadFrequently: true });

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const picture = () => element("canvas", { role: "img" });
const tellProblem = (error) => byId("problems").append(element("li", { textContent: error.message ?? error }));
const format = (value) => (value < 0.001 ? value.toExponential(1) : value.toPrecision(3));

// Gives each pixel the colour and opacity, from 0 to 255, that a function of its number returns.
function paintPixels(canvas, label, colour) {
  const [height, width] = about.shape;
  Object.assign(canvas, { width, height, ariaLabel: label });
  const pixels = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) pixels.data.set(colour(i), 4 * i);
  contextOf(canvas).putImageData(pixels, 0, 0);
}

// Paints an image of values in [0, 1], grey or colour; without one the canvas becomes blank.
function paint(canvas, image, label) {
  const [height, width, channels] = about.shape;
  const valueAt = (i, colour) => 255 * image[i * channels + (colour % channels)];
  if (image) paintPixels(canvas, label, (i) => [valueAt(i, 0), valueAt(i, 1), valueAt(i, 2), 255]);
  else Object.assign(canvas, { width, height, ariaLabel: `${label}: nothing` });
}

// Paints what a reconstruction lost in red, and what it added in blue, on what lies behind the canvas.
function paintErrors(canvas, image, reconstruction, label) {
  const differences = along(image, -1, reconstruction);
  paintPixels(canvas, label, (i) => {
    const mean = row(differences, i, about.shape[2]).reduce((sum, value) => sum + value) / about.shape[2];
    return [...(mean > 0 ? [240, 65, 50] : [55, 130, 250]), 255 * Math.min(1, Math.abs(mean)) ** 0.5];
  });
}

// Returns where the pointer is on an element, in shares of its sides.
function pointerOn(event, { left, top, width, height } = event.currentTarget.getBoundingClientRect()) {
  return [(event.clientX - left) / width, (event.clientY - top) / height];
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

// Hues apart from each other, all as dark on white, or as light on black.
function classColour(label) {
  const hue = 20 + (label * 360) / about.classes.length;
  return about.classes.length ? `oklch(${dark.matches ? 80 : 47}% 0.15 ${hue})` : "gray";
}
