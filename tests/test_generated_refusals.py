"""Each field, flag and file with each kind of damage: one line and the right status, or success.

The tables are in `refusals.py`. What is refused after TensorFlow has loaded takes a second a case,
what is refused before it milliseconds.
"""

import contextlib
import copy
import dataclasses
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import keras
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keras_ae import recipes
from keras_ae.commands import evaluate, train
from keras_ae.training import run as training
from tests import refusals

SMALL = ("-e", "1", "--train-images", "200")


def _tree(directory: Path) -> dict[str, str]:
    return {path.relative_to(directory).as_posix(): _told(path) for path in directory.rglob("*")}


def _told(path: Path) -> str:
    if path.is_symlink():
        return f"link to {os.readlink(path)}"  # noqa: PTH115, a path would be tidied up
    return "directory" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()


def _check_refused(program: Callable, arguments, place: Path, capfd) -> str:
    """Checks that a command is refused in one line and changes nothing; returns the line."""
    before = _tree(place)
    capfd.readouterr()
    status = program(arguments)
    captured = capfd.readouterr()
    assert status == 2, captured.err
    assert captured.err.count("\n") == 1, captured.err
    assert "Traceback" not in captured.out + captured.err
    assert _tree(place) == before
    return captured.err


def _set(config: dict, field: tuple[str, ...], value) -> dict:
    """Returns a config in which a field has another value, or is gone."""
    edited = copy.deepcopy(config)
    inner = edited
    for name in field[:-1]:
        inner = inner[name]
    if value is refusals.MISSING:
        del inner[field[-1]]
    else:
        inner[field[-1]] = value
    return edited


@pytest.fixture(scope="module")
def _template(tmp_path_factory) -> Path:
    """A finished run with an evaluation, and the same before it was finished."""
    place = tmp_path_factory.mktemp("template")
    keras.utils.clear_session()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "remove", lambda path: None)
        assert train.main(["dense", *SMALL, "-s", str(place / "finished")]) == 0
    unfinished = shutil.copytree(place / "finished", place / "unfinished")
    for path in unfinished.iterdir():
        if path.name not in ("config.json", "history.csv", "figures", "loss.png", "backup"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(place / "finished" / "backup")
    assert evaluate.main([str(place / "finished"), "--only", "history"]) == 0
    return place


@pytest.fixture
def place(_template, tmp_path, monkeypatch) -> Path:
    """A working directory with both runs."""
    place = shutil.copytree(_template, tmp_path / "place")
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def corner(tmp_path, monkeypatch) -> Path:
    """A working directory with what is no run."""
    place = tmp_path / "corner"
    (place / "other").mkdir(parents=True)
    (place / "other" / "file").write_text("precious")
    (place / "file").write_text("precious")
    (place / "loop").symlink_to("loop")
    (place / "dangling").symlink_to("not there")
    monkeypatch.chdir(place)
    return place


@pytest.fixture(scope="module")
def config(_template) -> dict[str, dict]:
    """By recipe the contents of `config.json`. What is wrongly accepted is trained quickly."""
    written = json.loads((_template / "finished" / "config.json").read_text())
    return {
        name: {
            **written,
            "recipe": {
                **dataclasses.asdict(recipes.get(name).override(epochs=1, train_images=200)),
                "jit_compile": False,
            },
        }
        for name in refusals.MODELS
    }


def _split(accepted: bool) -> list:
    return [
        pytest.param(*case, id="-".join((case[0], *case[1], case[2])))
        for case in refusals.config_cases()
        if refusals.is_accepted(*case[1:]) is accepted
    ]


@pytest.mark.parametrize(("model", "field", "damage"), _split(accepted=False))
def test_field(model, field, damage, config, corner, capfd):
    edited = _set(config[model], field, refusals.DAMAGES[damage])
    (corner / "unfinished").mkdir()
    (corner / "unfinished" / "config.json").write_text(json.dumps(edited))
    message = _check_refused(train.main, ["--resume", "-s", "unfinished"], corner, capfd)
    # The rest of an object goes by its fields, and a name is looked up among the recipes.
    assert any(word in message for word in (field[-1], "expected the names", "unknown recipe"))


@pytest.mark.parametrize(("model", "field", "damage"), _split(accepted=True))
def test_field_that_is_fine(model, field, damage, config, corner, capfd):
    edited = _set(config[model], field, refusals.DAMAGES[damage])
    (corner / "finished").mkdir()
    (corner / "finished" / "config.json").write_text(json.dumps(edited))
    (corner / "finished" / "metrics.json").write_text("{}")
    # Its config has been read.
    message = _check_refused(train.main, ["--resume", "-s", "finished"], corner, capfd)
    assert message.endswith("received finished, which is finished\n")


def _edit(place: Path, field: tuple[str, ...], damage: str) -> None:
    path = place / "finished" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(_set(config, field, refusals.DAMAGES[damage])))


