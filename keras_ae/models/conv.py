"""Convolutional autoencoder."""

from collections.abc import Sequence

import keras
from keras import layers

from keras_ae.models.autoencoder import IMAGE_SHAPE, Autoencoder


@keras.saving.register_keras_serializable(package="keras_ae")
class ConvAutoencoder(Autoencoder):
    """Autoencoder of two strided convolutions and one over the whole 7x7 map, and back.

    28x28x1 -> 14x14x16 -> 7x7x32 -> 1x1x64: the latents are the 64 channels of the last map.
    The decoder transposes each step. The output is a sigmoid.

    The convolution whose 7x7 kernel covers the whole 7x7 map is one matrix product, and so is
    its transpose. They are written as such (`EinsumDense`), because a CPU computes them
    several times faster that way. Kernels and biases have the shapes and meaning of
    `Conv2D(latent_dim, 7)` and `Conv2DTranspose(filters[-1], 7)`, so weights can be copied
    from and to those layers.

    Args:
        latent_dim: Number of latent units, which is the channels of the last convolution.
        filters: Channels of the two strided convolutions.
        activation: Activation of the hidden layers.
        code_activation: Activation of the latents.
        name: Name of the model.
    """

    def __init__(
        self,
        latent_dim: int = 64,
        filters: Sequence[int] = (16, 32),
        activation: str = "relu",
        code_activation: str = "linear",
        name: str | None = None,
    ):
        first, second = filters

        # === Functional models ===
        images = keras.Input(IMAGE_SHAPE, name="images")
        x = layers.Conv2D(first, 3, strides=2, padding="same", activation=activation)(images)
        x = layers.Conv2D(second, 3, strides=2, padding="same", activation=activation)(x)
        x = layers.EinsumDense(
            "bhwi,hwio->bo", latent_dim, bias_axes="o", activation=code_activation, name="latents"
        )(x)
        encoder = keras.Model(images, x, name="encoder")

        latents = keras.Input((latent_dim,), name="latents")
        x = layers.EinsumDense(
            "bi,hwoi->bhwo", (7, 7, second), bias_axes="o", activation=activation
        )(latents)
        x = layers.Conv2DTranspose(first, 3, strides=2, padding="same", activation=activation)(x)
        x = layers.Conv2DTranspose(1, 3, strides=2, padding="same")(x)
        x = layers.Activation("sigmoid", dtype="float32", name="images")(x)
        decoder = keras.Model(latents, x, name="decoder")

        super().__init__(encoder, decoder, name=name)

        # === Config ===
        self.filters = tuple(filters)
        self.activation = activation
        self.code_activation = code_activation

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return {
            "latent_dim": self.latent_dim,
            "filters": list(self.filters),
            "activation": self.activation,
            "code_activation": self.code_activation,
            "name": self.name,
        }
