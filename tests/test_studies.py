"""Studies: what is trained and measured, how it goes on, and what is written of it."""

import csv
import dataclasses
import io
import json
import os
import signal
import statistics
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_ae import (
    cli,
    data,
    figures,
    metrics,
    recipes,
    revision,
    studies,
    study_figures,
    study_tables,
    training,
    trials,
)
from keras_ae import measures as measuring
from keras_ae.evaluation.context import history
from keras_ae.files import locked
from keras_ae.loading import load_run
from keras_ae.runs import StudyFiles
from studies.declared import STUDIES
from studies.study import Study
from tests.conftest import PROJECT


def tiny(**overrides) -> Study:
    """`dense-vs-conv` with two dense arms and two seeds, on 300 digits."""
    study = studies.get("dense-vs-conv")
    small = {"train_images": 300, "epochs": 2, "figures_every": 2, "jit_compile": False}
    return dataclasses.replace(
        study,
        trials=tuple(
            dataclasses.replace(
                trial,
                recipe=trial.recipe.override(**{**small, **overrides}),
                measures=("summary", "curves", "quality"),
            )
            for trial in study.trials
            if trial.arm in ("dense-5", "dense-64") and trial.recipe.seed < 2
        ),
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Study, StudyFiles]:
    """A tiny study that is measured, with its runs. Tests read it and do not change it."""
    study, files = tiny(), StudyFiles("tiny", tmp_path_factory.mktemp("studies"))
    assert trials.train(study, files, keep_runs=True) == []
    return study, files


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_declared_study_can_be_carried_out(study):
    names = [trial.name for trial in study.trials]
    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").replace(".", "").isalnum() for name in names)
    for trial in study.trials:
        assert set(trial.measures) <= set(measuring.MEASURES)
        assert recipes.from_config(json.loads(json.dumps(dataclasses.asdict(trial.recipe))))
    for arm in study.arms:
        parts = [trial.part for trial in study.trials if trial.arm == arm]
        seeds = {trial.recipe.seed for trial in study.trials if trial.arm == arm}
        assert len(seeds) >= 3
        assert len(parts) == len(set(parts)) * len(seeds)
    for shown in (*study.tables, *study.panels):
        beginnings = getattr(shown, "groups", {"": getattr(shown, "arms", "")}).values()
        for beginning in beginnings:
            assert any(arm.startswith(beginning) for arm in study.arms)


def test_pair_of_equal_codes_has_equal_parameters():
    counts = {
        trial.arm: training.build(trial.recipe).count_params()
        for trial in studies.get("dense-vs-conv").trials
        if trial.arm in ("dense-64", "conv-64") and trial.recipe.seed == 0
    }
    assert counts["dense-64"] == pytest.approx(counts["conv-64"], rel=0.01)


def test_measurements_are_those_of_the_runs(finished, dataset):
    study, files = finished
    measurements = files.read()
    assert set(measurements) == {trial.name for trial in study.trials}
    trial = study.trials[-1]
    found, run = measurements[trial.name], files.run(trial.name)
    assert found["arm"] == "dense-64"
    assert found["commit"] == revision.commit() == run.read_config()["commit"]
    assert run.read_recipe() == trial.recipe
    summary = json.loads(run.metrics.read_text())
    model = found["numbers"]["model"]
    assert model["mse"] == summary["test"]["mse"]
    assert model["validation_mse"] == summary["validation"]["mse"]
    assert found["numbers"]["PCA, 64 components"]["mse"] == summary["test"]["pca_mse"]

    curves = history.read(run)
    assert model["instability"] == metrics.instability(curves["val_loss"])
    assert found["curves"]["loss"] == pytest.approx(curves["loss"], rel=1e-5)

    images = data.to_float(dataset.test.images)
    energies = [np.sum(np.diff(images, axis=axis) ** 2, dtype="float64") for axis in (1, 2)]
    outputs = load_run(run).reconstruct(images)
    ours = [np.sum(np.diff(outputs, axis=axis) ** 2, dtype="float64") for axis in (1, 2)]
    assert model["sharpness"] == pytest.approx(sum(ours) / sum(energies), rel=1e-5)
    # A study needs no exports.
    assert not run.saved_model.exists()


