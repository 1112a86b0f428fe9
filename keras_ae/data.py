"""Digits: from TFDS to arrays to batches."""

import contextlib
import dataclasses
import difflib
import fcntl
import hashlib
import logging
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from google.protobuf.json_format import ParseError

from keras_ae.errors import BadRequest
from keras_ae.files import clear_up, replacing
from keras_ae.models.autoencoder import IMAGE_SHAPE
from keras_ae.recipes import Recipe

VALIDATION_IMAGES = 5_000
# In a checkout the archives of the default dataset lie beside the package.
EMBEDDED_ARCHIVES = Path(__file__).parents[1] / "data"
_ARRAYS = "keras_ae_arrays.npz"


@dataclasses.dataclass(frozen=True)
class Split:
    """Images uint8 `[n, 28, 28, 1]` and labels int64 `[n]`."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice) -> "Split":
        return Split(self.images[rows], self.labels[rows])

    def of_classes(self, labels: Sequence[int]) -> "Split":
        """Returns the images with one of `labels`, in the same order."""
        chosen = np.isin(self.labels, labels)
        return Split(self.images[chosen], self.labels[chosen])


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The three splits of a dataset, in TFDS' order, which is the same everywhere.

    Attributes:
        name: TFDS name.
        version: TFDS version.
        checksum: SHA-256 of the images and labels of `train` and `test`.
        train: All but the last 5,000 of TFDS' `train`, or all of it, or those of some classes.
        validation: The last 5,000, of the same classes, or nothing.
        test: TFDS' `test`.
    """

    name: str
    version: str
    checksum: str
    train: Split
    validation: Split
    test: Split


