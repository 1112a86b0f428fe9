"""The autoencoders. Importing this package registers their classes with Keras."""

from keras_ae.models.autoencoder import Autoencoder
from keras_ae.models.conv import ConvAutoencoder
from keras_ae.models.dense import DenseAutoencoder
from keras_ae.models.lstm import LSTMAutoencoder
from keras_ae.models.vae import VariationalAutoencoder

__all__ = [
    "Autoencoder",
    "ConvAutoencoder",
    "DenseAutoencoder",
    "LSTMAutoencoder",
    "VariationalAutoencoder",
]
