"""Claims and pages: rules that decide, and pages that follow the measurements."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
from scipy import stats

from keras_ae.errors import BadRequest
from keras_ae.options import NOISE_SWEEP
from studies import claims, pages, results, tables
from studies.__main__ import main
from studies.catalogue import CLAIMS, STUDIES
from studies.claims import FAILS, HOLDS, NOT_YET, UNDECIDED, Outcome, Verdict, below, judge
from studies.found import Found
from studies.store import ROOT, StudyFiles
from studies.vocabulary import REFERENCES, Quantity, Reference
from tests.conftest import PROJECT


def measured(study, value) -> dict[str, dict]:
    """Measurements in which everything has the value `value(row, measure, seed)`."""
    columns = {quantity for table in study.tables for quantity in table.columns}
    # Each table is of its own variants; some rules ask for what only some variants have.
    columns |= {quantity for claim in study.claims for quantity in claim.shown}

    def numbers(row, seed: int) -> dict:
        found: dict = {}
        for quantity in columns:
            mean = dataclasses.replace(quantity, over_parts="mean")
            found.setdefault(mean.measure, {})[mean.at] = value(row, mean, seed)
        return found

    return json.loads(
        json.dumps(
            {
                run.name: {
                    "measures": run.measures,
                    "recipe": dataclasses.asdict(run.recipe),
                    "numbers": {
                        "model": numbers(run.variant, run.recipe.seed),
                        **{reference: numbers(reference, 0) for reference in REFERENCES},
                    },
                    "curves": {},
                }
                for run in study.runs
            }
        )
    )


@pytest.mark.parametrize("name", CLAIMS)
def test_claim_is_decided_and_shown_when_its_study_is_measured(name):
    study, subject = CLAIMS[name]
    assert subject.name == name
    everything = measured(study, lambda row, quantity, seed: 0.5 + seed / 100)
    found = Found(study, everything)
    verdict = judge(subject, found)
    assert re.fullmatch(r"holds|does not hold|(holds only|undecided) .+", str(verdict))
    assert verdict.effect.endswith(("%", "where it holds", "where it does not", "undecided"))
    shown = results._numbers(subject, found)
    assert f"n = {len(study.seeds)}" in shown
    assert 1 <= sum(map(len, subject.shown.values())) <= 3
    for quantity, rows in subject.shown.items():
        assert quantity.heading in shown
        for row in rows:
            assert (row.words if isinstance(row, Reference) else f"`{row}`") in shown
    assert judge(subject, Found(study, {})).kind == NOT_YET


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("000.2", ("0.01",)),
        ("000.3", ("10 %",)),
        ("000.7", ("95 %",)),
        ("002.1", ("0.05", "95 %")),
        ("002.5", ("0.9", "0.8")),
        ("002.7", ("0.8",)),
        ("003.1", ("8 bytes", "1 %")),
        ("003.2", ("90 %",)),
        ("003.3", ("90 %",)),
        ("003.5", ("0.2", "20 %")),
        ("003.10", ("2 times",)),
        ("003.12", ("0.95",)),
        ("003.13", ("2 %",)),
        ("003.16", ("90 %",)),
        ("003.17", ("95 %", "70 %")),
        ("004.1", ("90 %",)),
        ("004.2", ("80 %",)),
        ("004.3", ("95 %", "70 %")),
        ("004.4", ("70 %",)),
        ("004.6", ("90 %",)),
        ("004.12", ("5 %",)),
        ("004.13", ("1 %", "100 nats")),
        ("004.16", ("100 nats",)),
        ("004.19", ("90 %", "5 %")),
    ],
)
def test_words_of_a_rule_contain_its_bounds(name, bounds):
    _, claim = CLAIMS[name]
    for bound in bounds:
        assert re.search(rf"(?<![\d.]){re.escape(bound)}(?!\d)", claim.test), bound


@pytest.mark.parametrize(
    ("name", "module", "bound", "value", "words"),
    [
        ("004.12", "vae_configurations", "COVERED", 0.07, "7 %"),
        ("003.12", "bottleneck", "TOLD_APART", 0.97, "0.97"),
        ("000.2", "lstm_activations", "LINEAR", 0.02, "0.02"),
    ],
)
def test_a_bound_decides_and_is_in_the_words(name, module, bound, value, words):
    """Another bound in the source of a study changes rule and words at once."""
    path = PROJECT / "studies" / module / "study.py"
    text, count = re.subn(rf"(?m)^{bound} = \S+", f"{bound} = {value}", path.read_text("utf-8"))
    assert count == 1
    changed = {"__name__": "changed"}
    exec(compile(text, path, "exec"), changed)
    claim = next(claim for claim in changed["STUDY"].claims if claim.name == name)
    assert words in claim.test
    assert words not in CLAIMS[name][1].test
    # Above the old bound and below the new one.
    study, old = CLAIMS[name]
    between = (value + CHANGED_FROM[bound]) / 2
    found = Found(study, measured(study, lambda row, quantity, seed: between))
    assert judge(old, found).kind != judge(claim, found).kind


CHANGED_FROM = {"COVERED": 0.05, "TOLD_APART": 0.95, "LINEAR": 0.01}


def test_a_variant_with_a_missing_seed_is_not_judged():
    study = STUDIES["dense-vs-conv"]
    everything = measured(study, lambda row, quantity, seed: 0.5)
    del everything["conv-64-seed-2"]
    found = Found(study, everything)
    _, claim = CLAIMS["001.1"]
    assert judge(claim, found).kind == NOT_YET
    assert "not yet measured" in results._numbers(claim, found)


@pytest.mark.parametrize(
    ("linear", "tanh", "relu", "expected"),
    [
        (0.1, 0.2, 0.3, HOLDS),
        (0.3, 0.2, 0.1, FAILS),
        (0.2, 0.1, 0.3, "holds only against ReLU"),
        # Seeds differ by 0.001 each.
        (0.1000, 0.1015, 0.3, "holds only against ReLU, undecided against tanh (70 seeds)"),
        # Lower, but by less than 1 %.
        (0.2999, 0.2, 0.3, FAILS),
    ],
)
def test_rule_compares_means_and_seeds(linear, tanh, relu, expected):
    means = {"linear": linear, "tanh": tanh, "relu": relu}
    study = STUDIES["lstm-activations"]
    found = Found(
        study, measured(study, lambda row, quantity, seed: means.get(row, 0.5) + seed / 1000)
    )
    assert str(judge(CLAIMS["000.1"][1], found)) == expected


@pytest.mark.parametrize(("rise", "holds"), [(0.0001, False), (0.02, True)])
def test_a_loss_is_unstable_if_it_rises_by_one_percent_of_itself(rise, holds):
    def value(row, quantity, seed):
        if quantity.measure == "instability":
            return (rise if row == "fast" else 0) + seed / 1e6
        return 0.5 + seed / 100

    study, claim = CLAIMS["004.16"]
    verdict = judge(claim, Found(study, measured(study, value)))
    assert verdict.cases["stability"][0].holds is holds


def test_best_size_is_named_by_training_and_noise():
    def error(row, quantity, seed):
        size = int(row.rsplit("-", 1)[1]) if row[-1].isdigit() else 0
        strongest = quantity == Quantity("denoised", f"{max(NOISE_SWEEP):g}")
        best = 8 if row.startswith("relu-noisy") and strongest else 32
        return abs(size - best) / 100 + 0.1

    study = STUDIES["bottleneck"]
    judged = judge(CLAIMS["003.9"][1], Found(study, measured(study, error)))
    assert str(judged) == "holds only for training on noise at 0.5"


LOW, HIGH = [1.0, 2.0, 3.0], [5.0, 6.5, 6.0]


@pytest.mark.parametrize(
    ("low", "high", "holds"),
    [
        (LOW, HIGH, True),
        (HIGH, LOW, False),
        (LOW, [2.0, 3.0, 4.0], None),
        (LOW, [7.0], True),
        ([5.0], HIGH, None),
        ([5.0], [5.0], True),
    ],
)
def test_outcome_is_that_of_welchs_test(low, high, holds):
    outcome = below(low, high)
    assert outcome.holds is holds
    assert outcome.effect == pytest.approx(1 - np.mean(low) / np.mean(high))
    if len(low) > 1:
        one = len(high) == 1
        test = stats.ttest_1samp(low, high) if one else stats.ttest_ind(low, high, equal_var=False)
        assert (test.pvalue < 0.05) == (holds is not None)
    # Means that differ by 10 % do not differ by 50 %.
    assert below([0.9], [1.0], margin=0.5).holds is False


def test_undecided_names_the_seeds_that_the_test_needs():
    """Of many drawn pairs of as many seeds as are named, four in five are told apart."""
    low, high = LOW, [2.0, 3.0, 4.0]
    outcome = below(low, high)
    rng = np.random.default_rng(0)

    def power(seeds: int) -> float:
        drawn = [rng.normal(np.mean(values), 1, (seeds, 4000)) for values in (low, high)]
        return (stats.ttest_ind(*drawn, equal_var=False).pvalue < 0.05).mean()

    assert power(outcome.seeds - 1) < 0.81
    assert power(outcome.seeds) > 0.79
    assert below(low, low).seeds == claims.MOST_SEEDS


def test_parts_of_a_verdict():
    true, false, open_ = Outcome(True, 0.5), Outcome(False, -0.071), Outcome(None, 0.02, 12)

    def of(**cases):
        return Verdict({case: [outcome] for case, outcome in cases.items()})

    for outcome, words in ((true, HOLDS), (false, FAILS)):
        assert str(of(a=outcome, b=outcome)) == of(a=outcome).kind == words
    for verdict, words, kind in (
        (of(a=true, b=false, c=true, d=true), "holds only for a, c and d", claims.IN_PART),
        (of(a=true, b=open_), "holds only for a, undecided for b (12 seeds)", claims.IN_PART),
        (of(a=false, b=open_), "undecided only for b (12 seeds)", UNDECIDED),
        (Verdict({"": [open_, true]}), "undecided (12 seeds)", UNDECIDED),
        (Verdict({"": [open_, false]}), FAILS, FAILS),
        (Verdict({}), NOT_YET, NOT_YET),
    ):
        assert (str(verdict), verdict.kind) == (words, kind)
    assert of(a=true, b=false).effect == "50 % where it holds, -7.1 % where it does not"
    assert Verdict({"": [true, Outcome(True, 0.123)]}).effect == "12 to 50 %"


def test_measured_parts_are_replaced_and_words_stay():
    page = "a\n<!-- x: written by c -->\nold\n<!-- end of x -->\nb\n"
    assert pages.with_parts(page, {"x": "new"}, "c") == page.replace("old", "new")
    for damaged in (page.replace("end of x", "end"), page + page):
        with pytest.raises(BadRequest, match="once each"):
            pages.with_parts(damaged, {"x": "new"}, "c")


def test_results_need_their_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["results"]) == 2
    assert "received none" in capsys.readouterr().err
    (tmp_path / "RESULTS.md").write_text("no parts")
    assert main(["results"]) == 2
    assert "once each" in capsys.readouterr().err
    assert (tmp_path / "RESULTS.md").read_text() == "no parts"


def _set(*keys_and_value):
    *keys, last, value = keys_and_value

    def damage(measurements: dict) -> dict:
        place = next(iter(measurements.values()))
        for key in keys:
            place = place[key]
        place[last] = value
        return measurements

    return damage


DAMAGE = {
    "NaN": (_set("numbers", "model", "mse", float("nan")), "finite numbers in numbers"),
    "NaN of a reference": (_set("numbers", "pca", "ssim", float("nan")), "received nan"),
    "an infinite loss": (_set("curves", "loss", 0, float("inf")), "finite numbers in curves"),
    "text for a number": (_set("numbers", "model", "mse", "0.1"), "received '0.1'"),
    "true for a number": (_set("numbers", "model", "mse", True), "received True"),
    "null for a number": (_set("numbers", "model", "mse", None), "received None"),
    "numbers in a list": (_set("numbers", []), "numbers to be a dict, received []"),
    "no recipe": (_set("recipe", None), "recipe to be a dict, received None"),
    "no measures": (_set("measures", "mse"), "measures to be a list"),
    "a measurement in words": (lambda measurements: {"a": "good"}, "an object, received 'good'"),
    "a list": (lambda measurements: [], "an object with measurements"),
    "null": (lambda measurements: None, "received NoneType"),
    "text": (lambda measurements: "measured", "received str"),
}


@pytest.fixture(scope="module")
def damaged_copy(tmp_path_factory):
    """The pages and measurements of all studies, to be damaged in one study at a time."""
    root = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("*.py", "__pycache__", "runs")
    shutil.copytree(PROJECT / ROOT, root / ROOT, ignore=ignored)
    shutil.copy(PROJECT / "RESULTS.md", root / "RESULTS.md")
    return root


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_measurements_are_refused_and_not_judged(case, damaged_copy, monkeypatch, capsys):
    monkeypatch.chdir(damaged_copy)
    damage, message = DAMAGE[case]
    path = StudyFiles("dense-vs-conv").measurements
    whole = path.read_text("utf-8")
    pages_before = (damaged_copy / "RESULTS.md").read_text("utf-8")
    path.write_text(json.dumps(damage(json.loads(whole))), "utf-8")
    try:
        for command in (["results"], ["report", "dense-vs-conv"], ["train", "dense-vs-conv"]):
            assert main(command) == 2
            error = capsys.readouterr().err
            assert error.count("\n") == 1
            assert message in error
    finally:
        path.write_text(whole, "utf-8")
    assert (damaged_copy / "RESULTS.md").read_text("utf-8") == pages_before


def test_pages_are_those_of_the_measurements_and_their_words_agree(tmp_path):
    written = ["RESULTS.md"]
    for name in STUDIES:
        files = StudyFiles(name)
        written.append(files.page)
        (tmp_path / files.directory).mkdir(parents=True)
        shutil.copy(PROJECT / files.figure, tmp_path / files.figure)
        shutil.copy(PROJECT / files.measurements, tmp_path / files.measurements)
    for path in written:
        shutil.copy(PROJECT / path, tmp_path / path)
    verdicts = results.write(tmp_path)
    texts = {path: (PROJECT / path).read_text("utf-8") for path in written}
    stated = 0
    for path, page in texts.items():
        assert (tmp_path / path).read_text("utf-8") == page
        by_hand = re.sub(
            r"<!-- ([\w -]+): written by .*?<!-- end of \1 -->", "", page, flags=re.DOTALL
        )
        for name, words in re.findall(
            r"\((\d{3}\.\d+)\s+(holds only|holds|does not hold|is undecided)", by_hand
        ):
            kind = {"holds only": claims.IN_PART, "is undecided": UNDECIDED}.get(words, words)
            assert verdicts[name].kind == kind, name
            stated += 1
    assert stated > 50
    counts = re.search(r"^Of \d+ claims, [^.]+\.", texts["RESULTS.md"], re.MULTILINE).group()
    assert counts in (PROJECT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", STUDIES)
def test_tables_are_those_of_the_measurements(name):
    study, files = STUDIES[name], StudyFiles(name, PROJECT / ROOT)
    measurements = files.read()
    again = StudyFiles(name, PROJECT / ROOT, again=True).read()
    assert files.table.read_text("utf-8") == tables.markdown(study, measurements, again)
    assert files.rows.read_text("utf-8") == tables.rows_csv(study, measurements)
    for run in study.runs:
        if run.is_measured(measurements):
            assert re.fullmatch(r"[0-9a-f]{40}", measurements[run.name]["commit"])
