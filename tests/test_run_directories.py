"""What may be written to a run directory, read from it and removed from it."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import keras_ae
from keras_ae import export, recipes, runs
from keras_ae.commands import evaluate, train
from keras_ae.errors import BadRequest
from keras_ae.evaluation.context import Skipped
from keras_ae.evaluation.stages import history
from keras_ae.loading import load_run
from keras_ae.runs import Run
from keras_ae.training import checkpoints
from keras_ae.training import run as training
from keras_ae.training.callbacks import ReconstructionFigures
from tests.conftest import PROJECT
from tests.kill_and_resume import content, differences

SHORT = ("mlp", "--train-images", "300", "-e", "1", "-b", "100")


def _tree(directory: Path) -> dict[str, str]:
    """What lies in a directory: links by their target, files by their digest."""
    return {
        path.relative_to(directory).as_posix(): (
            f"-> {path.readlink()}"
            if path.is_symlink()
            else hashlib.sha256(path.read_bytes()).hexdigest()
            if path.is_file()
            else "directory"
        )
        for path in sorted(directory.rglob("*"))
    }


def _check_refused(program, arguments, message: str, directory: Path, capfd) -> None:
    before = _tree(directory)
    capfd.readouterr()
    assert program([str(argument) for argument in arguments]) == 2
    captured = capfd.readouterr()
    assert captured.err.count("\n") == 1, captured.err
    assert message in captured.err
    assert _tree(directory) == before


@pytest.fixture(scope="module", autouse=True)
def _no_exports(mlp_run):
    # They take longer than all else; one test makes them.
    with pytest.MonkeyPatch.context() as patch:
        write = export.export_run
        patch.setattr(
            export,
            "export_run",
            lambda run, *dataset, **images: None if dataset else write(run, **images),
        )
        yield


@pytest.fixture
def run(mlp_run, tmp_path) -> Run:
    """A finished run."""
    return Run(shutil.copytree(mlp_run.directory, tmp_path / "run"))


@pytest.fixture(scope="module")
def _unfinished(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("unfinished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "remove", lambda path: None)
        patch.setattr(checkpoints, "SHARE", float("inf"))
        assert _train(*SHORT, "-s", directory) == 0
    (directory / "metrics.json").unlink()
    return directory


@pytest.fixture
def unfinished(_unfinished, tmp_path) -> Run:
    """A run that was killed before it wrote `metrics.json`, with its checkpoints."""
    return Run(shutil.copytree(_unfinished, tmp_path / "unfinished"))


def _train(*arguments) -> int:
    keras.utils.clear_session()  # Keras numbers the names of layers through the life of a process.
    return train.main([str(argument) for argument in arguments])


def _edit(run: Run, change) -> None:
    config = json.loads(run.config.read_text())
    change(config)
    run.config.write_text(json.dumps(config))


# --- What `overwrite` removes ---------------------------------------------------------------------


@pytest.mark.parametrize("text", ['{"name": "my app"}', "no JSON", "[]", "", '{"recipe": {}}'])
def test_a_directory_with_another_config_is_never_overwritten(text, tmp_path, capfd):
    (tmp_path / "proj" / "src").mkdir(parents=True)
    (tmp_path / "proj" / "config.json").write_text(text)
    (tmp_path / "proj" / "thesis.txt").write_text("precious")
    arguments = [*SHORT, "--overwrite", "-s", tmp_path / "proj"]
    _check_refused(train.main, arguments, "holds other files, such as src", tmp_path, capfd)


def test_a_config_alone_that_no_run_wrote_is_kept(tmp_path, capfd):
    (tmp_path / "config.json").write_text('{"name": "my app"}')
    arguments = [*SHORT, "--overwrite", "-s", tmp_path]
    _check_refused(train.main, arguments, "other files, such as config.json", tmp_path, capfd)


FOREIGN = {
    "a file": ("thesis.txt", "file"),
    "a directory": ("src", "directory"),
    "a file among figures": ("figures/thesis.png", "file"),
    "a directory among figures": ("figures/samples_epoch_0001.png", "directory"),
    "a file in an evaluation": ("evaluation/notes.txt", "file"),
    "a figure of no stage": ("evaluation/holiday_images.png", "file"),
    "a file of a SavedModel": ("saved_model/assets/words.txt", "file"),
    "a file beside variables": ("saved_model/variables/thesis", "file"),
    "a file among logs": ("tensorboard/train/notes", "file"),
    "a file among checkpoints": ("backup/epoch_000001_step_000000000/thesis", "file"),
    "a file called like a directory": ("tensorboard", "file"),
    "a directory called like a file": ("README.md", "directory"),
    "a directory called lock": ("lock", "directory"),
    "a hidden file with a number": (".2024-notes.md", "file"),
    "a hidden directory with a number": (".2024~notes", "directory"),
    "a link": ("README.md", "link"),
    "a link to nothing": ("README.md", "dangling link"),
    "a link to a directory": ("evaluation", "link to a directory"),
    "another run": ("second/config.json", "run"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_overwrite_names_what_no_run_writes(case, run, capfd):
    name, kind = FOREIGN[case]
    path = run.directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    precious = run.directory.parent / "precious"
    precious.mkdir()
    (precious / "thesis").write_text("precious")
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    elif kind == "run":
        shutil.copy(run.config, path)
        name = "second"
    else:
        kinds = {"link": precious / "thesis", "dangling link": "nowhere"}
        path.symlink_to(kinds.get(kind, precious))
    arguments = [*SHORT, "--overwrite", "-s", run.directory]
    _check_refused(train.main, arguments, name, run.directory.parent, capfd)
    with pytest.raises(BadRequest, match=path.name if kind != "run" else name), run.locked():
        run.begin({}, overwrite=True)
    assert (precious / "thesis").read_text() == "precious"


def test_overwrite_removes_all_that_a_run_writes(run):
    """Everything of a run that made logs and was evaluated, drafts of killed processes too."""
    for name in (
        "figures/samples_epoch_12345.png",
        "evaluation/anomaly_easiest.png",
        "evaluation/metrics.json",
        "evaluation/report.html",
        "evaluation/scores.csv",
        "tensorboard/train/events.out.tfevents.1795265747.vm.17658.0.v2",
        "backup/epoch_000001_step_000000000/state.index",
        "backup/epoch_000001_step_000000000/state.data-00000-of-00001",
        "backup/.99999999-epoch_000001_step_000000000/state_temp/part-00000-of-00001",
        ".99999999-saved_model/variables/variables.index",
        ".99999999-model.keras",
        "README.md",
        "lock",
    ):
        path = run.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if name == "lock" else "old")
    run.check_free(overwrite=True)
    with run.locked():
        run.begin({"recipe": {}, "settings": {}, "dataset": {}}, overwrite=True)
    assert list(_tree(run.directory)) == ["config.json"]


def test_overwrite_keeps_a_plot_of_the_users_own_name(tmp_path):
    run = Run(tmp_path / "run")
    plot = run.directory / "mine" / "curves.svg"
    assert _train(*SHORT, "-s", run.directory, "-p", plot) == 0
    assert _train(*SHORT, "-s", run.directory, "--overwrite") == 0
    assert plot.is_file()


# Ends the process before an operation on files: the one with this number.
KILLED = """
import json, os, sys
from keras_ae.runs import Run
run, number, config = Run(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])

