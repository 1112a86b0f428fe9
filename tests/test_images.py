"""Own pictures: what is read, split, cached, refused, trained on and resumed."""

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import keras
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from sklearn import datasets as sklearn

from keras_ae import data, recipe, recipes
from keras_ae.commands import train
from keras_ae.errors import BadRequest
from keras_ae.evaluation.evaluate import open_run
from keras_ae.loading import load_dataset
from keras_ae.models import autoencoder
from keras_ae.options import Options
from keras_ae.runs import Run
from keras_ae.training import run as training
from tests.conftest import PROJECT
from tests.kill_and_resume import content, differences


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch) -> Path:
    """The place of the caches; TFDS has found its own before."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    return tmp_path / "tfds" / "keras_ae_images"


@pytest.fixture(scope="module")
def images(dataset) -> np.ndarray:
    """60 real digits of uneven shape, uint8 `[60, 28, 20, 1]`."""
    return np.ascontiguousarray(dataset.train.images[:60, :, 4:24])


@pytest.fixture(scope="module")
def labels(dataset) -> np.ndarray:
    return dataset.train.labels[:60]


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    """A real one, uint8 `[40, 60, 3]`."""
    return np.ascontiguousarray(sklearn.load_sample_images().images[0][100:180:2, 200:320:2])


def save(path: Path, array: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.squeeze(array, -1) if array.shape[-1] == 1 else array
    Image.fromarray(array).save(path, **options)
    return path


def folder(directory: Path, images: np.ndarray, labels=None, suffix: str = ".png") -> Path:
    """Writes pictures, in folders by label."""
    for number, image in enumerate(images):
        below = directory if labels is None else directory / f"class {labels[number]}"
        save(below / f"{number:04d}{suffix}", image)
    return directory


# === What is read ===


ARRAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "bytes": lambda images: images,
    "bytes without channels": lambda images: images[..., 0],
    "floats": lambda images: (images / 255).astype("float32"),
    "doubles": lambda images: images / 255,
    "16 bits": lambda images: images.astype("uint16") * 257,
    "integers": lambda images: images.astype("int64"),
    "alpha": lambda images: np.concatenate(
        [np.full_like(images, 255)] * 3 + [images], axis=-1
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_of_every_kind_are_the_same_bytes(case, images, tmp_path, capsys):
    np.save(tmp_path / "digits.npy", ARRAYS[case](images))
    pictures = data.read_images(tmp_path / "digits.npy")
    expected = np.repeat(images, 3, axis=-1) if case == "alpha" else images
    np.testing.assert_array_equal(pictures.images, expected)
    assert pictures.images.dtype == np.uint8
    assert pictures.names[17] == "digits.npy[17]"
    assert (pictures.classes, set(pictures.splits), pictures.labels.tolist()) == (
        (), {""}, [0] * 60,
    )  # fmt: skip
    assert bool(pictures.notes) == ("bytes" not in case)
    assert capsys.readouterr().out == "".join(f"note: {note}\n" for note in pictures.notes)


def test_floats_are_rounded_and_truths_are_black_and_white(images, tmp_path):
    floats = np.random.default_rng(0).uniform(size=images.shape)
    np.save(tmp_path / "some.npy", floats)
    assert np.abs(data.read_images(tmp_path / "some.npy").images - 255 * floats).max() <= 0.5
    np.save(tmp_path / "some.npy", images > 127)
    np.testing.assert_array_equal(
        data.read_images(tmp_path / "some.npy").images, np.where(images > 127, 255, 0)
    )


def test_arrays_with_splits_and_labels_of_text_or_numbers(images, labels, tmp_path):
    path = tmp_path / "digits.npz"
    words = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "n"])
    for given, names in ((labels, "0123456789"), (words[labels], sorted(words)),
                         (labels[:, None] - 5, map(str, range(-5, 5)))):  # fmt: skip
        np.savez(path, x_train=images[:50], y_train=given[:50], x_test=images[50:],
                 y_test=given[50:])  # fmt: skip
        pictures = data.read_images(path)
        assert pictures.classes == tuple(names)
        np.testing.assert_array_equal(
            np.array(pictures.classes)[pictures.labels], given.reshape(-1).astype(str)
        )
        assert pictures.splits.tolist() == ["train"] * 50 + ["test"] * 10
        assert pictures.names[-1] == "digits.npz:x_test[9]"
        np.testing.assert_array_equal(pictures.images, images)
    np.savez(path, images=images, other=labels)
    assert "arrays that are not used: other" in data.read_images(path).notes[0]


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".pgm", ".webp", ".PNG"])
def test_files_of_every_format(suffix, images, labels, tmp_path):
    options = {"lossless": True} if suffix == ".webp" else {}
    for number, image in enumerate(images[:12]):
        shown = np.repeat(image, 3, -1) if suffix == ".webp" else image
        save(tmp_path / "digits" / f"{labels[number]}" / f"{number:02d}{suffix}", shown, **options)
    pictures = data.read_images(tmp_path / "digits", color="grey")
    rows = sorted(range(12), key=lambda row: (labels[row], row))
    np.testing.assert_array_equal(pictures.images, images[rows])
    assert pictures.names[0] == f"{labels[rows[0]]}/{rows[0]:02d}{suffix}"
    assert pictures.classes == tuple(sorted({str(label) for label in labels[:12]}))
    assert [pictures.classes[label] for label in pictures.labels] == [str(labels[r]) for r in rows]
    assert pictures.notes == ()


def test_folders_are_classes_and_above_them_splits(images, labels, tmp_path):
    root = tmp_path / "digits"
    for name, part in (("Train", slice(0, 40)), ("val", slice(40, 50)), ("testing", slice(50, 60))):
        folder(root / name, images[part], labels[part])
    save(root / "Train" / "class 3" / "deeper" / "still" / "one.png", images[0])
    (root / ".DS_Store").write_bytes(b"hidden")
    (root / ".git").mkdir()
    (root / ".git" / "a.png").write_bytes(b"hidden")
    (root / "Train" / "._0001.png").write_bytes(b"hidden")
    (root / "Train" / "notes.txt").write_text("no picture")
    (root / "Train" / "loop").symlink_to(root)
    pictures = data.read_images(root)
    assert len(pictures.images) == 61
    assert pictures.classes == tuple(f"class {number}" for number in range(10))
    place = pictures.names.index("Train/class 3/deeper/still/one.png")
    assert (pictures.classes[pictures.labels[place]], pictures.splits[place]) == (
        "class 3", "train",
    )  # fmt: skip
    counts = {name: int((pictures.splits == name).sum()) for name in set(pictures.splits)}
    assert counts == {"train": 41, "validation": 10, "test": 10}
    (note,) = pictures.notes
    assert note == "1 files that are no pictures were left out, such as Train/notes.txt"
    # A class may be called like a split.
    folder(tmp_path / "vehicles" / "train", images[:3])
    folder(tmp_path / "vehicles" / "bus", images[3:6])
    assert data.read_images(tmp_path / "vehicles").classes == ("bus", "train")


def test_one_picture(photograph, tmp_path):
    path = save(tmp_path / "flower.png", photograph)
    pictures = data.read_images(path)
    assert (pictures.names, pictures.classes) == (["flower.png"], ())
    np.testing.assert_array_equal(pictures.images, photograph[None])


def _with_palette(path: Path, photograph: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(photograph).quantize(16)
    picture.save(path.with_suffix(".png"), transparency=3)
    opaque = np.asarray(picture) != 3
    return np.asarray(picture.convert("RGB")) * opaque[..., None]


def _animated(path: Path, photograph: np.ndarray) -> np.ndarray:
    frames = [Image.fromarray(one).quantize(64) for one in (photograph, photograph[::-1])]
    frames[0].save(path.with_suffix(".gif"), save_all=True, append_images=frames[1:])
    return np.asarray(frames[0].convert("RGB"))


def _turned(path: Path, photograph: np.ndarray) -> np.ndarray:
    exif = Image.Exif()
    exif[0x0112] = 6  # The camera was turned by 90 degrees.
    Image.fromarray(photograph).save(path.with_suffix(".png"), exif=exif)
    return np.rot90(photograph, -1)


def _cmyk(path: Path, photograph: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(photograph).convert("CMYK")
    picture.save(path.with_suffix(".tif"))
    return np.asarray(picture.convert("RGB"))


def _sixteen(path: Path, photograph: np.ndarray) -> np.ndarray:
    grey = photograph[..., :1]
    Image.fromarray(grey[..., 0].astype("uint16") * 257).save(path.with_suffix(".png"))
    return grey


def _grey_alpha(path: Path, photograph: np.ndarray) -> np.ndarray:
    both = np.stack([np.full_like(photograph[..., 0], 255), photograph[..., 0]], axis=-1)
    Image.fromarray(both, mode=None).save(path.with_suffix(".png"))
    return photograph[..., :1]


KINDS = {
    "a palette with transparency": (_with_palette, "alpha"),
    "several frames": (_animated, "the first was taken"),
    "turned": (_turned, "turned as their EXIF data say"),
    "CMYK": (_cmyk, None),
    "16 bits": (_sixteen, "scaled to 8"),
    "grey with alpha": (_grey_alpha, "laid on black"),
}


@pytest.mark.parametrize("case", KINDS)
def test_odd_files_are_read_with_a_note(case, photograph, tmp_path):
    write, note = KINDS[case]
    (tmp_path / "odd").mkdir()
    expected = write(tmp_path / "odd" / "flower", photograph)
    pictures = data.read_images(tmp_path / "odd")
    np.testing.assert_array_equal(pictures.images, expected[None])
    assert len(pictures.notes) == (note is not None)
    assert all(note in told and told.startswith("1 pictures") for told in pictures.notes)


def test_size_and_colour_are_changed_where_that_is_asked(images, photograph, tmp_path):
    mixed = tmp_path / "mixed"
    save(mixed / "a.png", images[0])
    save(mixed / "b.png", photograph)
    grey = data.read_images(mixed, image_size=(16, 24), color="grey").images
    rgb = data.read_images(mixed, image_size=[16, 24], color="rgb").images
    assert (grey.shape, rgb.shape) == ((2, 16, 24, 1), (2, 16, 24, 3))
    np.testing.assert_array_equal(rgb[0], np.repeat(grey[0], 3, axis=-1))
    # Halved sides are means of the pixels around, not every second pixel.
    np.save(tmp_path / "one.npy", photograph[None])
    half = data.read_images(tmp_path / "one.npy", image_size=(20, 30)).images[0].astype(float)
    means = photograph.reshape(20, 2, 30, 2, 3).mean(axis=(1, 3))
    assert np.abs(half - means).mean() < 0.5 * np.abs(photograph[::2, ::2] - means).mean()
    # Arrays and files take the same way.
    for options in ({"color": "grey"}, {"image_size": (9, 31)}, {"image_size": (33, 70)}):
        np.testing.assert_array_equal(
            data.read_images(tmp_path / "one.npy", **options).images,
            data.read_images(mixed / "b.png", **options).images,
        )
    weights = photograph @ np.array([0.299, 0.587, 0.114])
    assert (
        np.abs(data.read_images(mixed / "b.png", color="grey").images[0, ..., 0] - weights).max()
        < 1
    )


def test_scikit_learns_digits(tmp_path):
    digits = sklearn.load_digits()
    np.savez(tmp_path / "digits.npz", images=digits.images / 16, labels=digits.target)
    dataset = data.load_images(tmp_path / "digits.npz")
    assert dataset.image_shape == (8, 8, 1)
    assert dataset.classes == tuple("0123456789")
    assert dataset.name == "digits"
    assert sum(len(getattr(dataset, name)) for name in data.split.SPLITS) == 1797


# === What is refused ===


def _in_folder(*writers) -> Callable:
    def write(place: Path, images, photograph) -> Path:
        (place / "pictures").mkdir()
        for number, writer in enumerate(writers):
            writer(place / "pictures" / f"{'abcd'[number]}.png", images, photograph)
        return place / "pictures"

    return write


def _picture(path, images, photograph):
    save(path, images[0])


def _colour(path, images, photograph):
    save(path, np.repeat(images[0], 3, axis=-1))


def _large(path, images, photograph):
    save(path, photograph[..., :1])


def _cut(path, images, photograph):
    content = save(path, photograph).read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _text(path, images, photograph):
    path.write_text("no picture")


def _postscript(path, images, photograph):
    Image.fromarray(photograph).save(path, format="EPS")


def _bomb(path, images, photograph):
    Image.new("1", (20_000, 10_000)).save(path)


def _floats(path, images, photograph):
    Image.fromarray(images[0, ..., 0].astype("float32")).save(path, format="TIFF")


def _small(path, images, photograph):
    save(path, images[0, :7])


def _nothing(path, images, photograph):
    pass


def _notes(path, images, photograph):
    path.with_name("notes.txt").write_text("no picture")


def _unreadable(path, images, photograph):
    path.symlink_to("nowhere")


def _below(name: str) -> Callable:
    def write(path, images, photograph):
        save(path.parent / name, images[0])

    return write


def _array(change: Callable) -> Callable:
    def write(place: Path, images, photograph) -> Path:
        np.save(place / "digits.npy", change(images))
        return place / "digits.npy"

    return write


def _with_nan(images):
    floats = images / 255
    floats[3, 4, 5] = np.nan
    return floats


def _arrays(make: Callable) -> Callable:
    def write(place: Path, images, photograph) -> Path:
        np.savez(place / "digits.npz", **make(images))
        return place / "digits.npz"

    return write


def _bytes(name: str, content: bytes) -> Callable:
    def write(place: Path, images, photograph) -> Path:
        (place / name).write_bytes(content)
        return place / name

    return write


def _pickle(place: Path, images, photograph) -> Path:
    np.save(place / "digits.npy", np.array([{}, None]), allow_pickle=True)
    return place / "digits.npy"


def _half(place: Path, images, photograph) -> Path:
    file = io.BytesIO()
    np.savez(file, images=images)
    (place / "digits.npz").write_bytes(file.getvalue()[:3000])
    return place / "digits.npz"


REFUSED = {
    "nothing there": (lambda place, *_: place / "nowhere", "received .*nowhere: No such file"),
    "another suffix": (_bytes("digits.csv", b"1,2"), r"expected a \.npz, .*received .*digits\.csv"),
    "an empty folder": (_in_folder(_nothing), "received an empty folder"),
    "no pictures": (_in_folder(_notes), "received only others, such as notes.txt"),
    "mixed sizes": (_in_folder(_picture, _large),
                    "`image_size` .* a.png of 28x20x1 and b.png of 40x60x1"),
    "mixed colours": (_in_folder(_picture, _colour),
                      "`color` .* a.png of 28x20x1 and b.png of 28x20x3"),
    "a picture cut short": (_in_folder(_picture, _cut), "expected a picture, received .*b.png: .*"
                            "truncated"),
    "text": (_in_folder(_picture, _text), "a picture, received .*b.png: cannot identify"),
    "PostScript": (_in_folder(_postscript), "a picture, received .*a.png: cannot identify"),
    "too many pixels": (_in_folder(_bomb), "expected a picture, received .*a.png: .*exceeds limit"),
    "a file of floats": (_in_folder(_floats), "8 or 16 bits, received a.png of the mode F"),
    "a small side": (_in_folder(_small), "from 8 up, received a.png of 7x20: set `image_size`"),
    "a link to nothing": (_in_folder(_unreadable), "received .*pictures: No such file"),
    "classes and none": (_in_folder(_picture, _below("three/x.png")),
                         "classes or none of them, received .*a.png"),
    "beside train and test": (
        _in_folder(_below("train/x.png"), _below("test/x.png"), _below("more/x.png")),
        "train, test and validation alone, .*more/x.png"),
    "beyond one": (_array(lambda images: images / 200), r"digits.npy of float64 from 0 to 1\.275"),
    "negative": (_array(lambda images: images / 255 - 0.5), r"of float64 from -0\.5 to 0\.5"),
    "NaN": (_array(_with_nan), "of float64 from nan to nan"),
    "integers": (_array(lambda images: images.astype("int64") * 2), "of int64 from 0 to 510"),
    "signed": (_array(lambda images: images.astype("int16") - 1), "of int16 from -1 to 254"),
    "complex": (_array(lambda images: images * 1j), "of complex128"),
    "flat": (_array(lambda images: images.reshape(60, -1)), r"digits.npy of uint8 \[60, 560\]"),
    "two channels": (_array(lambda images: images.repeat(2, -1)), r"of uint8 \[60, 28, 20, 2\]"),
    "no images": (_array(lambda images: images[:0]), r"of uint8 \[0, 28, 20, 1\]"),
    "narrow": (_array(lambda images: images[:, :, :5]), r"digits.npy\[0\] of 28x5"),
    "a pickle": (_pickle, "expected a file of arrays, .*pickle"),
    "no arrays": (_bytes("digits.npz", b"text"), "a file of arrays, received .*digits.npz"),
    "half a file": (_half, "a file of arrays, received .*digits.npz"),
    "other names": (_arrays(lambda images: {"x": images}), "x_train.*digits.npz with x"),
    "only test": (_arrays(lambda images: {"x_test": images}), "x_train.*digits.npz with x_test"),
    "both ways": (_arrays(lambda images: {"x_train": images, "images": images}), "x_train, images"),
    "splits of two sizes": (
        _arrays(lambda images: {"x_train": images, "x_test": images[:, 2:]}),
        r"x_train\[0\] of 28x20x1 and digits.npz:x_test\[0\] of 26x20x1"),
    "few labels": (_arrays(lambda images: {"images": images, "labels": np.arange(59)}),
                   r"labels of 60 pictures.*digits.npz:labels of int64 \[59\]"),
    "one-hot labels": (_arrays(lambda images: {"images": images, "labels": np.eye(60)}),
                       r"labels of float64 \[60, 60\]"),
    "labels of one split": (
        _arrays(lambda images: {"x_train": images, "x_test": images, "y_test": np.arange(60)}),
        "labels of one kind for all pictures or for none"),
    "labels of two kinds": (
        _arrays(lambda images: {"x_train": images, "x_test": images, "y_test": np.arange(60),
                                "y_train": np.array(["a"] * 60)}),
        "labels of one kind for all pictures or for none"),
    "too few": (_array(lambda images: images[:19]), "at least 20 pictures.*received 19 for train"),
    "an empty split": (_array(lambda images: images[[0] * 60]), "of which the hashes make"),
    "validation alone": (
        _in_folder(*[_below(f"validation/{number}.png") for number in range(3)]),
        "received 3 for validation"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case, images, photograph, tmp_path, capfd, monkeypatch):
    write, message = REFUSED[case]
    place = tmp_path / "place"
    place.mkdir()
    path = write(place, images, photograph)
    with pytest.raises(BadRequest, match=message) as caught:
        data.load_images(path)
    assert "\n" not in str(caught.value)
    # The command says the same in one line, with flags, and writes nothing.
    monkeypatch.chdir(place)
    before = sorted(place.rglob("*"))
    assert train.main(["mlp", "--images", str(path), "-s", "run"]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert "`" not in error
    assert sorted(place.rglob("*")) == before


FLAGS = {
    ("--image-size", "32x32"): "--image-size needs --images",
    ("--color", "rgb"): "--color needs --images",
    ("--images", "{path}", "--dataset", "mnist"): "either --dataset or --images, received 'mnist'",
    ("--images", "{path}", "--archives", "."): "--archives is for a dataset by name",
    ("--images", "{path}", "--image-size", "32"): "argument --image-size: invalid HEIGHTxWIDTH",
    ("--images", "{path}", "--image-size", "7x8"): "height and width, integers from 8 to 10000",
    ("--images", "{path}", "--color", "blue"): "invalid choice: 'blue'",
    ("--images", ""): "expected .*--images",
    ("--images", "{path}", "--train-images", "61"): "train_images must be at most",
}


@pytest.mark.parametrize(("flags", "message"), FLAGS.items(), ids=str)
def test_flags_that_do_not_fit(flags, message, images, tmp_path, capfd):
    np.save(tmp_path / "digits.npy", images)
    flags = [flag.format(path=tmp_path / "digits.npy") for flag in flags]
    assert train.main(["mlp", *flags, "-s", str(tmp_path / "run")]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error), error
    assert not (tmp_path / "run").exists()


def test_one_smallest_side_for_models_and_pictures():
    assert recipe.SMALLEST_SIDE == autoencoder.SMALLEST_SIDE


# === Splits ===


def _hash(image: np.ndarray) -> int:
    return int.from_bytes(hashlib.sha256(image.tobytes()).digest()[:8], "little")


def test_missing_splits_are_made_by_the_hash_of_each_picture(dataset, tmp_path, capsys):
    images, labels = dataset.train.images[:2000], dataset.train.labels[:2000]
    twice = np.concatenate([images, images[:500]])
    np.savez(tmp_path / "a.npz", images=twice, labels=np.concatenate([labels, labels[:500]]))
    made = data.load_images(tmp_path / "a.npz")
    sizes = {name: len(getattr(made, name)) for name in ("train", "validation", "test")}
    assert sum(sizes.values()) == 2500
    assert 1900 < sizes["train"] < 2100
    assert 200 < sizes["validation"] < 300
    assert 200 < sizes["test"] < 300
    expected = {"validation": {0}, "test": {1}, "train": set(range(2, 10))}
    for name, tenths in expected.items():
        hashes = [_hash(image) for image in getattr(made, name).images]
        assert {value % 10 for value in hashes} == tenths
        assert hashes == sorted(hashes)
    label_of = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    for split in (made.train, made.validation, made.test):
        assert [label_of[image.tobytes()] for image in split.images] == split.labels.tolist()
    # Sizes and checksum are told, and follow from the pictures alone, not from their order.
    digest = hashlib.sha256()
    for split in (made.train, made.test, made.validation):
        digest.update(split.images.tobytes() + split.labels.tobytes())
    assert made.checksum == digest.hexdigest()
    told = capsys.readouterr().out
    assert made.checksum in told
    assert f"{sizes['train']:,} train, {sizes['test']} test, {sizes['validation']} valid" in told
    assert "28x28x1, 10 classes (0, 1, 2" in told
    order = np.random.default_rng(0).permutation(2500)
    np.savez(tmp_path / "b.npz", images=twice[order],
             labels=np.concatenate([labels, labels[:500]])[order])  # fmt: skip
    assert data.load_images(tmp_path / "b.npz").checksum == made.checksum
    # More pictures move none.
    np.savez(tmp_path / "c.npz", images=images[:1000], labels=labels[:1000])
    fewer = data.load_images(tmp_path / "c.npz")
    assert {*map(bytes, fewer.test.images)} <= {*map(bytes, made.test.images)}


def test_given_splits_stay_and_what_they_share_is_counted(dataset, tmp_path, capsys):
    images = dataset.train.images[:400]
    np.savez(tmp_path / "a.npz", x_train=images[:300], x_test=images[290:])
    made = data.load_images(tmp_path / "a.npz")
    assert sorted(map(bytes, made.test.images)) == sorted(map(bytes, images[290:]))
    assert len(made.train) + len(made.validation) == 300
    assert all(_hash(image) % 10 == 0 for image in made.validation.images)
    assert 15 < len(made.validation) < 50
    shared = {*map(bytes, made.train.images)} & {*map(bytes, made.test.images)}
    assert f"note: {len(shared)} of the test pictures are training pictures, too" in (
        capsys.readouterr().out
    )
    for name, part in (("train", slice(0, 200)), ("validation", slice(200, 290))):
        folder(tmp_path / "b" / name, images[part])
    made = data.load_images(tmp_path / "b")
    assert sorted(map(bytes, made.validation.images)) == sorted(map(bytes, images[200:290]))
    assert len(made.train) + len(made.test) == 200
    assert "too" not in capsys.readouterr().out


def test_some_of_the_pictures(dataset, tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, images=dataset.train.images[:500], labels=dataset.train.labels[:500])
    whole, full = data.load_images(path), data.load_images(path, full_train=True)
    assert len(full.train) == len(whole.train) + len(whole.validation)
    assert len(full.validation) == 0
    few = data.load_images(path, train_images=30)
    np.testing.assert_array_equal(few.train.images, whole.train.images[:30])
    assert len(set(few.train.labels)) > 5
    some = data.load_images(path, train_classes=(3, 7))
    assert set(some.train.labels) | set(some.validation.labels) == {3, 7}
    np.testing.assert_array_equal(some.test.images, whole.test.images)
    assert whole.checksum == full.checksum == few.checksum == some.checksum
    with pytest.raises(BadRequest, match="train_classes must be labels of a, 0 to 9, received 10"):
        data.load_images(path, train_classes=(10,))


# === The cache of a folder ===


def test_a_folder_is_read_once_until_it_changes(images, tmp_path, caches):
    root = folder(tmp_path / "digits", images)
    before = data.read_images(root)
    (kept,) = caches.glob("*.npz")
    changed = root / "0003.png"
    state, content = changed.stat(), changed.read_bytes()
    save(changed, images[5])
    other = changed.read_bytes()
    changed.write_bytes(other.ljust(len(content), b"\0")[: len(content)])
    os.utime(changed, ns=(state.st_atime_ns, state.st_mtime_ns))
    again = data.read_images(root)  # Same names, sizes and times: the file is not opened.
    np.testing.assert_array_equal(again.images, before.images)
    assert (again.names, again.notes) == (before.names, before.notes)
    changed.write_bytes(other)
    np.testing.assert_array_equal(data.read_images(root).images[3], images[5])
    changed.rename(root / "0070.png")
    renamed = data.read_images(root)
    assert renamed.names[-1] == "0070.png"
    np.testing.assert_array_equal(renamed.images[-1], images[5])
    (root / "0070.png").unlink()
    assert len(data.read_images(root).images) == 59
    # What was read before of the same folder is replaced; another way to read it is beside it.
    assert list(caches.glob("*.npz")) == [kept]
    assert data.read_images(root, color="rgb").images.shape == (59, 28, 20, 3)
    assert len(list(caches.glob("*.npz"))) == 2


def test_a_damaged_cache_is_made_again(images, tmp_path, caches):
    root = folder(tmp_path / "digits", images)
    data.read_images(root)
    (kept,) = caches.glob("*.npz")
    content = kept.read_bytes()
    with np.load(kept) as arrays:
        wrong = {**arrays, "images": arrays["images"][::-1]}
    for damage in (
        lambda: kept.write_bytes(content[:1000]),
        lambda: kept.write_bytes(b""),
        lambda: np.savez(kept, **wrong),
        lambda: np.savez(kept, images=images),
    ):
        damage()
        np.testing.assert_array_equal(data.read_images(root).images, images)
        assert kept.read_bytes() == content or kept.stat().st_size == len(content)


def test_no_place_for_a_cache_is_no_error(images, tmp_path, monkeypatch):
    root = folder(tmp_path / "digits", images)
    (tmp_path / "file").write_text("no directory")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "file"))
    np.testing.assert_array_equal(data.read_images(root).images, images)
    assert (tmp_path / "file").read_text() == "no directory"


def test_notes_come_from_the_cache_too(photograph, tmp_path, capsys):
    (tmp_path / "odd").mkdir()
    _turned(tmp_path / "odd" / "flower", photograph)
    first, second = (data.read_images(tmp_path / "odd") for _ in range(2))
    assert first.notes == second.notes != ()
    assert capsys.readouterr().out.count("turned as") == 2


# === Datasets of TFDS ===


class ColouredDigits(tfds.core.GeneratorBasedBuilder):
    """Digits 32x32 in colour: enough for a dataset with the splits that `SIZES` says."""

    VERSION = tfds.core.Version("1.0.0")
    SIZES: ClassVar = {"train": 200, "test": 50}
    CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

    def _info(self):
        features = {"image": tfds.features.Image(shape=(32, 32, 3))}
        if self.CLASSES:
            features["label"] = tfds.features.ClassLabel(names=list(self.CLASSES))
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(name, count) for name, count in self.SIZES.items()}

    def _generate_examples(self, name, count):
        digits = sklearn.load_digits()
        first = 500 * list(self.SIZES).index(name)
        for row in range(first, first + count):
            grey = (digits.images[row].repeat(4, 0).repeat(4, 1) * 15).astype("uint8")
            example = {"image": np.stack([grey, grey // 2, 255 - grey], axis=-1)}
            if self.CLASSES:
                example["label"] = int(digits.target[row])
            yield row, example


class PlainDigits(ColouredDigits):
    """Without labels, and with training images only."""

    SIZES: ClassVar = {"train": 300}
    CLASSES = ()


class SplitDigits(ColouredDigits):
    """With a validation split of its own."""

    SIZES: ClassVar = {"train": 100, "test": 30, "validation": 20}


class SmallDigits(ColouredDigits):
    """Images that models refuse."""

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(4, 4, 3))})
        )


@pytest.fixture
def fresh_tfds(tmp_path, monkeypatch):
    """A TFDS data directory in which nothing is prepared yet."""
    from tensorflow_datasets.core import constants

    monkeypatch.setattr(constants, "DATA_DIR", str(tmp_path / "tfds"))
    return tmp_path / "tfds"


def test_tfds_of_any_shape(fresh_tfds):
    made = data.load("coloured_digits")
    assert (made.image_shape, made.classes) == ((32, 32, 3), ColouredDigits.CLASSES)
    assert (len(made.test), len(made.train) + len(made.validation)) == (50, 200)
    assert all(_hash(image) % 10 == 0 for image in made.validation.images)
    digits = sklearn.load_digits()
    expected = {
        (digits.images[row].astype(int) * 15).tobytes(): digits.target[row] for row in range(200)
    }
    for image, label in zip(made.train.images, made.train.labels, strict=True):
        assert expected[image[::4, ::4, 0].astype(int).tobytes()] == label
    (arrays,) = fresh_tfds.rglob("keras_ae_arrays.npz")
    written = arrays.stat().st_mtime_ns
    again = data.load("coloured_digits")
    assert (again.checksum, arrays.stat().st_mtime_ns) == (made.checksum, written)
    np.testing.assert_array_equal(again.train.images, made.train.images)


def test_tfds_without_labels_or_test_images(fresh_tfds):
    made = data.load("plain_digits")
    assert (made.classes, set(made.train.labels)) == ((), {0})
    assert len(made.train) + len(made.validation) + len(made.test) == 300
    assert {_hash(image) % 10 for image in made.test.images} == {1}
    assert data.load("plain_digits").checksum == made.checksum


def test_tfds_with_validation_images(fresh_tfds):
    made = data.load("split_digits")
    assert [len(split) for split in (made.train, made.validation, made.test)] == [100, 20, 30]
    assert data.load("split_digits").checksum == made.checksum


def test_tfds_of_small_images_is_refused(fresh_tfds):
    with pytest.raises(BadRequest, match=r"sides from 8 up, received uint8 \[4, 4, 3\]"):
        data.load("small_digits")


# === Runs ===

SMALL = ("dense", "-e", "2", "-b", "20", "--figures-every", "9")


def _train(*arguments) -> int:
    keras.utils.clear_session()
    return train.main([str(argument) for argument in arguments])


@pytest.fixture
def pictures(images, labels, tmp_path) -> Path:
    """A folder of 60 digits of 28x20 pixels, in folders of classes."""
    return folder(tmp_path / "pictures", images, labels)


def test_a_run_on_pictures_keeps_what_they_were(pictures, tmp_path):
    run = Run(tmp_path / "run")
    assert _train(*SMALL, "--images", pictures, "--image-size", "16x12", "--color", "rgb",
                  "-s", run.directory) == 0  # fmt: skip
    config = run.read_config()
    own = {"images": str(pictures), "image_size": [16, 12], "color": "rgb", "archives": None}
    assert own.items() <= config["settings"].items()
    made = data.load_images(pictures, (16, 12), "rgb")
    assert config["dataset"] == {**made.describe(), **own}
    assert config["recipe"]["dataset"] is None
    assert config["dataset"]["name"] == "pictures"
    dataset = load_dataset(run)
    np.testing.assert_array_equal(dataset.train.images, made.train.images)
    model = keras.saving.load_model(run.model)
    assert model.image_shape == (16, 12, 3)
    assert json.loads(run.metrics.read_text())["test"]["mse"] > 0
    # A model of another shape is not the one that was trained.
    config["dataset"]["image_shape"] = [16, 13, 3]
    run.config.write_text(json.dumps(config))
    with pytest.raises(BadRequest, match=r"with image_shape \[16, 13, 3\], received"):
        open_run(run, Options(only=("history",), interp_idx1=0, interp_idx2=1))


def test_a_killed_run_resumes_on_pictures_that_moved(pictures, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(training.export, "export_run", lambda run, dataset: None)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert _train(*SMALL, "--images", pictures, "-s", whole) == 0
    program = (
        "import os, signal, sys, keras, keras_ae\n"
        "from keras_ae.training import checkpoints\n"
        "checkpoints.SECONDS_BETWEEN, checkpoints.SHARE = 0, float('inf')\n"
        "class Kill(keras.callbacks.Callback):\n"
        "    def on_train_batch_end(self, batch, logs=None):\n"
        "        self.count = getattr(self, 'count', 0) + 1\n"
        "        if self.count == 4: os.kill(os.getpid(), signal.SIGKILL)\n"
        "keras_ae.train('dense', sys.argv[2], images=sys.argv[1], epochs=2, batch_size=20,\n"
        "               figures_every=9, callbacks=[Kill()])\n"
    )
    done = subprocess.run([sys.executable, "-c", program, pictures, killed], cwd=PROJECT,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    kept = content(killed)
    moved = pictures.rename(tmp_path / "moved")
    refused = {
        (): "received .*pictures: No such file",
        ("--images", moved / "class 3"): "at least 20 pictures",
        ("--images", moved, "--color", "rgb"): "expected color None or no word of it",
    }
    for flags, message in refused.items():
        assert _train("--resume", *flags, "-s", killed) == 2
        assert re.search(message, capfd.readouterr().err)
    # One pixel of one picture is another.
    changed = shutil.copytree(moved, tmp_path / "changed")
    some = min(changed.rglob("*.png"))
    pixels = np.array(Image.open(some))
    pixels[0, 0] ^= 1
    save(some, pixels[..., None])
    assert _train("--resume", "--images", changed, "-s", killed) == 2
    assert re.search("with checksum .*, received checksum", capfd.readouterr().err)
    assert differences(killed, kept) == []
    assert _train("--resume", "--images", moved, "-s", killed) == 0
    assert "epoch 2/2" in capfd.readouterr().out
    differing = differences(killed, content(whole))
    assert differing == ["config.json"]
    before, after = (json.loads((one / "config.json").read_text()) for one in (whole, killed))
    for part in ("settings", "dataset"):
        assert (before[part].pop("images"), after[part].pop("images")) == (
            str(pictures), str(moved),
        )  # fmt: skip
    assert before == after
    # From here on it knows where they are.
    assert load_dataset(Run(killed)).name == "pictures"


def test_evaluation_takes_pictures_that_moved_and_refuses_others(pictures, tmp_path, capfd):
    run = Run(tmp_path / "run")
    keras.utils.clear_session()
    training.train(recipes.get("dense").override(epochs=1), run, images=pictures,
                   with_exports=False)  # fmt: skip
    moved = pictures.rename(tmp_path / "moved")
    assert load_dataset(run, moved).checksum == run.read_config()["dataset"]["checksum"]
    with pytest.raises(BadRequest, match=r"received .*pictures: No such file"):
        load_dataset(run)
    next(moved.rglob("*.png")).unlink()
    with pytest.raises(BadRequest, match=r"expected the dataset that the run in .* began with"):
        load_dataset(run, moved)
    assert train.main(["--export-only", str(run.directory), "--images", str(moved)]) == 2
    assert "with checksum" in capfd.readouterr().err
    assert not run.export.exists()


def test_runs_of_earlier_versions_have_no_pictures(tmp_path, mlp_run, capfd):
    run = Run(shutil.copytree(mlp_run.directory, tmp_path / "run"))
    config = run.read_config()
    for name in ("images", "image_size", "color"):
        del config["settings"][name], config["dataset"][name]
    del config["dataset"]["image_shape"], config["dataset"]["classes"]
    config["versions"]["keras_ae"] = "0.2.0"
    run.config.write_text(json.dumps(config))
    assert load_dataset(run).checksum == config["dataset"]["checksum"]
    assert run.read_settings()["images"] is None
    _, trained_on = run.read_trained()
    assert (trained_on["image_shape"], trained_on["color"]) == ([28, 28, 1], None)
    with pytest.raises(BadRequest, match="`images`: expected none, since the run in"):
        load_dataset(run, tmp_path)
    run.metrics.unlink()
    assert train.main(["--resume", "-s", str(run.directory), "--images", str(tmp_path)]) == 2
    assert "--images: expected none, since the run" in capfd.readouterr().err


@pytest.mark.parametrize("change", [
    {"dataset": None},
    {"images": "/tmp"},
    {"image_size": [32, 32]},
    {"color": "grey"},
    {"archives": "/tmp", "dataset": None, "images": "/tmp"},
], ids=str)  # fmt: skip
def test_config_with_two_sources_or_none(change, tmp_path, mlp_run):
    config = mlp_run.read_config()
    for name, value in change.items():
        config["recipe" if name == "dataset" else "settings"][name] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadRequest, match=r"in .*config.json: "):
        Run(tmp_path).read_settings()
