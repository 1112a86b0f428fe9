"""What is damaged, how, and what has to come of it: tables for `test_generated_refusals.py`.

`python -m tests.refusals` prints how many refusals and faults the tests have, by kind, as pytest
collects them.
"""

import collections
import contextlib
import dataclasses
import io
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keras_ae import recipes
from keras_ae.commands import evaluate, train
from keras_ae.recipe import SETTINGS, Recipe

MISSING = object()
LONG = "x" * 5000

# --- Fields of config.json ---

DAMAGES = {
    "missing": MISSING,
    "null": None,
    "true": True,
    "negative": -1,
    "fraction": 0.5,
    "NaN": float("nan"),
    "infinite": float("inf"),
    "huge": 10**400,
    "nested list": [[1]],
    "object": {"a": 1},
    "empty text": "",
    "null byte": "a\0b",
    "very long": LONG,
}
# By the way in which `config.json` names them. Every argument of a model is in one of these.
MODELS = ("mlp", "conv", "denoiser", "lstm", "vae-baseline")
FIELDS = (
    ("recipe",),
    ("settings",),
    ("dataset",),
    *(("recipe", field.name) for field in dataclasses.fields(Recipe)),
    *(("settings", name) for name in SETTINGS),
)
ARGUMENTS = tuple(
    (model, ("recipe", "arguments", name))
    for model in MODELS
    for name in recipes.get(model).arguments
)
_TEXTS = ("empty text", "null byte", "very long")
# What is no damage. All else is refused.
ACCEPTED = {
    "description": _TEXTS,
    "source": _TEXTS,
    "parameters": ("null",),
    "l2": ("fraction",),
    "learning_rate": ("fraction",),
    "optimizer": ("missing",),
    "train_noise_std": ("fraction",),
    "train_shift_std": ("fraction", "missing"),
    "beta": ("fraction",),
    "dropout": ("fraction",),
    "train_images": ("null",),
    "train_classes": ("null",),
    # Of settings the default holds where an earlier version did not know them.
    "plot": ("null", "missing"),
    "archives": ("null", "missing"),
    "images": ("null", "missing"),
    "image_size": ("null", "missing"),
    "color": ("null", "missing"),
    "device": ("missing",),
    "strategy": ("missing",),
    "jit_compile": ("true",),
    "full_train": ("true",),
    "any_train_noise": ("true", "missing"),
    "tensorboard": ("true", "missing"),
    "batch_normalization": ("true",),
    "unroll": ("true",),
}
# What `evaluate.py` needs of the rest, and some of what is a record for people.
TRAINED = (
    ("dataset", "name"),
    ("dataset", "checksum"),
    ("dataset", "test"),
    ("versions",),
    ("versions", "keras_ae"),
)
RECORDS = (("commit",), ("versions", "python"))


