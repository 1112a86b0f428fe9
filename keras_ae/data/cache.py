"""The cache of decoded folders of pictures, beside the data of TensorFlow Datasets (TFDS)."""

import contextlib
import hashlib
import json
import os
from pathlib import Path

import numpy as np

from keras_ae.files import clear_up, locked, replacing


def data_directory() -> Path:
    """Returns where TFDS keeps its data."""
    return Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def images_directory() -> Path:
    """Returns where what is made of own pictures is kept."""
    return data_directory() / "keras_ae_images"


def digest(value) -> str:
    """Returns the SHA-256 of what JSON can hold."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _path(folder: Path, how: list) -> Path:
    # One file for a folder and a way to read it: a changed folder replaces it.
    return images_directory() / f"{digest([str(folder.absolute()), how])[:16]}.npz"


def read(folder: Path, how: list, state: str) -> tuple[np.ndarray, list[str]] | None:
    """Returns what `write` was given for a folder, if its state is still the same."""
    try:
        with (
            _path(folder, how).open("rb") as file,
            np.load(file, allow_pickle=False) as arrays,
        ):
            about, images = json.loads(str(arrays["about"])), arrays["images"]
        checksum = hashlib.sha256(images.tobytes()).hexdigest()
        if (about["state"], about["checksum"]) == (state, checksum):
            return images, about["notes"]
    except Exception:
        pass  # Whatever is wrong with it, it can be made again.
    return None


def write(folder: Path, how: list, state: str, images: np.ndarray, notes: list[str]) -> None:
    """Keeps the images of a folder that was read in a way. A place that is read-only has none."""
    checksum = hashlib.sha256(images.tobytes()).hexdigest()
    about = {"state": state, "checksum": checksum, "notes": notes, "folder": str(folder.absolute())}
    with contextlib.suppress(OSError), locked(images_directory() / ".lock"):
        clear_up(images_directory())
        with replacing(_path(folder, how)) as draft:
            np.savez(draft, images=images, about=json.dumps(about))
