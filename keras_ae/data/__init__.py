"""Where images come from: a dataset, its splits, batches."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_ae.data import tfds
from keras_ae.data.pipeline import ShuffledBatches, batches, noisy, shifted
from keras_ae.data.split import Split
from keras_ae.data.tfds import cache_directory
from keras_ae.errors import BadRequest
from keras_ae.recipe import Recipe, plain_dataset

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
    "shifted",
    "to_float",
]

VALIDATION_IMAGES = 5_000


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The three splits of a dataset, in TFDS' order, which is the same everywhere."""

    name: str  # Of TFDS, as is the version, in the one spelling that `plain_dataset` gives.
    version: str
    checksum: str  # SHA-256 of the images and labels of TFDS' `train` and `test`.
    classes: tuple[str, ...]  # Names of the labels; none where the images have no labels.
    train: Split  # All but the last 5,000 of TFDS' `train`, or all of it, or those of some classes.
    validation: Split  # The last 5,000, of the same classes, or nothing.
    test: Split  # TFDS' `test`.

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images."""
        return self.test.images.shape[1:]


def load(
    name: str = "mnist",
    archives: str | Path | None = None,
    full_train: bool = False,
    train_images: int | None = None,
    train_classes: Sequence[int] | None = None,
) -> Dataset:
    """Loads a dataset of 28x28 grey images with TFDS.

    The first call prepares the dataset in TFDS' data directory (`TFDS_DATA_DIR`, or
    `~/tensorflow_datasets`) and leaves the decoded arrays there, which later calls read at once,
    if they still have the checksum that they were written with.

    Args:
        name: TFDS name, such as `mnist`, `fashion_mnist`, `kmnist` or `emnist/letters`, also
            with a version, as in `mnist:3.0.1`.
        archives: Directory that holds the dataset's original archives. By default that is
            `data/<name>` of a checkout where it exists; otherwise TFDS downloads them.
        full_train: Whether `train` also gets the validation images.
        train_images: How many of the training images to keep; `None` for all.
        train_classes: Labels of the training and validation images to keep; `None` for all. The
            test images stay whole.

    Raises:
        BadRequest: If there is no such dataset, its images are of another kind, or an archive is
            missing or damaged, or there are too few training images.
    """
    splits, version, checksum = tfds.read(name, archives)
    train, test = splits["train"], splits["test"]
    if len(train) <= VALIDATION_IMAGES:
        raise BadRequest(
            f"dataset {name!r} must have more than {VALIDATION_IMAGES} training images, "
            f"received {len(train)}"
        )
    boundary = len(train) if full_train else len(train) - VALIDATION_IMAGES
    train, validation = train[:boundary], train[boundary:]
    if train_classes is not None:
        unknown = set(train_classes) - set(train.labels.tolist())
        if unknown:
            raise BadRequest(
                f"train_classes must be labels of {name}, {train.labels.min()} to "
                f"{train.labels.max()}, received {', '.join(map(str, sorted(unknown)))}"
            )
        train, validation = (split.of_classes(train_classes) for split in (train, validation))
    if train_images is not None and train_images > len(train):
        raise BadRequest(
            f"train_images must be at most {len(train)}, the training images of {name}, "
            f"received {train_images}"
        )
    return Dataset(
        name=plain_dataset(name),
        version=version,
        checksum=checksum,
        classes=tuple(map(str, range(test.labels.max() + 1))),
        train=train[:train_images],
        validation=validation,
        test=test,
    )


def load_for(recipe: Recipe, archives: str | Path | None = None) -> Dataset:
    """Loads what a recipe is trained on, see `load`."""
    return load(
        recipe.dataset, archives, recipe.full_train, recipe.train_images, recipe.train_classes
    )


def to_float(images: np.ndarray) -> np.ndarray:
    """Returns byte images as float32 in [0, 1]."""
    return images.astype("float32") / 255
