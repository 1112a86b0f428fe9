"""Studies: what is trained and measured, how it resumes, and what is written of it."""

import ast
import csv
import dataclasses
import io
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from keras_ae import data, figures, recipes, revision
from keras_ae.errors import BadRequest
from keras_ae.evaluation.stages import history
from keras_ae.files import locked
from keras_ae.loading import load_run
from keras_ae.training.fit import build
from studies import catalogue, measures, series, tables
from studies import figures as study_figures
from studies.__main__ import main
from studies.catalogue import STUDIES
from studies.claims import Verdict
from studies.found import LEVEL, Found
from studies.store import CODE, StudyFiles, processor
from studies.study import Claim, Curves, Dots, Images, Lines, Study, Table
from studies.vocabulary import MSE, Quantity, Reference, check_numbers
from tests import kill_workers
from tests.conftest import PROJECT


def tiny(**overrides) -> Study:
    """`dense-vs-conv` with two dense variants and two seeds, on 300 digits."""
    study = catalogue.get("dense-vs-conv")
    small = {"train_images": 300, "epochs": 2, "figures_every": 2, "jit_compile": False}
    variants = tuple(
        dataclasses.replace(
            variant,
            recipe=variant.recipe.override(**{**small, **overrides}),
            measures=("summary", "curves", "quality"),
        )
        for variant in study.variants
        if variant.name in ("dense-5", "dense-64")
    )
    return dataclasses.replace(study, variants=variants, seeds=(0, 1), claims=())


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Study, StudyFiles]:
    """A tiny study that is measured, with its runs. Tests read it and do not change it."""
    study, files = tiny(), StudyFiles("tiny", tmp_path_factory.mktemp("studies"))
    assert series.train(study, files, keep_runs=True) == []
    return study, files


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_declared_study_can_be_trained(study):
    names = [run.name for run in study.runs]
    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").replace(".", "").isalnum() for name in names)
    for run in study.runs:
        assert set(run.measures) <= set(measures.MEASURES)
        assert recipes.from_config(json.loads(json.dumps(dataclasses.asdict(run.recipe))))
    for variant in study.names:
        parts = [run.part for run in study.runs if run.variant == variant]
        seeds = {run.recipe.seed for run in study.runs if run.variant == variant}
        assert len(seeds) >= 3
        assert len(parts) == len(set(parts)) * len(seeds)
    for shown in (*study.tables, *study.panels):
        assert shown.variants is None or 0 < len(shown.variants) <= len(study.names)


@pytest.mark.parametrize(
    "misspelt",
    [
        lambda: Quantity("mes"),
        lambda: Quantity("mse", "tset"),
        lambda: Quantity("denoised"),
        lambda: Quantity("denoised", "0.25"),
        lambda: Quantity("anomaly_auroc", "hidden_angel"),
        lambda: Quantity("mse", over_parts="best"),
        lambda: Reference("mean_imgae"),
        lambda: Reference("pca"),
        lambda: Reference("originals", 8),
        lambda: Curves("title", "val_loss"),
        lambda: Images("title", "originals"),
        lambda: check_numbers({"modle": {"mse": 1.0}}),
        lambda: check_numbers({"model": {"mes": 1.0}}),
        lambda: check_numbers({"pca": {"mse": {"tset": 1.0}}}),
        lambda: with_shown(tables=(Table("caption", (MSE,), ("dense-6",)),)),
        lambda: with_shown(tables=(Table("caption", (MSE,), ()),)),
        lambda: with_shown(panels=(Dots("title", MSE, ("dense-6",)),)),
        lambda: with_shown(panels=(Lines("title", MSE, {"label": ("dense-6",)}),)),
        lambda: with_shown(claims=(claim_about("dense-6"),)),
        lambda: with_shown(claims=(claim_about(Reference("pca", 6)),)),
        lambda: Found(STUDIES["dense-vs-conv"], {})("dense-6", MSE),
        lambda: Found(STUDIES["dense-vs-conv"], {})(Reference("pca", 6), MSE),
    ],
)
def test_what_is_not_declared_is_an_error(misspelt):
    with pytest.raises(BadRequest, match=r"[Ee]xpected .* received"):
        misspelt()


def with_shown(**shown) -> Study:
    return dataclasses.replace(STUDIES["dense-vs-conv"], **shown)


def claim_about(row: str | Reference) -> Claim:
    return Claim("001.1", "words", {MSE: (row,)}, lambda found: Verdict({}), "test", "change")


