"""The command line of train.py: what it says, what it refuses, and that it is quick about it."""

import hashlib
import importlib.util

import pytest

from keras_ae import recipes
from keras_ae.commands import train
from keras_ae.runs import Run
from tests.conftest import PROJECT


def tree(directory) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "directory"
        )
        for path in sorted(directory.rglob("*"))
    }


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--list"], ["mlp", "--beta", "1"], ["mpl"], ["-z", "none"]]
)
def test_answers_that_need_no_tensorflow_do_not_import_it(arguments, script):
    program = (
        "import sys\n"
        "from keras_ae.commands import train\n"
        "try: train.main(sys.argv[1:])\n"
        "finally: assert not {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)"
    )
    result = script("-c", program, *arguments)
    assert result.returncode == 0, result.stderr


def test_list_shows_every_recipe_with_parameters_and_source(script):
    result = script("train.py", "--list")
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    for recipe in recipes.RECIPES.values():
        line = next(line for line in lines if line.split()[0] == recipe.name)
        assert f"{recipe.parameters:,}" in line
        assert recipe.source in line
        assert recipe.description in line


BAD_REQUESTS = {
    "unknown recipe": (["mpl"], "did you mean 'mlp'?", "received 'mpl'"),
    "flag of another recipe": (["dense", "--beta", "2"], "has no use for beta", "received beta=2"),
    "code of an lstm": (["lstm", "--code-activation", "relu"], "has no use for code_activation"),
    "hidden activation of a vae": (["vae-fast", "--activation", "relu"], "no use for activation"),
    "unknown flag": (["--depth"], "unrecognized arguments: --depth"),
    "latent size zero": (["-z", "0"], "a positive integer", "received 0"),
    "latent size negative": (["-z", "-3"], "a positive integer", "received -3"),
    "no epochs": (["-e", "0"], "epochs must be a positive integer", "received 0"),
    "no batch": (["-b", "0"], "batch_size must be a positive integer", "received 0"),
    "no figures": (["--figures-every", "0"], "a positive integer", "received 0"),
    "no images": (["--train-images", "0"], "a positive integer", "received 0"),
    "size in words": (["-z", "eight"], "'eight'"),
    "size in fractions": (["-z", "8.5"], "'8.5'"),
    "rate of nan": (["--learning-rate", "nan"], "above zero, received nan"),
    "rate of zero": (["--learning-rate", "0"], "above zero, received 0"),
    "rate of infinity": (["--learning-rate", "inf"], "finite number", "received inf"),
    "negative noise": (["--train-noise-std", "-1"], "zero or more, received -1"),
    "negative seed": (["--seed", "-1"], "an integer from 0 to 2147483647, received -1"),
    "beta of nan": (["vae-fast", "--beta", "nan"], "zero or more, received nan"),
    "unknown activation": (["--activation", "rellu"], "one of relu", "received 'rellu'"),
    "unknown device": (["--device", "tpu"], "invalid choice: 'tpu'"),
    "an earlier run": (["-s", "run"], "expected a new directory, received run", "--overwrite"),
    "a directory of other things": (["-s", "other", "--overwrite"], "holds other files"),
    "a file": (["-s", "other/file"], "can be written, received other/file: Not a directory"),
    "below a file": (["-s", "other/file/run"], "can be written, received other/file/run"),
    "read-only target": (["-s", "/proc/run"], "can be written, received /proc/run"),
}


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A directory with an earlier run and something else in it."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"recipe": {}, "settings": {}, "dataset": {}}')
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("precious")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_a_bad_request_is_refused_in_one_line(case, workplace, capsys):
    arguments, *messages = BAD_REQUESTS[case]
    before = tree(workplace)
    assert train.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    for message in messages:
        assert message in captured.err
    assert tree(workplace) == before


# These are found out after TensorFlow is there.
LATE_BAD_REQUESTS = {
    "images of many shapes": (["--dataset", "cats_vs_dogs"], "received uint8 [None, None, 3]"),
    "unknown dataset": (["--dataset", "mnsit"], "received 'mnsit'"),
    "archives elsewhere": (["--archives", "other"], "received a directory without"),
    "too many images": (["--train-images", "60000"], "at most 55000", "received 60000"),
    "no such device": (["--device", "gpu"], "expected a GPU", "received none"),
}


@pytest.mark.parametrize("case", LATE_BAD_REQUESTS)
def test_a_bad_request_found_late_changes_nothing_either(case, workplace, capsys):
    arguments, *messages = LATE_BAD_REQUESTS[case]
    before = tree(workplace)
    assert train.main([*arguments, "-s", "run", "--overwrite"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    for message in messages:
        assert message in captured.err
    assert tree(workplace) == before


def test_tensorboard_without_its_package_is_refused(workplace, capsys, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tensorboard" else find_spec(name)
    )
    before = tree(workplace)
    assert train.main(["--tensorboard", "-s", "run", "--overwrite"]) == 2
    assert "expected the package tensorboard, received none" in capsys.readouterr().err
    assert tree(workplace) == before


@pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed"
)
def test_tensorboard_gets_its_logs(tmp_path):
    run = Run(tmp_path / "run")
    arguments = ["dense", "--train-images", "200", "-e", "1", "--tensorboard"]
    assert train.main([*arguments, "-s", str(run.directory)]) == 0
    assert list(run.tensorboard.rglob("events.out.tfevents.*"))


def test_a_script_exits_with_the_status_and_no_traceback(script):
    result = script("train.py", "--beta", "1")
    assert result.returncode == 2
    assert result.stderr.startswith("train.py: recipe 'mlp' has no use for beta")
    assert result.stderr.count("\n") == 1


def test_a_run_prints_one_line_an_epoch_and_its_result(script, tmp_path):
    arguments = ["dense", "--train-images", "400", "-e", "3", "-p", tmp_path / "curve.svg"]
    result = script(PROJECT / "train.py", *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines[:3]] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert all("loss" in line and "val_loss" in line and "left" in line for line in lines[:3])
    assert lines[3].startswith("test MSE per pixel 0.0")
    assert lines[4] == "non-constant latent units 5 of 5"
    assert lines[5] == "saved to saved_models/dense"
    assert "<svg" in (tmp_path / "curve.svg").read_text()


def test_overrides_reach_the_run(tmp_path):
    arguments = ["-z", "3", "-e", "1", "-b", "50", "--train-images", "200", "--seed", "4"]
    arguments += ["--code-activation", "linear", "--activation", "tanh", "--learning-rate", "0.01"]
    assert train.main(["mlp", *arguments, "-s", str(tmp_path / "run")]) == 0
    recipe = Run(tmp_path / "run").read_recipe()
    assert recipe.arguments == {
        "latent_dim": 3,
        "hidden_units": (392,),
        "activation": "tanh",
        "code_activation": "linear",
    }
    assert (recipe.epochs, recipe.batch_size, recipe.train_images) == (1, 50, 200)
    assert (recipe.seed, recipe.learning_rate) == (4, 0.01)
