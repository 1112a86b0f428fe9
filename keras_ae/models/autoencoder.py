"""The contract that every model of this package keeps."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

# Height, width and channels of the images where nothing else is asked for: those of MNIST.
IMAGE_SHAPE = (28, 28, 1)
# Convolutions halve the sides twice, and a side below this would leave them nothing to do.
SMALLEST_SIDE = 8
# Batch sizes vary; a fixed signature keeps them from tracing a function anew. Sizes differ from
# model to model: `ensure_shape` checks them.
IMAGES = tf.TensorSpec((None, None, None, None), tf.float32, name="images")
LATENTS = tf.TensorSpec((None, None), tf.float32, name="latents")


class Autoencoder(keras.Model):
    """An encoder and a decoder, joined into one Functional model.

    Subclasses build two Functional models out of stock Keras layers and pass them to
    `super().__init__()`. What comes out is an ordinary `keras.Model` from images to
    reconstructions, which `compile`, `fit`, `evaluate`, `predict` and `save` treat like any
    other, plus the methods below, which take and return arrays of any length.

    Images are float32 of shape `[n, height, width, channels]` with values in [0, 1] everywhere.

    Example:

    ```python
    flat, image = keras.layers.Flatten(), keras.layers.Reshape((28, 28, 1))
    encoder = keras.Sequential([keras.Input((28, 28, 1)), flat, keras.layers.Dense(4)])
    decoder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(784, "sigmoid"), image])
    model = Autoencoder(encoder, decoder)
    model.encode(np.zeros((2, 28, 28, 1), "float32"))  # [2, 4]
    ```

    Args:
        encoder: Functional model from images to latents `[n, latent_dim]`.
        decoder: Functional model from latents to images `[n, height, width, channels]`.
        sampling: Layer between the two, where the encoder gives the parameters of a distribution
            instead of latents.
        name: Name of the model.
        dtype: Policy of the layers, which the subclass gives to each of them; by default the
            global one. It is part of the configuration, so that a loaded model computes as the
            saved one did.
        trainable: Whether the weights are trained; `None` leaves that to the layers.

    Attributes:
        encoder: The encoder. It loads without this package when saved on its own.
        decoder: The decoder, likewise.
        image_shape: Height, width and channels of the images.
        latent_dim: Number of latent units.
        training_loss: What to pass to `compile` as `loss`.
        score_unit: Unit of `score`.
    """

    training_loss: str | None = "mse"
    score_unit: str = "mean squared error per pixel"
    # Names of the constructor's own arguments, each of which is an attribute, too.
    _arguments: tuple[str, ...] = ()

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        sampling: keras.layers.Layer | None = None,
        *,
        name: str | None = None,
        dtype: str | keras.DTypePolicy | None = None,
        trainable: bool | None = None,
    ):
        images = keras.Input(encoder.input_shape[1:], name="images")
        latents = encoder(images)
        if sampling is not None:
            latents = sampling(latents)
        super().__init__(images, decoder(latents), name=name, trainable=trainable)
        self.dtype_policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        self.encoder = encoder
        self.decoder = decoder
        self.image_shape = tuple(encoder.input_shape[1:])
        self.latent_dim = decoder.input_shape[-1]
        last = getattr(decoder.layers[-1], "activation", None)
        self._clips = last is not keras.activations.sigmoid  # Two passes over all pixels.

    @property
    def clipped_decoder(self) -> keras.Model:
        """The decoder as it is exported: with the same weights, and images in [0, 1].

        A decoder with a linear output may leave that range by a little. `decode` clips its images,
        and so does the stock layer at the end of this one.
        """
        clip = keras.layers.ReLU(max_value=1.0, dtype="float32", name="clipped")
        (latents,), (images,) = self.decoder.inputs, self.decoder.outputs
        decoder = keras.Model(latents, clip(images), name="decoder")
        decoder(latents)  # Keras exports no model to ONNX that was never called.
        return decoder

    def save(self, filepath, *args, **kwargs) -> None:
        """Saves the model as `keras.Model.save` does, to a `.keras` file.

        Raises:
            ValueError: If the path is that of an HDF5 file. Keras would write one, but not load it
                without being told the classes.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(f"`filepath` must end with .keras. Received: {str(filepath)!r}")
        super().save(filepath, *args, **kwargs)

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        config = {"name": self.name, "dtype": self.dtype_policy.name, "trainable": self.trainable}
        for name in self._arguments:
            value = getattr(self, name)
            config[name] = list(value) if isinstance(value, tuple) else value  # As in JSON.
        return config

    @classmethod
    def from_config(cls, config: dict) -> "Autoencoder":
        """Returns a model with the arguments in `config`, in float32 where it names no `dtype`."""
        return cls(**{"dtype": "float32", **config})

    def encode(self, images, batch_size: int = 1000) -> np.ndarray:
        """Returns the latents of `images`.

        Args:
            images: Floats in [0, 1], `[n, height, width, channels]`.
            batch_size: How many images are in work at once. It bounds the memory.

        Returns:
            float32 `[n, latent_dim]`.

        Raises:
            ValueError: If `images` has another shape or type, or values outside [0, 1].
        """
        return self._in_batches(self.encode_step, self._checked(images), batch_size)

    def decode(self, latents, batch_size: int = 1000) -> np.ndarray:
        """Returns the images that `latents` stand for.

        Args:
            latents: Finite floats `[n, latent_dim]`.
            batch_size: How many latents are in work at once.

        Returns:
            float32 `[n, height, width, channels]` in [0, 1].

        Raises:
            ValueError: If `latents` has another shape or type, is not finite, or is so large that
                the decoder's sums are not.
        """
        latents = check_floats(latents, "latents", (self.latent_dim,))
        images = self._in_batches(self.decode_step, latents, batch_size)
        if images.size and np.isnan(images.max()):
            raise ValueError(
                "`latents` must be small enough for the decoder to compute with them. "
                f"Received: values from {latents.min():g} to {latents.max():g}"
            )
        return images

    def reconstruct(self, images, batch_size: int = 1000) -> np.ndarray:
        """Returns `decode(encode(images))`, float32 `[n, height, width, channels]` in [0, 1].

        Arguments and errors are those of `encode`.
        """
        return self._in_batches(self.reconstruct_step, self._checked(images), batch_size)

    def score(self, images, batch_size: int = 1000) -> np.ndarray:
        """Returns how anomalous each image is: the higher, the more.

        Here it is the mean squared error per pixel of the reconstruction. Arguments and errors
        are those of `encode`.

        Returns:
            float32 `[n]`.
        """
        return self._in_batches(self.score_step, self._checked(images), batch_size)

    def _checked(self, images) -> np.ndarray:
        return check_images(images, self.image_shape)

    # The same four as graphs over one batch of tensors. The methods above run them batch after
    # batch, and an exported SavedModel is made of them.

    @tf.function(input_signature=[IMAGES])
    def encode_step(self, images: tf.Tensor) -> tf.Tensor:
        """`encode` for one batch of tensors, without checks."""
        images = tf.ensure_shape(images, (None, *self.image_shape))
        # Under mixed precision the encoder computes in bfloat16.
        return tf.cast(self.encoder(images, training=False), tf.float32)

    @tf.function(input_signature=[LATENTS])
    def decode_step(self, latents: tf.Tensor) -> tf.Tensor:
        """`decode` for one batch of tensors, without checks."""
        latents = tf.ensure_shape(latents, (None, self.latent_dim))
        images = self.decoder(latents, training=False)
        # A decoder with a linear output may leave the range of images by a little.
        return tf.clip_by_value(images, 0.0, 1.0) if self._clips else images

    @tf.function(input_signature=[IMAGES])
    def reconstruct_step(self, images: tf.Tensor) -> tf.Tensor:
        """`reconstruct` for one batch of tensors, without checks."""
        return self.decode_step(self.encode_step(images))

    @tf.function(input_signature=[IMAGES])
    def score_step(self, images: tf.Tensor) -> tf.Tensor:
        """`score` for one batch of tensors, without checks."""
        images = tf.ensure_shape(images, (None, *self.image_shape))
        return tf.reduce_mean(tf.square(images - self.reconstruct_step(images)), axis=(1, 2, 3))

    @staticmethod
    def _in_batches(step, array: np.ndarray, batch_size: int) -> np.ndarray:
        check_batch_size(batch_size)
        if len(array) == 0:
            # Convolutions refuse an empty batch, so the shape of the output comes from one row.
            return step(tf.zeros((1, *array.shape[1:]))).numpy()[:0]
        results = None
        for start in range(0, len(array), batch_size):
            result = step(tf.convert_to_tensor(array[start : start + batch_size]))
            if results is None:
                results = np.empty((len(array), *result.shape[1:]), "float32")
            results[start : start + batch_size] = result
        return results


