"""Images and labels from TensorFlow Datasets (TFDS), and the cache of the decoded arrays."""

import contextlib
import difflib
import functools
import io
import logging
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.json_format import ParseError
from PIL import Image

from keras_ae.data.split import SPLITS, Split, checksum
from keras_ae.errors import BadRequest
from keras_ae.files import (
    EXHAUSTED,
    clear_up,
    data_directory,
    locked,
    remove,
    replacing,
    write_text,
)
from keras_ae.models.autoencoder import SMALLEST_SIDE, check_shape
from keras_ae.recipe import is_dataset_name, plain_dataset

# The archives of the default dataset lie inside an installed package, and beside it in a checkout.
_INSTALLED = Path(__file__).parents[1] / "archives"
EMBEDDED_ARCHIVES = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[2] / "data"
# The decoded arrays and their checksum, beside what TFDS prepared.
_ARRAYS = "keras_ae_arrays.npz"
_ARRAYS_CHECKSUM = "keras_ae_arrays.sha256"
# Of what is embedded it is known, by name and version.
_CHECKSUMS = {
    ("mnist", "3.0.1"): "83e5e0419030bfb1b5fbe3a2bae2c8bce61f7775de49c0f2d2e13601a0239e52",
}
# TFDS waits between its tries, each time twice as long: 3 s in all, not 205 s.
_DOWNLOAD_RETRIES = 4


def read(
    name: str, archives: str | Path | None
) -> tuple[dict[str, Split], tuple[str, ...], str, str]:
    """Returns the splits that a dataset has, its classes, its version and its checksum.

    See `data.load`. The splits are `train`, and `test` and `validation` where TFDS has them. The
    checksum is the SHA-256 of images and labels of all of them.
    """
    with _refusing_of(name):
        builder = _builder(name)
        archives = _find_archives(builder, archives)
        directory = Path(builder.data_dir)
        known = _CHECKSUMS.get((builder.name, str(builder.version)))
        splits, received = _read_arrays(directory, known)
        if splits is None or (builder.info.splits and set(splits) != set(_names(builder))):
            with contextlib.suppress(OSError):
                clear_up(directory)
            splits = _prepare(name, builder, archives)
            received = checksum(splits.values())
            if known not in (None, received):
                raise _damaged(builder.name, f"expected checksum {known}, received {received}")
            # TFDS' directory may be shared and read-only; then every start decodes again.
            with contextlib.suppress(OSError):
                with replacing(directory / _ARRAYS) as draft:
                    np.savez(
                        draft,
                        **{f"{key}_images": split.images for key, split in splits.items()},
                        **{f"{key}_labels": split.labels for key, split in splits.items()},
                    )
                write_text(directory / _ARRAYS_CHECKSUM, received)
    shape = tuple(builder.info.features["image"].shape)
    for key, split in splits.items():
        if not _is_sound(split, shape):
            raise BadRequest(
                f"dataset {name!r} must have uint8 images {['n', *shape]} and labels from 0 up in "
                f"its split {key!r}, received {split.images.dtype} {list(split.images.shape)} and "
                f"{split.labels.dtype} {list(split.labels.shape)}"
            )
    return splits, _classes(builder, splits), str(builder.version), received


def _names(builder) -> list[str]:
    return [name for name in SPLITS if name in builder.info.splits]


def _label(builder):
    """Returns the feature of the label, if the dataset has one number or class for each image."""
    label = dict(builder.info.features).get("label")
    is_label = label is not None and label.shape == () and np.dtype(label.np_dtype).kind in "iu"
    return label if is_label else None


def _classes(builder, splits: dict[str, Split]) -> tuple[str, ...]:
    if (label := _label(builder)) is None:
        return ()
    number = 1 + max(int(split.labels.max()) for split in splits.values())
    return tuple(getattr(label, "names", None) or map(str, range(number)))


@contextlib.contextmanager
def _refusing_of(name: str) -> Iterator[None]:
    """Makes a `BadRequest` of whatever TFDS raises about a dataset."""
    import tensorflow_datasets as tfds

    if not is_dataset_name(name):
        raise BadRequest(
            f"expected the name of a TFDS dataset, name[/config][:version], received {name!r}"
        )
    try:
        yield
    except BadRequest:
        raise
    except tfds.core.DatasetNotFoundError as error:
        near = difflib.get_close_matches(name, tfds.list_builders(), n=3)
        hint = f", did you mean {' or '.join(near)}?" if near else ","
        raise BadRequest(f"expected the name of a TFDS dataset{hint} received {name!r}") from error
    except (ParseError, tf.errors.OpError, KeyError) as error:
        raise _damaged(name, _first_line(error)) from error
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise
        raise BadRequest(
            f"dataset {name!r}: expected a directory for datasets that can be used, as "
            f"TFDS_DATA_DIR says, received {data_directory()}: {_first_line(error)}"
        ) from error
    except Exception as error:
        raise BadRequest(
            f"expected the name of a TFDS dataset, received {name!r}: {_first_line(error)}"
        ) from error


def _builder(name: str):
    import tensorflow_datasets as tfds

    builder = tfds.builder(name)
    image = dict(builder.info.features).get("image")
    # With a version TFDS reads from files that it prepared, and describes types in another way.
    shape = getattr(image, "shape", None)
    try:
        if shape is None or np.dtype(image.np_dtype) != np.uint8:
            raise ValueError(shape)
        check_shape(shape)
    except ValueError as error:
        found = "no images" if shape is None else f"{np.dtype(image.np_dtype)} {list(shape)}"
        raise BadRequest(
            f"dataset {name!r} must have images of one shape, uint8 [height, width, 1 or 3] with "
            f"sides from {SMALLEST_SIDE} up, received {found}"
        ) from error
    return builder