def test_what_a_finished_study_does_not_measure_is_an_error(finished):
    study, files = finished
    found = Found(study, files.read())
    for row in ("dense-5", Reference("mean_image")):
        with pytest.raises(LookupError, match=r"expected a quantity .* received .*neighbour"):
            found(row, Quantity("neighbour_accuracy"))
    misspelt = files.read()
    numbers = misspelt["dense-5-seed-0"]["numbers"]["model"]
    numbers["mes"] = numbers.pop("mse")
    with pytest.raises(BadRequest, match="received 'mes'"):
        Found(study, misspelt)


def test_the_package_does_not_know_the_studies():
    for path in (PROJECT / "keras_ae").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            modules = [alias.name for alias in getattr(node, "names", ())]
            if isinstance(node, ast.ImportFrom):
                modules.append(node.module or "")
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                modules.append(node.value)  # Some are imported by name.
            for module in modules:
                assert module.split(".")[0] not in ("studies", "benchmarks"), path


def test_pair_of_equal_latents_has_equal_parameters():
    counts = {
        run.variant: build(run.recipe).count_params()
        for run in catalogue.get("dense-vs-conv").runs
        if run.variant in ("dense-64", "conv-64") and run.recipe.seed == 0
    }
    assert counts["dense-64"] == pytest.approx(counts["conv-64"], rel=0.01)


def test_measurements_are_those_of_the_runs(finished, dataset):
    study, files = finished
    measurements = files.read()
    assert set(measurements) == {planned.name for planned in study.runs}
    planned = study.runs[-1]
    found, run = measurements[planned.name], files.run(planned.name)
    assert found["variant"] == "dense-64"
    assert found["commit"] == revision.commit(paths=CODE)
    assert revision.commit() == run.read_config()["commit"]
    trained = run.read_recipe()
    assert trained.parameters == found["numbers"]["model"]["parameters"]
    assert dataclasses.replace(trained, parameters=None) == planned.recipe
    summary = json.loads(run.metrics.read_text())
    model = found["numbers"]["model"]
    assert model["mse"][""] == summary["test"]["mse"]
    assert model["mse"]["validation"] == summary["validation"]["mse"]
    assert found["numbers"]["pca"]["mse"][""] == summary["test"]["pca_mse"]

    curves = history.read(run)
    assert model["instability"]["validation"] == measures.instability(curves["val_loss"])
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


def test_a_run_in_a_series_ends_as_it_does_alone(finished, script, tmp_path):
    study, files = finished
    planned = study.runs[-1]
    program = (
        "import json, sys; from keras_ae import recipes; from keras_ae.runs import Run\n"
        "from keras_ae.training.run import train\n"
        "recipe = recipes.from_config(json.loads(sys.argv[1]))\n"
        "train(recipe, Run(sys.argv[2]), with_exports=False)"
    )
    arguments = json.dumps(dataclasses.asdict(planned.recipe)), tmp_path / "alone"
    result = script("-c", program, *arguments)
    assert result.returncode == 0, result.stderr
    alone = (tmp_path / "alone" / "history.csv").read_bytes()
    assert files.run(planned.name).history.read_bytes() == alone


def test_a_measurement_counts_for_the_recipe_it_was_made_with(finished):
    study, files = finished
    measurements = files.read()
    assert study.missing(measurements) == []
    assert tiny(jit_compile=True).missing(measurements) == []
    longer = tiny(epochs=3)
    assert longer.missing(measurements) == list(longer.runs)
    other = dataclasses.replace(study.runs[0], measures=("summary", "recognised"))
    assert not other.is_measured(measurements)
    # A field that came to the recipes later had the effect of its default.
    del measurements[study.runs[0].name]["recipe"]["train_noise_std"]
    assert study.missing(measurements) == []
    noisy = tiny(train_noise_std=0.2)
    assert noisy.runs[0] in noisy.missing(measurements)


def test_only_what_is_missing_is_trained_and_runs_are_removed(finished, tmp_path):
    study, files = finished
    lacking = StudyFiles("tiny", tmp_path)
    first, *others = study.runs
    for run in others:
        lacking.add(run.name, files.read()[run.name])
    assert series.train(study, lacking) == []
    measurements = lacking.read()
    assert measurements[first.name]["numbers"] == files.read()[first.name]["numbers"]
    assert measurements[others[0].name] == files.read()[others[0].name]
    assert [path.name for path in lacking.directory.iterdir()] == ["measurements.json"]


def test_a_run_that_another_process_works_on_is_left_to_it(finished, tmp_path):
    study, files = finished
    shared = StudyFiles("tiny", tmp_path)
    first, *others = study.runs
    for run in others:
        shared.add(run.name, files.read()[run.name])
    with locked(shared.lock_of(first.name)):
        assert series.train(study, shared) == [first]
    assert first.name not in shared.read()
    assert not shared.run(first.name).directory.exists()


