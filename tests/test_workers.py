"""Training with several workers: real processes on this machine."""

import os
import signal
import socket
import subprocess
import sys
import time

import keras
import pytest

from keras_ae import cluster
from keras_ae.commands import train
from keras_ae.errors import BadRequest
from keras_ae.runs import Run
from tests import kill_and_resume, workers
from tests.conftest import PROJECT

pytestmark = pytest.mark.long

# What `fit` of Keras cannot do. When it can, the override can go.
NEEDED = """
import sys
import keras, numpy as np, tensorflow as tf
from keras_ae import cluster
from keras_ae.training.workers import Several

several = Several(cluster.of_workers())
images = np.ones((8, 3), "float32")
batches = tf.data.Dataset.from_tensor_slices((images, images)).batch(2)

def fit(without=None):
    with several.strategy.scope():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
        model.compile("sgd", "mse")
    several.adapt(model)
    if without == "steps_per_execution":
        model.steps_per_execution = 2
    elif without:
        delattr(model, without)
    model.fit(several.distribute(batches), shuffle=False, verbose=0)

fit()
for name in ("_maybe_symbolic_build", "_make_function", "steps_per_execution"):
    try:
        fit(without=name)
    except (ValueError, TypeError, RuntimeError, AttributeError, tf.errors.OpError) as error:
        print(f"{name}: {type(error).__name__}: {str(error).splitlines()[0][:100]}")
    else:
        sys.exit(f"{name} is not needed any more")
"""


