"""The pipeline against the raw archives, and what it refuses."""

import gzip
import hashlib
import io
import itertools
import json
import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from keras_ae import data, recipes
from keras_ae.errors import BadRequest
from keras_ae.files import remove
from tests.conftest import PROJECT

ARCHIVES = PROJECT / "data" / "mnist"
FASHION_ARCHIVES = PROJECT.parent / "shared" / "data" / "fashion_mnist"


def raw(prefix: str) -> list[bytes]:
    """Label and pixels of each example, straight from the archives."""
    images = gzip.decompress((ARCHIVES / f"{prefix}-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((ARCHIVES / f"{prefix}-labels-idx1-ubyte.gz").read_bytes())[8:]
    return [labels[i : i + 1] + images[784 * i : 784 * (i + 1)] for i in range(len(labels))]


def rows(*splits: data.Split) -> list[bytes]:
    return [
        bytes([label]) + image.tobytes()
        for split in splits
        for image, label in zip(split.images, split.labels, strict=True)
    ]


def test_splits_hold_the_archives_byte_for_byte(dataset):
    # TFDS stores the examples in an order of its own.
    assert sorted(rows(dataset.train, dataset.validation)) == sorted(raw("train"))
    assert sorted(rows(dataset.test)) == sorted(raw("t10k"))
    assert [len(s) for s in (dataset.train, dataset.validation, dataset.test)] == [
        55_000,
        5_000,
        10_000,
    ]


def test_full_train_and_subset_are_prefixes_of_the_same_order(dataset):
    full = data.load(full_train=True)
    assert rows(full.train) == rows(dataset.train, dataset.validation)
    assert len(full.validation) == 0
    few = data.load(train_images=70)
    assert rows(few.train) == rows(dataset.train[:70])
    assert rows(few.validation) == rows(dataset.validation)
    assert few.checksum == full.checksum == dataset.checksum


def test_archives_are_the_documented_ones():
    table = (PROJECT / "data" / "README.md").read_text(encoding="utf-8")
    for archive in ARCHIVES.glob("*.gz"):
        line = next(line for line in table.splitlines() if archive.name in line)
        assert hashlib.sha256(archive.read_bytes()).hexdigest() in line


def epoch_of(batches: data.ShuffledBatches, epoch: int) -> list[tuple[np.ndarray, np.ndarray]]:
    batches.on_epoch_begin(epoch)
    return list(batches.dataset.as_numpy_iterator())


def test_every_image_comes_once_an_epoch_and_the_last_batch_is_smaller(dataset):
    images = dataset.train.images[:1000]
    batches = data.ShuffledBatches(images, batch_size=64, seed=0)
    assert batches.steps == len(batches.dataset) == 16
    epoch = epoch_of(batches, 0)
    assert [len(inputs) for inputs, _ in epoch] == [64] * 15 + [40]
    inputs, targets = (np.concatenate(column) for column in zip(*epoch, strict=True))
    np.testing.assert_array_equal(inputs, targets)
    assert inputs.dtype == np.float32
    assert inputs.shape[1:] == (28, 28, 1)
    recovered = np.rint(inputs * 255).astype("uint8")
    assert sorted(map(bytes, recovered)) == sorted(map(bytes, images))
    np.testing.assert_array_equal(inputs, data.to_float(recovered))


@pytest.mark.parametrize(
    "random",
    [
        {},
        {"noise_std": 0.3},
        {"shift_std": 0.5},
        {"noise_std": 0.3, "any_noise": True, "shift_std": 1},
    ],
)
def test_order_noise_and_shifts_are_a_function_of_seed_and_epoch_alone(dataset, random):
    def batches(seed):
        return data.ShuffledBatches(dataset.train.images[:500], 100, seed, **random)

    first = batches(seed=1)
    epochs = [epoch_of(first, epoch) for epoch in range(3)]
    # Another object goes straight to the last epoch, as a resumed run does.
    for (inputs, targets), (same_inputs, same_targets) in zip(
        epochs[2], epoch_of(batches(seed=1), 2), strict=True
    ):
        np.testing.assert_array_equal(inputs, same_inputs)
        np.testing.assert_array_equal(targets, same_targets)
    others = [epochs[0], epochs[1], epoch_of(batches(seed=2), 2)]
    assert not any(np.array_equal(epochs[2][0][1], other[0][1]) for other in others)


def test_noise_is_on_the_inputs_only_fresh_for_each_batch_and_clipped(dataset):
    image = np.repeat(dataset.train.images[:1], 200, axis=0)
    epoch = epoch_of(data.ShuffledBatches(image, 100, seed=0, noise_std=0.2), 0)
    for _, targets in epoch:
        np.testing.assert_array_equal(targets, data.to_float(image[:100]))
    first, second = (inputs for inputs, _ in epoch)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first[0], first[1])
    assert (first.min(), first.max()) == (0.0, 1.0)
    # On black pixels half the noise is clipped away: the mean of max(noise, 0).
    black = first[:, data.to_float(image[0]) == 0]
    assert black.mean() == pytest.approx(0.2 / np.sqrt(2 * np.pi), rel=0.02)
    assert (black == 0).mean() == pytest.approx(0.5, abs=0.01)


def test_any_noise_is_of_all_strengths_alike(dataset):
    image = np.repeat(dataset.train.images[:1], 400, axis=0)
    batches = data.ShuffledBatches(image, 200, seed=0, noise_std=0.5, any_noise=True)
    black = data.to_float(image[0]) == 0
    means = [inputs[:, black].mean(axis=1) for inputs, _ in epoch_of(batches, 0)]
    # As above: the mean of max(noise, 0) on black pixels.
    strengths = np.concatenate(means) * np.sqrt(2 * np.pi)
    assert scipy.stats.kstest(strengths, scipy.stats.uniform(0, 0.5).cdf).pvalue > 0.05
    assert abs(np.corrcoef(*np.split(strengths, 2))[0, 1]) < 0.2


def test_shifts_are_by_whole_pixels_as_often_as_a_rounded_gaussian(dataset):
    # Colour, not square, and with something at the edges, which is repeated.
    grey = data.to_float(dataset.train.images[:1000, 6:22, 4:])
    images = np.concatenate([grey, grey**2, 1 - grey], axis=-1)
    moved = data.shifted(images, 0.6, seed=(3, 1)).numpy()
    wide = np.pad(images, ((0, 0), (3, 3), (3, 3), (0, 0)), mode="edge")
    counts = {}
    for down, right in itertools.product(range(-3, 4), repeat=2):
        candidate = wide[:, 3 - down : 19 - down, 3 - right : 27 - right]
        counts[down, right] = np.sum((moved == candidate).all(axis=(1, 2, 3)))
    assert sum(counts.values()) == len(images)
    edges = scipy.stats.norm(0, 0.6).cdf(np.arange(-3.5, 4))
    expected = len(images) * np.outer(np.diff(edges), np.diff(edges))
    found = np.reshape(list(counts.values()), (7, 7))
    assert np.all(np.abs(found - expected) < 4 * np.sqrt(expected) + 1)
    assert np.abs(found.sum(axis=0) - found.sum(axis=1)).max() > 0  # Not the same in both.


def test_inputs_move_with_their_targets(dataset):
    images = dataset.train.images[:100]
    batches = data.ShuffledBatches(images, 100, seed=0, noise_std=1e-4, shift_std=1.0)
    (inputs, targets), (_, later) = (epoch_of(batches, epoch)[0] for epoch in (0, 1))
    np.testing.assert_allclose(inputs, targets, atol=1e-3)
    assert not np.array_equal(inputs, targets)
    for moved in (targets, later):
        still = {row.tobytes() for row in data.to_float(images)}
        # Two axes, each of which stays with a probability of 0.383.
        assert sum(row.tobytes() in still for row in moved) == pytest.approx(14.7, abs=10)


def test_fit_tells_the_dataset_which_epoch_begins(dataset):
    seen = []

    class Recorder(keras.Model):
        def train_step(self, batch):
            tf.py_function(lambda inputs: seen.append(inputs.numpy()), [batch[0]], [])
            return {"loss": 0.0}

    batches = data.ShuffledBatches(dataset.train.images[:6], 4, seed=0)
    model = Recorder()
    model.compile(steps_per_execution=2)
    model.fit(
        batches.dataset, epochs=5, initial_epoch=3, callbacks=[batches], verbose=0, shuffle=False
    )
    expected = epoch_of(batches, 3) + epoch_of(batches, 4)
    assert len(seen) == len(expected)
    for inputs, (expected_inputs, _) in zip(seen, expected, strict=True):
        np.testing.assert_array_equal(inputs, expected_inputs)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cats_vs_dogs", r"must have images of one shape.* received uint8 \[None, None, 3\]"),
        ("imdb_reviews", r"must have images of one shape.* received no images"),
        ("fashion_mnsit", "did you mean fashion_mnist.* received 'fashion_mnsit'"),
        ("../mnist", r"expected the name of a TFDS dataset.* received '\.\./mnist'"),
    ],
)
def test_a_dataset_of_another_kind_is_refused(name, message):
    with pytest.raises(BadRequest, match=message):
        data.load(name)