def test_images_of_the_first_seed_are_kept_to_a_byte(finished, dataset):
    _, files = finished
    measurements = files.read()
    with_images = [name for name, found in measurements.items() if "images" in found]
    assert sorted(with_images) == ["dense-5-seed-0", "dense-64-seed-0"]
    originals = study_figures.unpack(measurements["dense-5-seed-0"]["images"]["originals"])
    for digit in range(10):
        first = dataset.test.images[np.argmax(dataset.test.labels == digit)]
        np.testing.assert_array_equal(originals[digit], first[..., 0])


def test_a_trial_in_a_series_ends_as_it_does_alone(finished, script, tmp_path):
    study, files = finished
    trial = study.trials[-1]
    program = (
        "import json, sys; from keras_ae import recipes, training; from keras_ae.runs import Run\n"
        "recipe = recipes.from_config(json.loads(sys.argv[1]))\n"
        "training.train(recipe, Run(sys.argv[2]), with_exports=False)"
    )
    arguments = json.dumps(dataclasses.asdict(trial.recipe)), tmp_path / "alone"
    result = script("-c", program, *arguments)
    assert result.returncode == 0, result.stderr
    alone = (tmp_path / "alone" / "history.csv").read_bytes()
    assert files.run(trial.name).history.read_bytes() == alone


def test_a_measurement_counts_for_the_recipe_it_was_made_with(finished):
    study, files = finished
    measurements = files.read()
    assert study.missing(measurements) == []
    assert tiny(jit_compile=True).missing(measurements) == []
    longer = tiny(epochs=3)
    assert longer.missing(measurements) == list(longer.trials)
    other = dataclasses.replace(study.trials[0], measures=("summary", "recognised"))
    assert not other.is_measured(measurements)
    # A field that came to the recipes later had the effect of its default.
    del measurements[study.trials[0].name]["recipe"]["train_noise_std"]
    assert study.missing(measurements) == []
    noisy = tiny(train_noise_std=0.2)
    assert noisy.trials[0] in noisy.missing(measurements)


def test_only_what_is_missing_is_trained_and_runs_are_removed(finished, tmp_path):
    study, files = finished
    lacking = StudyFiles("tiny", tmp_path)
    first, *others = study.trials
    for trial in others:
        lacking.add(trial.name, files.read()[trial.name])
    assert trials.train(study, lacking) == []
    measurements = lacking.read()
    assert measurements[first.name]["numbers"] == files.read()[first.name]["numbers"]
    assert measurements[others[0].name] == files.read()[others[0].name]
    assert [path.name for path in lacking.directory.iterdir()] == ["measurements.json"]


def test_a_trial_that_another_process_is_at_is_left_to_it(finished, tmp_path):
    study, files = finished
    shared = StudyFiles("tiny", tmp_path)
    first, *others = study.trials
    for trial in others:
        shared.add(trial.name, files.read()[trial.name])
    with locked(shared.lock_of(first.name)):
        assert trials.train(study, shared) == [first]
    assert first.name not in shared.read()
    assert not shared.run(first.name).directory.exists()


def test_a_loss_that_is_no_number_is_a_measurement(tmp_path):
    study, files = tiny(learning_rate=1e30, batch_size=100), StudyFiles("tiny", tmp_path)
    study = dataclasses.replace(study, trials=study.trials[:1])
    assert trials.train(study, files) == []
    assert "became nan" in files.read()[study.trials[0].name]["diverged"]
    assert "were no number" not in study_tables.markdown(tiny(), {})
    assert f"`{study.trials[0].name}`: " in study_tables.markdown(study, files.read())
    figures.save(study_figures.draw(study, files.read()), files.figure)


