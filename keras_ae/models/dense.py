"""Fully connected autoencoders."""

import math
from collections.abc import Sequence

import keras
from keras import layers

from .autoencoder import IMAGE_SHAPE, Autoencoder, check_shape
from .layers import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class DenseAutoencoder(Autoencoder):
    """Autoencoder of `Dense` layers over the pixels, with a mirrored decoder.

    It covers three recipes: `dense` (784-128-64-12-5), `mlp` (784-392-8) and `batchnorm`
    (784-256-128-32, each hidden activation followed by batch normalization). Kernels start
    Glorot (Xavier) uniform. The output is a sigmoid.

    Example:

    ```python
    images = np.zeros((2, 28, 28, 1), "float32")
    model = DenseAutoencoder(latent_dim=8, hidden_units=(392,))
    model.compile(optimizer="adam", loss=model.training_loss)
    model.fit(images, images, verbose=0)
    latents = model.encode(images)  # [2, 8]
    ```

    Args:
        latent_dim: Number of latent units.
        hidden_units: Widths of the encoder's hidden layers; the decoder has them in reverse.
        activation: Activation of the hidden layers.
        code_activation: Activation of the latents.
        batch_normalization: Whether each hidden activation is followed by `BatchNormalization`.
        image_shape: Height, width and channels of the images: sides from 8 up, 1 (grey) or 3
            (colour) channels.
        **kwargs: `name`, `dtype` and `trainable`, as in `keras.Model`. `dtype` is the policy of the
            layers, such as `"mixed_bfloat16"`; by default the global one.
    """

    _arguments = (
        "latent_dim", "hidden_units", "activation", "code_activation", "batch_normalization",
        "image_shape",
    )  # fmt: skip

    def __init__(
        self,
        latent_dim: int,
        hidden_units: Sequence[int],
        activation: str = "relu",
        code_activation: str = "linear",
        batch_normalization: bool = False,
        image_shape: Sequence[int] = IMAGE_SHAPE,
        **kwargs,
    ):
        image_shape = check_shape(image_shape)
        dtype = kwargs.get("dtype")

        # === Layers ===
        def hidden(x, units):
            x = layers.Dense(units, activation=activation, dtype=dtype)(x)
            if batch_normalization:
                # PyTorch's defaults, which the source of the `batchnorm` recipe relies on.
                x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, dtype=dtype)(x)
            return x

        # === Functional models ===
        images = keras.Input(image_shape, name="images")
        x = layers.Flatten(dtype=dtype)(images)
        for units in hidden_units:
            x = hidden(x, units)
        x = layers.Dense(latent_dim, activation=code_activation, dtype=dtype, name="latents")(x)
        encoder = keras.Model(images, x, name="encoder")

        latents = keras.Input((latent_dim,), name="latents")
        x = latents
        for units in reversed(hidden_units):
            x = hidden(x, units)
        x = layers.Dense(math.prod(image_shape), dtype=dtype)(x)
        x = layers.Reshape(image_shape, dtype=dtype)(x)
        x = layers.Activation("sigmoid", dtype="float32", name="images")(x)
        decoder = keras.Model(latents, x, name="decoder")

        super().__init__(encoder, decoder, **kwargs)

        # === Config ===
        self.hidden_units = tuple(hidden_units)
        self.activation = activation
        self.code_activation = code_activation
        self.batch_normalization = batch_normalization
