"""An interrupted run ends as one that was left alone. Compared bit for bit."""

import contextlib
import dataclasses
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from keras_ae import data, recipes
from keras_ae.commands import train
from keras_ae.errors import BadRequest
from keras_ae.runs import Run
from keras_ae.training import checkpoints, fit
from keras_ae.training import run as training
from keras_ae.training.optimizer import AdamL2, PlateauSchedule
from tests.kill_and_resume import Stage, after, content, differences, start, step, writing

MLP = ("mlp", "--train-images", "500", "-e", "2", "-b", "50", "--train-noise-std", "0.2")
SHORT = ("--train-images", "300", "-e", "2", "-b", "50", "--schedule", "cosine")


def _train(*arguments) -> int:
    # Keras numbers the names of layers through the life of a process.
    keras.utils.clear_session()
    return train.main([str(argument) for argument in arguments])


class _PulledPlug(BaseException):
    """What no part of the program expects."""


@contextlib.contextmanager
def _plug_pulled_after(count: int):
    """Ends a training after so many checkpoints, of which there is one after every step."""
    save = checkpoints.Checkpoints.save

    def counting(self, epoch, step):
        nonlocal count
        save(self, epoch, step)
        count -= 1
        if count == 0:
            raise _PulledPlug

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "save", counting)
        patch.setattr(checkpoints, "SECONDS_BETWEEN", 0)
        patch.setattr(checkpoints, "SHARE", float("inf"))
        with pytest.raises(_PulledPlug):
            yield


@pytest.fixture(autouse=True, scope="module")
def _no_exports():
    # They come from `model.keras`, which is compared.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.export, "export_run", lambda run, dataset: None)
        yield


@pytest.fixture(scope="module")
def mlp(tmp_path_factory):
    """What an uninterrupted `MLP` leaves."""
    directory = tmp_path_factory.mktemp("whole") / "mlp"
    assert _train(*MLP, "-s", directory) == 0
    return content(directory)


@pytest.fixture(scope="module")
def _interrupted(tmp_path_factory):
    directory = tmp_path_factory.mktemp("interrupted") / "mlp"
    # One at the beginning, ten in the first epoch, and four in the second.
    with _plug_pulled_after(15):
        _train(*MLP, "-s", directory)
    return directory


@pytest.fixture
def run(_interrupted, tmp_path):
    """An `MLP` that was interrupted in its second epoch."""
    return Run(shutil.copytree(_interrupted, tmp_path / "run"))


def test_goes_on_within_an_epoch(run, mlp):
    assert _train("--resume", "-s", run.directory) == 0
    assert differences(run.directory, mlp) == []


@pytest.mark.parametrize("count", [1, 11])
def test_goes_on_from_the_beginning_of_an_epoch(count, mlp, tmp_path):
    with _plug_pulled_after(count):
        _train(*MLP, "-s", tmp_path / "run")
    assert _train("--resume", "-s", tmp_path / "run") == 0
    assert differences(tmp_path / "run", mlp) == []


# Dropout and sampling; noise of any strength; shifts and batch normalization.
@pytest.mark.parametrize("name", ["vae-dropout", "denoiser", "batchnorm-tuned"])
def test_goes_on_with_the_states_of_all_that_is_random_and_of_the_schedule(name, tmp_path):
    assert _train(name, *SHORT, "-s", tmp_path / "whole") == 0
    with _plug_pulled_after(1 + 6 + 3):
        _train(name, *SHORT, "-s", tmp_path / "run")
    assert _train("--resume", "-s", tmp_path / "run") == 0
    assert differences(tmp_path / "run", content(tmp_path / "whole")) == []


def test_plateau_schedule_remembers_across_the_interruption(tmp_path):
    # A rate this small changes nothing, so that the loss never improves after the first epoch.
    arguments = ("mlp", "--train-images", "50", "-e", "13", "--learning-rate", "1e-30")
    assert _train(*arguments, "-s", tmp_path / "whole") == 0
    history = (tmp_path / "whole" / "history.csv").read_text().splitlines()
    rates = [float(row.split(",")[-1]) for row in history[1:]]
    np.testing.assert_allclose(rates, [1e-30] * 11 + [1e-31] * 2, rtol=1e-6)
    with _plug_pulled_after(1 + 7):
        _train(*arguments, "-s", tmp_path / "run")
    assert _train("--resume", "-s", tmp_path / "run") == 0
    assert differences(tmp_path / "run", content(tmp_path / "whole")) == []