@pytest.mark.parametrize("damage", refusals.DAMAGES)
@pytest.mark.parametrize("field", refusals.TRAINED, ids=".".join)
def test_field_of_what_was_trained(field, damage, place, capfd):
    _edit(place, field, damage)
    _check_refused(evaluate.main, ["finished", "--only", "history"], place, capfd)


@pytest.mark.parametrize("damage", ["missing", "nested list", "null byte"])
@pytest.mark.parametrize("field", refusals.RECORDS, ids=".".join)
def test_field_that_nobody_reads(field, damage, place, capfd):
    _edit(place, field, damage)
    assert evaluate.main(["finished", "--only", "history"]) == 0
    assert capfd.readouterr().err == ""


def _short(value) -> str:
    return repr(value) if len(repr(value)) < 40 else f"{repr(value)[:20]}..."


@pytest.mark.parametrize(("program", "flag", "value"), list(refusals.flag_cases()), ids=_short)
def test_value(program, flag, value, request, capfd):
    given = [value] if flag in ("RECIPE", "RUN") else [f"{flag}{value}"]
    if value[:1] != "=" and given != [value]:
        given = [f"{flag}={value}"]
    if program == "train.py":
        place = request.getfixturevalue("corner")
        recipe = {"RECIPE": [], "--beta": ["vae-baseline"]}.get(flag, ["mlp"])
        arguments = [*recipe, *SMALL, "-s", "new", *given]
        if flag == "--export-only":
            arguments = given
    else:
        place = request.getfixturevalue("place")
        named = [] if flag in ("RUN", "--load") else ["finished"]
        arguments = [*named, "--only", "history", *given]
        if flag == "--ood-archives":
            arguments += ["--ood", "fashion_mnist"]
    message = _check_refused(refusals.main_of(program), arguments, place, capfd)
    # It is about this flag and no other.
    words = {flag, flag.lstrip("-").replace("-", "_"), flag.lower(), *_words(value)}
    if flag in ("RUN", "--load", "--export-only", "--save-dir", "--archives", "--ood-archives"):
        words.add("directory")
    if flag in ("--only", "--ood"):
        words.update(("stage", "dataset"))
    assert any(word in message for word in words), message


def _words(value: str) -> set[str]:
    return {word[:20] for word in (value.strip(), repr(value)[1:-1]) if word.strip()}


@pytest.mark.parametrize(("program", "flag"), list(refusals.spelling_cases()))
def test_flag_cut_short(program, flag, corner, capfd):
    arguments = ["mlp", *SMALL, "-s", "new"] if program == "train.py" else ["nowhere"]
    message = _check_refused(refusals.main_of(program), [*arguments, flag[:-1]], corner, capfd)
    assert f"unrecognized arguments: {flag[:-1]}\n" in message


