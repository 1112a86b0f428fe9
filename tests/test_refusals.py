"""Bad requests and damaged files: one line, the right status, and nothing changed."""

import copy
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import pytest

from keras_ae import models, recipes
from keras_ae.commands import evaluate, train
from tests.conftest import PROJECT


def _tree(directory: Path) -> dict[str, str]:
    return {
        path.relative_to(directory).as_posix(): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "directory"
        )
        for path in sorted(directory.rglob("*"))
    }


def _check(program: Callable, arguments, message: str, directory: Path, capfd) -> None:
    before = _tree(directory)
    capfd.readouterr()
    assert program(arguments) == 2
    captured = capfd.readouterr()
    assert captured.err.count("\n") == 1, captured.err
    assert message in captured.err
    assert "Traceback" not in captured.out + captured.err
    assert _tree(directory) == before


@pytest.fixture(scope="module")
def _template(mlp_run, tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("template")
    shutil.copytree(mlp_run.directory, directory / "finished")
    shutil.copytree(mlp_run.directory, directory / "unfinished")
    (directory / "unfinished" / "metrics.json").unlink()
    (directory / "empty").mkdir()
    (directory / "other").mkdir()
    (directory / "other" / "file").write_text("precious")
    return directory


@pytest.fixture
def place(_template, tmp_path, monkeypatch) -> Path:
    """A working directory with a finished run, an unfinished one, and other things."""
    place = shutil.copytree(_template, tmp_path / "place")
    monkeypatch.chdir(place)
    return place


COMMANDS = {
    "resume nothing": ("--resume", "config.json, received saved_models/mlp"),
    "resume nothing there": ("--resume -s nowhere", "config.json, received nowhere"),
    "resume an empty directory": ("--resume -s empty", "config.json, received empty"),
    "resume other things": ("--resume -s other", "config.json, received other"),
    "resume a file": ("--resume -s other/file", "config.json, received other/file"),
    "resume a finished run": ("--resume -s finished", "received finished, which is finished"),
    "resume and overwrite": ("--resume --overwrite -s unfinished", "not allowed with argument"),
    "resume for longer": ("--resume -e 9 -s unfinished", "expected epochs 3"),
    "resume another recipe": ("dense --resume -s unfinished", "expected name 'mlp'"),
    "resume an unknown recipe": ("mpl --resume -s unfinished", "expected name 'mlp'"),
    "resume with another seed": ("--resume --seed 7 -s unfinished", "expected seed 0"),
    "resume with another flag": ("--resume --beta 2 -s unfinished", "expected beta None"),
    "resume elsewhere": ("--resume --device cpu -s unfinished", "expected device 'auto'"),
    "resume otherwise": ("--resume --strategy mirrored -s unfinished", "strategy 'single'"),
    "resume with a log": ("--resume --tensorboard -s unfinished", "expected tensorboard False"),
    "resume with a plot": ("--resume -p loss.png -s unfinished", "expected plot None"),
    "train over an unfinished run": ("-s unfinished", "continue it with --resume, or replace"),
    "train over a finished run": ("-s finished", "choose another with --save-dir, or replace"),
    "several machines": ("--strategy multi_worker -s new", "invalid choice: 'multi_worker'"),
    "a TPU": ("--strategy tpu -s new", "invalid choice: 'tpu'"),
    "a path too long": (f"-s {'x' * 300}", "File name too long"),
    "kernel files": ("-s /proc/self/run", "can be written, received /proc/self/run"),
    "a seed beyond 32 bits": ("--seed 4294967296 -s new", "0 to 2147483647"),
    "a rate beyond floats": ("--learning-rate 1e39 -s new", "received 1e+39"),
    "units beyond integers": ("-z 99999999999999999999 -s new", "below 2147483648"),
    "a plot of no format": ("-p loss.docx -s new", "loss.docx"),
    "a plot without ending": ("-p loss -s new", "/place/loss"),
    "a plot on a directory": ("-p other -s new", "/place/other"),
    "a plot where nobody writes": ("-p /proc/loss.png -s new", "/proc"),
    "a plot below a file": ("-p other/file/loss.png -s new", "Not a directory"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_command(case, place, capfd):
    arguments, message = COMMANDS[case]
    _check(train.main, arguments.split(), message, place, capfd)


def _set(*path_and_value) -> Callable[[dict], None]:
    *path, last, value = path_and_value

    def change(config: dict) -> None:
        for name in path:
            config = config[name]
        config[last] = value

    return change


def _drop(*path) -> Callable[[dict], None]:
    *path, last = path

    def change(config: dict) -> None:
        for name in path:
            config = config[name]
        del config[last]

    return change


RECIPE = "recipe"
CONFIGS = {
    "no recipe": (_drop(RECIPE), "object 'recipe'"),
    "a recipe by name": (_set(RECIPE, "mlp"), "object 'recipe'"),
    "no settings": (_drop("settings"), "object 'settings'"),
    "no dataset": (_drop("dataset"), "object 'dataset'"),
    "an unknown recipe": (_set(RECIPE, "name", "mpl"), "did you mean 'mlp'?"),
    "a recipe without name": (_set(RECIPE, "name", None), "name must be text"),
    "an unknown field": (_set(RECIPE, "momentum", 0.9), "received momentum beyond"),
    "a missing field": (_drop(RECIPE, "epochs"), "epochs missing"),
    "epochs in words": (_set(RECIPE, "epochs", "many"), "epochs must be a positive integer"),
    "no epochs": (_set(RECIPE, "epochs", 0), "epochs must be a positive integer"),
    "half an epoch": (_set(RECIPE, "epochs", 1.5), "received 1.5"),
    "true epochs": (_set(RECIPE, "epochs", True), "received True"),
    "endless epochs": (_set(RECIPE, "epochs", 10**30), "epochs must be"),
    "a negative batch": (_set(RECIPE, "batch_size", -1), "batch_size must be"),
    "no rate": (_set(RECIPE, "learning_rate", 0), "learning_rate must be"),
    "a rate of NaN": (_set(RECIPE, "learning_rate", float("nan")), "received nan"),
    "an infinite rate": (_set(RECIPE, "learning_rate", float("inf")), "received inf"),
    "a rate of 400 digits": (_set(RECIPE, "learning_rate", 10**400), "learning_rate must be"),
    "a rate in a list": (_set(RECIPE, "learning_rate", [1e-3]), "received [0.001]"),
    "negative decay": (_set(RECIPE, "l2", -1), "l2 must be"),
    "a schedule of 1": (
        _set(RECIPE, "schedule", 1),
        "one of constant, plateau, cosine, received 1",
    ),
    "no figures": (_set(RECIPE, "figures_every", 0), "figures_every must be"),
    "XLA perhaps": (_set(RECIPE, "jit_compile", "auto"), "received 'auto'"),
    "negative noise": (_set(RECIPE, "train_noise_std", -0.1), "train_noise_std must be"),
    "a seed in fractions": (_set(RECIPE, "seed", 0.5), "seed must be an integer"),
    "a dataset by number": (_set(RECIPE, "dataset", 5), "dataset must be text"),
    "no images": (_set(RECIPE, "train_images", 0), "train_images must be"),
    "a class alone": (_set(RECIPE, "train_classes", 3), "a list of one or more labels"),
    "no classes": (_set(RECIPE, "train_classes", []), "train_classes must be a list"),
    "a class twice": (_set(RECIPE, "train_classes", [1, 1]), "without repetition"),
    "full_train of null": (_set(RECIPE, "full_train", None), "full_train must be"),
    "another class": (_set(RECIPE, "model", "ConvAutoencoder"), "must be 'DenseAutoencoder'"),
    "no class": (_set(RECIPE, "model", "os.system"), "must be 'DenseAutoencoder'"),
    "arguments in a list": (_set(RECIPE, "arguments", []), "arguments must be an object"),
    "a missing argument": (_drop(RECIPE, "arguments", "latent_dim"), "latent_dim missing"),
    "an unknown argument": (_set(RECIPE, "arguments", "depth", 3), "received depth beyond"),
    "no latents": (_set(RECIPE, "arguments", "latent_dim", 0), "latent_dim must be"),
    "units without list": (_set(RECIPE, "arguments", "hidden_units", 392), "a list of positive"),
    "a layer of nothing": (_set(RECIPE, "arguments", "hidden_units", [0]), "received [0]"),
    "no such activation": (_set(RECIPE, "arguments", "activation", "rellu"), "received 'rellu'"),
    "activations in a list": (_set(RECIPE, "arguments", "activation", ["relu"]), "['relu']"),
    "an unknown setting": (_set("settings", "speed", "high"), "received speed beyond"),
    "no such device": (_set("settings", "device", "tpu"), "device must be one of"),
    "no such strategy": (_set("settings", "strategy", None), "strategy must be one of"),
    "a log of 1": (_set("settings", "tensorboard", 1), "tensorboard must be true or false"),
    "a plot by number": (_set("settings", "plot", 3), "plot must be a path"),
    "archives in a list": (_set("settings", "archives", ["a"]), "archives must be a path"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_edited_config(case, place, capfd):
    change, message = CONFIGS[case]
    path = place / "unfinished" / "config.json"
    config = json.loads(path.read_text())
    edited = copy.deepcopy(config)
    change(edited)
    path.write_text(json.dumps(edited))
    _check(train.main, ["--resume", "-s", "unfinished"], message, place, capfd)


TEXTS = {
    "empty": b"",
    "cut off": b'{"recipe": {"name": "mlp"',
    "no JSON": b"recipe = mlp",
    "a list": b"[]",
    "null": b"null",
    "not UTF-8": b'{"recipe": "\xff\xfe"}',
    "too deep": b"[" * 100_000,
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
}


@pytest.mark.parametrize("case", TEXTS)
def test_config_of_another_kind(case, place, capfd):
    (place / "unfinished" / "config.json").write_bytes(TEXTS[case])
    _check(train.main, ["--resume", "-s", "unfinished"], "config.json", place, capfd)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("dataset", "checksum", "0" * 64), "expected the dataset that the run in"),
        (_set("recipe", "dataset", "no_such_set"), "expected the name of a TFDS dataset"),
        (_set("recipe", "train_images", 60_000), "must be at most 55000"),
        (_set("settings", "archives", "/nowhere"), "received a directory without"),
    ],
)
def test_config_that_does_not_fit_the_data(change, message, place, capfd):
    path = place / "unfinished" / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))
    _check(train.main, ["--resume", "-s", "unfinished"], message, place, capfd)


