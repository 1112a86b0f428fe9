"""Images and labels from TensorFlow Datasets (TFDS), and the cache of the decoded arrays."""

import contextlib
import difflib
import logging
import os
import re
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.json_format import ParseError

from keras_ae.data.split import Split
from keras_ae.errors import BadRequest
from keras_ae.files import clear_up, locked, replacing
from keras_ae.models.autoencoder import IMAGE_SHAPE

# In a checkout the archives of the default dataset lie beside the package.
EMBEDDED_ARCHIVES = Path(__file__).parents[2] / "data"
_ARRAYS = "keras_ae_arrays.npz"


def read(name: str, archives: str | Path | None) -> tuple[dict[str, Split], str]:
    """Returns the splits `train` and `test` of a dataset, and its version; see `dataset.load`."""
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
        directory = Path(builder.data_dir)
        # TFDS fails if two processes prepare a dataset at once. Others find it done.
        lock = locked(directory.parent / ".lock")
        with contextlib.nullcontext() if directory.is_dir() else lock, unpacking as unpacked:
            # A builder from before another process prepared the dataset does not know its splits.
            builder = _builder(name)
            config = tfds.download.DownloadConfig(manual_dir=archives, extract_dir=unpacked)
            builder.download_and_prepare(download_config=config)
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
