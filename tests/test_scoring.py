"""New pictures, scored with a trained run."""

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import keras_ae
from keras_ae import data
from keras_ae.commands import evaluate
from keras_ae.errors import BadRequest
from keras_ae.evaluation.context import Context
from keras_ae.options import Options, is_path
from keras_ae.runs import Run


@pytest.fixture
def run(mlp_run, tmp_path) -> Run:
    """A copy of a run of `mlp` on digits."""
    return Run(shutil.copytree(mlp_run.directory, tmp_path / "run"))


@pytest.fixture
def folder(tmp_path, dataset) -> Path:
    """Three digits of the test split, and one of them inverted."""
    (tmp_path / "pictures").mkdir()
    for index in range(3):
        Image.fromarray(dataset.test.images[index, ..., 0]).save(tmp_path / f"pictures/{index}.png")
    Image.fromarray(255 - dataset.test.images[0, ..., 0]).save(tmp_path / "pictures/inverted.png")
    return tmp_path / "pictures"


def _main(*arguments) -> int:
    return evaluate.main([str(argument) for argument in arguments])


def test_scores_are_those_of_the_model_and_stand_alone_on_stdout(run, folder, dataset, capsys):
    assert _main(run.directory, "--score", folder) == 0
    written = capsys.readouterr()
    head, *lines = [line.split("\t") for line in written.out.splitlines()]
    assert head == ["picture", "score", "verdict"]
    assert [name for name, *_ in lines] == ["0.png", "1.png", "2.png", "inverted.png"]
    images = np.concatenate([dataset.test.images[:3], 255 - dataset.test.images[:1]]) / 255
    outputs = keras.models.load_model(run.model).predict(images.astype("float32"), verbose=0)
    expected = np.mean((images - outputs) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose([float(score) for _, score, _ in lines], expected, rtol=1e-4)
    above = expected > json.loads(run.export.read_text())["threshold"]
    assert above.tolist().count(True) < 4
    assert above[3]
    assert [verdict == "anomaly" for *_, verdict in lines] == above.tolist()
    assert f"{above.sum()} of 4 pictures are above the threshold" in written.err
    with run.scored.open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [head, *lines]
    with Image.open(run.scored_worst) as figure:
        assert figure.width > 300
    # Nothing else is written, and a run that has been evaluated can be replaced.
    assert {path.name for path in run.evaluation.iterdir()} == {"scored.csv", "scored_worst.png"}
    run.check_free(overwrite=True)


def test_threshold_is_that_of_the_anomaly_stage(run, folder):
    whole = keras_ae.evaluate(run.directory, only=["anomaly"], percentile=90.0)
    rows = whole["stages"]["anomaly"]["tables"]["threshold"]["rows"]
    scored = keras_ae.evaluate(run.directory, score=folder, percentile=90.0)
    assert scored["threshold"] == rows["validation"]["threshold"]
    assert scored["percentile"] == 90
    exported = json.loads(run.export.read_text())["threshold"]
    other = keras_ae.evaluate(run.directory, score=folder)
    assert other["threshold"] == pytest.approx(exported, rel=1e-6)
    assert other["threshold"] > scored["threshold"]
    # The stages of the evaluation are still there.
    assert list(json.loads(run.evaluation_metrics.read_text())["stages"]) == ["anomaly"]


def test_one_picture_and_arrays_are_scored_too(run, folder, tmp_path, dataset):
    np.save(tmp_path / "some.npy", dataset.test.images[:2, ..., 0] / 255)
    arrays = keras_ae.evaluate(run.directory, score=tmp_path / "some.npy")["pictures"]
    one = keras_ae.evaluate(run.directory, score=folder / "1.png")["pictures"]
    assert list(arrays) == ["some.npy[0]", "some.npy[1]"]
    assert one["1.png"]["score"] == pytest.approx(arrays["some.npy[1]"]["score"], rel=1e-5)


def test_without_validation_images_there_is_no_verdict(run, folder, capsys, monkeypatch):
    monkeypatch.setattr(Context, "threshold", None)
    assert _main(run.directory, "--score", folder) == 0
    written = capsys.readouterr()
    assert all(line.endswith("\t") for line in written.out.splitlines()[1:])
    assert "no verdicts: the run was trained on the validation images, too" in written.err


def test_names_of_files_cannot_break_the_table(run, folder, capsys):
    shutil.move(folder / "0.png", folder / "tab\tand\nline.png")
    assert _main(run.directory, "--score", folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert all(line.count("\t") == 2 for line in lines)


def test_pictures_get_the_form_of_the_run(tmp_path, dataset, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "cache"))
    np.save(tmp_path / "own.npy", dataset.train.images[:300])
    form = {"image_size": [10, 12], "color": "rgb"}
    images = str(tmp_path / "own.npy")
    keras_ae.train("dense", tmp_path / "run", images=images, epochs=1, latent_dim=2, **form)
    np.save(tmp_path / "new.npy", dataset.test.images[:5, 4:-4])
    scored = keras_ae.evaluate(tmp_path / "run", score=tmp_path / "new.npy")["pictures"]
    brought = data.to_float(data.read_images(tmp_path / "new.npy", **form).images)
    assert brought.shape == (5, 10, 12, 3)
    expected = keras_ae.load(tmp_path / "run").score(brought)
    np.testing.assert_allclose([one["score"] for one in scored.values()], expected, rtol=1e-5)
    # Those of another dataset, too, of which all are test images.
    section = keras_ae.evaluate(tmp_path / "run", only=["anomaly"], ood=tmp_path / "new.npy")
    rows = section["stages"]["anomaly"]["tables"]["threshold"]["rows"]
    assert rows["new test"]["score_mean"] == pytest.approx(expected.mean(), rel=1e-5)


# Each is refused in one line, and nothing is written.
REFUSED = {
    "nothing there": (["--score", "{place}/nothing"], "as --score, received"),
    "no picture": (["--score", "{place}/text.txt"], "text.txt"),
    "broken picture": (["--score", "{place}/broken.png"], "broken.png"),
    "another shape": (
        ["--score", "{place}/colour.npy"],
        "--score: expected pictures of 28x28 grey pixels, as the run was trained on, received "
        "colour.npy[0] of 9x8 colour pixels",
    ),
    "with a stage": (["--score", "{place}/colour.npy", "--only", "latent"], "received only"),
    "another shape to separate": (["--ood", "{place}/colour.npy"], "--ood: expected pictures of"),
    "archives of a path": (
        ["--ood", "{place}/colour.npy", "--ood-archives", "{place}"],
        "--ood-archives needs the name of the dataset",
    ),
    "pictures of another kind of run": (["--images", "{place}/colour.npy"], "--images: expected"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case, mlp_run, tmp_path, capfd):
    arguments, expected = REFUSED[case]
    np.save(tmp_path / "colour.npy", np.zeros((2, 9, 8, 3), "uint8"))
    (tmp_path / "text.txt").write_text("no picture")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG no more")
    assert _main(mlp_run.directory, *(one.format(place=tmp_path) for one in arguments)) == 2
    message = capfd.readouterr().err
    assert message.count("\n") == 1, message
    assert expected in message
    assert not mlp_run.evaluation.exists()


def test_what_is_a_path_and_what_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ("mnist", "emnist/letters", "mnist:3.0.1", "mnist:3.*.*", "here")
    assert not any(map(is_path, names))
    Path("here").mkdir()
    paths = ("here", "./mnist", "../mnist", "/data", "~/data", "some.npz", "some/one.png")
    assert all(map(is_path, paths))
    assert not is_path("a\0b")
    assert not is_path("x" * 5000)


def test_defaults_fit_few_test_images_and_what_is_given_does_not_change():
    def resolved(test_images: int, **options) -> tuple[int, ...]:
        found = Options(**options).resolved({"name": "own", "test": test_images})
        return found.interp_idx1, found.interp_idx2, found.nll_images

    assert resolved(10_000) == (12, 3456, 1000)
    assert resolved(200) == (12, 199, 200)
    assert resolved(13) == (0, 12, 13)
    assert resolved(1) == (0, 0, 1)
    assert resolved(200, interp_idx2=5, nll_images=7) == (12, 5, 7)
    for name, value in (("interp_idx2", 200), ("nll_images", 201), ("clean_idx", 200)):
        with pytest.raises(BadRequest, match=f"{name} must be .*received {value}"):
            resolved(200, **{name: value})


def test_same_pictures_are_no_other_dataset(mlp_run, dataset):
    other = dataclasses.replace(dataset, name="copy")
    with pytest.raises(BadRequest, match="has the same images"):
        Context(mlp_run, None, None, dataset, other, Options(ood="copy"))
