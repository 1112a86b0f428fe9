"""The autoencoders: a contract, its layer and losses, and four classes that keep it.

The folder needs Keras, TensorFlow and NumPy only. A copy of it works in another project, under
another name: its classes are then registered with Keras under the name of that package.
"""

from .autoencoder import Autoencoder
from .conv import ConvAutoencoder
from .dense import DenseAutoencoder
from .layers import GaussianSampling
from .lstm import LSTMAutoencoder
from .spatial import SpatialAutoencoder
from .vae import VariationalAutoencoder

__all__ = [
    "Autoencoder",
    "ConvAutoencoder",
    "DenseAutoencoder",
    "GaussianSampling",
    "LSTMAutoencoder",
    "SpatialAutoencoder",
    "VariationalAutoencoder",
]