def test_a_loss_that_is_no_number_is_a_measurement(tmp_path):
    study, files = tiny(learning_rate=1e30, batch_size=100), StudyFiles("tiny", tmp_path)
    study = dataclasses.replace(study, variants=study.variants[:1], seeds=(0,))
    assert series.train(study, files) == []
    name = study.runs[0].name
    assert "became nan" in files.read()[name]["diverged"]
    assert "was no number" not in tables.markdown(tiny(), {})
    text = tables.markdown(study, files.read())
    assert "was no number" in text
    assert f"`{name}`: " in text
    figures.save(study_figures.draw(study, files.read()), files.figure)


STUDY_PROGRAM = """
import dataclasses, sys
from studies import __main__, catalogue
from tests.test_studies import tiny
if __name__ == "__main__":
    catalogue.STUDIES["tiny"] = dataclasses.replace(tiny(epochs=8), name="tiny", seeds=(0,))
    # The test also has to pass while the code is being worked on.
    __main__.clean_commit = lambda: "c0ffee"
    sys.exit(__main__.main(["train", "tiny"]))
"""


def test_a_stopped_study_resumes_and_ends_as_if_it_had_not_been_stopped(tmp_path, finished):
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", STUDY_PROGRAM]
    options = {"env": environment, "text": True, "stderr": subprocess.PIPE}
    for place in ("stopped", "whole"):
        (tmp_path / place).mkdir()
    stopped = subprocess.Popen(command, cwd=tmp_path / "stopped", **options)
    unfinished = StudyFiles("tiny", tmp_path / "stopped" / "studies")
    second_run = unfinished.run("dense-64-seed-0")
    while not second_run.history.exists() and stopped.poll() is None:
        time.sleep(0.05)
    stopped.send_signal(signal.SIGTERM)
    _, errors = stopped.communicate(timeout=120)
    assert stopped.returncode == 128 + signal.SIGTERM, errors
    assert errors.splitlines()[-1] == (
        "python -m studies: stopped by SIGTERM; resume with: python -m studies train tiny"
    )
    assert list(unfinished.read()) == ["dense-5-seed-0"]
    assert second_run.checkpoints.is_dir()
    found = {}
    for place in ("stopped", "whole"):
        result = subprocess.run(command, cwd=tmp_path / place, **options, check=False)
        assert result.returncode == 0, result.stderr
        files = StudyFiles("tiny", tmp_path / place / "studies")
        found[place] = {
            name: (measured["numbers"], measured["curves"])
            for name, measured in files.read().items()
        }
    assert len(found["whole"]) == 2
    assert found["stopped"] == found["whole"]


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory) -> dict[str, tuple]:
    """What a study measures that one process at a time trains."""
    return kill_workers.left_alone(tmp_path_factory.mktemp("alone"))


def test_a_process_that_dies_takes_nothing_with_it(left_alone, tmp_path):
    command = kill_workers.start(tmp_path, "--workers", "2")
    files = StudyFiles("tiny", tmp_path / "studies")
    first = files.run("dense-5-seed-0")
    while not first.history.exists() and command.poll() is None:
        time.sleep(0.05)
    os.kill(int((first.directory / "lock").read_text()), signal.SIGKILL)
    log = kill_workers.finish(command, tmp_path)
    assert "study left 00:00:00" in log.splitlines()[-2]
    assert kill_workers.results(files) == left_alone


def test_a_run_stops_when_nobody_waits_for_it(tmp_path):
    command = kill_workers.start(tmp_path)
    run = StudyFiles("tiny", tmp_path / "studies").run("dense-5-seed-0")
    while not run.history.exists() and command.poll() is None:
        time.sleep(0.05)
    process = int((run.directory / "lock").read_text())
    command.kill()
    command.wait()
    while Path(f"/proc/{process}").exists():
        time.sleep(0.05)
    assert run.checkpoints.is_dir()
    assert not run.metrics.exists()


def test_a_killed_worker_of_a_cluster_is_made_up_for(left_alone, tmp_path):
    pytest.importorskip("distributed", reason="needs Dask: studies/requirements.txt")
    with kill_workers.cluster(tmp_path / "cluster", workers=1) as cluster:
        killed, received = kill_workers.train_and_kill(tmp_path, cluster, 1, random.Random(0))
    assert killed == 1
    assert received == left_alone


