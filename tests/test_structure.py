"""How the package is built: what imports what, and that its models stand alone."""

import ast
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.conftest import PROJECT

PACKAGE = PROJECT / "keras_ae"
MODULES = {
    ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def _imported(name: str) -> Iterator[str]:
    """Yields what a module imports, wherever in it, by full name."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level]
            source = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                whole = f"{source}.{alias.name}"
                yield whole if whole in MODULES else source


def _of_package(name: str) -> set[str]:
    return {other for other in _imported(name) if other in MODULES and other != "keras_ae"}


@functools.cache
def _level(name: str, above: tuple[str, ...] = ()) -> int:
    assert name not in above, f"a circle of imports: {' -> '.join([*above, name])}"
    return 1 + max((_level(other, (*above, name)) for other in _of_package(name)), default=0)


def test_imports_have_few_levels_and_no_circle():
    levels = {name: _level(name) for name in MODULES}
    assert levels["keras_ae.errors"] == 1
    assert max(levels.values()) <= 8, {name for name in levels if levels[name] > 8}


def test_wings_keep_to_themselves():
    for name in MODULES:
        imported = set(_imported(name))
        roots = {other.split(".")[0] for other in imported}
        assert not roots & {"studies", "benchmarks", "examples", "tests"}, name
        for wing, other_wing in (("training", "evaluation"), ("evaluation", "training")):
            if name.startswith(f"keras_ae.{wing}"):
                assert not any(one.startswith(f"keras_ae.{other_wing}") for one in imported), name
        if name.startswith("keras_ae.models"):
            outside = {one for one in imported if not one.startswith("keras_ae.models")}
            allowed = {"keras", "numpy", "tensorflow", *sys.stdlib_module_names}
            assert {one.split(".")[0] for one in outside} <= allowed, name
        if not name.startswith("keras_ae.commands"):
            assert not any(one.startswith("keras_ae.commands") for one in imported), name


def test_no_file_is_long():
    lines = {name: len(path.read_text("utf-8").splitlines()) for name, path in MODULES.items()}
    assert max(lines.values()) <= 400, {name: n for name, n in lines.items() if n > 400}


STANDS_ALONE = """
import sys
import keras, numpy as np
import nets

images = np.load("images.npy")
classes = {
    nets.DenseAutoencoder: {"latent_dim": 4, "hidden_units": (16,)},
    nets.ConvAutoencoder: {"latent_dim": 4, "filters": (3, 5)},
    nets.LSTMAutoencoder: {"latent_dim": 4, "hidden_units": (6,)},
    nets.SpatialAutoencoder: {"latent_filters": 2, "filters": (3, 5)},
    nets.VariationalAutoencoder: {"latent_dim": 4, "lstm_units": 6, "seed": 0},
}
for kind, arguments in classes.items():
    assert keras.saving.get_registered_name(kind) == f"nets>{kind.__name__}"
    model = kind(**arguments)
    model.compile("adam", loss=model.training_loss)
    before = model.evaluate(images, images, verbose=0, return_dict=True)["loss"]
    model.fit(images, images, batch_size=20, epochs=3, verbose=0)
    assert model.evaluate(images, images, verbose=0, return_dict=True)["loss"] < before
    model.save(f"{kind.__name__}.keras")
    again = keras.saving.load_model(f"{kind.__name__}.keras")
    assert type(again) is kind
    np.testing.assert_allclose(again.score(images), model.score(images), rtol=1e-5)
layer = nets.GaussianSampling(seed=3)
assert keras.saving.get_registered_name(type(layer)) == "nets>GaussianSampling"
assert not any(name.startswith("keras_ae") for name in sys.modules)
"""
BOTH_IN_ONE_PROCESS = """
import sys
sys.path.append(sys.argv[1])
import keras, numpy as np
import keras_ae, nets

images = np.load("images.npy")
theirs = keras.saving.load_model("DenseAutoencoder.keras")
ours = keras_ae.DenseAutoencoder(4, (16,))
ours.set_weights(theirs.get_weights())
ours.save("ours.keras")
assert type(theirs) is nets.DenseAutoencoder
assert type(keras.saving.load_model("ours.keras")) is keras_ae.DenseAutoencoder
np.testing.assert_array_equal(ours.encode(images), theirs.encode(images))
"""


def test_a_copy_of_the_models_works_in_another_project_under_another_name(tmp_path, digits):
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE / "models", tmp_path / "nets", ignore=ignored)
    np.save(tmp_path / "images.npy", digits[:60])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for program in (STANDS_ALONE, BOTH_IN_ONE_PROCESS):
        done = subprocess.run(
            [sys.executable, "-c", program, str(PROJECT)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert done.returncode == 0, done.stderr


def test_the_copied_folder_is_all_there_is_to_copy():
    # Python alone: no data file that a copy could miss, no test that it would bring along.
    files = {path.suffix for path in Path(PACKAGE / "models").iterdir() if path.is_file()}
    assert files == {".py"}