@pytest.mark.parametrize(("program", "flag"), list(refusals.spelling_cases(with_value=True)))
def test_flag_without_value(program, flag, corner, capfd):
    message = _check_refused(refusals.main_of(program), [flag], corner, capfd)
    assert flag in message
    assert message.endswith("expected one argument\n")


def _damage(place: Path, command: str, name: str, damage: str) -> tuple[Callable, list[str]]:
    """Damages a file; returns a program and its arguments."""
    program, *arguments = command.split()
    directory = place / arguments[-1]
    refusals.FILE_DAMAGES[damage](directory / name)
    if program == "evaluate.py":
        arguments += ["--only", "history"]
    elif {"--resume", "--export-only"}.isdisjoint(arguments):
        arguments += ["dense", *SMALL]
    return refusals.main_of(program), arguments


@pytest.mark.parametrize(
    ("command", "name", "damage"), list(refusals.file_cases(refusals.REFUSED_FILES))
)
def test_file(command, name, damage, place, capfd):
    program, arguments = _damage(place, command, name, damage)
    _check_refused(program, arguments, place, capfd)


@pytest.mark.parametrize(
    ("command", "name", "damage"), list(refusals.file_cases(refusals.FINE_FILES))
)
def test_file_that_does_not_matter(command, name, damage, place, capfd):
    program, arguments = _damage(place, command, name, damage)
    own = "evaluation" if program is evaluate.main else name.partition("/")[0]
    before = _tree(place)
    assert program(arguments) == 0, capfd.readouterr().err
    assert "Traceback" not in capfd.readouterr().err
    finished, after = place / "finished", _tree(place)
    # It is made anew, and nothing else is touched.
    if program is evaluate.main:
        assert json.loads((finished / "evaluation" / "metrics.json").read_text())["stages"]
        assert (finished / "evaluation" / "report.html").read_text().startswith("<!DOCTYPE html>")
        written = ("finished/evaluation", "finished/lock")
    else:
        assert (finished / own).exists()
        assert json.loads((finished / "export.json").read_text())["threshold"] > 0
        exports = ("encoder", "decoder", "saved_model", "model.tflite", "model_d", "export.json")
        written = tuple(f"finished/{export}" for export in exports)
    for tree in (before, after):
        for path in [path for path in tree if path.startswith(written)]:
            del tree[path]
    assert after == before


# Timing decides nothing here, and each example writes all that it reads.
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
fields = st.sampled_from([("mlp", field) for field in refusals.FIELDS] + [*refusals.ARGUMENTS])


def _check_one_line(program: Callable, arguments) -> None:
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        assert program(arguments) == 2
    assert errors.getvalue().count("\n") == 1, errors.getvalue()


@relaxed
@given(where=fields, value=json_values)
def test_any_json_in_any_field(where, value, config, corner):
    model, field = where
    (corner / "run").mkdir(exist_ok=True)
    (corner / "run" / "config.json").write_text(json.dumps(_set(config[model], field, value)))
    # So that it ends where the config is read, be it good or bad.
    (corner / "run" / "metrics.json").write_text("{}")
    _check_one_line(train.main, ["--resume", "-s", "run"])


# These end a program well, or name another directory.
_OTHERWISE = ("--list", "--export-only", "--overwrite", "--save-dir")
words = st.sampled_from(
    [flag for _, flag in refusals.spelling_cases() if flag not in _OTHERWISE] + [*recipes.RECIPES]
) | st.text(max_size=10).filter(lambda text: not text.startswith("-"))


@relaxed
@given(arguments=st.lists(words, max_size=5))
@example(arguments=["a\nb"])
@example(arguments=["mlp", "a\rb\x1b[2Jc"])
def test_any_words(arguments, corner):
    (corner / "run").mkdir(exist_ok=True)
    (corner / "run" / "config.json").write_text("{}")
    _check_one_line(train.main, [*arguments, "-s", "run"])
    _check_one_line(evaluate.main, [*arguments, "--load", "run"])