def test_a_worker_has_the_commit_of_the_command(tmp_path):
    study, files = tiny(), StudyFiles("tiny", tmp_path)
    task = series.Task(study.runs[0], files, False, False, "c0ffee", "hint", quiet=True)
    run, error = series.work(task, None)
    assert run == study.runs[0]
    assert isinstance(error, BadRequest)
    assert str(error).startswith("expected commit c0ffee on ")
    assert str(error).endswith(f"received {revision.commit(paths=CODE)}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("workers", "message"),
    [
        ({"workers": 0}, "expected 1 or more workers, received 0"),
        ({"scheduler": "127.0.0.1:1"}, "scheduler with workers, received 127.0.0.1:1: "),
        ({"scheduler": ""}, "scheduler with workers, received : "),
        ({"scheduler": "no://where"}, "scheduler with workers, received no://where: "),
    ],
)
def test_workers_that_cannot_be_are_refused(workers, message, tmp_path, monkeypatch):
    monkeypatch.setattr(series, "CONNECTING", 1)
    with pytest.raises(BadRequest, match=re.escape(message)):
        series.train(tiny(), StudyFiles("tiny", tmp_path), **workers)
    assert list(tmp_path.iterdir()) == []


def test_table_has_mean_and_spread_of_the_seeds_and_all_rows(finished):
    study, files = finished
    measurements = files.read()
    text = tables.markdown(study, measurements)
    numbers = [
        measurements[f"dense-5-seed-{seed}"]["numbers"]["model"]["mse"][""] for seed in range(2)
    ]
    row = next(line for line in text.splitlines() if line.startswith("| `dense-5` | 2 |"))
    mean, deviation = map(float, row.split("|")[3].split("±"))
    assert mean == pytest.approx(statistics.mean(numbers), abs=deviation)
    assert deviation == pytest.approx(statistics.stdev(numbers), rel=0.05)
    assert "| PCA with 64 components |" in text
    assert "Incomplete" not in text

    rows = list(csv.DictReader(io.StringIO(tables.rows_csv(study, measurements))))
    assert [row["run"] for row in rows if row["run"]] == [run.name for run in study.runs]
    assert [float(row["mse"]) for row in rows[::2][:2]] == numbers


def test_a_run_measured_again_stands_beside_the_first(finished, tmp_path):
    study, files = finished
    some = study.only(["dense-5"])
    assert [run.name for run in some.runs] == ["dense-5-seed-0"]
    again = StudyFiles("tiny", tmp_path, again=True)
    series.train(some, again)
    assert not again.runs.exists()
    text = tables.markdown(study, files.read(), again.read())
    *_, first, second = (line for line in text.splitlines() if line.startswith("|"))
    error = files.read()["dense-5-seed-0"]["numbers"]["model"]["mse"][""]
    assert first.startswith(f"| `dense-5`, above | {error:.5g} |")
    # On the same processor.
    assert second.split("|")[2:] == first.split("|")[2:]
    (measurement,) = again.read().values()
    assert f"Reproduced on {measurement['processor']}" in text
    assert "the same to the last bit" in text
    with pytest.raises(BadRequest, match="'dense-6'"):
        study.only(["dense-6"])


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0.02, 0.03, 0.04], "0.030 ± 0.010"),
        ([97.383, 97.517], "97.450 ± 0.095"),
        ([1250.0, 1350.0], "1300 ± 71"),
        ([0.0, 0.0000002], "1.0e-07 ± 1.4e-07"),
        ([0.0168], "0.0168"),
        ([64, 64, 64], "64"),
        ([0.97489737, 0.97489739], "0.9749"),
    ],
)
def test_spread_has_two_digits_of_the_deviation(numbers, expected):
    assert tables.spread(numbers) == expected


def test_epoch_in_which_a_level_is_reached_is_counted_where_it_is(finished):
    study, files = finished
    study = dataclasses.replace(study, level=2.0)
    measurements = files.read()
    for seed, losses in enumerate(([3.0, 2.0, 2.5, 1.0], [3.0, 2.1])):
        measurements[f"dense-5-seed-{seed}"]["curves"]["val_loss"] = losses
    assert Found(study, measurements).values("dense-5", LEVEL) == [2]
    rows = list(csv.DictReader(io.StringIO(tables.rows_csv(study, measurements))))
    epochs = {row["run"]: row["epochs_to_level"] for row in rows}
    assert (epochs["dense-5-seed-0"], epochs["dense-5-seed-1"]) == ("2", "")