def _find_archives(builder, archives: str | Path | None) -> Path | None:
    if archives is None:
        archives = EMBEDDED_ARCHIVES / builder.name
        if not archives.is_dir():
            return None
    archives = Path(archives)
    # A builder with a version, of what is prepared already, does not know where it came from.
    infos = builder.url_infos or _builder(builder.name).url_infos
    expected = sorted(info.filename for info in infos.values())
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
    from tensorflow_datasets.core.download import downloader
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

    downloader.MAX_RETRIES = _DOWNLOAD_RETRIES
    tfds.disable_progress_bar()
    # Without a network TFDS warns at each try; its error says it all.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    # Of names of its own that it will drop.
    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        # TFDS would keep the unpacked archives under their own names, which are the same for
        # several datasets, and take those of one for those of another. Where one archive is
        # damaged, threads may still unpack the others while the directory is removed.
        directory = Path(builder.data_dir)
        alone = contextlib.nullcontext() if directory.is_dir() else _alone(directory)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as unpacked, alone:
            # A builder from before another process prepared the dataset does not know its splits.
            builder = _builder(name)
            image = builder.info.features["image"]
            image.encode_example = functools.partial(_encoded, image.shape, image.encode_example)
            config = tfds.download.DownloadConfig(manual_dir=archives, extract_dir=unpacked)
            builder.download_and_prepare(download_config=config)
    except NonMatchingChecksumError as error:
        raise BadRequest(
            f"dataset {builder.name!r}: expected the original archives: {_first_line(error)}"
        ) from error
    except (tfds.download.DownloadError, requests.RequestException) as error:
        raise BadRequest(
            f"dataset {builder.name!r}: expected a download, or the directory of its archives, "
            f"received: {_first_line(error)}"
        ) from error
    names, has_labels = _names(builder), _label(builder) is not None
    if "train" not in names:
        raise BadRequest(
            f"dataset {builder.name!r} must have a split train, received "
            f"{', '.join(builder.info.splits) or 'none'}"
        )
    # What TFDS adds by default (a cache, padding, more threads) takes half as long again.
    config = tfds.ReadConfig(
        try_autocache=False, skip_prefetch=True, num_parallel_calls_for_interleave_files=1
    )
    features = tfds.decode.PartialDecoding({"image", "label"} if has_labels else {"image"})
    splits = {}
    for name in names:
        read = builder.as_dataset(split=name, decoders=features, read_config=config)
        whole = read.batch(builder.info.splits[name].num_examples).get_single_element()
        images = whole["image"].numpy()
        labels = whole["label"].numpy() if has_labels else np.zeros(len(images))
        splits[name] = Split(images, labels.astype("int64"))
    return splits


def _encoded(shape: tuple[int, ...], encode: Callable, image) -> bytes:
    """Returns what `encode` of TFDS does, a PNG file, sooner if `image` is an array.

    TFDS hands arrays to TensorFlow one by one, which is most of the time of preparing MNIST. Pillow
    takes less than half of it.
    """
    if not isinstance(image, np.ndarray) or (image.shape, image.dtype) != (shape, np.uint8):
        return encode(image)
    file = io.BytesIO()
    grey = shape[-1] == 1
    Image.fromarray(image[..., 0] if grey else image).save(file, "PNG", compress_level=1)
    return file.getvalue()


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keeps others from preparing a dataset, and clears up after those that were killed at it."""
    # TFDS fails if two processes prepare a dataset at once. Others find it done.
    with locked(directory.parent / ".lock"):
        for left in directory.parent.glob(f"incomplete.*_{directory.name}"):
            remove(left)
        yield


def _damaged(name: str, reason: str) -> BadRequest:
    directory = data_directory()
    return BadRequest(
        f"expected what TFDS prepared as {name!r} in {directory}, received damaged files: remove "
        f"{directory}/{plain_dataset(name)} and start again ({reason})"
    )


def _read_arrays(directory: Path, known: str | None) -> tuple[dict[str, Split] | None, str]:
    """Returns the splits that an earlier start left, and their checksum, if all is as it was."""
    try:
        path = directory / _ARRAYS
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            splits = {
                key: Split(arrays[f"{key}_images"], arrays[f"{key}_labels"])
                for key in SPLITS
                if f"{key}_images" in arrays
            }
        expected = known or (directory / _ARRAYS_CHECKSUM).read_text(encoding="utf-8")
        shape = splits["train"].images.shape[1:]
        are_sound = all(_is_sound(split, shape) for split in splits.values())
        if are_sound and checksum(splits.values()) == expected:
            return splits, expected
    except Exception:
        pass  # Whatever is wrong with them, they can be made again.
    return None, ""


def _is_sound(split: Split, shape: tuple[int, ...]) -> bool:
    images, labels, n = split.images, split.labels, len(split)
    types, shapes = (images.dtype, labels.dtype), (images.shape, labels.shape)
    alike = types == (np.uint8, np.int64) and shapes == ((n, *shape), (n,))
    return alike and n > 0 and labels.min() >= 0


def _first_line(error: Exception) -> str:
    # TensorFlow's messages begin with the name of a node.
    return " ".join(re.sub(r"^{{.*?}}", "", str(error)).split())[:400]


def image_shape(name: str) -> tuple[int, int, int]:
    """Returns the shape of a dataset's images, without preparing it."""
    with _refusing_of(name):
        return tuple(dict(_builder(name).info.features)["image"].shape)


def cache_directory(name: str) -> Path:
    """Returns the directory of a prepared dataset, where what is derived from it may be kept."""
    with _refusing_of(name):
        return Path(_builder(name).data_dir)
