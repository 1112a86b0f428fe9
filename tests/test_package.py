"""The wheel is whole: without a checkout, a network or anything in the home it trains a model."""

import json
import os
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

import keras_ae
from keras_ae import runs
from keras_ae.commands import evaluate, train
from tests.conftest import PROJECT, outside

pytestmark = pytest.mark.long

SIZE_LIMIT = 45_000_000


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> dict[str, str]:
    """An environment with an empty home."""
    variables = outside(HOME=tmp_path_factory.mktemp("home"), TF_CPP_MIN_LOG_LEVEL="3")
    kept = ("PATH", "HOME", "LANG", "TF_CPP_MIN_LOG_LEVEL", "http_proxy", "https_proxy")
    return {name: value for name, value in variables.items() if name in kept}


def test_wheel_has_data_and_models_and_nothing_of_the_workshop(wheel):
    assert wheel.stat().st_size < SIZE_LIMIT
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for path in (PROJECT / "data").rglob("*.*"):
            inside = f"keras_ae/archives/{path.relative_to(PROJECT / 'data').as_posix()}"
            assert archive.read(inside) == path.read_bytes()
    shipped = runs.pretrained()
    assert any(name.endswith("-tuned") for name in shipped)
    for name in shipped:
        assert {f"keras_ae/pretrained/{name}/{file}" for file in ("model.keras", "README.md")} <= (
            names
        )
    modules = {path.relative_to(PROJECT).as_posix() for path in PROJECT.glob("keras_ae/**/*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    roots = {name.split("/")[0] for name in names}
    assert roots == {"keras_ae", f"keras_ae-{keras_ae.__version__}.dist-info"}
    assert not [name for name in names if "saved_model/" in name or "evaluation/metrics" in name]


def test_commands_train_resume_and_evaluate_away_from_the_checkout(installed, home, tmp_path):
    def run(command: str, *arguments: str) -> subprocess.Popen:
        return subprocess.Popen(
            [installed / command, *arguments],
            cwd=tmp_path,
            env=home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    training = run("keras-ae-train", "dense", "--train-images", "500", "-e", "1", "-b", "1")
    while not list(tmp_path.glob("saved_models/dense/backup/epoch_*")):
        assert training.poll() is None, training.communicate()
        time.sleep(0.01)
    os.kill(training.pid, signal.SIGTERM)
    _, errors = training.communicate()
    assert training.returncode == 128 + signal.SIGTERM, errors
    hint = "stopped by SIGTERM; resume with: keras-ae-train dense --resume"
    assert errors.splitlines()[-1] == f"keras-ae-train: {hint}"

    output, errors = run("keras-ae-train", "dense", "--resume").communicate()
    assert output.endswith("saved to saved_models/dense\n"), errors
    assert (tmp_path / "saved_models/dense/model.keras").is_file()
    config = json.loads((tmp_path / "saved_models/dense/config.json").read_text("utf-8"))
    assert config["commit"] is None

    evaluation = run("keras-ae-evaluate", "saved_models/dense", "--only", "reconstruct")
    output, errors = evaluation.communicate()
    assert output.endswith("saved to saved_models/dense/evaluation/report.html\n"), errors
    # All that the data of a dataset need lies in the home.
    assert [path.name for path in tmp_path.iterdir()] == ["saved_models"]


def test_every_shipped_model_loads_away_from_the_checkout(installed, home, digits, tmp_path):
    np.save(tmp_path / "digits.npy", digits[:50])
    code = """
import numpy as np
import keras_ae

digits = np.load("digits.npy")
np.savez("latents.npz", **{name: keras_ae.load(name).encode(digits) for name in NAMES})
print(keras_ae.__file__)
""".replace("NAMES", repr(list(runs.pretrained())))
    command = [installed / "python", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(installed.parent)
    latents = np.load(tmp_path / "latents.npz")
    assert "vae-tuned" in latents
    for name in latents:
        expected = keras_ae.load(name).encode(digits[:50])
        np.testing.assert_allclose(latents[name], expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("name", "module"), [("train", train), ("evaluate", evaluate)])
def test_commands_call_themselves_as_they_are_called(name, module, installed, home, tmp_path):
    def answer(*arguments) -> str:
        command = [*arguments, "--depth"]
        done = subprocess.run(command, cwd=tmp_path, env=home, capture_output=True, text=True)
        assert done.returncode == 2
        return done.stderr

    said = "unrecognized arguments: --depth\n"
    assert answer(installed / f"keras-ae-{name}") == f"keras-ae-{name}: {said}"
    assert answer(installed / "python", PROJECT / f"{name}.py") == f"{name}.py: {said}"
    assert module._parser(f"keras-ae-{name}").format_help().startswith(f"usage: keras-ae-{name} ")