def _leave_trace(x):
    Path("trace").touch()
    return x


def _write_lambda(path: Path) -> None:
    images = keras.Input((28, 28, 1))
    keras.Model(images, keras.layers.Lambda(_leave_trace)(images)).save(path)
    Path("trace").unlink()  # Building the model has called it.


def _write_foreign_module(path: Path) -> None:
    Path("foreign.py").write_text("open('trace', 'w')\nclass Model: pass\n")
    _edit_model(module="foreign", class_name="Model", registered_name=None)(path)


def _write_foreign(path: Path) -> None:
    images = keras.Input((28, 28, 1))
    keras.Model(images, keras.layers.Activation("relu")(images)).save(path)


def _edit_model(**changes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        config = json.loads(members["config.json"])
        members["config.json"] = json.dumps({**config, **changes}).encode()
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    return change


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


MODELS = {
    "cut off": lambda path: os.truncate(path, 100_000),
    "empty": lambda path: os.truncate(path, 0),
    "one flipped bit": _flip,
    "missing": lambda path: path.unlink(),
    "a picture": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(1000)),
    "a Lambda layer": _write_lambda,
    "another model": _write_foreign,
    "an unknown class": _edit_model(
        module=None, class_name="Mystery", registered_name="foreign>Mystery"
    ),
    "a class of another package": _edit_model(
        module="os", class_name="system", registered_name=None
    ),
    "a class in a module of its own": _write_foreign_module,
    "other arguments": _edit_model(config={"latent_dim": "many", "hidden_units": [392]}),
    "unknown arguments": _edit_model(config={"depth": 3}),
}


