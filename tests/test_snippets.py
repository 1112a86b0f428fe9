"""What the pages and the docstrings show runs as printed, where the wheel is installed."""

import ast
import inspect
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

import keras_ae
from tests.conftest import PROJECT, outside

pytestmark = pytest.mark.long

PAGES = ("README.md", "RUNNING.md", "CONTRIBUTING.md")
PUBLIC = {name: getattr(keras_ae, name) for name in keras_ae.__all__}
DOCUMENTED = [
    name for name, value in PUBLIC.items() if inspect.isclass(value) or inspect.isfunction(value)
]
# What the example of a docstring may use without saying where it comes from.
NAMES = """
import keras
import numpy as np
import tensorflow as tf
import keras_ae
from keras_ae import *
"""
# What an example leaves in the directory that it runs in.
FILES = {
    "LossPlot": "loss.png",
    "ReconstructionFigures": "figures/epoch_0002.png",
    "SampleFigures": "figures/samples_0001.png",
    "evaluate": "runs/dense/evaluation/report.html",
    "export_litert": "model_dynamic_range.tflite",
    "export_saved_model": "saved_model/saved_model.pb",
    "train": "runs/mlp/model.keras",
}
# Runs examples, each a list of blocks with names and a directory of its own, and says what failed.
RUNNER = """
import json, os, pathlib, sys, traceback
failures = {}
for title, blocks in json.load(open(sys.argv[1])).items():
    directory = pathlib.Path(title).absolute()
    directory.mkdir()
    names, here = {"__name__": "__main__"}, os.getcwd()
    os.chdir(directory)
    try:
        for number, block in enumerate(blocks, start=1):
            exec(compile(block, f"<block {number} of {title}>", "exec"), names)
    except BaseException:
        failures[title] = traceback.format_exc()
    os.chdir(here)
pathlib.Path("failures.json").write_text(json.dumps(failures))
"""
# Commands of the pages that are not run here, by a part of them, and why.
NOT_RUN = {
    "pip install": "installs the project, which `.ci/run` does",
    "python -m pytest": "tests the project",
    "ruff": "tests the project",
    "--resume": "needs an interrupted run; tests/test_resume.py has it",
    "--strategy multiworker": "waits for other workers; tests/test_workers.py has it",
    "--ood-archives": "needs the archives of another dataset",
    "python -m tests.compatibility": "installs the project, for many minutes",
}


def python_blocks(text: str) -> list[str]:
    """Returns the contents of all blocks of Python in a Markdown text."""
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def shell_lines(text: str) -> list[str]:
    """Returns the lines of all blocks of shell in a Markdown text."""
    blocks = re.findall(r"^```(?:sh|bash)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return "".join(blocks).replace("\\\n", " ").splitlines()


def page(name: str) -> str:
    return (PROJECT / name).read_text("utf-8")


def run_examples(examples: dict[str, list[str]], python: Path, directory: Path) -> dict[str, str]:
    """Runs blocks of Python away from the checkout, and returns the errors by title."""
    (directory / "examples.json").write_text(json.dumps(examples))
    command = [python, "-c", RUNNER, "examples.json"]
    done = subprocess.run(
        command, cwd=directory, env=outside(), capture_output=True, text=True, timeout=580
    )
    assert done.returncode == 0, done.stderr
    return json.loads((directory / "failures.json").read_text())


@pytest.fixture(scope="module")
def examples(installed, tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """Where the examples of the docstrings ran, and what failed."""
    directory = tmp_path_factory.mktemp("examples")
    blocks = {name: python_blocks(inspect.getdoc(PUBLIC[name]) or "") for name in DOCUMENTED}
    titled = {name: [NAMES, *found] for name, found in blocks.items()}
    return directory, run_examples(titled, installed / "python", directory)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_example_of_the_docstring_runs(name, examples):
    blocks = python_blocks(inspect.getdoc(PUBLIC[name]) or "")
    assert blocks, f"{name} needs an example in its docstring"
    assert all(re.search(rf"\b{name}\b", block) for block in blocks), f"it does not use {name}"
    directory, failures = examples
    assert name not in failures, failures[name]
    assert (directory / name / FILES.get(name, "")).exists()


# What holds of the names that the blocks of a page leave, as a further block.
CHECKS = {
    "README.md": """
assert latents.shape == (10_000, 64) and scores.shape == (10_000,)
assert reconstructions.shape == images.shape == (10_000, 28, 28, 1)
assert autoencoder.encoder.trainable_weights == []
assert len(classifier.trainable_weights) == 2
judged = classifier.evaluate(test_images, dataset.test.labels, verbose=0, return_dict=True)
assert judged["accuracy"] > 0.7, judged
# The decoder still fits the encoder: the classifier's training has not moved it.
assert ((autoencoder.reconstruct(test_images) - test_images) ** 2).mean() < 0.02
assert answer["anomalous"].shape == (10_000,)
assert metrics["test"]["mse"] < metrics["test"]["mean_image_mse"] * 1.2
""",
    "RUNNING.md": """
import json
error = np.mean((digits.astype("float64") - outputs) ** 2)
assert abs(error - STATED) < 1e-6, error
assert scores.shape == (10_000,) and scores.min() > 0
assert metrics["test"]["mse"] < 0.1
""",
}


@pytest.mark.parametrize("name", CHECKS)
def test_python_of_a_page_runs_in_order(name, installed, tmp_path):
    card = page("saved_models/pretrained/mlp/README.md")
    stated = re.search(r"^\| mse \| ([\d.]+) \|", card, re.MULTILINE)[1]
    blocks = [*python_blocks(page(name)), CHECKS[name].replace("STATED", stated)]
    failures = run_examples({name: blocks}, installed / "python", tmp_path)
    assert failures == {}, failures[name]


@pytest.mark.parametrize("name", CHECKS)
def test_no_block_of_a_page_overwrites_the_names_of_another(name):
    seen = set()
    for block in python_blocks(page(name)):
        nodes = list(ast.walk(ast.parse(block)))
        stored = {
            node.id
            for node in nodes
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        assert not seen & stored, block
        seen |= stored


@pytest.mark.parametrize("name", PAGES)
def test_shell_of_a_page_runs_in_order(name, installed, tmp_path):
    lines = [line for line in shell_lines(page(name)) if not _reason(line)]
    for path in ("train.py", "evaluate.py"):  # Where they lie in a clone.
        (tmp_path / path).symlink_to(PROJECT / path)
    path = f"{installed}:{outside()['PATH']}"
    for line in lines:
        done = subprocess.run(
            ["bash", "-euc", line],
            cwd=tmp_path,
            env=outside(PATH=path),
            capture_output=True,
            text=True,
            timeout=580,
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"


def _reason(line: str) -> str | None:
    return next((reason for part, reason in NOT_RUN.items() if part in line), None)


def test_every_exception_is_on_a_page():
    lines = [line for name in PAGES for line in shell_lines(page(name))]
    for part in NOT_RUN:
        assert any(part in line for line in lines), part
    # Not all of them are.
    assert any(shlex.split(line)[0] == "keras-ae-train" for line in lines)
