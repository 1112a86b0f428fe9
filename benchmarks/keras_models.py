"""The same models as a Keras user writes them: stock layers, stock defaults."""

import keras
from keras import layers

from keras_ae.models import Autoencoder
from keras_ae.recipe import Recipe
from keras_ae.training import fit


def build(recipe: Recipe) -> Autoencoder:
    """Returns the recipe's model without what was done to it for speed."""
    if recipe.name == "conv":
        return _convolutional()
    if "unroll" in recipe.arguments:
        recipe = recipe.override(unroll=False)
    return fit.build(recipe.override(precision="float32"))


def _convolutional() -> Autoencoder:
    encoder = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(64, 7),
        ]
    )
    decoder = keras.Sequential(
        [
            keras.Input((1, 1, 64)),
            layers.Conv2DTranspose(32, 7, activation="relu"),
            layers.Conv2DTranspose(16, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(1, 3, strides=2, padding="same", activation="sigmoid"),
        ]
    )
    return Autoencoder(encoder, decoder)