def test_more_training_images_than_there_are_is_refused():
    with pytest.raises(BadRequest, match=r"at most 55000.* received 55001"):
        data.load(train_images=55_001)


def test_some_classes_are_kept_in_training_and_validation_and_the_test_stays_whole(dataset):
    some = data.load(train_classes=(3, 7))
    for ours, whole in ((some.train, dataset.train), (some.validation, dataset.validation)):
        expected = [row for row, label in enumerate(whole.labels) if label == 3 or label == 7]
        np.testing.assert_array_equal(ours.images, whole.images[expected])
        np.testing.assert_array_equal(ours.labels, whole.labels[expected])
    np.testing.assert_array_equal(some.test.labels, dataset.test.labels)
    few = data.load(train_classes=[7], train_images=20)
    np.testing.assert_array_equal(few.train.images, some.train[some.train.labels == 7].images[:20])
    recipe = recipes.get("mlp").override(train_classes=(3, 7))
    np.testing.assert_array_equal(data.load_for(recipe).train.labels, some.train.labels)


def test_classes_and_counts_that_are_not_there_are_refused(dataset):
    with pytest.raises(BadRequest, match=r"labels of mnist, 0 to 9, received 10, 11"):
        data.load(train_classes=(1, 10, 11))
    zeros = np.sum(dataset.train.labels == 0)
    with pytest.raises(BadRequest, match=f"at most {zeros}.* received {zeros + 1}"):
        data.load(train_classes=(0,), train_images=zeros + 1)


