"""Own pictures: from files and arrays of any kind to bytes that are alike."""

import collections
import contextlib
import dataclasses
import io
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
from PIL import Image, ImageOps

from keras_ae.data import cache, pixels
from keras_ae.errors import BadRequest
from keras_ae.files import EXHAUSTED, check_images, refusing
from keras_ae.recipe import check_values

# By their suffixes, and as Pillow calls them: it has others that start programs.
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "PPM", "WEBP")
_GREY = ("1", "L", "LA", "La", "I", "I;16")
_COLOUR = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
_FRAMES = "of several frames, of which the first was taken"
_TURNED = "that lie on their side, which were turned as their EXIF data say"
_ORIENTATION = 0x0112  # Its number in EXIF.
# Folders above the classes, by the names that are in use.
_SPLITS = {
    "train": "train", "training": "train", "test": "test", "testing": "test",
    "validation": "validation", "valid": "validation", "val": "validation",
}  # fmt: skip
# Arrays of a .npz: images, their labels, their split.
_ARRAYS = (("x_train", "y_train", "train"), ("x_test", "y_test", "test"), ("images", "labels", ""))
_THREADS = 4


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Pictures of one shape, in the order of their names or of their array.

    Attributes:
        names: Of each picture its file below the folder, or its place, as in `digits.npy[17]`.
        images: uint8 `[n, height, width, channels]` with 1 (grey) or 3 (colour) channels.
        labels: int64 `[n]`, places in `classes`; 0 where there are no labels.
        classes: Names of the labels; none where there are no labels.
        splits: Of each picture `train`, `validation` or `test`, or `""` where nothing says it.
        notes: What was rounded, dropped or left out, in lines that have been printed.
    """

    names: list[str]
    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    splits: np.ndarray
    notes: tuple[str, ...] = ()


def read_images(
    path: str | Path, image_size: Sequence[int] | None = None, color: str | None = None
) -> Pictures:
    """Reads pictures of your own.

    Example:

    ```python
    np.save("noise.npy", np.random.default_rng(0).integers(256, size=(5, 20, 30), dtype="uint8"))
    pictures = keras_ae.data.read_images("noise.npy", color="rgb")
    pictures.images.shape  # (5, 20, 30, 3)
    pictures.names[4]  # noise.npy[4]
    ```

    Args:
        path: One of

            - a `.npz` with `x_train`, or with `x_train` and `x_test`, and labels as `y_train` and
              `y_test`, or with `images` and `labels`; labels may be missing;
            - a `.npy` with images;
            - a folder of picture files. Folders in it are classes, named `train`, `test` and
              `validation` they are splits, and folders in those classes;
            - a picture file.

            Arrays are `[n, height, width]` or `[n, height, width, channels]` with 1, 3, or 4
            (alpha) channels: bytes, 16 bits, booleans, or floats in [0, 1].
        image_size: Height and width to resize to; `None` to leave the pictures as they are.
        color: `grey` or `rgb`, to convert to; `None` to leave the pictures as they are.

    Returns:
        The pictures. What was rounded or dropped is printed.

    Raises:
        BadRequest: If something cannot be read, or the pictures differ in size or colour. The
            message names the file.
    """
    check_values({"images": str(path), "image_size": image_size, "color": color})
    check_images(path)
    path = Path(path)
    if path.is_dir():
        pictures = _read_folder(path, image_size, color)
    elif path.suffix.lower() in (".npz", ".npy"):
        pictures = _read_arrays(path, image_size, color)
    elif path.suffix.lower() in SUFFIXES:
        images, notes = _read_files(path.parent, [path.name], image_size, color)
        pictures = _labelled([path.name], images, None, [""], notes)
    else:
        raise BadRequest(
            f"expected a .npz, a .npy, a folder or a picture ({', '.join(SUFFIXES)}), "
            f"received {path}"
        )
    for note in pictures.notes:
        print(f"note: {note}")
    return pictures


def _labelled(names, images, labels, splits, notes) -> Pictures:
    if labels is None:
        classes, labels = (), np.zeros(len(names), "int64")
    else:
        classes, labels = np.unique(labels, return_inverse=True)
        labels = labels.astype("int64")
    classes = tuple(one.decode() if isinstance(one, bytes) else str(one) for one in classes)
    return Pictures(names, images, labels, classes, np.array(splits, "U10"), tuple(notes))


@contextlib.contextmanager
def _broken(expected: str, path: Path) -> Iterator[None]:
    """Makes a `BadRequest` of whatever a reader of files raises about their contents."""
    try:
        yield
    except BadRequest:
        raise
    except Exception as error:  # Those of damaged files are of all kinds.
        if isinstance(error, OSError) and error.errno in EXHAUSTED:
            raise
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:200]
        raise BadRequest(
            f"expected {expected}, received {path}: {reason or type(error).__name__}"
        ) from error


def _joined(
    blocks: Iterable[tuple[list[str], np.ndarray, list[str]]],
) -> tuple[np.ndarray, list[str]]:
    """Joins images `[n, h, w, c]`, if all are alike, and returns notes about them.

    Of each of the blocks the names, the images and what was done to them are given.
    """
    arrays, done, first = [], collections.defaultdict(list), None
    for names, images, remarks in blocks:
        first = first or (names[0], images.shape[1:])
        for same, what, argument in (
            (images.shape[1:3] == first[1][:2], "size", "image_size"),
            (images.shape[3] == first[1][2], "colour", "color"),
        ):
            if not same:
                a, b = ("x".join(map(str, shape)) for shape in (first[1], images.shape[1:]))
                raise BadRequest(
                    f"expected pictures of one {what}, or `{argument}` to make it one, received "
                    f"{first[0]} of {a} and {names[0]} of {b}"
                )
        arrays.append(images)
        for remark in remarks:
            done[remark] += names
    notes = [f"{len(names):,} pictures {remark}, such as {names[0]}"
             for remark, names in done.items()]  # fmt: skip
    return np.concatenate(arrays), notes


# --- Arrays ---


def _read_arrays(path: Path, image_size, color) -> Pictures:
    with _broken("a file of arrays", path), path.open("rb") as file:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            arrays = {"images": loaded}
        else:
            with loaded:
                arrays = dict(loaded.items())
    found = [keys for keys in _ARRAYS if keys[0] in arrays]
    if not found or found[0][2] == "test" or {"", "train"} <= {split for *_, split in found}:
        raise BadRequest(
            "expected the array x_train, also with y_train, x_test and y_test, or the array "
            f"images, also with labels, received {path} with {', '.join(arrays) or 'nothing'}"
        )
    blocks, labels, splits, all_names = [], [], [], []
    for key, labels_key, split in found:
        place = path.name if path.suffix.lower() == ".npy" else f"{path.name}:{key}"
        images, remarks = _as_images(arrays.pop(key), place)
        names = [f"{place}[{row}]" for row in range(len(images))]
        blocks.append((names, pixels.fit(images, image_size, color, names[0]), remarks))
        if labels_key in arrays:
            labels.append(_as_labels(arrays.pop(labels_key), f"{path.name}:{labels_key}", names))
        all_names += names
        splits += [split] * len(images)
    if labels and (len(labels) < len(found) or len({one.dtype.kind in "US" for one in labels}) > 1):
        raise BadRequest(
            f"expected labels of one kind for all pictures or for none, received {path} with "
            f"{', '.join(str(one.dtype) for one in labels)} for {len(found)} arrays of pictures"
        )
    images, notes = _joined(blocks)
    if arrays:
        notes.append(f"{path.name} has arrays that are not used: {', '.join(arrays)}")
    return _labelled(all_names, images, np.concatenate(labels) if labels else None, splits, notes)


def _as_images(array: np.ndarray, name: str) -> tuple[np.ndarray, list[str]]:
    shape = array.shape if array.ndim == 4 else (*array.shape, 1)
    if len(shape) != 4 or shape[3] not in (1, 3, 4) or 0 in shape:
        raise BadRequest(
            "expected pictures [n, height, width] or [n, height, width, 1, 3 or 4], received "
            f"{name} of {array.dtype} {list(array.shape)}"
        )
    images, remarks = pixels.to_bytes(array.reshape(shape), name)
    return (
        (pixels.on_black(images), [*remarks, pixels.ALPHA]) if shape[3] == 4 else (images, remarks)
    )


def _as_labels(array: np.ndarray, place: str, names: list[str]) -> np.ndarray:
    # Those of Keras' CIFAR are [n, 1].
    if array.dtype.kind not in "iubUS" or array.shape not in ((len(names),), (len(names), 1)):
        raise BadRequest(
            f"expected labels of {len(names)} pictures, integers or text [n], received {place} of "
            f"{array.dtype} {list(array.shape)}"
        )
    return array.reshape(-1)


# --- Files ---


def _read_folder(folder: Path, image_size, color) -> Pictures:
    with refusing("a folder of pictures that can be read", folder):
        files = dict(sorted(_files(folder, (os.path.realpath(folder),))))
    others = [name for name in files if not name.lower().endswith(SUFFIXES)]
    files = {name: state for name, state in files.items() if name.lower().endswith(SUFFIXES)}
    if not files:
        raise BadRequest(
            f"expected pictures ({', '.join(SUFFIXES)}) in {folder}, received "
            f"{f'only others, such as {others[0]}' if others else 'an empty folder'}"
        )
    splits, labels = _places(folder, [name.split("/") for name in files])
    state = cache.digest([list(files.items()), image_size, color])
    images, notes = cache.read(folder, [image_size, color], state) or (None, [])
    if images is None:
        images, notes = _read_files(folder, list(files), image_size, color)
        cache.write(folder, [image_size, color], state, images, notes)
    if others:
        notes = [
            *notes,
            f"{len(others):,} files that are no pictures were left out, such as {others[0]}",
        ]
    return _labelled(list(files), images, labels, splits, notes)


def _files(folder: Path, above: tuple[str, ...], prefix: str = "") -> Iterator[tuple[str, tuple]]:
    """Yields the files in a folder, at any depth: names below it, with size and time of change."""
    for entry in os.scandir(folder):
        if entry.name.startswith("."):
            continue
        name = prefix + entry.name
        if not entry.is_dir():
            # Of a link to nothing this says which it is.
            yield name, (entry.stat().st_size, entry.stat().st_mtime_ns)
        elif (place := os.path.realpath(entry)) not in above:  # Links may lead around.
            yield from _files(Path(entry), (*above, place), f"{name}/")


def _places(folder: Path, parts: list[list[str]]) -> tuple[list[str], list[str] | None]:
    """Returns the split of each picture by its path, and its class, if they have classes."""
    tops = {_SPLITS.get(path[0].lower()) if path[1:] else None for path in parts}
    are_splits = None not in tops
    if not are_splits and {"train", "test"} <= tops:
        odd = next(path for path in parts if not path[1:] or path[0].lower() not in _SPLITS)
        raise BadRequest(
            "expected pictures below the folders train, test and validation alone, or in none of "
            f"them, received {folder / '/'.join(odd)}"
        )
    splits = [_SPLITS[path[0].lower()] if are_splits else "" for path in parts]
    below = [path[are_splits:] for path in parts]
    bare = [path for path, rest in zip(parts, below, strict=True) if not rest[1:]]
    if bare and len(bare) < len(parts):
        raise BadRequest(
            "expected all pictures in folders of classes or none of them, received "
            f"{folder / '/'.join(bare[0])} beside such folders"
        )
    return splits, None if bare else [rest[0] for rest in below]


def _read_files(folder: Path, names: list[str], image_size, color) -> tuple[np.ndarray, list[str]]:
    def block(name: str) -> tuple[list[str], np.ndarray, list[str]]:
        with _broken("a picture", folder / name):
            image, remarks = _decode((folder / name).read_bytes(), name)
        return [name], pixels.fit(image[None], image_size, color, name), remarks

    with warnings.catch_warnings(), ThreadPoolExecutor(_THREADS) as pool:
        # Pillow warns of odd data that do not matter, and of sizes from which it may run away.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return _joined(pool.map(block, names))


def _decode(content: bytes, name: str) -> tuple[np.ndarray, list[str]]:
    """Returns a picture as uint8 `[height, width, 1 or 3]`, and what had to be done to it."""
    with Image.open(io.BytesIO(content), formats=_FORMATS) as opened:
        mode, frames = opened.mode, getattr(opened, "n_frames", 1)
        has_alpha = mode[-1] in "Aa" or ("transparency" in opened.info and mode[0] != "I")
    if mode not in (*_GREY, *_COLOUR):
        raise BadRequest(f"expected a picture of 8 or 16 bits, received {name} of the mode {mode}")
    kind = "rgba" if has_alpha else "grayscale" if mode in _GREY else "rgb"
    picture = keras.utils.load_img(io.BytesIO(content), color_mode=kind)
    remarks = [_FRAMES] if frames > 1 else []
    if picture.getexif().get(_ORIENTATION, 1) != 1:
        picture, remarks = ImageOps.exif_transpose(picture), [*remarks, _TURNED]
    array = np.asarray(picture)
    if array.dtype == np.int32 and array.min() >= 0 and array.max() < 2**16:
        array = array.astype("uint16")  # The way in which some files of 16 bits are read.
    array, more = pixels.to_bytes(array, name)
    remarks += more
    if has_alpha:
        array, remarks = pixels.on_black(array), [*remarks, pixels.ALPHA]
    if mode not in _GREY:
        return array, remarks
    return (array[..., :1] if has_alpha else array[..., None]), remarks
