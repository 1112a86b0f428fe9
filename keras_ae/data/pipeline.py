"""From arrays of bytes to batches of floats."""

import keras
import numpy as np
import tensorflow as tf


def noisy(images, noise_std, seed):
    """Adds Gaussian noise to float32 images and clips to [0, 1]. `seed` is a pair of integers.

    `noise_std` is one number, or one for each image, `[n, 1, 1, 1]`.
    """
    noise = tf.random.stateless_normal(tf.shape(images), seed=seed, stddev=noise_std)
    return tf.clip_by_value(images + noise, 0.0, 1.0)


def shifted(images, shift_std: float, seed):
    """Moves each image `[n, height, width, channels]` by whole pixels, down and to the right.

    How far is Gaussian and rounded: with a standard deviation of 0.45 pixels 73 % of the images
    stay in their row, and as many in their column; most of the rest move by one. What comes in
    from outside repeats the edge. `seed` is a pair of integers.
    """
    pixels = tf.round(tf.random.stateless_normal((tf.shape(images)[0], 2), seed, stddev=shift_std))
    # Eight numbers that say which pixel of the input an output pixel is.
    unmoved = tf.constant([[1, 0, 0, 0, 1, 0, 0, 0]], tf.float32)
    down, right = (pixels[:, column : column + 1] for column in (0, 1))
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=unmoved - right * tf.one_hot([2], 8) - down * tf.one_hot([5], 8),
        output_shape=tf.shape(images)[1:3],
        interpolation="NEAREST",
        fill_mode="NEAREST",
        fill_value=0.0,
    )


def batches(images: np.ndarray, batch_size: int) -> tf.data.Dataset:
    """Returns pairs of equal float32 inputs and targets, in order; the last batch may be small."""

    def pair(rows):
        floats = tf.cast(rows, tf.float32) / 255
        return floats, floats

    return (
        tf.data.Dataset.from_tensor_slices(images)
        .batch(batch_size)
        .map(pair)
        .prefetch(2)
        .with_options(_untuned())
    )


def _untuned() -> tf.data.Options:
    # At the end of an epoch TensorFlow waits for the thread that tunes the pipeline, which sleeps
    # 10 ms, 20 ms, 40 ms and so on: epochs of 0.7 s took 1.27 s, the next sum of these.
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


class ShuffledBatches(keras.callbacks.Callback):
    """Batches in an order that is a pure function of seed and epoch, as are noise and shifts.

    Hand `dataset` to `fit`, and this object to its callbacks: as a callback it tells the dataset
    which epoch begins. So a run that resumes at epoch 7 sees what an uninterrupted run sees.

    The bytes of all images stay in memory once. A batch is a slice of the epoch's permutation
    and one gather, which costs a fraction of shuffling image by image.

    Attributes:
        dataset: One epoch of (inputs, targets), float32 `[batch, height, width, channels]`. Shifts
            move both, noise is on the inputs only.
        steps: Number of batches in an epoch, the last of which may have fewer images.
    """

    def __init__(
        self,
        images: np.ndarray,
        batch_size: int,
        seed: int,
        noise_std: float = 0.0,
        any_noise: bool = False,
        shift_std: float = 0.0,
    ):
        super().__init__()
        self.steps = -(-len(images) // batch_size)
        self._seed = tf.constant([seed, 0], tf.int64)
        self._key = tf.Variable(self._seed, trainable=False)
        self._order = tf.Variable(tf.range(len(images)), trainable=False)
        self.on_epoch_begin(0)
        images = tf.constant(images)

        def pair(step):
            indices = self._order[step * batch_size : (step + 1) * batch_size]
            targets = tf.cast(tf.gather(images, indices), tf.float32) / 255
            if not noise_std and not shift_std:
                return targets, targets
            fold_in = tf.random.experimental.stateless_fold_in
            step_key = fold_in(self._key, step)
            if shift_std:
                targets = shifted(targets, shift_std, fold_in(step_key, 1))
            if not noise_std:
                return targets, targets
            std = noise_std
            if any_noise:
                each = (tf.shape(targets)[0], 1, 1, 1)
                std = tf.random.stateless_uniform(each, fold_in(step_key, 2), maxval=noise_std)
            return noisy(targets, std, step_key), targets

        self.dataset = (
            tf.data.Dataset.range(self.steps).map(pair).prefetch(4).with_options(_untuned())
        )

    def on_epoch_begin(self, epoch, logs=None):
        epoch = tf.constant(epoch, tf.int64)
        self._key.assign(tf.random.experimental.stateless_fold_in(self._seed, epoch))
        rows = tf.range(tf.size(self._order))
        self._order.assign(tf.random.experimental.stateless_shuffle(rows, seed=self._key))
