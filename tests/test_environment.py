"""What lies around the programs: variables, homes, pipes, networks, other Keras settings."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_ae
from keras_ae import data, models, runs
from keras_ae.commands import evaluate, program, train
from keras_ae.errors import BadRequest
from keras_ae.options import is_path
from tests.conftest import PROJECT

FLAGS = [
    *(("train", flag) for flag in ("--over", "--resum", "--export", "--data", "--see", "--li")),
    *(("evaluate", flag) for flag in ("--lat", "--onl", "--noise", "--dev", "--see", "--he")),
]


@pytest.mark.parametrize(("command", "flag"), FLAGS)
def test_flags_have_no_short_forms(command, flag, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {"train": train, "evaluate": evaluate}[command].main([flag, "1"]) == 2
    error = capsys.readouterr().err
    assert f"unrecognized arguments: {flag}" in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_flags_of_subcommands_have_no_short_forms_either():
    parser = program.Parser(prog="p")
    parser.add_subparsers().add_parser("show").add_argument("--overwrite", action="store_true")
    assert parser.parse_args(["show", "--overwrite"]).overwrite
    with pytest.raises(BadRequest, match="unrecognized arguments: --over"):
        parser.parse_args(["show", "--over"])


def test_nobody_reads_the_output(tmp_path):
    for command, status in (("train.py --list", 141), ("train.py --help", 0)):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [sys.executable, *command.split()], cwd=PROJECT, stdout=writer, stderr=subprocess.PIPE
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (status, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_output_to_a_full_disk_is_told_in_one_line():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "train.py", "--list"],
            cwd=PROJECT, stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "No space left on device" in done.stderr


def test_an_interrupted_import_shows_nothing_that_was_held_back(capfd):
    def command(_):
        with program.quiet_tensorflow():
            os.write(2, b"log lines of TensorFlow\n")
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)

    # A shell that starts the tests in the background has them ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert program.run(program.Parser(prog="p"), command, []) == 128 + signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, before)
    assert capfd.readouterr().err == "p: stopped by SIGINT\n"


def test_a_failed_import_shows_what_was_held_back(capfd):
    def fail():
        with program.quiet_tensorflow():
            os.write(2, b"what a library says\n")
            raise ImportError

    with pytest.raises(ImportError):
        fail()
    assert capfd.readouterr().err == "what a library says\n"


@pytest.mark.parametrize("backend", ["jax", "garbage"])
def test_another_backend_is_refused(backend, script, tmp_path):
    environment = {**os.environ, "KERAS_BACKEND": backend}
    done = script("train.py", "-s", tmp_path / "run", env=environment)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"expected Keras with the TensorFlow backend (KERAS_BACKEND=tensorflow), received " \
        f"{backend}" in done.stderr  # fmt: skip
    assert list(tmp_path.iterdir()) == []
    program = "import keras_ae; keras_ae.RECIPES\ntry: keras_ae.load\n"
    program += "except ValueError as error: print(error)"
    done = script("-c", program, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert f"received {backend}" in done.stdout
    done = script("train.py", "--list", env=environment)
    assert (done.returncode, done.stderr) == (0, "")


def test_another_backend_that_works_is_refused_only_where_it_is_used(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    keras_ae._register(keras)
    with pytest.raises(BadRequest, match=r"KERAS_BACKEND=tensorflow\), received jax"):
        keras_ae.load("mlp")


# === Datasets ===


@pytest.mark.parametrize("name", ["mnist:3.0.1", "MNIST", "Mnist:3.*.*"])
def test_other_spellings_of_a_dataset_are_the_same(name, dataset):
    same = data.load(name)
    assert (same.name, same.version, same.checksum) == ("mnist", "3.0.1", dataset.checksum)


NO_NAMES = [
    "", " ", "mnist ", "mnist/", "mnist/data_dir={place}", "mnist:3.0.1/data_dir={place}",
    "mnist/x/data_dir={place}", "mnist/..", "mnist:3", "mnist:3.0.1.2", "huggingface:mnist",
    "kaggle:mnist", "../mnist", "/mnist", "mnist\n", "mnist\0", "mnist/data_dir={place},",
]  # fmt: skip


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_name_of_a_dataset_is_refused_before_tfds_sees_it(name, tmp_path, capsys):
    name = name.format(place=tmp_path / "made")
    with pytest.raises(BadRequest, match="expected the name of a TFDS dataset") as caught:
        data.load(name)
    assert str(caught.value).endswith(f"received {name!r}")
    if "\0" not in name:  # No command line can have one.
        assert train.main(["--dataset", name, "-s", str(tmp_path / "run")]) == 2
        run = PROJECT / "saved_models" / "pretrained" / "mlp"
        assert evaluate.main([str(run), "--ood", name]) == 2
        errors = capsys.readouterr().err.splitlines()
        assert len(errors) == 2
        assert errors[0].endswith(f"received {name!r}")
        # `--ood` takes paths, too.
        assert f"received {name if is_path(name) else repr(name)}" in errors[1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["mnist:9.9.9", "mnist/x", "fashion_mnist:0.0.1"])
def test_versions_and_configs_that_do_not_exist_are_refused(name, tmp_path, capsys):
    assert train.main(["--dataset", name, "-s", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"expected the name of a TFDS dataset, received {name!r}" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["mnist", "MNIST", "Mnist", "mnist:3.0.1", "mnist:3.*.*"])
def test_the_other_dataset_is_another_under_whatever_spelling(name, capsys):
    run = PROJECT / "saved_models" / "pretrained" / "mlp"
    before = sorted(run.iterdir())
    assert evaluate.main([str(run), "--ood", name]) == 2
    error = capsys.readouterr().err
    assert "must be another dataset than the run's own" in error
    assert error.endswith(f"received {name}\n")
    assert sorted(run.iterdir()) == before


def test_the_same_images_under_another_name_are_no_other_dataset(dataset):
    from keras_ae.evaluation.context import Context
    from keras_ae.options import Options

    other = data.dataclasses.replace(dataset, name="other")
    with pytest.raises(BadRequest, match=r"received other, which has the same images"):
        Context(None, None, None, dataset, other, Options(ood="other"))


@pytest.mark.parametrize(
    "directory", ["file", "file/below", "loop", "loop/below", "/proc/nowhere", "x" * 5000]
)
def test_a_directory_for_datasets_that_cannot_be_is_refused(
    directory, tmp_path, monkeypatch, capsys
):
    from tensorflow_datasets.core import constants

    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.setattr(constants, "DATA_DIR", str(tmp_path / directory))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / directory))
    assert train.main(["-s", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "expected a directory for datasets that can be used" in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "loop"]


@pytest.mark.parametrize(
    "variables", [{"TFDS_DATA_DIR": "/proc/nowhere"}, {"HOME": "/proc/nohome"}], ids=str
)
def test_variables_that_name_no_directory_are_refused(variables, tmp_path, script):
    environment = {k: v for k, v in os.environ.items() if k != "TFDS_DATA_DIR"} | variables
    done = script("train.py", "-s", tmp_path / "run", env=environment)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "expected a directory for datasets that can be used" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_without_network_is_refused_in_seconds(tmp_path, monkeypatch, capsys):
    from tensorflow_datasets.core import constants

    monkeypatch.setattr(constants, "DATA_DIR", str(tmp_path / "tfds"))
    # Nobody listens there, as without a network.
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    started = time.monotonic()
    assert train.main(["--dataset", "kmnist", "-s", str(tmp_path / "run")]) == 2
    assert time.monotonic() - started < 15
    error = capsys.readouterr().err
    assert "expected a download, or the directory of its archives" in error
    assert error.count("\n") == 1


# === Models under other settings of Keras ===


@pytest.fixture
def half_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(before)


@pytest.fixture(scope="module")
def before(digits, tmp_path_factory):
    """Files that were saved under Keras' own settings, and what their models computed."""
    directory = tmp_path_factory.mktemp("models")
    computed = {}
    for name, model in {
        "mlp": keras_ae.load("mlp"),  # Of version 0.1, which recorded no precision.
        "vae": keras_ae.load("vae-baseline"),
        "fresh": models.ConvAutoencoder(4),
        "bfloat16": models.DenseAutoencoder(4, (16,), dtype="mixed_bfloat16"),
    }.items():
        model.save(directory / f"{name}.keras")
        model.encoder.save(directory / f"{name}-encoder.keras")
        computed[name] = (model.encode(digits), model.reconstruct(digits), model.score(digits))
    return directory, computed