def split_into_batches(array: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Returns views of `batch_size` rows of `array`, in order; the last may have fewer."""
    return np.split(array, range(batch_size, len(array), batch_size))


def check_batch_size(batch_size: int) -> None:
    """Checks that `batch_size` is one.

    Raises:
        ValueError: If it is not a positive integer.
    """
    if type(batch_size) is not int or batch_size < 1:
        raise ValueError(f"`batch_size` must be a positive integer. Received: {batch_size!r}")


def check_shape(image_shape: Sequence[int]) -> tuple[int, int, int]:
    """Returns `image_shape` as a tuple, if models can be built for it.

    Raises:
        ValueError: If it is something else.
    """
    shape = tuple(image_shape) if isinstance(image_shape, Sequence) else ()
    if (
        len(shape) != 3
        or not all(type(number) is int for number in shape)
        or min(shape[:2]) < SMALLEST_SIDE
        or shape[2] not in (1, 3)
    ):
        raise ValueError(
            f"`image_shape` must be (height, width, channels) with sides from {SMALLEST_SIDE} up "
            f"and 1 (grey) or 3 (colour) channels. Received: {image_shape!r}"
        )
    return shape


def check_images(
    images, image_shape: tuple[int, ...] = IMAGE_SHAPE, name: str = "images"
) -> np.ndarray:
    """Returns `images` as a float32 array, if they are floats in [0, 1] `[n, *image_shape]`.

    Raises:
        ValueError: If they are not. The message calls them `name`.
    """
    array = _to_floats(images, name, image_shape)
    # Both are NaN if a value is.
    if array.size and not (array.min() >= 0 and array.max() <= 1):
        _check_finite(array, name)
        raise ValueError(
            f"`{name}` must have values in [0, 1] (divide bytes by 255). "
            f"Received: values from {array.min():g} to {array.max():g}"
        )
    return array


def check_floats(values, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Returns `values` as a float32 array, if they are finite floats `[n, *shape]`.

    Raises:
        ValueError: If they are not. The message calls them `name`.
    """
    array = _to_floats(values, name, shape)
    _check_finite(array, name)
    return array


def _to_floats(values, name: str, shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"`{name}` must be an array. Received: {error}") from error
    if array.shape[1:] != shape or array.ndim != len(shape) + 1:
        expected = ", ".join(["n", *map(str, shape)])
        raise ValueError(
            f"`{name}` must have the shape [{expected}]. Received: shape {list(array.shape)}"
        )
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"`{name}` must be floating point. Received: dtype {array.dtype}")
    with np.errstate(over="ignore"):  # What float32 cannot hold becomes infinite.
        return array.astype("float32", copy=False)


def _check_finite(array: np.ndarray, name: str) -> None:
    if not np.isfinite(array).all():
        raise ValueError(
            f"`{name}` must be finite. Received: {np.sum(~np.isfinite(array))} values that are "
            "NaN or infinite"
        )