STUDY_PROGRAM = """
import dataclasses, sys
from keras_ae import cli, revision, studies
from tests.test_studies import tiny
study = tiny(epochs=8)
studies.STUDIES["tiny"] = dataclasses.replace(study, name="tiny", trials=study.trials[:2])
# The test also has to pass while the code is being worked on.
revision.clean_commit = lambda: "c0ffee"
sys.exit(cli.train(["--study", "tiny"]))
"""


def test_a_stopped_study_goes_on_and_ends_as_if_it_had_not_been_stopped(tmp_path, finished):
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", STUDY_PROGRAM]
    options = {"env": environment, "text": True, "stderr": subprocess.PIPE}
    for place in ("stopped", "whole"):
        (tmp_path / place).mkdir()
    stopped = subprocess.Popen(command, cwd=tmp_path / "stopped", **options)
    unfinished = StudyFiles("tiny", tmp_path / "stopped" / "saved_models" / "studies")
    second_run = unfinished.run("dense-64-seed-0")
    while not second_run.history.exists() and stopped.poll() is None:
        time.sleep(0.05)
    stopped.send_signal(signal.SIGTERM)
    _, errors = stopped.communicate(timeout=120)
    assert stopped.returncode == 128 + signal.SIGTERM, errors
    assert errors.splitlines()[-1] == (
        "train.py: stopped by SIGTERM; go on with: python train.py --study tiny"
    )
    assert list(unfinished.read()) == ["dense-5-seed-0"]
    assert second_run.checkpoints.is_dir()
    found = {}
    for place in ("stopped", "whole"):
        result = subprocess.run(command, cwd=tmp_path / place, **options, check=False)
        assert result.returncode == 0, result.stderr
        files = StudyFiles("tiny", tmp_path / place / "saved_models/studies")
        found[place] = {
            name: (measured["numbers"], measured["curves"])
            for name, measured in files.read().items()
        }
    assert len(found["whole"]) == 2
    assert found["stopped"] == found["whole"]


def test_table_has_mean_and_spread_of_the_seeds_and_all_rows(finished):
    study, files = finished
    measurements = files.read()
    text = study_tables.markdown(study, measurements)
    numbers = [measurements[f"dense-5-seed-{seed}"]["numbers"]["model"]["mse"] for seed in range(2)]
    row = next(line for line in text.splitlines() if line.startswith("| `dense-5` | 2 |"))
    mean, deviation = map(float, row.split("|")[3].split("±"))
    assert mean == pytest.approx(statistics.mean(numbers), abs=deviation)
    assert deviation == pytest.approx(statistics.stdev(numbers), rel=0.05)
    assert "| PCA, 64 components |" in text
    assert "Incomplete" not in text

    rows = list(csv.DictReader(io.StringIO(study_tables.rows_csv(study, measurements))))
    assert [row["trial"] for row in rows if row["trial"]] == [trial.name for trial in study.trials]
    assert [float(row["mse"]) for row in rows[::2][:2]] == numbers


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0.02, 0.03, 0.04], "0.030 ± 0.010"),
        ([97.383, 97.517], "97.450 ± 0.095"),
        ([1250.0, 1350.0], "1300 ± 71"),
        ([0.0, 0.0000002], "1.0e-07 ± 1.4e-07"),
        ([0.0168], "0.0168"),
        ([64, 64, 64], "64"),
    ],
)
def test_spread_has_two_digits_of_the_deviation(numbers, expected):
    assert study_tables.spread(numbers) == expected


def test_epoch_in_which_a_level_is_reached_is_counted_where_it_is(finished):
    study, files = finished
    study = dataclasses.replace(study, level=2.0)
    measurements = files.read()
    for seed, losses in enumerate(([3.0, 2.0, 2.5, 1.0], [3.0, 2.1])):
        measurements[f"dense-5-seed-{seed}"]["curves"]["val_loss"] = losses
    assert study_tables.values(study, measurements)["dense-5"]["epochs_to_level"] == [2]
    rows = list(csv.DictReader(io.StringIO(study_tables.rows_csv(study, measurements))))
    epochs = {row["trial"]: row["epochs_to_level"] for row in rows}
    assert (epochs["dense-5-seed-0"], epochs["dense-5-seed-1"]) == ("2", "")


