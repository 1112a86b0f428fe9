"""An interrupted run ends as one that was left alone. Compared bit for bit."""

import contextlib
import resource
import shlex
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from keras_ae import callbacks, checkpoints, cli, data, recipes, training
from keras_ae.errors import BadRequest
from keras_ae.runs import Run
from tests.kill_and_resume import after, content, differences, finish, start, trial, writing

MLP = ("mlp", "--train-images", "1000", "-e", "3", "-b", "50", "--train-noise-std", "0.2")
VAE = ("vae-dropout", "--train-images", "300", "-e", "2", "-b", "50")


class _PulledPlug(BaseException):
    """What no part of the program expects."""


@pytest.fixture
def pull_plug(monkeypatch):
    """Makes each training stop after so many checkpoints: `pull_plug(3)`, never: `pull_plug(0)`."""
    save = checkpoints.Checkpoints.save
    left = 0

    def counting(self, epoch, step):
        nonlocal left
        save(self, epoch, step)
        left -= 1
        if left == 0:
            raise _PulledPlug

    def pull(count: int) -> None:
        nonlocal left
        left = count

    monkeypatch.setattr(checkpoints.Checkpoints, "save", counting)
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0)
    return pull


@pytest.fixture(scope="module")
def mlp(tmp_path_factory):
    """What an uninterrupted `MLP` leaves."""
    directory = tmp_path_factory.mktemp("whole") / "mlp"
    assert cli.train([*MLP, "-s", str(directory)]) == 0
    return content(directory)


def _interrupt(pull_plug, arguments, directory, count) -> Run:
    pull_plug(count)
    with pytest.raises(_PulledPlug):
        cli.train([*arguments, "-s", str(directory)])
    pull_plug(0)
    return Run(directory)


@pytest.mark.parametrize("count", [1, 3, 11, 12, 31])
def test_mlp_goes_on_from_any_checkpoint(count, mlp, pull_plug, tmp_path):
    # 20 steps an epoch, two at a time: ten checkpoints an epoch and one at the very beginning.
    run = _interrupt(pull_plug, MLP, tmp_path / "run", count)
    assert cli.train(["--resume", "-s", str(run.directory)]) == 0
    assert differences(run.directory, mlp) == []


def test_vae_goes_on_with_the_states_of_dropout_and_sampling(pull_plug, tmp_path):
    assert cli.train([*VAE, "-s", str(tmp_path / "whole")]) == 0
    # In the second epoch: three checkpoints after its beginning.
    run = _interrupt(pull_plug, VAE, tmp_path / "run", 1 + 6 + 3)
    assert cli.train(["--resume", "-s", str(run.directory)]) == 0
    assert differences(run.directory, content(tmp_path / "whole")) == []


def test_plateau_schedule_remembers_across_the_interruption(pull_plug, tmp_path):
    # A rate this small changes nothing, so that the loss never improves after the first epoch.
    arguments = ("mlp", "--train-images", "50", "-e", "13", "--learning-rate", "1e-30")
    assert cli.train([*arguments, "-s", str(tmp_path / "whole")]) == 0
    history = (tmp_path / "whole" / "history.csv").read_text().splitlines()
    rates = [float(row.split(",")[-1]) for row in history[1:]]
    np.testing.assert_allclose(rates, [1e-30] * 11 + [1e-31] * 2, rtol=1e-6)
    run = _interrupt(pull_plug, arguments, tmp_path / "run", 1 + 7)
    assert cli.train(["--resume", "-s", str(run.directory)]) == 0
    assert differences(run.directory, content(tmp_path / "whole")) == []


def test_damaged_checkpoint_falls_back_to_the_one_before(mlp, pull_plug, tmp_path, capfd):
    run = _interrupt(pull_plug, MLP, tmp_path / "run", 15)
    _, newest = sorted(run.checkpoints.glob("epoch_*"))
    _flip_a_bit(newest / "state.data-00000-of-00001")
    assert cli.train(["--resume", "-s", str(run.directory)]) == 0
    assert f"warning: the checkpoint {newest} is damaged" in capfd.readouterr().err
    assert differences(run.directory, mlp) == []


@pytest.mark.parametrize("name", ["state.data-00000-of-00001", "state.index"])
def test_only_damaged_checkpoints_are_refused(name, pull_plug, tmp_path, capfd):
    run = _interrupt(pull_plug, MLP, tmp_path / "run", 2)
    for directory in run.checkpoints.iterdir():
        _flip_a_bit(directory / name)
    before = content(run.directory)
    assert cli.train(["--resume", "-s", str(run.directory)]) == 2
    assert "received only damaged ones" in capfd.readouterr().err
    assert content(run.directory) == before


