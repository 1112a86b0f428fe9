"""Loading trained models by name, and what must not be loaded."""

import json
import shutil
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_ae
from keras_ae import runs
from keras_ae.commands import train
from keras_ae.errors import BadRequest
from keras_ae.runs import Run
from studies.ship import ship


@pytest.fixture(scope="module")
def shipped(mlp_run, tmp_path_factory) -> Run:
    """A small run, shipped under the name of `tiny`."""
    run = Run(tmp_path_factory.mktemp("pretrained") / "tiny")
    ship(mlp_run, run, commit="0" * 40)
    return run


def test_loads_a_run_by_its_path(mlp_run, digits):
    model = keras_ae.load(mlp_run.directory)
    assert type(model) is keras_ae.DenseAutoencoder
    assert not model.compiled
    expected = keras.models.load_model(mlp_run.model).predict(digits, verbose=0)
    np.testing.assert_allclose(model.reconstruct(digits), expected, atol=1e-6)
    np.testing.assert_array_equal(
        model.encode(digits), keras_ae.load(str(mlp_run.directory)).encode(digits)
    )


def test_loads_a_shipped_model_by_its_name(shipped, mlp_run, digits, monkeypatch):
    monkeypatch.setattr(runs, "_PRETRAINED", (shipped.directory.parent,))
    np.testing.assert_array_equal(
        keras_ae.load("tiny").encode(digits), keras_ae.load(mlp_run.directory).encode(digits)
    )
    with pytest.raises(BadRequest, match=r"one of the shipped models \(tiny\), received 'tinny'"):
        keras_ae.load("tinny")


def test_shipped_model_has_no_optimizer_state(shipped, mlp_run):
    assert shipped.model.stat().st_size < 0.4 * mlp_run.model.stat().st_size
    assert not keras.models.load_model(shipped.model).compiled


def model_with_lambda(directory: Path):
    path = str(directory / "ran")
    inputs = keras.Input((28, 28, 1))
    # Keras writes the code of a lambda into the file.
    model = keras.Model(
        inputs,
        keras.layers.Lambda(lambda x: (open(path, "w").close(), x)[1])(inputs),  # noqa: PTH123
    )
    (directory / "ran").unlink()
    return model


@keras.saving.register_keras_serializable(package="elsewhere")
class Foreign(keras.layers.Layer):
    def call(self, inputs):
        return inputs


def model_with_foreign_class(directory: Path):
    inputs = keras.Input((28, 28, 1))
    return keras.Model(inputs, Foreign()(inputs))


def plain_keras_model(directory: Path):
    return keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten()])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (model_with_lambda, "Lambda"),
        # Keras 3.8 finds the class in its module, which makes the model no better.
        (model_with_foreign_class, "Foreign|received a Functional"),
        (plain_keras_model, "received a Sequential"),
    ],
)
def test_other_models_are_refused_and_run_nothing(build, message, tmp_path, monkeypatch):
    run = Run(tmp_path)
    build(tmp_path).save(run.model)
    monkeypatch.delitem(keras.saving.get_custom_objects(), "elsewhere>Foreign", raising=False)
    with pytest.raises(BadRequest, match=message) as caught:
        keras_ae.load(tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_a_function_named_in_the_file_is_not_called(mlp_run, tmp_path):
    """A config that names `os.system` in place of a class gets nothing run."""
    run = Run(tmp_path)
    marker = tmp_path / "ran"
    with zipfile.ZipFile(mlp_run.model) as source, zipfile.ZipFile(run.model, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                content = (
                    b'{"module": "os", "class_name": "system", "registered_name": "system",'
                    b' "config": {"command": "touch %s"}}' % str(marker).encode()
                )
            target.writestr(name, content)
    with pytest.raises(BadRequest, match="expected a model that loads"):
        keras_ae.load(tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize("damage", ["truncated", "a flipped bit", "no archive"])
def test_damaged_file_is_refused(damage, mlp_run, tmp_path):
    content = bytearray(mlp_run.model.read_bytes())
    if damage == "truncated":
        del content[len(content) // 2 :]
    elif damage == "a flipped bit":
        content[len(content) // 2] ^= 1
    else:
        content = b"no archive"
    run = Run(tmp_path)
    run.model.write_bytes(content)
    with pytest.raises(BadRequest, match="expected a model that loads"):
        keras_ae.load(tmp_path)


def test_exports_are_not_made_anew_with_other_data(mlp_run, tmp_path, capsys):
    shutil.copytree(mlp_run.directory, tmp_path / "run")
    run = Run(tmp_path / "run")
    config = run.read_config()
    config["dataset"]["checksum"] = "0" * 64
    run.config.write_text(json.dumps(config))
    before = run.export.read_bytes()
    assert train.main(["--export-only", str(run.directory)]) == 2
    assert f"expected checksum {'0' * 64}" in capsys.readouterr().err
    assert run.export.read_bytes() == before
