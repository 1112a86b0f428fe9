"""From arrays of bytes to batches of floats."""

import keras
import numpy as np
import tensorflow as tf


def noisy(images, noise_std: float, seed):
    """Adds Gaussian noise to float32 images and clips to [0, 1]. `seed` is a pair of integers."""
    noise = tf.random.stateless_normal(tf.shape(images), seed=seed, stddev=noise_std)
    return tf.clip_by_value(images + noise, 0.0, 1.0)


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
    """Batches in an order that is a pure function of seed and epoch.

    Hand `dataset` to `fit`, and this object to its callbacks: as a callback it tells the dataset
    which epoch begins. So a run that resumes at epoch 7 sees what an uninterrupted run sees.

    The bytes of all images stay in memory once. A batch is a slice of the epoch's permutation
    and one gather, which costs a fraction of shuffling image by image.

    Attributes:
        dataset: One epoch of (inputs, targets), float32 `[batch, 28, 28, 1]`; inputs may be noisy.
        steps: Number of batches in an epoch, the last of which may have fewer images.
    """

    def __init__(self, images: np.ndarray, batch_size: int, seed: int, noise_std: float = 0.0):
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
            if noise_std == 0:
                return targets, targets
            step_key = tf.random.experimental.stateless_fold_in(self._key, step)
            return noisy(targets, noise_std, step_key), targets

        self.dataset = (
            tf.data.Dataset.range(self.steps).map(pair).prefetch(4).with_options(_untuned())
        )

    def on_epoch_begin(self, epoch, logs=None):
        epoch = tf.constant(epoch, tf.int64)
        self._key.assign(tf.random.experimental.stateless_fold_in(self._seed, epoch))
        rows = tf.range(tf.size(self._order))
        self._order.assign(tf.random.experimental.stateless_shuffle(rows, seed=self._key))
