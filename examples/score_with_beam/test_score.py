"""From pictures to verdicts, and what is refused or set aside. `test.sh` runs it."""

import csv
import subprocess
import sys
from pathlib import Path

import make_records
import numpy as np
import pytest
import score
import tensorflow as tf
from PIL import Image

from keras_ae import data

HERE = Path(__file__).parent
MODEL = HERE.parents[1] / "saved_models" / "pretrained" / "conv" / "saved_model"


def run(script: str, *arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, HERE / script, *map(str, arguments)]
    return subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True)


def rows(directory: Path, name: str) -> list[dict[str, str]]:
    """Returns the rows of all shards of a file."""
    shards = sorted(directory.glob(f"{name}-*.csv"))
    return [row for shard in shards for row in csv.DictReader(shard.open())]


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return data.load().test.images


@pytest.fixture(scope="module")
def records(digits, tmp_path_factory) -> Path:
    """The test digits in 20 records of 2 files."""
    directory = tmp_path_factory.mktemp("records") / "mnist"
    made = run("make_records.py", "mnist", directory)
    assert made.returncode == 0, made.stderr
    assert made.stdout == f"wrote 10000 images of 28x28x1 to {directory}\n"
    return directory


@pytest.fixture(scope="module")
def expected(digits) -> tuple[np.ndarray, np.ndarray]:
    """Scores and verdicts of the signature itself, with the same batches."""
    detect = tf.saved_model.load(str(MODEL)).signatures["detect"]
    batches = np.split(data.to_float(digits), 20)
    answers = [detect(images=tf.constant(batch)) for batch in batches]
    names = ("scores", "anomalous")
    return tuple(np.concatenate([answer[name] for answer in answers]) for name in names)


def test_scores_and_verdicts_are_those_of_the_signature(records, expected, tmp_path):
    arguments = ("--model", MODEL, "--records", records / "*", "--output", tmp_path / "out")
    done = run("score.py", *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "scored 10000 images of 20 records, set 0 records aside\n"
    found = {row["key"]: row for row in rows(tmp_path / "out", "scores")}
    assert sorted(found) == [f"mnist-test-{number:05}" for number in range(10_000)]
    in_order = [found[key] for key in sorted(found)]
    np.testing.assert_array_equal([np.float32(row["score"]) for row in in_order], expected[0])
    verdicts = [row["verdict"] == "anomalous" for row in in_order]
    np.testing.assert_array_equal(verdicts, expected[1])
    assert 0 < sum(verdicts) < 1000
    assert rows(tmp_path / "out", "damaged") == []


def test_a_folder_of_pictures_is_scored_by_name(digits, expected, tmp_path):
    for number in range(3):
        path = tmp_path / "pictures" / f"class, {number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits[number, ..., 0]).save(path)
    made = run("make_records.py", tmp_path / "pictures", tmp_path / "records", "--images", 2)
    assert made.returncode == 0, made.stderr
    counts = score.score(str(MODEL), f"{tmp_path}/records/*", str(tmp_path / "out"))
    assert counts == {"images": 3, "records": 2, "damaged": 0}
    found = {row["key"]: float(row["score"]) for row in rows(tmp_path / "out", "scores")}
    names = [f"class, {number % 2}/{number}.png" for number in range(3)]
    assert found == pytest.approx(dict(zip(names, expected[0], strict=False)), rel=1e-5)


def test_damaged_records_are_counted_and_set_aside(digits, tmp_path):
    directory = tmp_path / "records"
    directory.mkdir()

    def write(name: str, *contents: bytes) -> Path:
        with tf.io.TFRecordWriter(str(directory / name)) as writer:
            for content in contents:
                writer.write(content)
        return directory / name

    def good(first: int) -> bytes:
        keys = [f"digit-{number:02}" for number in range(first, first + 10)]
        return make_records.encode(keys, digits[first : first + 10])

    size = len(good(0)) + 16
    # A byte of the second of three records is another one; the third is read again.
    flipped = write("flipped", good(0), good(10), good(20))
    content = bytearray(flipped.read_bytes())
    content[size + 100] ^= 1
    flipped.write_bytes(content)
    # The length of the second of three is another one: what follows is lost.
    lost = write("lost", good(30), good(40), good(50))
    content = bytearray(lost.read_bytes())
    content[size] ^= 1
    lost.write_bytes(content)
    cut = write("cut", good(60))
    cut.write_bytes(cut.read_bytes()[:-1])
    # Sound records of something else.
    wide = make_records.encode(["wide"], np.zeros((1, 32, 32, 1), "uint8"))
    short = make_records.encode(["short"], digits[0, :27][None]).replace(b"\x1b", b"\x1c")
    write("other", b"no example", b"", wide, short, good(70))

    counts = score.score(str(MODEL), f"{directory}/*", str(tmp_path / "out"))
    assert counts == {"images": 40, "records": 4, "damaged": 7}
    keys = {row["key"] for row in rows(tmp_path / "out", "scores")}
    of_tens = {f"digit-{ten * 10 + number:02}" for ten in (0, 2, 3, 7) for number in range(10)}
    assert keys == of_tens
    aside = rows(tmp_path / "out", "damaged")
    assert len(aside) == 7
    assert {(Path(row["file"]).name, row["offset"]) for row in aside} >= {
        ("flipped", str(size)),
        ("lost", str(size)),
        ("cut", "0"),
        ("other", "0"),
    }
    assert all(row["reason"] for row in aside)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"--model": "nowhere"},
            "expected nowhere to be a SavedModel with the signature detect, rec",
        ),
        ({"--model": str(HERE)}, "to be a SavedModel with the signature detect, received: "),
        ({"--records": "nowhere/*"}, "--records: expected files, received none for nowhere/*"),
        ({"--records": "no://where"}, "expected paths and a runner that Beam knows, received: "),
        ({"--output": str(HERE)}, "--output: expected a directory that is not there, rece"),
        ({"--runner": "FlnikRunner"}, "a runner that Beam knows, received: Unexpected pipeline"),
    ],
)
def test_a_bad_request_to_score_is_refused_in_one_line(change, message, records, tmp_path):
    arguments = {"--model": MODEL, "--records": records / "*", "--output": tmp_path / "out"}
    done = run("score.py", *[word for pair in (arguments | change).items() for word in pair])
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mnits", "out"), "mnits"),
        ((str(HERE), "out"), "received"),
        (("mnist", str(HERE)), "expected a directory that is not there yet, received"),
        (("mnist", "out", "--images", "0"), "--images: expected 1 or more, received 0"),
        (("mnist", "out", "--split", "tset"), "invalid choice: 'tset'"),
    ],
)
def test_a_bad_request_for_records_is_refused_in_one_line(
    arguments, message, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    assert make_records.main(arguments) == 2
    # TensorFlow complains of its own where there is no network.
    said = capfd.readouterr().err.splitlines()
    errors = [line for line in said if line.startswith("make_records.py: ")]
    assert len(errors) == 1, said
    assert message in errors[0]
    assert list(tmp_path.iterdir()) == []
