"""Convolutional autoencoder."""

from collections.abc import Sequence

import keras
from keras import layers

from .autoencoder import IMAGE_SHAPE, Autoencoder, check_shape
from .layers import PACKAGE, crop, quartered


@keras.saving.register_keras_serializable(package=PACKAGE)
class ConvAutoencoder(Autoencoder):
    """Autoencoder of two strided convolutions and one over the whole 7x7 map, and back.

    28x28x1 -> 14x14x16 -> 7x7x32 -> 1x1x64: the latents are the 64 channels of the last map.
    The decoder transposes each step. The output is a sigmoid. The sizes are those of digits; sides
    that four does not divide are padded on the way in and cropped on the way out.

    The convolution whose 7x7 kernel covers the whole 7x7 map is one matrix product, and so is
    its transpose. They are written as such (`EinsumDense`), because a CPU computes them
    several times faster that way. Kernels and biases have the shapes and meaning of
    `Conv2D(latent_dim, 7)` and `Conv2DTranspose(filters[-1], 7)`, so weights can be copied
    from and to those layers.

    Example:

    ```python
    images = np.zeros((2, 28, 28, 1), "float32")
    model = ConvAutoencoder(latent_dim=16)
    model.compile(optimizer="adam", loss=model.training_loss)
    model.fit(images, images, verbose=0)
    scores = model.score(images)  # [2], mean squared error per pixel
    ```

    Args:
        latent_dim: Number of latent units, which is the channels of the last convolution.
        filters: Channels of the two strided convolutions.
        activation: Activation of the hidden layers.
        code_activation: Activation of the latents.
        image_shape: Height, width and channels of the images: sides from 8 up, 1 (grey) or 3
            (colour) channels.
        **kwargs: `name`, `dtype` and `trainable`, as in `keras.Model`. `dtype` is the policy of the
            layers, such as `"mixed_bfloat16"`; by default the global one.
    """

    _arguments = ("latent_dim", "filters", "activation", "code_activation", "image_shape")

    def __init__(
        self,
        latent_dim: int = 64,
        filters: Sequence[int] = (16, 32),
        activation: str = "relu",
        code_activation: str = "linear",
        image_shape: Sequence[int] = IMAGE_SHAPE,
        **kwargs,
    ):
        image_shape = check_shape(image_shape)
        first, second = filters
        dtype = kwargs.get("dtype")
        map_shape = (*quartered(image_shape), second)

        # === Layers ===
        def strided(layer, channels, activation=None):
            return layer(channels, 3, strides=2, padding="same", activation=activation, dtype=dtype)

        # === Functional models ===
        images = keras.Input(image_shape, name="images")
        x = strided(layers.Conv2D, first, activation)(images)
        x = strided(layers.Conv2D, second, activation)(x)
        x = layers.EinsumDense(
            "bhwi,hwio->bo",
            latent_dim,
            bias_axes="o",
            activation=code_activation,
            dtype=dtype,
            name="latents",
        )(x)
        encoder = keras.Model(images, x, name="encoder")

        latents = keras.Input((latent_dim,), name="latents")
        x = layers.EinsumDense(
            "bi,hwoi->bhwo", map_shape, bias_axes="o", activation=activation, dtype=dtype
        )(latents)
        x = strided(layers.Conv2DTranspose, first, activation)(x)
        x = strided(layers.Conv2DTranspose, image_shape[-1])(x)
        x = crop(x, image_shape, dtype)
        x = layers.Activation("sigmoid", dtype="float32", name="images")(x)
        decoder = keras.Model(latents, x, name="decoder")

        super().__init__(encoder, decoder, **kwargs)

        # === Config ===
        self.filters = tuple(filters)
        self.activation = activation
        self.code_activation = code_activation