def test_every_override_is_needed():
    addresses = workers.free_addresses(2)
    both = [
        subprocess.Popen(
            [sys.executable, "-c", NEEDED],
            cwd=PROJECT,
            env={**os.environ, "TF_CONFIG": workers.config(addresses, index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    told = [one.communicate(timeout=300) for one in both]
    assert [one.returncode for one in both] == [0, 0], told
    assert [out.count("\n") for out, _ in told] == [3, 3], told


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Directory with `dense` and `vae-baseline`, each of two workers and of one process."""
    directory = tmp_path_factory.mktemp("runs")
    told = {}
    for name in ("dense", "vae-baseline"):
        arguments = (name, *workers.COMMON, *workers.FAMILIES[name])
        told[name] = workers.train(directory / name, *arguments)
        workers.alone(directory / f"{name}-alone", *arguments)
    return directory, told


@pytest.mark.parametrize("name", ["dense", "vae-baseline"])
def test_losses_are_those_of_one_process(name, trained):
    directory, told = trained
    assert 0 < workers.apart(directory / name, directory / f"{name}-alone") < 1e-4
    chief, other = (text.splitlines() for text in told[name])
    assert [line.split()[0] for line in chief[:2]] == ["epoch", "epoch"]
    assert other == ["worker 1 of 2: 30 of 60 images in a step; worker 0 reports"]


def test_run_is_that_of_one_process(trained):
    directory, _ = trained
    several, one = (Run(directory / name) for name in ("vae-baseline", "vae-baseline-alone"))
    names = [
        sorted(str(path.relative_to(run.directory)) for path in run.directory.rglob("*"))
        for run in (several, one)
    ]
    assert names[0] == names[1]
    models = [keras.models.load_model(run.model) for run in (several, one)]
    assert type(models[0]) is type(models[1])
    assert models[0].get_config() == models[1].get_config()
    assert several.read_settings()["strategy"] == "multiworker"


def _saved_after(run: Run, name: str) -> str:
    """Waits for a checkpoint after the one that is called `name`, and returns its name."""
    while True:
        if found := [path.name for path in run.checkpoints.glob("epoch_*") if path.name > name]:
            return max(found)
        time.sleep(0.001)


def test_stopped_killed_and_resumed(trained, tmp_path):
    directory, _ = trained
    run = Run(tmp_path / "run")
    begin = ["dense", *workers.COMMON, *workers.FAMILIES["dense"], "-s", run.directory]
    resume = ["--resume", "-s", run.directory]

    team = workers.start([begin] * 2, tmp_path / "stopped")
    _saved_after(run, "epoch_000000_step_000000000")
    os.kill(team.processes[1].pid, signal.SIGTERM)
    assert team.join(100) == [128 + signal.SIGTERM] * 2, team.told()
    for told in team.told():
        assert told.count("resume with: python train.py dense --resume") == 1

    saved = _saved_after(run, "")
    team = workers.start([resume] * 2, tmp_path / "killed")
    _saved_after(run, saved)
    team.processes[1].kill()
    begun = time.monotonic()
    assert team.join(100) == [1, -signal.SIGKILL], team.told()
    assert time.monotonic() - begun < 60
    (line,) = [line for line in team.told()[0].splitlines() if not line.startswith("epoch")]
    assert line.startswith("train.py: another worker has ended or cannot be reached; when all are")

    team = workers.start([resume] * 2, tmp_path / "resumed")
    assert team.join() == [0, 0], team.told()
    assert not kill_and_resume.differences(
        run.directory, kill_and_resume.content(directory / "dense")
    )


def test_resumes_with_one_worker(trained):
    directory, _ = trained
    assert workers.stop_and_resume(directory, "dense", (1,)) == []


def test_a_directory_of_its_own_is_refused(tmp_path):
    places = [tmp_path / "one", tmp_path / "other"]
    for place in places:
        place.mkdir()
    team = workers.start([["mlp", "-b", "100", "-s", place] for place in places], tmp_path / "logs")
    assert team.join() == [2, 2], team.told()
    for told in team.told():
        assert told.count("\n") == 1
        assert "on a disk that all workers share, received" in told
        assert "which worker 1 does not share with worker 0" in told
    assert not [path for place in places for path in place.iterdir()]


def test_a_worker_that_never_comes(tmp_path):
    command = ["mlp", "-s", tmp_path / "run"]
    team = workers.start([command] * 2, tmp_path / "logs", join_seconds=3, indices=[1])
    assert team.join(100) == [2], team.told()
    (told,) = team.told()
    assert told.count("\n") == 1
    assert "expected all 2 workers within 3 s" in told
    assert not (tmp_path / "run").exists()


TWO = '"localhost:1001", "localhost:1002"'


@pytest.mark.parametrize(
    ("received", "message"),
    [
        ("", "`strategy` multiworker: expected TF_CONFIG, received none"),
        ("{}", "expected TF_CONFIG, received none"),
        ("{", "expected JSON of a cluster in TF_CONFIG"),
        (f'{{"cluster": {{"worker": [{TWO}]}}}}', "no such task: type None, index None"),
        (
            f'{{"cluster": {{"worker": [{TWO}]}}, "task": {{"type": "worker", "index": 2}}}}',
            "no such task: type 'worker', index 2",
        ),
        (f'{{"cluster": {{"chief": [{TWO}]}}}}', "2 chiefs"),
        ('{"cluster": {"worker": ["here"]}}', "no HOST:PORT: 'here'"),
        ('{"cluster": {"worker": ["a:1", "a:1"]}}', "an address twice"),
        ('{"cluster": {"worker": ["a:1"], "ps": ["a:2"]}}', "jobs other than chief and worker"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(received, message, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("TF_CONFIG", received)
    directory = tmp_path / "run"
    assert train.main(["mlp", "--strategy", "multiworker", "-s", str(directory)]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert message.replace("`strategy`", "--strategy") in error
    assert not directory.exists()


def test_a_busy_port_is_refused(monkeypatch):
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        address = f"localhost:{other.getsockname()[1]}"
        monkeypatch.setenv("TF_CONFIG", workers.config([address, "localhost:1"], 0))
        with pytest.raises(BadRequest, match=f"{address} of worker 0: Address already in use"):
            cluster.of_workers()


def test_the_chief_comes_first(monkeypatch):
    jobs = '{"cluster": {"worker": ["a:1", "a:2"], "chief": ["a:3"]}, '
    monkeypatch.setenv("TF_CONFIG", jobs + '"task": {"type": "worker", "index": 1}}')
    found = cluster.read()
    assert found.addresses == ["a:3", "a:1", "a:2"]
    assert found.index == 2