def test_an_unfinished_study_says_what_is_missing(finished):
    study, files = finished
    measurements = files.read()
    del measurements["dense-64-seed-1"]
    text = study_tables.markdown(study, measurements)
    assert "not measured yet, by arm: dense-64 1 of 2." in text
    assert "| `dense-64` | 1 |" in text


def test_parts_of_an_arm_are_averaged_before_the_seeds():
    trial = studies.get("dense-vs-conv").trials[0]
    parts = [dataclasses.replace(trial, part=part) for part in ("digit-0", "digit-1")]
    parts += [
        dataclasses.replace(part, recipe=part.recipe.override(seed=1), measures=())
        for part in parts
    ]
    study = dataclasses.replace(
        STUDIES["dense-vs-conv"],
        trials=tuple(dataclasses.replace(part, measures=()) for part in parts),
    )
    measurements = {
        part.name: {
            "measures": [],
            "recipe": dataclasses.asdict(part.recipe),
            "numbers": {"model": {"auroc": value}},
        }
        for part, value in zip(study.trials, (0.5, 0.7, 0.8, 1.0), strict=True)
    }
    measurements = json.loads(json.dumps(measurements))
    found = study_tables.values(study, measurements)["dense-5"]
    assert found["auroc"] == pytest.approx([0.6, 0.9])
    assert found["auroc_worst"] == [0.5, 0.8]
    del measurements[study.trials[3].name]
    assert study_tables.values(study, measurements)["dense-5"]["auroc"] == [0.6]


def test_evaluation_reads_what_was_measured_without_tensorflow_and_repeats(
    finished, script, tmp_path
):
    _, files = finished
    place = StudyFiles("dense-vs-conv", tmp_path / "saved_models" / "studies")
    # Measurements of another length do not count; these are the declared trials.
    measurements = {
        trial.name: {
            **files.read()["dense-5-seed-0"],
            "recipe": dataclasses.asdict(trial.recipe),
            "measures": trial.measures,
            "arm": trial.arm,
        }
        for trial in studies.get("dense-vs-conv").trials[:4]
    }
    for name, measurement in measurements.items():
        place.add(name, measurement)
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import keras_ae.cli\n"
        "status = keras_ae.cli.evaluate(sys.argv[1:])\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
        "sys.exit(status)"
    )
    written = []
    for _ in range(2):
        result = script("-c", program, PROJECT, "--study", "dense-vs-conv", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert "not measured yet: dense-5 2 of 3, " in result.stdout
        paths = (place.table, place.rows, place.figure)
        written.append([path.read_bytes() for path in paths])
        assert all(written[-1])
    assert written[0] == written[1]


@pytest.mark.parametrize(
    ("program", "arguments", "message"),
    [
        (cli.train, "--study batchnorm", "did you mean 'batchnorm-rate'?"),
        (cli.train, "mlp --study dense-vs-conv", "the study has its own; received recipe"),
        (cli.train, "--study dense-vs-conv -e 3", "received epochs"),
        (cli.train, "--keep-runs", "has no use for keep_runs"),
        (cli.evaluate, "--study batchnorm", "did you mean 'batchnorm-rate'?"),
        (cli.evaluate, "run --study dense-vs-conv", "received run"),
        (cli.evaluate, "--study dense-vs-conv --seed 3", "received seed"),
        (cli.evaluate, "--study dense-vs-conv", "measurements.json, received none"),
    ],
)
def test_a_bad_request_is_refused_in_one_line(
    program, arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert program(arguments.split()) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert message in errors
    assert list(tmp_path.iterdir()) == []
