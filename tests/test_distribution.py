"""Training on two logical CPU devices against training on one."""

import csv
import json
import subprocess
import sys

import pytest

from tests.conftest import PROJECT

pytestmark = pytest.mark.long

# Devices are configured before TensorFlow starts, so this has to be a process of its own.
PROGRAM = """
import json, sys
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
import keras
from keras_ae import recipes
from keras_ae.commands import train
from keras_ae.training import checkpoints, fit, run as training
from keras_ae.training.checkpoints import Checkpoints
checkpoints.SHARE = float("inf")
# The same model, and a graph that is traced ten times faster.
recipes.RECIPES["vae-baseline"] = recipes.get("vae-baseline").override(unroll=False)
training.export.export_run = lambda run, dataset: None
save = Checkpoints.save

def save_and_stop(self, epoch, step):
    save(self, epoch, step)
    if epoch == 1:
        raise KeyboardInterrupt

statuses = []
for arguments in json.load(sys.stdin):
    keras.utils.clear_session()
    Checkpoints.save = save_and_stop if "--stop" in arguments else save
    statuses.append(train.main([one for one in arguments if one != "--stop"]))
print(json.dumps(statuses))
"""
RECIPES = ("mlp", "conv", "vae-baseline")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Directory of the runs, exit statuses and messages of the trainings on two devices."""
    directory = tmp_path_factory.mktemp("runs")
    common = ["--train-images", "500", "-e", "1", "-b", "100"]
    mirrored = ["--strategy", "mirrored"]
    # The last batch has 20 images, ten for each device.
    twice = ["mlp", "--train-images", "420", "-e", "2", "-b", "100", *mirrored, "-s"]
    jobs = [
        *([name, *common, "-s", f"{directory}/{name}-single"] for name in RECIPES),
        *([name, *common, *mirrored, "-s", f"{directory}/{name}-mirrored"] for name in RECIPES),
        [*twice, f"{directory}/whole"],
        [*twice, f"{directory}/resumed", "--stop"],
        ["--resume", "-s", f"{directory}/resumed"],
        ["mlp", "-b", "101", *mirrored, "-s", f"{directory}/odd-batch"],
        ["mlp", "-b", "100", "--train-images", "401", *mirrored, "-s", f"{directory}/odd-rest"],
    ]
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(jobs),
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return directory, json.loads(result.stdout.splitlines()[-1]), result.stderr


@pytest.mark.parametrize("name", RECIPES)
def test_loss_is_that_of_one_device(name, trained):
    directory, statuses, _ = trained
    assert statuses[:6] == [0] * 6
    histories = []
    for strategy in ("single", "mirrored"):
        with (directory / f"{name}-{strategy}" / "history.csv").open(newline="") as file:
            (row,) = csv.DictReader(file)
        histories.append({key: float(value) for key, value in row.items()})
    single, mirrored = histories
    assert mirrored == pytest.approx(single, rel=1e-4)
    # Not a copy: sums of another order differ in their last digits.
    assert mirrored != single


def test_resumed_on_two_devices(trained):
    directory, statuses, _ = trained
    assert statuses[6:9] == [0, 130, 0]
    whole, resumed = (directory / name / "history.csv" for name in ("whole", "resumed"))
    assert whole.read_bytes() == resumed.read_bytes()


def test_batches_that_do_not_split_evenly_are_refused(trained):
    directory, statuses, errors = trained
    assert statuses[9:] == [2, 2]
    assert "split evenly over 2 devices, received one of 101 images" in errors
    assert "split evenly over 2 devices, received one of 1 images" in errors
    assert not (directory / "odd-batch").exists()
    assert not (directory / "odd-rest").exists()


def test_several_machines_are_refused(script, tmp_path):
    cluster = {"worker": ["localhost:20001", "localhost:20002"]}
    environment = {"TF_CONFIG": json.dumps({"cluster": cluster})}
    directory = tmp_path / "run"
    result = script(
        "train.py", "--strategy", "mirrored", "-s", directory, env={**environment, "HOME": "/"}
    )
    assert result.returncode == 2
    assert "expected one machine" in result.stderr
    assert "received 2 in TF_CONFIG" in result.stderr
    assert not directory.exists()