def config_cases() -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Returns recipe, field and damage of each case of `config.json`."""
    fields = [("mlp", field) for field in FIELDS]
    for (model, field), damage in itertools.product([*fields, *ARGUMENTS], DAMAGES):
        yield model, field, damage


def is_accepted(field: tuple[str, ...], damage: str) -> bool:
    """Returns whether a value is none the worse for what is called a damage."""
    return damage in ACCEPTED.get(field[-1], ())


# --- Flags ---

_NO_COUNTS = ("", " ", "x", "1.5", "nan", "-1", "0", "1e3", "9" * 30, "9" * 5000, "\0", "1\n2")
_NO_NUMBERS = ("", " ", "x", "nan", "inf", "-inf", "-1", "1e39", "1e400", "1,5", "\0", "1\n2")
_NO_CHOICE = ("", " ", "x", "none", "auto ", "\0", "a\nb", LONG)
_NO_DATASET = (
    "", " ", "mnist ", "mnist/nothing", "mnist:9.9.9", "mnist/data_dir=elsewhere",
    "mnist[", "../mnist", "/", "a\0b", "a\nb", LONG,
)  # fmt: skip
_NO_PLACE = ("", "a\0b", LONG, "file", "file/below", "loop", "dangling/below", "/proc/self/new")
_NO_RECIPE = ("", " ", "MLP", "mlp ", "../mlp", "mlp,dense", "{mlp}", "0", "a\0b", "a\nb", LONG)
_NO_TRUTH = ("=", "=yes", "=0")


def _without(values: tuple[str, ...], *others: str) -> tuple[str, ...]:
    return tuple(value for value in values if value not in others)


TRAIN_FLAGS = {
    "RECIPE": _NO_RECIPE,
    "--latent-dim": _NO_COUNTS,
    "--epochs": _NO_COUNTS,
    "--batch-size": _NO_COUNTS,
    "--figures-every": _NO_COUNTS,
    "--train-images": _NO_COUNTS,
    "--seed": _without(_NO_COUNTS, "0"),
    "--learning-rate": (*_NO_NUMBERS, "0"),
    "--train-noise-std": _NO_NUMBERS,
    "--train-shift-std": _NO_NUMBERS,
    "--beta": _NO_NUMBERS,
    "--activation": _NO_CHOICE,
    "--code-activation": _NO_CHOICE,
    "--schedule": _NO_CHOICE,
    "--precision": (*_NO_CHOICE, "float16"),
    "--device": _NO_CHOICE,
    "--strategy": _NO_CHOICE,
    "--dataset": _NO_DATASET,
    "--archives": (*_NO_PLACE, "other"),
    "--images": (*_NO_PLACE, "dangling", "other", "nowhere"),
    "--image-size": (*_NO_COUNTS, "32", "x32", "32x", "7x32", "32x7", "-32x32", "32x32x1"),
    "--color": (*_NO_CHOICE, "RGB", "gray"),
    "--save-dir": (*_NO_PLACE, "dangling", "other"),
    "--plot": (*_NO_PLACE, "other", "plot.docx", "a\0b.png", f"{LONG}.png", "file/plot.png"),
    "--export-only": (*_NO_PLACE, "dangling", "other", "nowhere"),
    "--overwrite": _NO_TRUTH,
    "--resume": _NO_TRUTH,
    "--list": _NO_TRUTH,
    "--full-train": _NO_TRUTH,
    "--tensorboard": _NO_TRUTH,
    "--jit-compile": _NO_TRUTH,
}
_NO_INDEX = (*_without(_NO_COUNTS, "0"), "10000")
EVALUATE_FLAGS = {
    "RUN": (*_NO_PLACE, "dangling", "other", "nowhere"),
    "--load": (*_NO_PLACE, "dangling", "other", "nowhere"),
    "--latent-dim": (*_NO_COUNTS, "7"),
    "--only": ("", " ", "x", "history,", "history,x", "history history", "a\0b", "a\nb", LONG),
    "--device": _NO_CHOICE,
    "--seed": _without(_NO_COUNTS, "0"),
    "--clean-idx": _NO_INDEX,
    "--denoise-idx": _NO_INDEX,
    "--interp-idx1": (*_NO_INDEX, "3456"),
    "--interp-idx2": (*_NO_INDEX, "12"),
    "--noise-std": (*_NO_NUMBERS, "0"),
    "--steps": (*_NO_COUNTS, "1", "51"),
    "--percentile": (*_NO_NUMBERS, "0", "100"),
    # A slash is a path, and it exists.
    "--ood": (*_without(_NO_DATASET, "/"), "mnist", "MNIST", "cifar10", "imdb_reviews"),
    "--images": _NO_PLACE,
    "--score": _NO_PLACE,
    "--ood-archives": ("", "other"),
    "--nll-samples": _NO_COUNTS,
    "--nll-images": (*_NO_COUNTS, "10001"),
}
_PROGRAMS = {"train.py": (train, TRAIN_FLAGS), "evaluate.py": (evaluate, EVALUATE_FLAGS)}


def flag_cases() -> Iterator[tuple[str, str, str]]:
    """Returns program, flag and value of each case."""
    for program, (_, flags) in _PROGRAMS.items():
        for flag, values in flags.items():
            for value in values:
                yield program, flag, value


def main_of(program: str) -> Callable:
    """Returns the function of a program."""
    return _PROGRAMS[program][0].main


def spelling_cases(with_value: bool = False) -> Iterator[tuple[str, str]]:
    """Returns program and flag, once for each long flag, or for each that takes a value."""
    for program, (module, _) in _PROGRAMS.items():
        for flag, action in module._parser()._option_string_actions.items():
            if (
                flag.startswith("--")
                and flag != "--help"
                and (action.nargs is None or not with_value)
            ):
                yield program, flag


# --- Files of a run directory ---


def _directory(path: Path) -> None:
    _remove(path)
    path.mkdir()
    (path / "precious").write_text("other")


def _remove(path: Path) -> None:
    if path.is_dir():
        for inner in sorted(path.rglob("*"), reverse=True):
            inner.rmdir() if inner.is_dir() else inner.unlink()
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def _write(text: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        _remove(path)
        path.write_bytes(text)

    return write


def _cut(path: Path) -> None:
    if path.is_dir():
        path = sorted(inner for inner in path.rglob("*") if inner.is_file())[-1]
    if path.exists():
        os.truncate(path, path.stat().st_size // 2)


def _link(target: str) -> Callable[[Path], None]:
    def link(path: Path) -> None:
        _remove(path)
        path.symlink_to(target)

    return link


FILE_DAMAGES: dict[str, Callable[[Path], None]] = {
    "missing": _remove,
    "empty": _write(b""),
    "cut": _cut,
    "a directory": _directory,
    "a dangling link": _link("nowhere"),
    "a link loop": lambda path: _link(path.name)(path),
    "no text": _write(b"\xff\xfe\x00" * 100),
    "a list": _write(b"[]"),
    "null": _write(b"null"),
    "other text": _write(b"precious\n" * 1000),
}
_ALL = tuple(FILE_DAMAGES)
_NO_DIRECTORY = tuple(damage for damage in _ALL if damage not in ("missing", "a directory"))
# For each command and file the damages that it refuses. `a file` of a directory is any of the last.
REFUSED_FILES = {
    "evaluate.py finished": {
        "config.json": _ALL,
        "model.keras": _ALL,
        "lock": ("a directory", "a dangling link", "a link loop", "no text", "other text"),
        "history.csv": ("a link loop",),
        "metrics.json": ("a link loop",),
        "decoder.keras": ("a directory",),
        "saved_model": ("a dangling link",),
        "figures": ("other text",),
        "evaluation": _without(_NO_DIRECTORY, "cut"),
        "evaluation/metrics.json": ("a directory", "a link loop"),
        "evaluation/report.html": ("a directory", "a link loop"),
        "evaluation/history_loss.png": ("a directory", "a dangling link"),
    },
    "train.py --export-only finished": {
        "config.json": _ALL,
        "encoder.keras": ("a dangling link",),
        "saved_model": ("other text",),
        # It loads the model as `evaluate.py` does.
        "model.keras": ("missing", "a directory", "a link loop", "other text"),
    },
    "train.py --resume -s unfinished": {
        "config.json": _ALL,
        "lock": ("a directory", "a dangling link", "a link loop"),
        "backup": _without(_NO_DIRECTORY, "cut"),
    },
    "train.py --resume -s finished": {
        "config.json": _ALL,
    },
    "train.py -s finished": {
        "config.json": _without(_ALL, "missing"),
        "lock": ("a directory", "a dangling link", "a link loop"),
        "metrics.json": _ALL,
    },
    "train.py --overwrite -s finished": {
        "config.json": _ALL,
        "lock": ("a directory", "a dangling link", "a link loop"),
    },
}
# What does not matter: the evaluation is made, or the exports are. A few of each, in turn, since
# each case loads TensorFlow's model.
FINE_FILES = {
    "evaluate.py finished": {
        "history.csv": ("missing", "cut", "no text", "other text"),
        "metrics.json": ("missing",),
        "encoder.keras": ("empty",),
        "decoder.keras": ("cut",),
        "saved_model": ("missing",),
        "model.tflite": ("cut",),
        "model_dynamic_range.tflite": ("missing",),
        "export.json": ("null",),
        "loss.png": ("no text",),
        "figures": ("missing",),
        "lock": ("empty",),
        "evaluation": ("missing",),
        "evaluation/metrics.json": ("cut", "no text", "a list", "null"),
        "evaluation/report.html": ("missing",),
        "evaluation/history_loss.png": ("missing",),
    },
    "train.py --export-only finished": {
        "encoder.keras": ("missing",),
        "saved_model": ("missing",),
        "export.json": ("a list",),
    },
}


def file_cases(table: dict) -> Iterator[tuple[str, str, str]]:
    """Returns command, file and damage of each case of a table."""
    for command, files in table.items():
        for name, damages in files.items():
            for damage in damages:
                yield command, name, damage


# --- The count ---

# Tests of refusals and faults, by kind: each case that pytest collects of them is one.
KINDS = {
    "field of config.json": (
        "test_generated_refusals.py::test_field",
        "test_generated_refusals.py::test_field_that_is_fine",
        "test_generated_refusals.py::test_field_of_what_was_trained",
        "test_generated_refusals.py::test_field_that_nobody_reads",
        "test_generated_refusals.py::test_any_json_in_any_field",
        "test_refusals.py::test_edited_config",
        "test_refusals.py::test_config_of_another_kind",
        "test_images.py::test_config_with_two_sources_or_none",
        "test_refusals.py::test_config_that_does_not_fit_the_data",
        "test_hostile_input.py::test_recipes_are_read_whole_or_refused",
    ),
    "value of a flag": (
        "test_generated_refusals.py::test_value",
        "test_generated_refusals.py::test_any_words",
        "test_images.py::test_flags_that_do_not_fit",
        "test_cli.py::test_a_bad_request_is_refused_in_one_line",
        "test_cli.py::test_a_bad_request_found_late_changes_nothing_either",
        "test_cli.py::test_tensorboard_without_its_package_is_refused",
        "test_evaluation.py::test_bad_arguments_change_nothing",
        "test_export.py::test_export_only_refuses",
        "test_refusals.py::test_command",
    ),
    "spelling of a flag": (
        "test_generated_refusals.py::test_flag_cut_short",
        "test_generated_refusals.py::test_flag_without_value",
    ),
    "file of a run": (
        "test_generated_refusals.py::test_file",
        "test_generated_refusals.py::test_file_that_does_not_matter",
        "test_evaluation.py::test_bad_runs_stay_as_they_are",
        "test_loading.py::test_damaged_file_is_refused",
        "test_loading.py::test_other_models_are_refused_and_run_nothing",
        "test_refusals.py::test_damaged_model",
        "test_resume.py::test_damaged_checkpoint_falls_back_to_the_one_before",
        "test_resume.py::test_only_damaged_checkpoints_are_refused",
    ),
    "dataset": (
        "test_images.py::test_refused_in_one_line",
        "test_images.py::test_a_damaged_cache_is_made_again",
        "test_images.py::test_tfds_of_small_images_is_refused",
        "test_data.py::test_a_dataset_of_another_kind_is_refused",
        "test_data.py::test_more_training_images_than_there_are_is_refused",
        "test_data.py::test_classes_and_counts_that_are_not_there_are_refused",
        "test_data.py::test_a_missing_archive_is_named",
        "test_data.py::test_a_damaged_archive_is_named",
        "test_data.py::test_damaged_arrays_are_made_again",
        "test_refusals.py::test_damaged_prepared_dataset",
        "test_refusals.py::test_damaged_archive",
    ),
    "input of a model": (
        "test_hostile_input.py::test_batch_sizes_that_are_none_are_refused",
        "test_hostile_input.py::test_latents_beyond_float32_are_refused",
        "test_hostile_input.py::test_models_refuse_latents_of_another_shape",
        "test_hostile_input.py::test_models_refuse_what_is_no_array_of_images",
        "test_hostile_input.py::test_one_value_outside_the_range_is_refused",
        "test_hostile_input.py::test_one_value_that_is_not_finite_is_refused",
        "test_hostile_input.py::test_other_dtypes_are_refused",
        "test_hostile_input.py::test_other_shapes_are_refused",
    ),
    "kill, signal or full disk": (
        "test_files.py::test_kill_leaves_whole_files_and_the_next_start_clears_up",
        "test_resume.py::test_full_disk_ends_in_one_line_and_loses_nothing",
        "test_resume.py::test_full_disk_is_no_end",
        "test_resume.py::test_infinite_loss_names_its_step_and_keeps_the_checkpoint",
        "test_resume.py::test_killed_processes",
        "test_resume.py::test_killed_while_it_cleared_up",
        "test_resume.py::test_second_signal_ends_the_process_inside_a_long_call",
        "test_resume.py::test_signal_saves_and_says_how_to_go_on",
    ),
}


class _Collected:
    """A plugin of pytest that notes what it collects."""

    def __init__(self):
        self.cases = collections.Counter()

    def pytest_collection_finish(self, session) -> None:
        for item in session.items:
            self.cases[f"{item.path.name}::{item.originalname}"] += 1


def count() -> dict[str, int]:
    """Returns how many cases pytest collects of each kind."""
    files = sorted({test.partition("::")[0] for tests in KINDS.values() for test in tests})
    collected = _Collected()
    here = Path(__file__).parent
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(
            ["--collect-only", "-q", "-n0", "-p", "no:cacheprovider"]
            + [str(here / name) for name in files],
            plugins=[collected],
        )
    gone = [test for tests in KINDS.values() for test in tests if not collected.cases[test]]
    if gone:
        raise LookupError(f"pytest collects no {', '.join(gone)}")
    return {kind: sum(collected.cases[test] for test in tests) for kind, tests in KINDS.items()}


def main() -> int:
    """Prints the count, and returns the exit status."""
    kinds = count()
    for kind, number in kinds.items():
        print(f"{kind:28}{number:6}")
    print(f"{'refusals and faults':28}{sum(kinds.values()):6}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
