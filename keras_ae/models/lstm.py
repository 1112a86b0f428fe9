"""Recurrent autoencoder."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
from keras import layers

from .autoencoder import IMAGE_SHAPE, Autoencoder, check_batch_size, check_shape
from .layers import PACKAGE

# Inference works on so many parts of a batch at once, each of so many images at most. Larger ones
# leave the caches, and smaller ones have too many calls.
_THREADS, _PART = 4, 125


@keras.saving.register_keras_serializable(package=PACKAGE)
class LSTMAutoencoder(Autoencoder):
    """Sequence-to-sequence autoencoder that reads the rows of an image as timesteps.

    A timestep has the `width * channels` values of a row, 28 timesteps of 28 values for a digit.
    Stacked LSTMs end in a vector, which `RepeatVector` hands to the decoder's LSTMs at each of
    the timesteps; a `Dense` layer over each timestep gives the row of pixels.

    Example:

    ```python
    images = np.zeros((2, 28, 28, 1), "float32")
    model = LSTMAutoencoder(latent_dim=16, hidden_units=(32,))
    model.compile(optimizer="adam", loss=model.training_loss)
    model.fit(images, images, verbose=0)
    reconstructions = model.reconstruct(images)  # [2, 28, 28, 1] in [0, 1]
    ```

    Args:
        latent_dim: Number of latent units, which is the size of the encoder's last LSTM.
        hidden_units: Sizes of the encoder's LSTMs before the last; the decoder mirrors them.
        activation: Activation inside the LSTMs, of candidate and output. The gates keep their
            sigmoid.
        output_activation: Activation of the pixels. With `"linear"`, as in the source, `call`
            may leave [0, 1] by a little; `decode` and `reconstruct` clip.
        unroll: Whether the timesteps are laid out in the graph, which is faster on a CPU and
            needed for LiteRT, but keeps a GPU from using its fused kernel.
        image_shape: Height, width and channels of the images: sides from 8 up, 1 (grey) or 3
            (colour) channels.
        **kwargs: `name`, `dtype` and `trainable`, as in `keras.Model`. `dtype` is the policy of the
            layers, such as `"mixed_bfloat16"`; by default the global one.
    """

    _arguments = (
        "latent_dim", "hidden_units", "activation", "output_activation", "unroll", "image_shape",
    )  # fmt: skip

    def __init__(
        self,
        latent_dim: int = 64,
        hidden_units: Sequence[int] = (128,),
        activation: str = "tanh",
        output_activation: str = "linear",
        unroll: bool = False,
        image_shape: Sequence[int] = IMAGE_SHAPE,
        **kwargs,
    ):
        image_shape = check_shape(image_shape)
        rows, columns, channels = image_shape
        dtype = kwargs.get("dtype")

        # === Layers ===
        def lstm(units, **options):
            return layers.LSTM(units, activation=activation, unroll=unroll, dtype=dtype, **options)

        # === Functional models ===
        images = keras.Input(image_shape, name="images")
        x = layers.Reshape((rows, columns * channels), dtype=dtype)(images)
        for units in hidden_units:
            x = lstm(units, return_sequences=True)(x)
        x = lstm(latent_dim, name="latents")(x)
        encoder = keras.Model(images, x, name="encoder")

        latents = keras.Input((latent_dim,), name="latents")
        x = layers.RepeatVector(rows, dtype=dtype)(latents)
        for units in (latent_dim, *reversed(hidden_units)):
            x = lstm(units, return_sequences=True)(x)
        x = layers.Dense(columns * channels, dtype=dtype)(x)
        x = layers.Reshape(image_shape, dtype=dtype)(x)
        x = layers.Activation(output_activation, dtype="float32", name="images")(x)
        decoder = keras.Model(latents, x, name="decoder")

        super().__init__(encoder, decoder, **kwargs)

        # === Config ===
        self.hidden_units = tuple(hidden_units)
        self.activation = activation
        self.output_activation = output_activation
        self.unroll = unroll

    @staticmethod
    def _in_batches(step, array: np.ndarray, batch_size: int) -> np.ndarray:
        check_batch_size(batch_size)
        if len(array) < 2 or batch_size < _THREADS:
            return Autoencoder._in_batches(step, array, batch_size)
        # One timestep is too little work for all cores: parts of a batch share them.
        size = min(_PART, batch_size // _THREADS)
        parts = np.array_split(array, max(2, math.ceil(len(array) / size)))
        with ThreadPoolExecutor(_THREADS) as pool:
            results = pool.map(lambda part: Autoencoder._in_batches(step, part, size), parts)
            return np.concatenate(list(results))
