"""Autoencoders on MNIST with Keras 3 and TensorFlow.

Importing the package is cheap: TensorFlow comes with the first name that needs it. The model
classes are registered with Keras as soon as both are imported, in either order, so that
`keras.models.load_model` knows them.
"""

import importlib

import wrapt

from keras_ae.backend import check_backend

__version__ = "0.3.0"

_EXPORTS = {
    "Autoencoder": "keras_ae.models",
    "ConvAutoencoder": "keras_ae.models",
    "DenseAutoencoder": "keras_ae.models",
    "LSTMAutoencoder": "keras_ae.models",
    "SpatialAutoencoder": "keras_ae.models",
    "VariationalAutoencoder": "keras_ae.models",
    "GaussianSampling": "keras_ae.models",
    "AdamL2": "keras_ae.training.optimizer",
    "MuonL2": "keras_ae.training.optimizer",
    "LossPlot": "keras_ae.training.callbacks",
    "ReconstructionFigures": "keras_ae.training.callbacks",
    "SampleFigures": "keras_ae.training.callbacks",
    "load": "keras_ae.loading",
    "load_images": "keras_ae.data",
    "train": "keras_ae.api",
    "evaluate": "keras_ae.api",
    "export_litert": "keras_ae.export",
    "export_saved_model": "keras_ae.export",
    "RECIPES": "keras_ae.recipes",
    "Recipe": "keras_ae.recipe",
}
__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name not in ("RECIPES", "Recipe"):
        check_backend()
    return getattr(importlib.import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


@wrapt.when_imported("keras")
def _register(keras) -> None:
    # With another backend Keras serves others than this package.
    if keras.backend.backend() != "tensorflow":
        return
    for module in ("keras_ae.models", "keras_ae.training.optimizer"):
        importlib.import_module(module)
