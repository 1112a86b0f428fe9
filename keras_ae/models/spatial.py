"""Convolutional autoencoder whose latents keep their places."""

import math
from collections.abc import Sequence

import keras
from keras import layers

from .autoencoder import IMAGE_SHAPE, Autoencoder, check_shape
from .layers import PACKAGE, crop, quartered


@keras.saving.register_keras_serializable(package=PACKAGE)
class SpatialAutoencoder(Autoencoder):
    """Autoencoder of convolutions alone, whose latents are a map and keep their places.

    28x28x1 -> 14x14x32 -> 7x7x64 -> 7x7x16: the latents are the values of the last map, 784 of a
    digit, which is no less than it has pixels. So the model is no compression. It is for what the
    training asks of it beside reconstruction: noise on the inputs makes it a denoiser. On both
    sides of the latents lie residual blocks over the 7x7 map (He et al., 2016,
    https://arxiv.org/abs/1512.03385, without normalization), in which distant parts of the image
    meet. The output is a sigmoid. Sides that four does not divide are padded on the way in and
    cropped on the way out.

    Example:

    ```python
    images = np.zeros((2, 28, 28, 1), "float32")
    model = SpatialAutoencoder(filters=(8, 16))
    model.compile(optimizer="adam", loss=model.training_loss)
    model.fit(images, images, verbose=0)
    latents = model.encode(images)  # [2, 784]
    ```

    Args:
        latent_filters: Channels of the map of latents.
        filters: Channels of the two strided convolutions.
        depth: Residual blocks on each side of the latents, of two convolutions each.
        activation: Activation of the hidden layers.
        code_activation: Activation of the latents.
        image_shape: Height, width and channels of the images: sides from 8 up, 1 (grey) or 3
            (colour) channels.
        **kwargs: `name`, `dtype` and `trainable`, as in `keras.Model`. `dtype` is the policy of the
            layers, such as `"mixed_bfloat16"`; by default the global one.
    """

    _arguments = (
        "latent_filters", "filters", "depth", "activation", "code_activation", "image_shape",
    )  # fmt: skip

    def __init__(
        self,
        latent_filters: int = 16,
        filters: Sequence[int] = (32, 64),
        depth: int = 1,
        activation: str = "relu",
        code_activation: str = "linear",
        image_shape: Sequence[int] = IMAGE_SHAPE,
        **kwargs,
    ):
        image_shape = check_shape(image_shape)
        first, second = filters
        dtype = kwargs.get("dtype")
        map_shape = (*quartered(image_shape), latent_filters)

        # === Layers ===
        def convolution(x, channels, activation=activation, layer=layers.Conv2D, strides=1):
            options = {"padding": "same", "activation": activation, "dtype": dtype}
            return layer(channels, 3, strides=strides, **options)(x)

        def residual(x):
            for _ in range(depth):
                change = convolution(convolution(x, second), second, None)
                x = layers.Add(dtype=dtype)([x, change])
            return x

        # === Functional models ===
        images = keras.Input(image_shape, name="images")
        x = convolution(images, first, strides=2)
        x = convolution(x, second, strides=2)
        x = residual(x)
        x = convolution(x, latent_filters, code_activation)
        x = layers.Flatten(dtype=dtype, name="latents")(x)
        encoder = keras.Model(images, x, name="encoder")

        latents = keras.Input((math.prod(map_shape),), name="latents")
        x = layers.Reshape(map_shape, dtype=dtype)(latents)
        x = convolution(x, second)
        x = residual(x)
        x = convolution(x, first, layer=layers.Conv2DTranspose, strides=2)
        x = convolution(x, image_shape[-1], None, layers.Conv2DTranspose, strides=2)
        x = crop(x, image_shape, dtype)
        x = layers.Activation("sigmoid", dtype="float32", name="images")(x)
        decoder = keras.Model(latents, x, name="decoder")

        super().__init__(encoder, decoder, **kwargs)

        # === Config ===
        self.latent_filters = latent_filters
        self.filters = tuple(filters)
        self.depth = depth
        self.activation = activation
        self.code_activation = code_activation
