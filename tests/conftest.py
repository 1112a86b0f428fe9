"""What several test files share: real digits, trained runs, scripts in processes of their own."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import subprocess
import sys
from pathlib import Path

import pytest

from keras_ae import data, recipes
from keras_ae.runs import Run
from keras_ae.training import run as training

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def dataset() -> data.Dataset:
    """The real MNIST."""
    return data.load()


@pytest.fixture(scope="session")
def digits(dataset):
    """300 real digits, float32 `[300, 28, 28, 1]`."""
    return data.to_float(dataset.train.images[:300])


@pytest.fixture(scope="session")
def mlp_run(tmp_path_factory) -> Run:
    """A finished run of `mlp` on 2,000 digits. Tests read it and do not change it."""
    return _train("mlp", tmp_path_factory, train_images=2000, epochs=3)


@pytest.fixture(scope="session")
def vae_run(tmp_path_factory) -> Run:
    """A finished run of `vae-baseline` on 1,000 digits. Tests read it and do not change it."""
    return _train("vae-baseline", tmp_path_factory, train_images=1000, epochs=2)


def _train(name: str, tmp_path_factory, **overrides) -> Run:
    run = Run(tmp_path_factory.mktemp("runs") / name)
    training.train(recipes.get(name).override(**overrides), run)
    return run


@pytest.fixture(scope="session")
def script():
    """Runs a script of the project in a process of its own: `script("train.py", "--list")`."""

    def run(*arguments, **kwargs) -> subprocess.CompletedProcess:
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(
            command, **{"cwd": PROJECT, "capture_output": True, "text": True, **kwargs}
        )

    return run
