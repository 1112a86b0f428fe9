"""RESULTS.md: rules that decide about claims, and pages that follow the measurements."""

import dataclasses
import itertools
import json
import re

import pytest

from keras_ae import cli, results, study_tables
from keras_ae.errors import BadRequest
from keras_ae.runs import RUNS, StudyFiles
from studies.claims import CLAIMS, FAILS, HOLDS, NOT_YET, Found, claim
from studies.declared import STUDIES
from tests.conftest import PROJECT

YARDSTICKS = {
    "mean image",
    "originals",
    "Wiener filter",
    "noisy input",
    "faded pixels",
    "real test images",
    "PCA with a Gaussian",
}


def measured(study, value) -> dict[str, dict]:
    """Measurements in which everything has the value `value(row, measure, seed)`."""
    columns = {name for table in study.tables for name in table.columns}
    sizes = {trial.recipe.arguments["latent_dim"] for trial in study.trials}
    rows = {*YARDSTICKS, *(study_tables.pca_name(size) for size in sizes)}

    def numbers(trial) -> dict:
        seed = trial.recipe.seed
        model = {
            name: value(trial.arm, name, seed) for name in columns if not name.endswith("_worst")
        }
        others = {row: {name: value(row, name, 0) for name in columns} for row in rows}
        return {"model": model, **others}

    return json.loads(
        json.dumps(
            {
                trial.name: {
                    "measures": trial.measures,
                    "recipe": dataclasses.asdict(trial.recipe),
                    "numbers": numbers(trial),
                    "curves": {},
                }
                for trial in study.trials
            }
        )
    )


@pytest.mark.parametrize("name", CLAIMS)
def test_claim_is_decided_and_shown_when_its_study_is_measured(name):
    subject, study = CLAIMS[name], STUDIES[CLAIMS[name].study]
    assert subject.name == name
    everything = measured(study, lambda row, measure, seed: 0.5 + seed / 100)
    found = Found(study, everything)
    assert re.fullmatch(r"holds|does not hold|holds only .+", subject.judge(found))
    shown = results._numbers(subject, study, found)
    assert "n = 3" in shown
    for row in itertools.chain(*subject.shown.values()):
        assert row in shown
    assert subject.judge(Found(study, {})) == NOT_YET


def test_an_arm_with_a_missing_seed_is_not_judged():
    study = STUDIES["dense-vs-conv"]
    everything = measured(study, lambda row, measure, seed: 0.5)
    del everything["conv-64-seed-2"]
    found = Found(study, everything)
    assert CLAIMS["001.1"].judge(found) == NOT_YET
    assert "not yet measured" in results._numbers(CLAIMS["001.1"], study, found)


@pytest.mark.parametrize(
    ("linear", "tanh", "relu", "expected"),
    [
        (0.1, 0.2, 0.3, HOLDS),
        (0.3, 0.2, 0.1, FAILS),
        (0.2, 0.1, 0.3, "holds only against ReLU"),
        # The seeds overlap.
        (0.100, 0.101, 0.3, "holds only against ReLU"),
    ],
)
def test_rule_compares_every_seed(linear, tanh, relu, expected):
    means = {"linear": linear, "tanh": tanh, "relu": relu}
    study = STUDIES["lstm-activations"]
    found = Found(
        study, measured(study, lambda row, measure, seed: means.get(row, 0.5) + seed / 1000)
    )
    assert CLAIMS["000.1"].judge(found) == expected


def test_best_size_is_named_by_training_and_noise():
    def error(row, measure, seed):
        size = int(row.rsplit("-", 1)[1]) if row[-1].isdigit() else 0
        best = 8 if row.startswith("relu-noisy") and measure == "denoised_0.5" else 32
        return abs(size - best) / 100 + 0.1

    study = STUDIES["bottleneck"]
    judged = CLAIMS["003.9"].judge(Found(study, measured(study, error)))
    assert judged == "holds only for training on noise at 0.5"


def test_better_generalization_is_a_smaller_gap_and_a_lower_loss():
    # By arm: loss of the training images, and the gap to it.
    numbers = {
        "baseline": (90, 5),
        "dropout": (95, 1),
        "deeper": (80, 5),
        "deeper-dropout": (85, 1),
    }

    def loss(row, measure, seed):
        train, gap = numbers.get(row, (1, 1))
        return train + seed / 10 + (gap if measure == "loss" else 0)

    def judged():
        study = STUDIES["vae-configurations"]
        return CLAIMS["004.21"].judge(Found(study, measured(study, loss)))

    assert judged() == "holds only as to the gap to the training images"
    numbers |= {"dropout": (90, 1), "deeper-dropout": (80, 1)}
    assert judged() == HOLDS
    numbers["deeper-dropout"] = (70, 8)
    assert judged() == "holds only as to the loss of test images"


def test_parts_of_a_verdict():
    assert claim.only_for({"a": True, "b": True}) == HOLDS
    assert claim.only_for({"a": False, "b": False}) == FAILS
    assert claim.only_for({"a": True, "b": False, "c": True, "d": True}) == (
        "holds only for a, c and d"
    )
    assert claim.below([1, 2], [3, 4])
    assert not claim.below([1, 3], [3, 4])


def test_measured_parts_are_replaced_and_words_stay():
    page = "a\n<!-- x: written by c -->\nold\n<!-- end of x -->\nb\n"
    assert results.with_parts(page, {"x": "new"}, "c") == page.replace("old", "new")
    for damaged in (page.replace("end of x", "end"), page + page):
        with pytest.raises(BadRequest, match="once each"):
            results.with_parts(damaged, {"x": "new"}, "c")


def test_results_need_their_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.evaluate(["--results"]) == 2
    assert "expected RESULTS.md" in capsys.readouterr().err
    assert cli.evaluate(["--results", "--study", "anomaly"]) == 2
    assert "received study" in capsys.readouterr().err


def test_page_is_that_of_the_measurements_and_its_words_agree(tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    page = results.RESULTS.read_text("utf-8")
    copy = tmp_path / "RESULTS.md"
    copy.write_text(page, "utf-8")
    verdicts = results.write(copy)
    assert copy.read_text("utf-8") == page

    assert re.search(r"^Of \d+ claims, [^.]+\.", page, re.MULTILINE).group() in (
        PROJECT / "README.md"
    ).read_text("utf-8")
    by_hand = re.sub(r"<!-- ([\w -]+): written by .*?<!-- end of \1 -->", "", page, flags=re.DOTALL)
    for name, words in re.findall(r"\((\d{3}\.\d+) (holds only|holds|does not hold)", by_hand):
        assert verdicts[name].startswith(words), name
        assert (words == "holds only") == verdicts[name].startswith("holds only"), name


@pytest.mark.parametrize("name", STUDIES)
def test_tables_are_those_of_the_measurements(name):
    study, files = STUDIES[name], StudyFiles(name, PROJECT / RUNS / "studies")
    if not files.table.is_file():
        pytest.skip("not measured yet")
    measurements = files.read()
    assert files.table.read_text("utf-8") == study_tables.markdown(study, measurements)
    assert files.rows.read_text("utf-8") == study_tables.rows_csv(study, measurements)
    for trial in study.trials:
        if trial.is_measured(measurements):
            assert re.fullmatch(r"[0-9a-f]{40}", measurements[trial.name]["commit"])