@pytest.mark.parametrize("name", ["mlp", "vae-baseline"])
def test_a_shipped_model_computes_in_its_own_precision(name, before, digits, half_precision):
    assert '"dtype": "float32"' not in (runs.pretrained()[name].config).read_text()
    model = keras_ae.load(name)
    latents, images, scores = before[1][name.split("-")[0]]
    np.testing.assert_array_equal(model.encode(digits), latents)
    np.testing.assert_array_equal(model.reconstruct(digits), images)
    np.testing.assert_array_equal(model.score(digits), scores)


@pytest.mark.parametrize("name", ["mlp", "vae", "fresh", "bfloat16"])
def test_a_saved_model_computes_in_the_precision_that_it_was_saved_with(
    name, before, digits, half_precision
):
    directory, computed = before
    model = keras.models.load_model(directory / f"{name}.keras")
    for method, expected in zip(("encode", "reconstruct", "score"), computed[name], strict=True):
        np.testing.assert_array_equal(getattr(model, method)(digits), expected)
    encoder = keras.models.load_model(directory / f"{name}-encoder.keras")
    code = encoder(digits, training=False)
    latents = code[0] if isinstance(code, list | tuple) else code
    # `encode` runs the same layers as one graph.
    tolerance = 0.02 if name == "bfloat16" else 1e-5
    np.testing.assert_allclose(np.asarray(latents, "float32"), computed[name][0], atol=tolerance)


@pytest.mark.parametrize("received", ["{", "7", '{"cluster": 5}', '{"cluster": {"worker": 3}}'])
def test_a_cluster_that_cannot_be_read_is_refused(received, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("TF_CONFIG", received)
    directory = tmp_path / "run"
    assert train.main(["mlp", "--strategy", "mirrored", "-s", str(directory)]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert f"expected JSON of a cluster in TF_CONFIG, received {received!r}" in error
    assert not directory.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([""], "unknown recipe"),
        (["", "--resume"], "expected name 'mlp'"),
        (["-s", ""], "--save-dir: expected a directory, received ''"),
    ],
)
def test_an_empty_word_is_not_left_out(arguments, message, mlp_run, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    if "--resume" in arguments:
        unfinished = shutil.copytree(mlp_run.directory, tmp_path / "run")
        (unfinished / "metrics.json").unlink()
        arguments = [*arguments, "-s", str(unfinished)]
    assert train.main(arguments) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_a_name_too_long_for_a_file_is_refused():
    with pytest.raises(BadRequest, match=r"^expected the name of a model .*received x+"):
        keras_ae.load("x" * 5000)