def _flip_a_bit(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_two_checkpoints_are_kept_and_none_in_the_end(pull_plug, tmp_path):
    run = _interrupt(pull_plug, MLP, tmp_path / "run", 12)
    names = sorted(path.name for path in run.checkpoints.iterdir())
    assert names == ["epoch_000001_step_000000000", "epoch_000001_step_000000002"]
    assert cli.train(["--resume", "-s", str(run.directory)]) == 0
    assert not run.checkpoints.exists()
    assert not run.lock.exists()


def test_killed_while_it_cleared_up(mlp, pull_plug, tmp_path, monkeypatch):
    run = Run(tmp_path / "run")

    def killed(_):
        raise _PulledPlug

    with monkeypatch.context() as patch:
        patch.setattr(training, "remove", killed)
        with pytest.raises(_PulledPlug):
            cli.train([*MLP, "-s", str(run.directory)])
    assert run.metrics.exists()
    assert cli.train(["--resume", "-s", str(run.directory)]) == 0
    assert differences(run.directory, mlp) == []


@pytest.mark.parametrize("moment", [(writing, 5), (after, 1.0)])
def test_killed_process(moment, tmp_path):
    arguments = MLP[1:]
    finish("mlp", *arguments, "-s", str(tmp_path / "whole"))
    assert trial(tmp_path / "run", "mlp", arguments, moment) is not None
    assert differences(tmp_path / "run", content(tmp_path / "whole")) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_and_says_how_to_go_on(number, mlp, tmp_path):
    run = Run(tmp_path / "a run")
    process = start(*MLP, "-s", str(run.directory))
    while not list(run.checkpoints.glob("epoch_00000[12]*")):
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(number)
    output, _ = process.communicate()
    assert process.returncode == 128 + number
    last = output.splitlines()[-1]
    command = f"python train.py mlp --resume --save-dir {shlex.quote(str(run.directory))}"
    assert last == f"train.py: stopped by {number.name}; go on with: {command}"
    assert cli.train(shlex.split(command)[2:]) == 0
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
    assert cli.train([*MLP, "-s", str(tmp_path)]) == 2
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
    assert cli.train([*arguments, "-e", "2", "-s", str(run.directory)]) == 1
    message = capfd.readouterr().err

    # The same with `fit` showing each step.
    model = training.build(recipe)
    model.compile(training.AdamL2(1e6), "mse", jit_compile=False)
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


# Checkpoints have 7.5 MB, `model.keras` as much, figures 10 to 40 kB, `history.csv` 100 bytes.
@pytest.mark.parametrize("size", [64, 5_000, 1_000_000, 7_474_000])
def test_full_disk_ends_in_one_line_and_loses_nothing(size, mlp, pull_plug, tmp_path, capfd):
    run = _interrupt(pull_plug, MLP, tmp_path / "run", 11)
    before = content(run.checkpoints)
    capfd.readouterr()
    with _file_size_limit(size):
        assert cli.train(["--resume", "-s", str(run.directory)]) == 1
    message = capfd.readouterr().err
    assert "File too large" in message
    assert message.count("\n") == 1
    if size < 7_000_000:  # No checkpoint since.
        assert content(run.checkpoints) == before
    assert cli.train(["--resume", "-s", str(run.directory)]) == 0
    assert differences(run.directory, mlp) == []


def test_resumed_run_keeps_its_arguments(pull_plug, tmp_path, capfd):
    run = _interrupt(pull_plug, MLP, tmp_path / "run", 2)
    before = content(run.directory)
    for arguments, expected in (
        (["-e", "4"], "epochs 3"),
        (["dense"], "name 'mlp'"),
        (["--beta", "2"], "beta None"),
        (["--seed", "1"], "seed 0"),
        (["--full-train"], "full_train False"),
        (["--device", "cpu"], "device 'auto'"),
        (["--plot", "loss.pdf"], "plot None"),
    ):
        assert cli.train([*arguments, "--resume", "-s", str(run.directory)]) == 2
        assert f"expected {expected} or no word of it" in capfd.readouterr().err
    assert content(run.directory) == before
    assert cli.train([*MLP, "--resume", "-s", str(run.directory)]) == 0


def test_resume_needs_the_same_dataset(pull_plug, tmp_path, monkeypatch):
    run = _interrupt(pull_plug, MLP, tmp_path / "run", 2)
    before = content(run.directory)
    load = data.load

    def other(*arguments, **kwargs):
        dataset = load(*arguments, **kwargs)
        return data.dataclasses.replace(dataset, checksum="0" * 64)

    monkeypatch.setattr(data, "load", other)
    with pytest.raises(BadRequest, match="expected the dataset that the run in"):
        training.resume(run)
    assert content(run.directory) == before


def test_schedule_gives_back_what_it_took():
    schedule = callbacks.PlateauSchedule("loss")
    state = {"best": 0.5, "wait": 3, "cooldown_counter": 1}
    schedule.set_state(state)
    schedule.on_train_begin()
    assert schedule.get_state() == state