@pytest.mark.parametrize("case", MODELS)
@pytest.mark.parametrize("program", [train.main, evaluate.main])
def test_damaged_model(case, program, place, capfd, monkeypatch):
    monkeypatch.syspath_prepend(place)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    MODELS[case](place / "finished" / "model.keras")
    arguments = ["--export-only", "finished"] if program is train.main else ["finished"]
    _check(program, arguments, "finished", place, capfd)


PREPARED = {
    "a flipped bit": (_flip, "mnist-train.tfrecord-00000-of-00001"),
    "cut off": (lambda path: os.truncate(path, 10_000), "mnist-test.tfrecord-00000-of-00001"),
    "missing": (lambda path: path.unlink(), "mnist-train.tfrecord-00000-of-00001"),
    "description cut off": (lambda path: os.truncate(path, 100), "dataset_info.json"),
}


@pytest.mark.parametrize("case", PREPARED)
def test_damaged_prepared_dataset(case, place, capfd, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")
    prepared = Path(tfds.builder("mnist").data_dir)
    copied = place / "tfds" / "mnist" / prepared.name
    copied.mkdir(parents=True)
    for path in prepared.iterdir():
        if path.suffix != ".npz":
            shutil.copyfile(path, copied / path.name)
    change, name = PREPARED[case]
    change(copied / name)
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(place / "tfds"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(place / "tfds"))
    _check(train.main, ["-s", "new"], f"remove {place / 'tfds' / 'mnist'}", place, capfd)


@pytest.mark.parametrize("damage", [_flip, lambda path: os.truncate(path, 100_000)])
def test_damaged_archive(damage, place, capfd, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")
    archives = shutil.copytree(PROJECT / "data" / "mnist", place / "archives")
    damage(archives / "train-images-idx3-ubyte.gz")
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(place.parent / "tfds"))
    arguments = ["--archives", "archives", "-s", "new"]
    _check(train.main, arguments, "train-images-idx3-ubyte.gz, has wrong checksum", place, capfd)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_config_of_every_recipe_is_read_back(name):
    recipe = recipes.get(name)
    config = json.loads(json.dumps(recipes.dataclasses.asdict(recipe)))
    assert recipes.from_config(config) == recipe
    assert hasattr(models, recipe.model)
