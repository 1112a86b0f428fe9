"""Where images come from: TFDS, splits, batches."""

from keras_ae.data.dataset import VALIDATION_IMAGES, Dataset, load, load_for, to_float
from keras_ae.data.pipeline import ShuffledBatches, batches, noisy
from keras_ae.data.split import Split
from keras_ae.data.tfds import cache_directory

__all__ = [
    "VALIDATION_IMAGES",
    "Dataset",
    "ShuffledBatches",
    "Split",
    "batches",
    "cache_directory",
    "load",
    "load_for",
    "noisy",
    "to_float",
]
