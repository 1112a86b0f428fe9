"""Where images come from: a dataset, its splits, batches."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from keras_ae.data import tfds
from keras_ae.data.images import Pictures, images_directory, read_images
from keras_ae.data.pipeline import ShuffledBatches, batches, noisy, shifted
from keras_ae.data.split import SPLITS, Split, completed, hashes
from keras_ae.data.split import checksum as checksum_of
from keras_ae.data.tfds import image_shape
from keras_ae.errors import BadRequest
from keras_ae.recipe import Recipe, plain_dataset

__all__ = [
    "VALIDATION_IMAGES",
    "Dataset",
    "Pictures",
    "ShuffledBatches",
    "Split",
    "batches",
    "cache_directory",
    "image_shape",
    "load",
    "load_for",
    "load_images",
    "noisy",
    "read_images",
    "shifted",
    "to_float",
]

VALIDATION_IMAGES = 5_000  # Of a dataset of TFDS that has none of its own.
SMALLEST_DATASET = 20  # Own pictures, with all splits.


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The three splits of a dataset, in an order that is the same everywhere."""

    name: str  # Of TFDS in the spelling of `plain_dataset`, or the stem of a path of own pictures.
    version: str  # Of TFDS; empty for own pictures.
    checksum: str  # SHA-256 of the images and labels of all splits, before any are chosen.
    classes: tuple[str, ...]  # Names of the labels; none where the images have no labels.
    train: Split  # What is trained on: all, or the first, or those of some classes.
    validation: Split  # What training is watched on, of the same classes, or nothing.
    test: Split  # What is for evaluation only.

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images."""
        return self.test.images.shape[1:]

    def describe(self) -> dict[str, object]:
        """Returns what a run keeps of it, as JSON has it."""
        return {
            "name": self.name,
            "version": self.version,
            "checksum": self.checksum,
            "image_shape": list(self.image_shape),
            "classes": list(self.classes),
            **{name: len(getattr(self, name)) for name in ("train", "validation", "test")},
        }


def load(
    name: str = "mnist",
    archives: str | Path | None = None,
    full_train: bool = False,
    train_images: int | None = None,
    train_classes: Sequence[int] | None = None,
) -> Dataset:
    """Loads a dataset whose images have one shape with TFDS.

    The first call prepares the dataset in TFDS' data directory (`TFDS_DATA_DIR`, or
    `~/tensorflow_datasets`) and leaves the decoded arrays there, which later calls read at once,
    if they still have the checksum that they were written with.

    Validation images are those that TFDS has, or the last 5,000 of at least 10,000 training
    images. Of smaller datasets, and where there are no test images, both are made as in
    `load_images`.

    Args:
        name: TFDS name, such as `mnist`, `fashion_mnist`, `cifar10` or `emnist/letters`, also
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
    splits, classes, version, checksum = tfds.read(name, archives)
    if set(splits) == {"train", "test"} and len(splits["train"]) >= 2 * VALIDATION_IMAGES:
        train, boundary = splits["train"], len(splits["train"]) - VALIDATION_IMAGES
        splits = {**splits, "train": train[:boundary], "validation": train[boundary:]}
    chosen = _chosen(name, completed(splits), full_train, train_images, train_classes)
    return Dataset(plain_dataset(name), version, checksum, classes, **chosen)


