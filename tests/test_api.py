"""Training and evaluation as calls of Python, with callbacks of the user's own."""

import csv
import json
import os
import signal

import keras
import numpy as np
import pytest

import keras_ae
from keras_ae.commands import train
from keras_ae.errors import BadRequest, Interrupted, RunFailed
from keras_ae.runs import Run

SMALL = {"train_images": 300, "epochs": 3, "batch_size": 20}


class Recorder(keras.callbacks.Callback):
    """Writes down what it is told."""

    def __init__(self):
        super().__init__()
        self.told = []

    def on_train_begin(self, logs=None):
        self.told.append("begin")

    def on_epoch_begin(self, epoch, logs=None):
        self.told.append(f"epoch {epoch}")

    def on_epoch_end(self, epoch, logs=None):
        self.told.append(sorted(logs))

    def on_train_end(self, logs=None):
        self.told.append("end")


class Interrupting(keras.callbacks.Callback):
    """Sends SIGINT in the middle of the second epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and batch == 5:
            os.kill(os.getpid(), signal.SIGINT)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch


class Failing(keras.callbacks.Callback):
    """Raises an error when the training ends."""

    def on_train_end(self, logs=None):
        raise ConnectionError("the tracker does not answer")


def epochs_of(run: Run) -> int:
    with run.history.open() as file:
        return len(list(csv.DictReader(file)))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Run:
    run = Run(tmp_path_factory.mktemp("api") / "run")
    metrics = keras_ae.train("dense", run.directory, **SMALL)
    assert metrics == json.loads(run.metrics.read_text("utf-8"))
    return run


def weights(run: Run) -> list[np.ndarray]:
    return keras_ae.load(run.directory).get_weights()


def test_call_and_command_train_the_same(undisturbed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train.main(["dense", "--train-images", "300", "-e", "3", "-b", "20"]) == 0
    for one, other in zip(weights(Run("saved_models/dense")), weights(undisturbed), strict=True):
        np.testing.assert_array_equal(one, other)


def test_evaluation_returns_what_it_writes(undisturbed):
    content = keras_ae.evaluate(undisturbed.directory, only=["history"], seed=3)
    assert list(content["stages"]) == ["history"]
    assert content == json.loads(undisturbed.evaluation_metrics.read_text("utf-8"))


def test_callbacks_of_a_resumed_run_begin_and_end_once(undisturbed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, after = Recorder(), Recorder()
    with pytest.raises(
        Interrupted, match=r"resume with: keras_ae.train\('dense', '.*', resume=True\)$"
    ):
        keras_ae.train("dense", callbacks=[before, Interrupting()], **SMALL)
    run = Run("saved_models/dense")
    assert list(run.checkpoints.glob("epoch_000001_step_*[1-9]"))
    with pytest.raises(BadRequest, match="expected epochs 3 or no word of it, received 4"):
        keras_ae.train("dense", resume=True, epochs=4)
    keras_ae.train("dense", callbacks=[after], resume=True)
    losses = ["loss", "val_loss"]
    assert before.told == ["begin", "epoch 0", losses, "epoch 1"]
    # Two calls of `fit`: the rest of the second epoch, and the third.
    assert after.told == ["begin", "epoch 1", losses, "epoch 2", losses, "end"]
    for one, other in zip(weights(run), weights(undisturbed), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_callback_that_stops_the_training_finishes_the_run(tmp_path):
    run = Run(tmp_path / "run")
    # Nothing is an improvement by 10.
    patience = keras.callbacks.EarlyStopping("loss", min_delta=10, patience=1)
    with pytest.raises(RunFailed, match="could not go on: the tracker does not answer;"):
        keras_ae.train("dense", run.directory, callbacks=[patience, Failing()], **SMALL)
    assert epochs_of(run) == 2
    assert not run.model.exists()
    # It had stopped, so that no epoch follows where the callback is missing.
    keras_ae.train(directory=run.directory, resume=True)
    assert epochs_of(run) == 2
    assert run.metrics.is_file()
    assert not run.checkpoints.exists()
    assert run.figures.joinpath("reconstructions_epoch_0002.png").is_file()
    with pytest.raises(BadRequest, match="which is finished"):
        keras_ae.train(directory=run.directory, resume=True)


def test_own_pictures_may_be_given_as_a_path(digits, tmp_path):
    np.save(tmp_path / "digits.npy", (digits * 255).astype("uint8"))
    options = {"images": tmp_path / "digits.npy", "epochs": 1, "plot": tmp_path / "curves.svg"}
    keras_ae.train("dense", tmp_path / "run", **options)
    assert Run(tmp_path / "run").read_settings()["images"] == str(tmp_path / "digits.npy")
    assert (tmp_path / "curves.svg").is_file()
    scored = keras_ae.evaluate(tmp_path / "run", score=tmp_path / "digits.npy")
    assert scored


REFUSED = {
    "a callback alone": ({"callbacks": Recorder()}, "expected a list of Keras callbacks"),
    "other things as callbacks": ({"callbacks": [print]}, r"received \[<built-in function print>"),
    "unknown recipe": ({"recipe": "mpl"}, "did you mean 'mlp'.*received 'mpl'"),
    "a recipe itself": ({"recipe": keras_ae.RECIPES["mlp"]}, "the name of a recipe, received Rec"),
    "unknown argument": ({"depth": 3}, "has no use for depth"),
    "a setting": ({"device": "tpu"}, "received 'tpu'"),
    "both": ({"overwrite": True, "resume": True}, "`overwrite` or `resume`, received both"),
    "nothing to resume": ({"resume": True}, "expected a run directory with a config.json"),
    "an empty name": ({"directory": ""}, "`directory`: expected a directory, received ''"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_trained_is_refused(case, tmp_path, monkeypatch):
    arguments, message = REFUSED[case]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadRequest, match=message) as caught:
        keras_ae.train(**arguments)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_options_of_an_evaluation_are_checked(undisturbed):
    with pytest.raises(BadRequest, match="unknown option, did you mean 'steps'"):
        keras_ae.evaluate(undisturbed.directory, step=3)
    with pytest.raises(BadRequest, match="unknown stage"):
        keras_ae.evaluate(undisturbed.directory, only=["reconstruction"])
    with pytest.raises(BadRequest, match="expected a run directory with"):
        keras_ae.evaluate(undisturbed.directory / "nothing")