def load(
    name: str = "mnist",
    archives: str | Path | None = None,
    full_train: bool = False,
    train_images: int | None = None,
    train_classes: Sequence[int] | None = None,
) -> Dataset:
    """Loads a dataset of 28x28 grey images with TFDS.

    The first call prepares the dataset in TFDS' data directory (`TFDS_DATA_DIR`, or
    `~/tensorflow_datasets`) and leaves the decoded arrays there, which later calls read at once.

    Args:
        name: TFDS name, such as `mnist`, `fashion_mnist`, `kmnist` or `emnist/letters`.
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
    splits, version = _read(name, archives)
    train, test = splits["train"], splits["test"]
    digest = hashlib.sha256()
    for split in (train, test):
        digest.update(split.images.tobytes())
        digest.update(split.labels.tobytes())
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
        name=name,
        version=version,
        checksum=digest.hexdigest(),
        train=train[:train_images],
        validation=validation,
        test=test,
    )


def load_for(recipe: Recipe, archives: str | Path | None = None) -> Dataset:
    """Loads what a recipe is trained on, see `load`."""
    return load(
        recipe.dataset, archives, recipe.full_train, recipe.train_images, recipe.train_classes
    )


def _read(name: str, archives: str | Path | None) -> tuple[dict[str, Split], str]:
    builder = _builder(name)
    archives = _find_archives(builder, archives)
    arrays = Path(builder.data_dir) / _ARRAYS
    splits = _read_arrays(arrays)
    if splits is None:
        with contextlib.suppress(OSError):
            clear_up(builder.data_dir)
        splits = _prepare(name, builder, archives)
        # TFDS' directory may be shared and read-only; then every start decodes again.
        with contextlib.suppress(OSError), replacing(arrays) as draft:
            np.savez(
                draft,
                **{f"{key}_images": split.images for key, split in splits.items()},
                **{f"{key}_labels": split.labels for key, split in splits.items()},
            )
    for key, split in splits.items():
        images = split.images
        if images.shape[1:] != IMAGE_SHAPE or images.dtype != np.uint8 or len(images) == 0:
            raise BadRequest(
                f"dataset {name!r} must have uint8 images [n, 28, 28, 1] in its split {key!r}, "
                f"received {images.dtype} {list(images.shape)}"
            )
    if len(splits["train"]) <= VALIDATION_IMAGES:
        raise BadRequest(
            f"dataset {name!r} must have more than {VALIDATION_IMAGES} training images, "
            f"received {len(splits['train'])}"
        )
    return splits, str(builder.version)


def _builder(name: str):
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name)
    except tfds.core.DatasetNotFoundError as error:
        near = difflib.get_close_matches(name, tfds.list_builders(), n=3)
        hint = f", did you mean {' or '.join(near)}?" if near else ","
        raise BadRequest(f"expected the name of a TFDS dataset{hint} received {name!r}") from error
    except (ValueError, RuntimeError) as error:
        raise BadRequest(
            f"expected the name of a TFDS dataset, received {name!r}: {_first_line(error)}"
        ) from error
    except ParseError as error:
        raise _damaged(name, error) from error
    image = dict(builder.info.features).get("image")
    found = "no images" if image is None else f"{image.np_dtype.__name__} {list(image.shape)}"
    if found != f"uint8 {list(IMAGE_SHAPE)}":
        raise BadRequest(
            f"dataset {name!r} must have images uint8 {list(IMAGE_SHAPE)}, received {found}"
        )
    return builder


def _find_archives(builder, archives: str | Path | None) -> Path | None:
    if archives is None:
        archives = EMBEDDED_ARCHIVES / builder.name
        if not archives.is_dir():
            return None
    archives = Path(archives)
    expected = sorted(info.filename for info in builder.url_infos.values())
    missing = [name for name in expected if not (archives / name).is_file()]
    if missing:
        raise BadRequest(
            f"archives of {builder.name!r}: expected {', '.join(expected)} in {archives}, "
            f"received a directory without {', '.join(missing)}"
        )
    return archives


def _prepare(name: str, builder, archives: Path | None) -> dict[str, Split]:
    import requests
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

    tfds.disable_progress_bar()
    # Without a network TFDS tries again for minutes and warns each time; its error says it all.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    try:
        # TFDS would keep the unpacked archives under their own names, which are the same for
        # several datasets, and take those of one for those of another. Where one archive is
        # damaged, threads may still unpack the others while the directory is removed.
        unpacking = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        with _one_at_a_time(builder), unpacking as unpacked:
            # A builder from before another process prepared the dataset does not know its splits.
            builder = _builder(name)
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(
                    manual_dir=archives, extract_dir=unpacked
                )
            )
    except NonMatchingChecksumError as error:
        raise BadRequest(
            f"dataset {builder.name!r}: expected the original archives: {_first_line(error)}"
        ) from error
    except (tfds.download.DownloadError, requests.RequestException) as error:
        raise BadRequest(
            f"dataset {builder.name!r}: expected a download, or the directory of its archives as a "
            f"flag, received: {_first_line(error)}"
        ) from error
    try:
        splits = builder.as_dataset(batch_size=-1)
        return {
            key: Split(splits[key]["image"].numpy(), splits[key]["label"].numpy())
            for key in ("train", "test")
        }
    except (tf.errors.OpError, KeyError) as error:
        raise _damaged(builder.name, error) from error


@contextlib.contextmanager
def _one_at_a_time(builder) -> Iterator[None]:
    """Lets one process prepare a dataset; TFDS fails if two do so at once. Others find it done."""
    directory = Path(builder.data_dir)
    if directory.is_dir():
        yield
        return
    directory.parent.mkdir(parents=True, exist_ok=True)
    with (directory.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _damaged(name: str, error: Exception) -> BadRequest:
    directory = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    return BadRequest(
        f"expected what TFDS prepared as {name!r} in {directory}, received damaged files: remove "
        f"{directory}/{name} and start again ({_first_line(error)})"
    )


def _read_arrays(path: Path) -> dict[str, Split] | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {
                key: Split(arrays[f"{key}_images"], arrays[f"{key}_labels"])
                for key in ("train", "test")
            }
    except (OSError, EOFError, KeyError, ValueError, NotImplementedError, zipfile.BadZipFile):
        # Not there yet, or damaged: the archive format has checksums. It can be made again.
        return None


def _first_line(error: Exception) -> str:
    # TensorFlow's messages begin with the name of a node.
    return " ".join(re.sub(r"^{{.*?}}", "", str(error)).split())[:400]


def cache_directory(name: str) -> Path:
    """Returns the directory of a prepared dataset, where what is derived from it may be kept."""
    return Path(_builder(name).data_dir)


def to_float(images: np.ndarray) -> np.ndarray:
    """Returns byte images as float32 in [0, 1]."""
    return images.astype("float32") / 255


def noisy(images, noise_std: float, seed):
    """Adds Gaussian noise and clips to [0, 1], where the models' images live.

    Args:
        images: float32 tensor or array in [0, 1].
        noise_std: Standard deviation of the noise before clipping.
        seed: Pair of integers; same pair, same noise.
    """
    noise = tf.random.stateless_normal(tf.shape(images), seed=seed, stddev=noise_std)
    return tf.clip_by_value(images + noise, 0.0, 1.0)


def batches(images: np.ndarray, batch_size: int) -> tf.data.Dataset:
    """Returns pairs of equal float32 inputs and targets, in order.

    Args:
        images: uint8 `[n, 28, 28, 1]`.
        batch_size: Images in a batch; the last may have fewer.
    """

    def pair(rows):
        floats = tf.cast(rows, tf.float32) / 255
        return floats, floats

    return (
        tf.data.Dataset.from_tensor_slices(images)
        .batch(batch_size)
        .map(pair)
        .prefetch(2)
        .with_options(_untuned())
    )


def _untuned() -> tf.data.Options:
    # At the end of an epoch TensorFlow waits for the thread that tunes the pipeline, which sleeps
    # 10 ms, 20 ms, 40 ms and so on: epochs of 0.7 s took 1.27 s, the next sum of these.
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


class ShuffledBatches(keras.callbacks.Callback):
    """Batches in an order that is a pure function of seed and epoch.

    Hand `dataset` to `fit`, and this object to its callbacks: as a callback it tells the dataset
    which epoch begins. So a run that goes on at epoch 7 sees what an uninterrupted run sees.

    The bytes of all images stay in memory once. A batch is a slice of the epoch's permutation
    and one gather, which costs a fraction of shuffling image by image.

    Args:
        images: uint8 `[n, 28, 28, 1]`.
        batch_size: Images in a batch; the last of an epoch may have fewer.
        seed: Integer seed of order and noise.
        noise_std: Standard deviation of the noise on the inputs, see `noisy`.

    Attributes:
        dataset: One epoch of (inputs, targets), float32 `[batch, 28, 28, 1]`.
        steps: Number of batches in an epoch.
    """

    def __init__(self, images: np.ndarray, batch_size: int, seed: int, noise_std: float = 0.0):
        super().__init__()
        self.steps = -(-len(images) // batch_size)
        self._seed = tf.constant([seed, 0], tf.int64)
        self._key = tf.Variable(self._seed, trainable=False)
        self._order = tf.Variable(tf.range(len(images)), trainable=False)
        self.on_epoch_begin(0)
        images = tf.constant(images)

        def pair(step):
            indices = self._order[step * batch_size : (step + 1) * batch_size]
            targets = tf.cast(tf.gather(images, indices), tf.float32) / 255
            if noise_std == 0:
                return targets, targets
            step_key = tf.random.experimental.stateless_fold_in(self._key, step)
            return noisy(targets, noise_std, step_key), targets

        self.dataset = (
            tf.data.Dataset.range(self.steps).map(pair).prefetch(4).with_options(_untuned())
        )

    def on_epoch_begin(self, epoch, logs=None):
        epoch = tf.constant(epoch, tf.int64)
        self._key.assign(tf.random.experimental.stateless_fold_in(self._seed, epoch))
        rows = tf.range(tf.size(self._order))
        self._order.assign(tf.random.experimental.stateless_shuffle(rows, seed=self._key))
