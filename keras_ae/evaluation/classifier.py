"""A small classifier of the data's own labels, which judges generated images."""

import contextlib
import dataclasses
import hashlib

import keras
import numpy as np
from keras import layers

from keras_ae import data
from keras_ae.errors import RunFailed
from keras_ae.files import replacing

# Of MNIST, where it is known that such a classifier gets there.
REQUIRED_ACCURACY = 0.99
EPOCHS = 6
# Few images get more epochs, up to so many steps.
STEPS = 1000
BATCH_SIZE = 128
LEARNING_RATE = 3e-3
SEED = 0


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A trained classifier."""

    model: keras.Model  # From images to a pair of features and logits.
    accuracy: float  # Share of the test images that it gets right.

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns features `[n, 64]` and the probabilities of the classes `[n, classes]`."""
        features, logits = self.model.predict(images, batch_size=1000, verbose=0)
        return features, keras.ops.convert_to_numpy(keras.ops.softmax(logits))

    def accuracy_on(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Returns the share of `images` that it gives their labels `[n]`."""
        _, probabilities = self(images)
        return float(np.mean(probabilities.argmax(axis=1) == labels))


def load(dataset: data.Dataset) -> Classifier:
    """Returns the classifier: from the cache beside the dataset, or trained anew on all of it.

    The name of the cached file holds a digest of the images, of the layers and of how they are
    trained, so that a change of any of them leads to another file. A damaged file is replaced.

    Args:
        dataset: With labels, and all of its training images.

    Raises:
        RunFailed: If it gets less of MNIST's test images right than is known to be possible.
    """
    model, epochs = _build(dataset), _epochs(dataset)
    recipe = (dataset.checksum, model.to_json(), epochs, BATCH_SIZE, LEARNING_RATE, SEED)
    digest = hashlib.sha256(repr(recipe).encode()).hexdigest()
    directory = data.cache_directory(dataset.name if dataset.version else None)
    path = directory / f"keras_ae_classifier_{digest[:16]}.weights.h5"
    if path.is_file():
        with contextlib.suppress(OSError, ValueError, KeyError, RunFailed):
            model.load_weights(path)
            return _checked(model, dataset)
        model = _build(dataset)
    print("training the classifier of the classes, once ...", end=" ", flush=True)
    _train(model, dataset, epochs)
    judge = _checked(model, dataset)
    # The directory may be shared and read-only; then every evaluation trains again.
    with contextlib.suppress(OSError), replacing(path) as draft:
        model.save_weights(draft)
    return judge


def _epochs(dataset: data.Dataset) -> int:
    return max(EPOCHS, STEPS // -(-len(dataset.train) // BATCH_SIZE))


def _build(dataset: data.Dataset) -> keras.Model:
    keras.utils.set_random_seed(SEED)
    images = keras.Input(dataset.image_shape, name="images")
    x = images
    for number, channels in enumerate((16, 48), start=1):
        x = layers.Conv2D(
            channels, 3, padding="same", activation="relu", name=f"convolution_{number}"
        )(x)
        x = layers.MaxPooling2D(name=f"pooling_{number}")(x)
    x = layers.Flatten(name="flat")(x)
    x = layers.Dropout(0.25, seed=SEED, name="dropout_1")(x)
    features = layers.Dense(64, activation="relu", name="features")(x)
    x = layers.Dropout(0.25, seed=SEED + 1, name="dropout_2")(features)
    logits = layers.Dense(len(dataset.classes), name="logits")(x)
    return keras.Model(images, (features, logits), name="digit_classifier")


def _train(model: keras.Model, dataset: data.Dataset, epochs: int) -> None:
    images, labels = dataset.train.images, dataset.train.labels
    # Batches become floats in the step: all images as floats would take four times the memory.
    pixels = keras.Input(dataset.image_shape, dtype="uint8", name="pixels")
    # From a table, since TensorFlow multiplies by 1 / 255, which has other bits.
    floats = keras.ops.take(data.to_float(np.arange(256)), keras.ops.cast(pixels, "int32"))
    trained = keras.Model(pixels, model(floats)[1])
    steps = epochs * -(-len(images) // BATCH_SIZE)
    trained.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    # A sign of life at each sixth of the epochs.
    tell = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: (
            (epoch + 1) % (epochs // EPOCHS)
            or print(f"{(epoch + 1) / epochs:.0%}", end=" ", flush=True)
        )
    )
    trained.fit(images, labels, BATCH_SIZE, epochs, verbose=0, callbacks=[tell])


def _checked(model: keras.Model, dataset: data.Dataset) -> Classifier:
    _, logits = model.predict(data.to_float(dataset.test.images), batch_size=1000, verbose=0)
    accuracy = float(np.mean(logits.argmax(axis=1) == dataset.test.labels))
    if (dataset.name, bool(dataset.version)) == ("mnist", True) and accuracy < REQUIRED_ACCURACY:
        raise RunFailed(
            f"the classifier that judges samples must get {REQUIRED_ACCURACY:.0%} of the test "
            f"digits right, received {accuracy:.2%}"
        )
    return Classifier(model, accuracy)
