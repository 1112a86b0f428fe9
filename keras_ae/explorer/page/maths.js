// Arithmetic on images and latents, all in one-dimensional arrays.

const dot = (some, others) => some.reduce((sum, value, i) => sum + value * others[i], 0);
const meanSquaredError = (some, others) => dot(along(some, -1, others), along(some, -1, others)) / some.length;
const along = (start, factor, direction) => start.map((value, i) => value + factor * direction[i]);
const row = (matrix, number, length) => matrix.subarray(number * length, (number + 1) * length);
const clip = (value, low, high) => Math.min(high, Math.max(low, value));
const randomSeed = () => 1 + Math.floor(Math.random() * 2 ** 30);

// Returns a function that draws from a standard Gaussian: Park and Miller, Box and Muller.
function gaussian(seed) {
  let state = seed;
  const uniform = () => (state = (48271 * state) % (2 ** 31 - 1)) / (2 ** 31 - 1);
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

const linearPath = (start, end, fraction) => start.map((value, i) => value + fraction * (end[i] - value));

// Shoemake, 1985, https://doi.org/10.1145/325165.325242.
function sphericalPath(start, end, fraction) {
  const angle = Math.acos(clip(dot(start, end) / Math.sqrt(dot(start, start) * dot(end, end)), -1, 1));
  if (!(Math.sin(angle) > 1e-6)) return linearPath(start, end, fraction);
  const [left, right] = [Math.sin((1 - fraction) * angle), Math.sin(fraction * angle)];
  return start.map((value, i) => (left * value + right * end[i]) / Math.sin(angle));
}

// The principal axes of a model's latents, and where latents lie on them.
const axisOf = (model, number) => row(model.axes, number, model.units);
const coordinatesOf = (model, latents) => {
  const centred = along(latents, -1, model.mean);
  return model.stds.map((_, number) => dot(centred, axisOf(model, number)));
};
const digitCoordinates = (model, digit) => row(model.coordinates, digit, model.stds.length);

// Draws latents from the prior, or from the Gaussian with the mean and covariance of training.
function drawLatents(model, draw) {
  if (model.variational) return Float32Array.from({ length: model.units }, draw);
  return model.stds.reduce((latents, std, number) => along(latents, std * draw(), axisOf(model, number)), model.mean);
}

// Returns the numbers of the test images whose latents are nearest.
function nearestImages(model, latents, count) {
  const own = coordinatesOf(model, latents);
  const distances = Array.from({ length: about.digits }, (_, i) => meanSquaredError(own, digitCoordinates(model, i)));
  return [...distances.keys()].sort((a, b) => distances[a] - distances[b]).slice(0, count);
}

// The affine filter: its weights are 16-bit integers, to be multiplied by a unit.
function applyFilter({ weights, noisy_mean, mean, unit }, image) {
  const centred = along(image, -1, noisy_mean);
  const weighted = (j) => centred.reduce((sum, value, i) => sum + value * weights[i * mean.length + j], 0);
  return mean.map((value, j) => clip(value + unit * weighted(j), 0, 1));
}
