"""What several test files share: real digits, trained runs, scripts in processes of their own."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import subprocess
import sys
import venv
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


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The package as it is distributed."""
    project = tmp_path_factory.mktemp("project")
    for name in ("keras_ae", "data", "saved_models", "README.md", "LICENSE", "pyproject.toml"):
        (project / name).symlink_to(PROJECT / name)
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", project)
    command = [sys.executable, "-m", "pip", "wheel", *options, project]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = project.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory) -> Path:
    """The `bin` of an environment in which the wheel is installed, away from the checkout."""
    environment = tmp_path_factory.mktemp("installed") / "environment"
    venv.create(environment)
    (packages,) = environment.glob("lib/python*/site-packages")
    options = ("--no-deps", "--no-index")
    pip = [sys.executable, "-m", "pip", "--python", environment / "bin/python"]
    subprocess.run([*pip, "install", *options, wheel], check=True, capture_output=True)
    # TensorFlow and the other dependencies as they are here, behind what was just installed.
    (packages / "dependencies.pth").write_text(
        "\n".join(path for path in sys.path if "site-packages" in path)
    )
    return environment / "bin"


def outside(**variables: str | Path) -> dict[str, str]:
    """Returns the environment of a process that shall not find the checkout, nor a network."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # Nobody listens there.
    nowhere = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    return {**kept, **nowhere, **{name: str(value) for name, value in variables.items()}}