def load_images(
    path: str | Path,
    image_size: Sequence[int] | None = None,
    color: str | None = None,
    full_train: bool = False,
    train_images: int | None = None,
    train_classes: Sequence[int] | None = None,
) -> Dataset:
    """Loads pictures of your own, see `read_images`, as a dataset.

    Splits that are given stay. Of those that are missing, `validation` and `test` get a tenth of
    the pictures each. The SHA-256 of its pixels decides where a picture goes, so that copies of
    one picture never lie on both sides. Each split is in the order of these hashes, which mixes
    the classes. Sizes and checksum are printed.

    Example:

    ```python
    images = np.random.default_rng(0).integers(256, size=(300, 20, 30), dtype="uint8")
    np.savez("noise.npz", images=images, labels=["a", "b", "c"] * 100)
    dataset = keras_ae.data.load_images("noise.npz")
    dataset.image_shape  # (20, 30, 1)
    dataset.classes  # ("a", "b", "c")
    ```

    Args:
        path: What to read, see `read_images`.
        image_size: Height and width to resize to.
        color: `grey` or `rgb`, to convert to.
        full_train: As in `load`, as are the others.
        train_images: Here those with the smallest hashes are kept.
        train_classes: Places in `classes`.

    Raises:
        BadRequest: If something cannot be read, pictures are not alike, or there are too few.
    """
    pictures = read_images(path, image_size, color)
    source, split_of = str(path), pictures.splits
    order = np.argsort(hashes(pictures.images), kind="stable")
    whole = Split(pictures.images, pictures.labels)
    splits = {
        name or "train": whole[order[split_of[order] == name]]
        for name in dict.fromkeys(split_of.tolist())
    }
    if "train" not in splits or len(whole) < SMALLEST_DATASET:
        counts = ", ".join(f"{len(split)} for {name}" for name, split in splits.items())
        raise BadRequest(
            f"expected at least {SMALLEST_DATASET} pictures, some of them for train, "
            f"received {counts} in {source}"
        )
    splits = completed(splits)
    sizes = ", ".join(f"{len(splits[name]):,} {name}" for name in SPLITS)
    if not all(map(len, splits.values())):
        raise BadRequest(
            "expected pictures for each split: more of them, or such for train, validation and "
            f"test, received {source}, of which the hashes make {sizes}"
        )
    digest = checksum_of(splits[name] for name in SPLITS)
    shape = "x".join(map(str, pictures.images.shape[1:]))
    some = ", ".join(pictures.classes[:10]) + (", ..." if pictures.classes[10:] else "")
    told = f"{len(pictures.classes)} classes ({some})" if pictures.classes else "no labels"
    print(f"pictures of {source}: {sizes}, {shape}, {told}")
    print(f"SHA-256 of pixels and labels: {digest}")
    for name in ("validation", "test"):
        both = np.isin(hashes(splits[name].images), hashes(splits["train"].images)).sum()
        if both:
            print(f"note: {both:,} of the {name} pictures are training pictures, too")
    name = Path(path).absolute().stem
    chosen = _chosen(name, splits, full_train, train_images, train_classes)
    return Dataset(name, "", digest, pictures.classes, **chosen)


def _chosen(
    name: str,
    splits: Mapping[str, Split],
    full_train: bool,
    train_images: int | None,
    train_classes: Sequence[int] | None,
) -> dict[str, Split]:
    """Returns the splits with those training and validation images that are wanted."""
    train, validation = splits["train"], splits["validation"]
    if full_train:
        train, validation = train + validation, validation[:0]
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
    return {"train": train[:train_images], "validation": validation, "test": splits["test"]}


def load_for(recipe: Recipe, settings: Mapping[str, object] | None = None) -> Dataset:
    """Loads what a recipe is trained on: `load`, or `load_images` if its dataset is `None`.

    Of the settings, see `recipe.SETTINGS`, those of the data count.
    """
    settings = settings or {}
    chosen = (recipe.full_train, recipe.train_images, recipe.train_classes)
    if recipe.dataset is None:
        how = (settings.get(name) for name in ("images", "image_size", "color"))
        return load_images(*how, *chosen)
    return load(recipe.dataset, settings.get("archives"), *chosen)


def cache_directory(dataset: str | None) -> Path:
    """Returns where what is derived from a dataset of TFDS may be kept, or from own pictures."""
    return images_directory() if dataset is None else tfds.cache_directory(dataset)


def to_float(images: np.ndarray) -> np.ndarray:
    """Returns byte images as float32 in [0, 1]."""
    return np.divide(images, 255, dtype="float32")