@pytest.fixture
def fresh_tfds(tmp_path, monkeypatch):
    """A TFDS data directory in which nothing is prepared yet."""
    from tensorflow_datasets.core import constants

    monkeypatch.setattr(constants, "DATA_DIR", str(tmp_path / "tfds"))
    return tmp_path / "tfds"


def test_a_missing_archive_is_named(tmp_path, fresh_tfds):
    shutil.copytree(ARCHIVES, tmp_path / "archives")
    (tmp_path / "archives" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(BadRequest, match=r"received a directory without t10k-labels-idx1-ubyte.gz"):
        data.load(archives=tmp_path / "archives")
    with pytest.raises(BadRequest, match=r"without t10k-images-idx3-ubyte.gz, t10k-labels"):
        data.load(archives=tmp_path / "nowhere")


def test_a_damaged_archive_is_named(tmp_path, fresh_tfds):
    archives = tmp_path / "archives"
    shutil.copytree(ARCHIVES, archives)
    damaged = archives / "train-labels-idx1-ubyte.gz"
    content = bytearray(damaged.read_bytes())
    content[5000] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(BadRequest, match=r"train-labels-idx1-ubyte.gz.* wrong checksum"):
        data.load(archives=archives)
    # Nothing half prepared is left: the sound archives do at once.
    assert data.load().version == "3.0.1"


def test_two_processes_may_prepare_a_dataset_at_once(tmp_path, dataset):
    program = "from keras_ae import data; print(data.load().checksum)"
    environment = {**os.environ, "TFDS_DATA_DIR": str(tmp_path / "tfds")}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=PROJECT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        assert output.split()[-1] == dataset.checksum


def test_damaged_arrays_are_made_again(dataset, fresh_tfds):
    data.load()
    arrays = next(fresh_tfds.rglob("*.npz"))
    content = bytearray(arrays.read_bytes())
    content[30_000_000] ^= 1
    arrays.write_bytes(content)
    assert data.load().checksum == dataset.checksum
    arrays.write_bytes(content[:1000])
    assert data.load().checksum == dataset.checksum


def reverse_labels(arrays):
    return {**arrays, "train_labels": arrays["train_labels"][::-1]}


def make_noise(arrays):
    shape = arrays["train_images"].shape
    return {
        **arrays,
        "train_images": np.random.default_rng(0).integers(256, size=shape, dtype="u1"),
    }


WRONG_ARRAYS = {
    "noise": make_noise,
    "reversed labels": reverse_labels,
    "100 labels": lambda arrays: {**arrays, "train_labels": arrays["train_labels"][:100]},
    "labels of text": lambda arrays: {**arrays, "train_labels": arrays["train_labels"].astype("U")},
    "labels in a table": lambda arrays: {**arrays, "test_labels": arrays["test_labels"][:, None]},
    "labels of bytes": lambda arrays: {**arrays, "test_labels": arrays["test_labels"].astype("u1")},
    "images of floats": lambda arrays: {**arrays, "test_images": arrays["test_images"] / 255},
    "no test": lambda arrays: {name: arrays[name] for name in arrays if "test" not in name},
    "fewer of all": lambda arrays: {name: array[:9000] for name, array in arrays.items()},
    "nothing": lambda arrays: {name: array[:0] for name, array in arrays.items()},
}


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


OTHER_FILES = {
    "one array": lambda path: path.write_bytes(npy(np.zeros(3))),
    "a pickle": lambda path: path.write_bytes(npy(np.array([{}, None]))),
    "text": lambda path: path.write_text("arrays"),
    "empty": lambda path: path.write_bytes(b""),
    "a directory": lambda path: (path.unlink(), path.mkdir()),
    "a loop of links": lambda path: (path.unlink(), path.symlink_to(path.name)),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The arrays in a TFDS data directory in which the digits are prepared."""
    from tensorflow_datasets.core import constants

    directory = tmp_path_factory.mktemp("tfds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "DATA_DIR", str(directory))
        data.load()
    return next(directory.rglob("*.npz"))


@pytest.fixture
def arrays_file(prepared, monkeypatch):
    """The same as TFDS' data directory, whole before and after the test."""
    from tensorflow_datasets.core import constants

    monkeypatch.setattr(constants, "DATA_DIR", str(prepared.parents[2]))
    contents = {path: path.read_bytes() for path in prepared.parent.glob("keras_ae_arrays.*")}
    yield prepared
    for path, content in contents.items():
        remove(path)
        path.write_bytes(content)


@pytest.mark.parametrize("case", [*WRONG_ARRAYS, *OTHER_FILES])
def test_arrays_that_are_not_the_dataset_are_made_again(case, arrays_file, dataset):
    if case in WRONG_ARRAYS:
        with np.load(arrays_file) as arrays:
            changed = WRONG_ARRAYS[case](dict(arrays))
        with arrays_file.open("wb") as file:
            np.savez(file, **changed)
    else:
        OTHER_FILES[case](arrays_file)
    assert data.tfds._read_arrays(arrays_file.parent, dataset.checksum) == (None, "")
    if case in ("noise", "one array", "a loop of links"):  # It takes seconds.
        again = data.load()
        assert again.checksum == dataset.checksum
        assert rows(again.train[-100:], again.test) == rows(dataset.train[-100:], dataset.test)
        _, checksum = data.tfds._read_arrays(arrays_file.parent, dataset.checksum)
        assert checksum == dataset.checksum


def test_arrays_of_other_datasets_have_their_checksum_beside_them(
    arrays_file, dataset, monkeypatch
):
    monkeypatch.setattr(data.tfds, "_CHECKSUMS", {})  # As of a dataset that is not embedded.
    beside = arrays_file.with_name("keras_ae_arrays.sha256")
    assert beside.read_text() == dataset.checksum
    for damage in (
        lambda: beside.unlink(),
        lambda: beside.write_text("0" * 64),
        lambda: beside.write_bytes(b"\xff"),
        lambda: (beside.unlink(), beside.mkdir()),
    ):
        damage()
        assert data.tfds._read_arrays(beside.parent, None) == (None, "")
    assert data.load().checksum == dataset.checksum
    assert beside.read_text() == dataset.checksum
    with np.load(arrays_file) as arrays:
        changed = reverse_labels(dict(arrays))
    with arrays_file.open("wb") as file:
        np.savez(file, **changed)
    assert data.load().checksum == dataset.checksum
    # Sound arrays are read, not made again.
    written = arrays_file.stat().st_mtime_ns
    data.load()
    assert arrays_file.stat().st_mtime_ns == written


def test_embedded_checksum_is_that_of_the_shipped_models():
    for path in (PROJECT / "saved_models" / "pretrained").glob("*/config.json"):
        trained_on = json.loads(path.read_text())["dataset"]
        key = (trained_on["name"], trained_on["version"])
        assert data.tfds._CHECKSUMS[key] == trained_on["checksum"]


def test_prepared_files_that_are_another_dataset_are_refused(arrays_file, monkeypatch):
    monkeypatch.setattr(data.tfds, "_CHECKSUMS", {("mnist", "3.0.1"): "0" * 64})
    with pytest.raises(BadRequest, match=r"received damaged files: remove .*expected checksum 00"):
        data.load()


@pytest.mark.parametrize("shape", [(28, 28, 1), (9, 13, 3)])
def test_images_are_encoded_without_loss_as_tfds_does(shape, dataset):
    pixels = dataset.test.images.ravel()
    start = np.flatnonzero(pixels)[0]
    image = pixels[start : start + np.prod(shape)].reshape(shape)
    encoded = data.tfds._encoded(shape, lambda image: pytest.fail("TFDS encodes it"), image)
    np.testing.assert_array_equal(tf.io.decode_image(encoded), image)
    # Whatever else there may be is for TFDS to encode or to refuse.
    for other in ("a/file.png", image[1:], image.astype("float32")):
        assert data.tfds._encoded(shape, lambda image: image, other) is other


def test_what_a_killed_preparation_left_is_removed(fresh_tfds, dataset):
    left = fresh_tfds / "mnist" / "incomplete.7GXK2A_3.0.1"
    other = fresh_tfds / "mnist" / "incomplete.7GXK2A_2.0.0"
    for directory in (left, other):
        directory.mkdir(parents=True)
        (directory / "mnist-train.tfrecord-00000-of-00001").write_bytes(b"half")
    assert data.load().checksum == dataset.checksum
    assert not left.exists()
    assert other.exists()


@pytest.mark.skipif(not FASHION_ARCHIVES.is_dir(), reason="no second dataset at hand")
def test_another_dataset_by_name(fresh_tfds):
    # The archives of both have the same names. One must not be taken for the other.
    data.load()
    fashion = data.load("fashion_mnist", archives=FASHION_ARCHIVES)
    raw_images = gzip.decompress((FASHION_ARCHIVES / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    expected = np.frombuffer(raw_images, "uint8").reshape(-1, 784)
    assert sorted(map(bytes, fashion.test.images)) == sorted(map(bytes, expected))
    # Prepared once, it needs its archives no more.
    assert data.load("fashion_mnist").checksum == fashion.checksum