def test_checkpoints_of_short_epochs_are_spaced(tmp_path, monkeypatch):
    saved = []

    def save(self, epoch, step):
        saved.append(epoch)
        self._due = float("inf")

    monkeypatch.setattr(checkpoints.Checkpoints, "save", save)
    assert _train(*MLP, "-e", "4", "-s", tmp_path / "run") == 0
    assert saved == [0]


def test_damaged_checkpoint_falls_back_to_the_one_before(run, mlp, capfd):
    newest = max(run.checkpoints.iterdir())
    _flip_a_bit(newest / "state.data-00000-of-00001")
    assert _train("--resume", "-s", run.directory) == 0
    assert f"warning: the checkpoint {newest} is damaged" in capfd.readouterr().err
    assert differences(run.directory, mlp) == []


@pytest.mark.parametrize("name", ["state.data-00000-of-00001", "state.index"])
def test_only_damaged_checkpoints_are_refused(name, run, capfd):
    for directory in run.checkpoints.iterdir():
        _flip_a_bit(directory / name)
    before = content(run.directory)
    assert _train("--resume", "-s", run.directory) == 2
    assert "received only damaged ones" in capfd.readouterr().err
    assert content(run.directory) == before


def _flip_a_bit(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_two_checkpoints_are_kept(run):
    names = sorted(path.name for path in run.checkpoints.iterdir())
    assert names == ["epoch_000001_step_000000003", "epoch_000001_step_000000004"]


def test_killed_while_it_cleared_up(run, mlp, monkeypatch):
    def killed(_):
        raise _PulledPlug

    with monkeypatch.context() as patch:
        patch.setattr(training, "remove", killed)
        with pytest.raises(_PulledPlug):
            _train("--resume", "-s", run.directory)
    assert run.metrics.exists()
    assert _train("--resume", "-s", run.directory) == 0
    assert differences(run.directory, mlp) == []


# A scene, how it is killed, and the share of its length at which it is. `python -m
# tests.kill_and_resume` kills all of them in every family.
KILLS = [
    ("train", writing, None),
    ("train", after, 0.6),
    ("resume", step, 0.5),
    ("export", after, 0.7),
    ("overwrite", step, 0.3),
    ("overwrite", step, 0.9),
    ("evaluate", step, 0.5),
]


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    return Stage(tmp_path_factory.mktemp("stage"))


@pytest.mark.parametrize(
    ("name", "moment", "share"), KILLS, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_killed_processes(name, moment, share, stage):
    undisturbed = stage.undisturbed(name, "dense")
    number = 5
    if moment is step:
        number = max(1, round(share * undisturbed.steps))
    elif moment is after:
        number = share * undisturbed.seconds
    found = stage.play(name, "dense", moment, number)
    while found is None:  # It was faster this time.
        number = type(number)(0.7 * number)
        found = stage.play(name, "dense", moment, number)
    assert found == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_and_says_how_to_go_on(number, mlp, tmp_path):
    run = Run(tmp_path / "a run")
    log = tmp_path / "log"
    process = start(*MLP, "-s", str(run.directory), log=log)
    while not list(run.checkpoints.glob("epoch_000000_step_00000000[1-9]")):
        assert process.is_alive()
        time.sleep(0.001)
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == 128 + number
    last = log.read_text().splitlines()[-1]
    command = f"python train.py mlp --resume --save-dir {shlex.quote(str(run.directory))}"
    assert last == f"train.py: stopped by {number.name}; resume with: {command}"
    if number == signal.SIGINT:  # What follows is the same.
        assert _train(*shlex.split(command)[2:]) == 0
        assert differences(run.directory, mlp) == []


def test_second_signal_ends_the_process_inside_a_long_call():
    # A call that keeps the main thread from Python for minutes.
    code = """
import hashlib
from keras_ae.interrupts import Interrupts
with Interrupts("go on"):
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == "SIGINT: stopping after this step\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "SIGINT: stopped; go on\n"


def test_lock_names_its_holder_and_goes_with_it(tmp_path, capfd):
    code = """
import sys, time
from keras_ae.runs import Run
with Run(sys.argv[1]).locked():
    print("ready", flush=True)
    time.sleep(600)
"""
    holder = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE)
    holder.stdout.readline()
    before = content(tmp_path)
    assert _train(*MLP, "-s", tmp_path) == 2
    assert f"which process {holder.pid} is writing to" in capfd.readouterr().err
    with pytest.raises(BadRequest, match=f"process {holder.pid} "), Run(tmp_path).locked():
        pass
    assert content(tmp_path) == before
    holder.kill()
    holder.communicate()
    Run(tmp_path).check_free(overwrite=False)
    with Run(tmp_path).locked():
        pass
    assert content(tmp_path) == {}


def test_infinite_loss_names_its_step_and_keeps_the_checkpoint(tmp_path, capfd):
    # The rate lets the loss overflow within a few steps of the LSTM without activation.
    recipe = recipes.get("lstm-linear").override(
        train_images=2000, batch_size=40, learning_rate=1e6, epochs=2
    )
    run = Run(tmp_path / "run")
    arguments = ["lstm-linear", "--train-images", "2000", "-b", "40", "--learning-rate", "1e6"]
    assert _train(*arguments, "-e", "2", "-s", run.directory) == 1
    message = capfd.readouterr().err

    # The same with `fit` showing each step.
    model = fit.build(recipe)
    model.compile(AdamL2(1e6), "mse", jit_compile=False)
    shuffled = data.ShuffledBatches(data.load(train_images=2000).train.images, 40, recipe.seed)
    losses = []

    class Record(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            losses.append(logs["loss"])
            self.model.stop_training = not np.isfinite(logs["loss"])

    model.fit(shuffled.dataset, epochs=1, shuffle=False, verbose=0, callbacks=[shuffled, Record()])
    assert not np.isfinite(losses[-1])
    assert len(losses) > 1
    assert f"in epoch 1 at step {len(losses)}: expected a finite number" in message
    assert message.count("\n") == 1
    assert [path.name for path in run.checkpoints.iterdir()] == ["epoch_000000_step_000000000"]


@contextlib.contextmanager
def _file_size_limit(size: int):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# A figure has 10 to 40 kB, a checkpoint 7.47 MB, `model.keras` some kB more.
@pytest.mark.parametrize(
    ("size", "name"), [(5_000, "figures"), (100_000, "backup"), (7_490_000, "model.keras")]
)
def test_full_disk_ends_in_one_line_and_loses_nothing(size, name, run, capfd):
    before = content(run.checkpoints)
    with _file_size_limit(size):
        assert _train("--resume", "-s", run.directory) == 1
    message = capfd.readouterr().err
    assert "File too large" in message
    assert "resume with: python train.py mlp --resume" in message
    assert message.count("\n") == 1
    if name == "model.keras":
        assert (run.checkpoints / "epoch_000002_step_000000000").is_dir()
        assert not run.model.exists()
    else:
        assert content(run.checkpoints) == before
    assert not list(run.directory.rglob(".*"))


def test_full_disk_is_no_end(run, mlp):
    with _file_size_limit(5_000):
        assert _train("--resume", "-s", run.directory) == 1
    assert _train("--resume", "-s", run.directory) == 0
    assert differences(run.directory, mlp) == []


def test_resumed_run_keeps_its_arguments(run, capfd):
    before = content(run.directory)
    for arguments, expected in (
        (["-e", "4"], "epochs 2"),
        (["dense"], "name 'mlp'"),
        (["--beta", "2"], "beta None"),
        (["--seed", "1"], "seed 0"),
        (["--full-train"], "full_train False"),
        (["--device", "cpu"], "device 'auto'"),
        (["--plot", "loss.pdf"], "plot None"),
    ):
        assert _train(*arguments, "--resume", "-s", run.directory) == 2
        assert f"expected {expected} or no word of it" in capfd.readouterr().err
    assert content(run.directory) == before
    assert _train(*MLP, "--resume", "-s", run.directory) == 0
    assert _train("--resume", "-s", run.directory) == 2
    assert "which is finished" in capfd.readouterr().err


def test_resume_needs_the_same_dataset(run, monkeypatch):
    before = content(run.directory)
    load = data.load
    monkeypatch.setattr(
        data, "load", lambda *given: dataclasses.replace(load(*given), checksum="0" * 64)
    )
    with pytest.raises(BadRequest, match="expected the dataset that the run in"):
        training.resume(run)
    assert content(run.directory) == before


def test_schedule_gives_back_what_it_took():
    schedule = PlateauSchedule("loss")
    state = {"best": 0.5, "wait": 3, "cooldown_counter": 1}
    schedule.set_state(state)
    schedule.on_train_begin()
    assert schedule.get_state() == state
