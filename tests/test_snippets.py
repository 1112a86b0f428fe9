"""The examples in the docstrings and in README.md run."""

import inspect
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_ae
from tests.conftest import PROJECT

PUBLIC = {name: getattr(keras_ae, name) for name in keras_ae.__all__}
DOCUMENTED = [
    name for name, value in PUBLIC.items() if inspect.isclass(value) or inspect.isfunction(value)
]
# What an example may use without saying where it comes from.
NAMES = {"keras_ae": keras_ae, "keras": keras, "np": np, "tf": tf, **PUBLIC}
# What an example leaves in the directory that it runs in.
FILES = {
    "LossPlot": "loss.png",
    "ReconstructionFigures": "figures/epoch_0002.png",
    "SampleFigures": "figures/samples_0001.png",
    "export_litert": "model_dynamic_range.tflite",
    "export_saved_model": "saved_model/saved_model.pb",
}


def python_blocks(text: str) -> list[str]:
    """Returns the contents of all blocks of Python in a Markdown text."""
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", DOCUMENTED)
# TensorFlow's own interpreter says that it will move.
@pytest.mark.filterwarnings(r"ignore:\s*Warning. tf.lite.Interpreter is deprecated")
def test_example_of_the_docstring_runs(name, tmp_path, monkeypatch):
    blocks = python_blocks(inspect.getdoc(PUBLIC[name]) or "")
    assert blocks, f"{name} needs an example in its docstring"
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        assert re.search(rf"\b{name}\b", block), f"the example of {name} does not use it"
        exec(compile(block, f"<example of {name}>", "exec"), dict(NAMES))
    assert (tmp_path / FILES.get(name, "")).exists()


def test_examples_of_the_readme_run_one_after_the_other(monkeypatch):
    monkeypatch.chdir(PROJECT)
    blocks = python_blocks((PROJECT / "README.md").read_text("utf-8"))
    # Without the names of the docstrings: a reader has only what the page gives.
    names = {}
    for block in blocks:
        # A test of its own trains the classifier, on fewer images.
        if "classifier" not in block:
            exec(compile(block, "<example of README.md>", "exec"), names)
    assert names["latents"].shape == (10_000, 64)
    assert names["scores"].shape == (10_000,)
    assert names["model"].latent_dim == 64


def test_anomaly_scores_come_from_the_example(monkeypatch):
    monkeypatch.chdir(PROJECT)
    _, block = python_blocks((PROJECT / "RUNNING.md").read_text("utf-8"))
    names = {}
    exec(block, names)
    assert names["scores"].shape == (10_000,)
    assert names["scores"].min() > 0


def test_number_of_a_run_can_be_checked_from_outside(monkeypatch, capsys):
    monkeypatch.chdir(PROJECT)
    block, _ = python_blocks((PROJECT / "RUNNING.md").read_text("utf-8"))
    exec(block, {})
    printed = float(capsys.readouterr().out.split()[-1])
    card = (PROJECT / "saved_models/pretrained/mlp/README.md").read_text("utf-8")
    stated = float(re.search(r"^\| mse \| ([\d.]+) \|", card, re.MULTILINE)[1])
    assert printed == pytest.approx(stated, abs=1e-6)