def test_an_unfinished_study_says_what_is_missing(finished):
    study, files = finished
    measurements = files.read()
    del measurements["dense-64-seed-1"]
    text = tables.markdown(study, measurements)
    assert "not measured yet, by variant: dense-64 1 of 2." in text
    assert "| `dense-64` | 1 |" in text


def test_parts_of_a_variant_are_averaged_before_the_seeds():
    variant = dataclasses.replace(
        catalogue.get("dense-vs-conv").variants[0],
        measures=(),
        parts={"digit-0": {}, "digit-1": {"train_classes": (1,)}},
    )
    study = dataclasses.replace(tiny(), variants=(variant,))
    measurements = {
        run.name: {
            "measures": [],
            "recipe": dataclasses.asdict(run.recipe),
            "numbers": {"model": {"anomaly_auroc": {"pixel_angle": value}}},
        }
        for run, value in zip(study.runs, (0.5, 0.7, 0.8, 1.0), strict=True)
    }
    measurements = json.loads(json.dumps(measurements))
    auroc = Quantity("anomaly_auroc", "pixel_angle")
    found = Found(study, measurements)
    assert found.values("dense-5", auroc) == pytest.approx([0.6, 0.9])
    assert found.values("dense-5", dataclasses.replace(auroc, over_parts="worst")) == [0.5, 0.8]
    del measurements[study.runs[3].name]
    assert Found(study, measurements).values("dense-5", auroc) == [0.6]


def test_report_reads_what_was_measured_without_tensorflow_and_repeats(finished, script, tmp_path):
    _, files = finished
    place = StudyFiles("dense-vs-conv", tmp_path / "studies")
    # Measurements of another length do not count; these are the declared runs.
    measurements = {
        run.name: {
            **files.read()["dense-5-seed-0"],
            "recipe": dataclasses.asdict(run.recipe),
            "measures": run.measures,
            "variant": run.variant,
        }
        for run in catalogue.get("dense-vs-conv").runs[:4]
    }
    for name, measurement in measurements.items():
        place.add(name, measurement)
    written = []
    for _ in range(2):
        result = script("-c", WITHOUT_TENSORFLOW, PROJECT, "report", "dense-vs-conv", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert "not measured yet: dense-5 4 of 5, " in result.stdout
        paths = (place.table, place.rows, place.figure)
        written.append([path.read_bytes() for path in paths])
        assert all(written[-1])
    assert written[0] == written[1]


WITHOUT_TENSORFLOW = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from studies.__main__ import main
try:
    status = main(sys.argv[1:])
finally:
    assert not {"tensorflow", "keras"} & set(sys.modules)
sys.exit(status)
"""


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["--help"], 0), (["list"], 0), (["train", "anomly"], 2), (["report", "anomaly"], 2)],
)
def test_answers_that_need_no_tensorflow_do_not_import_it(arguments, status, script, tmp_path):
    result = script("-c", WITHOUT_TENSORFLOW, PROJECT, *arguments, cwd=tmp_path)
    assert result.returncode == status, result.stderr
    for study in STUDIES.values() if arguments == ["list"] else ():
        line = next(line for line in result.stdout.splitlines() if line.endswith(study.question))
        assert line.split()[:2] == [study.name, str(len(study.runs))]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "the following arguments are required"),
        ("train", "the following arguments are required: NAME"),
        ("trian anomaly", "invalid choice: 'trian'"),
        ("train batchnorm", "did you mean 'batchnorm-rate'?"),
        ("train dense-vs-conv --workers 2 --scheduler host:8786", "not allowed with argument"),
        ("train dense-vs-conv --workers two", "invalid int value: 'two'"),
        ("train dense-vs-conv -e 3", "unrecognized arguments: -e 3"),
        ("report batchnorm", "did you mean 'batchnorm-rate'?"),
        ("report dense-vs-conv --keep-runs", "unrecognized arguments: --keep-runs"),
        ("report dense-vs-conv", "measurements.json, received none"),
        ("results anomaly", "unrecognized arguments: anomaly"),
        ("results", "received none"),
    ],
)
def test_a_bad_request_is_refused_in_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments.split()) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert message in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "model name\t: AMD EPYC\ncpu family\t: 25\nmodel\t\t: 1\n",
            "AMD EPYC (family 25, model 1)",
        ),
        ("cpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Xeon(R)  8481C\n", "Xeon(R) 8481C"),
        ("model name\t: first\n\nmodel name\t: second\n", "first"),
    ],
)
def test_processor_is_told_apart_from_others_of_its_name(text, expected, tmp_path):
    (tmp_path / "cpuinfo").write_text(text, encoding="utf-8")
    assert processor(tmp_path / "cpuinfo") == expected