def count(event, arguments):
    global number
    if event in ("os.rename", "os.remove", "os.rmdir", "os.truncate", "os.mkdir"):
        number -= 1
        if number == 0:
            os._exit(9)

with run.locked():
    sys.addaudithook(count)
    run.begin(config, overwrite=True)
"""


def test_a_kill_at_any_moment_of_overwrite_leaves_the_old_run_or_the_new_one(run, tmp_path):
    for path in [*run.saved_model.rglob("*"), run.encoder, run.decoder]:
        if path.is_file():
            path.unlink()  # Fewer moments.
    (run.checkpoints / "epoch_000001_step_000000000").mkdir(parents=True)
    old = _tree(run.directory)
    config = {**run.read_config(), "commit": "new"}
    config["recipe"] = {**config["recipe"], "seed": 7}
    old_ones = new_ones = 0
    status = 9
    while status:
        copy = Run(shutil.copytree(run.directory, tmp_path / str(old_ones + new_ones)))
        number = old_ones + new_ones + 1
        command = [sys.executable, "-c", KILLED, copy.directory, str(number), json.dumps(config)]
        status = subprocess.run(command, cwd=PROJECT).returncode
        assert status in (0, 9)
        is_new = copy.read_config()["recipe"]["seed"] == 7
        if is_new:
            # What is left of the old model is nobody's any more.
            with pytest.raises(BadRequest, match=r"model\.keras"):
                copy.read_trained()
            with pytest.raises(BadRequest, match=r"model\.keras"):
                load_run(copy)
            copy.check_resumable()
        with copy.locked():
            pass
        if is_new:
            assert list(_tree(copy.directory)) == ["config.json"]
            assert copy.read_config()["recipe"]["seed"] == 7
            assert set(copy.read_config()) == {*config, "files"}
            new_ones += 1
        else:
            assert _tree(copy.directory) == old
            old_ones += 1
    assert old_ones > 0
    assert new_ones > len(old) / 2


def test_a_killed_overwrite_resumes_as_if_nothing_had_been_there(run, tmp_path, monkeypatch):
    assert _train(*SHORT, "-s", tmp_path / "whole") == 0

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_replace_with", killed)
        with pytest.raises(Killed):
            _train(*SHORT, "--overwrite", "-s", run.directory)
    assert run.model.is_file()
    assert evaluate.main([str(run.directory)]) == 2
    with pytest.raises(BadRequest):
        keras_ae.load(run.directory)
    assert _train("--resume", "-s", run.directory) == 0
    assert differences(run.directory, content(tmp_path / "whole")) == []


# --- Where a run may be written -------------------------------------------------------------------


@pytest.mark.parametrize("flags", [[], ["--overwrite"], ["--resume"]])
def test_shipped_models_and_the_package_are_never_written(flags, tmp_path, capfd, monkeypatch):
    pretrained = tmp_path / "pretrained"
    shutil.copytree(PROJECT / "saved_models" / "pretrained" / "mlp", pretrained / "mlp")
    (pretrained / "mlp" / "metrics.json").unlink()
    monkeypatch.setattr(runs, "_PRETRAINED", (pretrained,))
    (tmp_path / "link").symlink_to(pretrained / "mlp")
    for place in (pretrained / "mlp", tmp_path / "link", pretrained / "mlp" / "figures"):
        message = "config.json" if "--resume" in flags and place.name == "figures" else "apart from"
        _check_refused(train.main, [*flags, "-s", place], message, tmp_path, capfd)
    if "--resume" not in flags:
        for place in (pretrained, pretrained / "new", tmp_path, Path(runs.__file__).parent / "new"):
            _check_refused(train.main, [*flags, "-s", place], "apart from", tmp_path, capfd)


def test_no_run_lies_in_another(run, tmp_path, capfd):
    place = tmp_path / "place"
    shutil.copytree(run.directory, place / "first" / "mlp")
    for directory in (run.directory / "figures", run.directory / "a" / "b", place, place / "first"):
        _check_refused(train.main, [*SHORT, "-s", directory], "apart from", tmp_path, capfd)
    (run.directory / "second").mkdir()
    shutil.copy(run.config, run.directory / "second")
    run.metrics.unlink()
    arguments = ["--resume", "-s", run.directory]
    _check_refused(train.main, arguments, "apart from other runs", tmp_path, capfd)


def test_plots_are_written_elsewhere(run, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = PROJECT / "saved_models" / "pretrained" / "mlp" / "figures" / "loss.png"
    for plot, directory in (
        ("n.png", "n.png"),
        ("n.png", "n.png/below"),
        (run.loss_plot, "new"),
        (shipped, "new"),
        (PROJECT / "keras_ae" / "loss.png", "new"),
    ):
        arguments = [*SHORT, "-s", directory, "-p", plot]
        _check_refused(train.main, arguments, "--plot: expected a file apart", tmp_path, capfd)


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _dangle(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize("name", ["place", "place/below"])
@pytest.mark.parametrize("make", [_loop, _dangle, Path.touch])
def test_a_place_that_cannot_be(name, make, tmp_path, capfd):
    make(tmp_path / "place")
    place = tmp_path / name
    message = "a directory that can be written"
    if make is _dangle and name != "place":
        message = "No such file"
    _check_refused(train.main, [*SHORT, "-s", place], message, tmp_path, capfd)
    for flags in (["--resume", "-s"], ["--export-only"]):
        _check_refused(train.main, [*flags, place], "config.json", tmp_path, capfd)
    _check_refused(evaluate.main, [place], "config.json", tmp_path, capfd)


@pytest.mark.parametrize("path", ["a\0b", "x" * 300, "new/" + "x" * 300, "a\0b/c"])
def test_a_name_that_cannot_be(path, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for program, arguments in (
        (train.main, [*SHORT, "-s", path]),
        (train.main, ["--resume", "-s", path]),
        (train.main, ["--export-only", path]),
        (train.main, [*SHORT, "-s", "new", "-p", path + ".png"]),
        (train.main, [*SHORT, "-s", "new", "--archives", path]),
        (evaluate.main, [path]),
    ):
        _check_refused(program, arguments, "expected ", tmp_path, capfd)
    with pytest.raises(BadRequest) as caught:
        keras_ae.load(path)
    assert "\n" not in str(caught.value)


IN_THE_WAY = {
    "evaluation, a link to nothing": ("evaluation", _dangle),
    "evaluation, a link to itself": ("evaluation", _loop),
    "evaluation, a file": ("evaluation", Path.touch),
    "a figure that is a directory": ("evaluation/history_x.png", Path.mkdir),
    "a report that is a directory": ("evaluation/report.html", Path.mkdir),
    "lock, a directory": ("lock", Path.mkdir),
    "lock, a link to itself": ("lock", _loop),
    "lock, a link to nothing": ("lock", _dangle),
    "lock, a link to a file": ("lock", lambda path: path.symlink_to("../precious")),
    "lock, a second name of a file": ("lock", lambda path: path.hardlink_to("../precious")),
    "lock, a pipe": ("lock", os.mkfifo),
}


@pytest.mark.parametrize("case", IN_THE_WAY)
def test_what_lies_in_the_way_is_refused_and_kept(case, run, tmp_path, capfd, monkeypatch):
    name, make = IN_THE_WAY[case]
    (tmp_path / "precious").write_text("precious")
    path = run.directory / name
    path.parent.mkdir(exist_ok=True)
    monkeypatch.chdir(path.parent)
    make(path)
    programs = [
        (evaluate.main, ["--only", "history", run.directory]),
        (train.main, ["--export-only", run.directory]),
        (train.main, ["--overwrite", *SHORT, "-s", run.directory]),
    ]
    for program, arguments in programs:
        _check_refused(program, arguments, name, tmp_path, capfd)
    run.metrics.unlink()
    _check_refused(train.main, ["--resume", "-s", run.directory], name, tmp_path, capfd)
    if name == "lock":
        with pytest.raises(BadRequest, match="lock"), run.locked():
            pass
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_lock_that_its_holder_left_is_no_hindrance(run):
    run.lock.write_text("99999999\n")
    run.check_open()
    with run.locked():
        assert run.lock.read_text() == f"{os.getpid()}\n"


def test_braces_in_a_directory_mean_themselves(tmp_path):
    for name in ("r{a}", "{epoch}", "{epoch:04d}{0}"):
        directory = tmp_path / name
        assert _train(*SHORT, "-s", directory) == 0
        figures = [path.name for path in (directory / "figures").iterdir()]
        assert figures == ["reconstructions_epoch_0001.png"]
        assert {path.name for path in tmp_path.iterdir()} == {name}
        shutil.rmtree(directory)


def test_braces_in_the_name_of_a_figure_mean_themselves(tmp_path, digits):
    path = tmp_path / "{epoch}" / "{a}{}_{epoch}_{epoch:03d}.png"
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Activation("relu")])
    drawn = ReconstructionFigures(digits[:2], path, every=1)
    drawn.set_model(model)
    drawn.on_epoch_end(6)
    assert list(_tree(tmp_path)) == ["{epoch}", "{epoch}/{a}{}_7_007.png"]


# --- What is read from a run ----------------------------------------------------------------------


DATASETS = {
    "no name": (lambda dataset: dataset.pop("name"), "received name None"),
    "a name by number": (lambda dataset: dataset.update(name=5), "received name 5"),
    "archives by number": (lambda dataset: dataset.update(archives=5), "received archives 5"),
    "archives in a list": (lambda dataset: dataset.update(archives=[]), "received archives []"),
    "no checksum": (lambda dataset: dataset.update(checksum=None), "received checksum None"),
    "test images in words": (lambda dataset: dataset.update(test="many"), "test 'many'"),
    "true test images": (lambda dataset: dataset.update(test=True), "received test True"),
    "more test images": (lambda dataset: dataset.update(test=10**9), "expected test 1000000000"),
    "other training images": (lambda dataset: dataset.update(train=1), "expected train 1"),
    "another name": (lambda dataset: dataset.update(name="kmnist"), "expected name kmnist"),
}


@pytest.mark.parametrize("case", DATASETS)
def test_a_dataset_that_is_not_described(case, run, tmp_path, capfd):
    change, message = DATASETS[case]
    _edit(run, lambda config: change(config["dataset"]))
    for program, arguments in (
        (evaluate.main, ["--only", "history", run.directory]),
        (train.main, ["--export-only", run.directory]),
    ):
        _check_refused(program, arguments, message, tmp_path, capfd)


@pytest.mark.parametrize("plot", ["a\0b.png", "/a\0b/c.png", "new/\0.png"])
def test_null_bytes_in_a_plot_of_a_config(plot, unfinished, tmp_path, capfd):
    _edit(unfinished, lambda config: config["settings"].update(plot=plot))
    arguments = ["--resume", "-s", unfinished.directory]
    _check_refused(train.main, arguments, "null byte", tmp_path, capfd)


CONTRADICTIONS = {
    "latents": (lambda recipe: recipe["arguments"].update(latent_dim=16), "latent_dim 16"),
    "layers": (lambda recipe: recipe["arguments"].update(hidden_units=[100]), "hidden_units [100]"),
    "an activation": (lambda recipe: recipe["arguments"].update(activation="elu"), "'elu'"),
    "another class": (
        lambda recipe: recipe.update({**vars(recipes.get("conv")), "train_images": 2000}),
        "with ",
    ),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_config_that_contradicts_the_model(case, run, tmp_path, capfd):
    change, message = CONTRADICTIONS[case]
    _edit(run, lambda config: change(config["recipe"]))
    latent_dim = run.read_recipe().arguments["latent_dim"]
    for program, arguments in (
        (evaluate.main, ["--only", "history", run.directory]),
        (evaluate.main, ["--only", "history", run.directory, "-z", latent_dim]),
        (train.main, ["--export-only", run.directory]),
    ):
        _check_refused(program, arguments, message, tmp_path, capfd)
    with pytest.raises(BadRequest, match=r"config\.json describes.*received .*model\.keras"):
        keras_ae.load(run.directory)


def test_a_run_of_the_first_version_may_count_the_parameters_of_other_arguments(run):
    # There, `mlp -z 32` recorded the number for 8 latents.
    def age(config: dict) -> None:
        config["versions"]["keras_ae"] = "0.1.0"
        config["recipe"]["parameters"] = 622_503

    _edit(run, age)
    assert keras_ae.load(run.directory).count_params() != 622_503
    assert evaluate.main([str(run.directory), "--only", "history"]) == 0


@pytest.mark.parametrize("name", list(runs.pretrained()))
def test_shipped_models_agree_with_their_configs(name):
    assert type(keras_ae.load(name)).__name__ == runs.pretrained()[name].read_recipe().model


HISTORIES = {
    "no loss": "epoch,val_loss\n1,0.5\n",
    "a long cell": "epoch,loss\n1," + "1" * 200_000 + "\n",
    "a long word": "epoch,loss\n1," + "x" * 100_000 + "\n",
    "a null byte": "epoch,loss\n1,\0\n",
    "a cell too many": "epoch,loss\n1,2,3\n",
    "a cell too few": "epoch,loss\n1\n",
}


@pytest.mark.parametrize("case", HISTORIES)
def test_a_history_that_cannot_be_read_is_skipped(case, run):
    run.history.write_text(HISTORIES[case])
    with pytest.raises(Skipped) as caught:
        history.read(run)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


# --- Checkpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [["--seed", "1"], ["-z", "9"], ["--train-noise-std", "0.5"]])
def test_checkpoints_of_another_run_are_refused(other, unfinished, tmp_path, capfd):
    config = unfinished.config.read_text()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "remove", lambda path: None)
        assert _train(*SHORT, *other, "-s", tmp_path / "other") == 0
    shutil.rmtree(unfinished.checkpoints)
    shutil.move(tmp_path / "other" / "backup", unfinished.checkpoints)
    shutil.rmtree(tmp_path / "other")
    assert unfinished.config.read_text() == config
    arguments = ["--resume", "-s", unfinished.directory]
    _check_refused(train.main, arguments, "received one of another run", tmp_path, capfd)


def test_checkpoints_of_the_first_version_are_taken_with_a_warning(tmp_path, capfd, monkeypatch):
    run = Run(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(training, "remove", lambda path: None)
        patch.setattr(Run, "fingerprint", lambda self: None)
        assert _train(*SHORT, "-s", run.directory) == 0
    run.metrics.unlink()
    assert _train("--resume", "-s", run.directory) == 0
    assert "does not say of which run it is" in capfd.readouterr().err


# --- Exports --------------------------------------------------------------------------------------


def test_export_only_waits_for_nobody_and_clears_up(run, tmp_path, capfd):
    with run.lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        print(os.getpid(), file=file, flush=True)
        arguments = ["--export-only", run.directory]
        _check_refused(train.main, arguments, "that nobody trains in", tmp_path, capfd)
        with pytest.raises(BadRequest, match="that nobody trains in"):
            export.export_run(run)
    run.saved_model.rename(run.directory / ".99999999~saved_model")
    (run.directory / ".99999999-model.tflite").write_text("half")
    held = []

    def look():
        with run.lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(True)

    with pytest.MonkeyPatch.context() as patch:
        write = export.export_saved_model
        patch.setattr(
            export, "export_saved_model", lambda *given, **named: (look(), write(*given, **named))
        )
        assert train.main(["--export-only", str(run.directory)]) == 0
    assert held
    assert not [name for name in _tree(run.directory) if name.startswith(".")]
    assert not run.lock.exists()
    assert run.saved_model.is_dir()
