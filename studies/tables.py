"""What a study measured, as numbers by arm and as text, without TensorFlow."""

import csv
import io
import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

from studies.study import Study, Table

MODEL = "model"

# One value for each seed, by measure, by arm.
Values = dict[str, dict[str, list[float]]]


def pca_name(dimensions: int) -> str:
    """Returns what the row of PCA is called."""
    return f"PCA, {dimensions} components"


def values(study: Study, measurements: Mapping[str, dict]) -> Values:
    """Returns what was measured of the models.

    Where an arm has parts, a measure is the mean over the parts, and `<measure>_worst` its
    lowest value among them. A seed counts when all of its parts are measured.

    Args:
        study: What was measured.
        measurements: Measurements by the name of the trial, see `StudyFiles.read`.

    Returns:
        By arm and measure, a value for each seed, in the order of the seeds.
    """
    by_seed: dict[str, dict[str, dict[int, list[float]]]] = {arm: {} for arm in study.arms}
    has_parts = set()
    planned = Counter((trial.arm, trial.recipe.seed) for trial in study.trials)
    for trial in study.trials:
        if trial.is_measured(measurements):
            for name, value in _numbers(study, measurements[trial.name]).items():
                seeds = by_seed[trial.arm].setdefault(name, {})
                seeds.setdefault(trial.recipe.seed, []).append(value)
        if trial.part:
            has_parts.add(trial.arm)
    found: Values = {}
    for arm, by_measure in by_seed.items():
        found[arm] = {}
        for name, seeds in by_measure.items():
            whole = [parts for seed, parts in seeds.items() if len(parts) == planned[arm, seed]]
            if whole:
                found[arm][name] = [statistics.fmean(parts) for parts in whole]
                if arm in has_parts:
                    found[arm][f"{name}_worst"] = [min(parts) for parts in whole]
    return found


def _numbers(study: Study, measurement: Mapping) -> dict[str, float]:
    found = dict(measurement["numbers"].get(MODEL, {}))
    if study.level is not None:
        for epoch, loss in enumerate(measurement["curves"].get("val_loss", ()), start=1):
            if loss <= study.level:
                return found | {"epochs_to_level": epoch}
    return found


def yardsticks(
    study: Study, measurements: Mapping[str, dict], arms: str | tuple[str, ...] = ""
) -> dict[str, dict[str, float]]:
    """Returns what was measured of the yardsticks: by name and measure, the mean over the trials.

    Args:
        study: What was measured.
        measurements: Measurements by the name of the trial.
        arms: How the names of the arms begin whose yardsticks these are; several ways in a tuple.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for trial in study.trials:
        if trial.arm.startswith(arms) and trial.is_measured(measurements):
            for row, numbers in measurements[trial.name]["numbers"].items():
                if row != MODEL:
                    for name, value in numbers.items():
                        found.setdefault(row, {}).setdefault(name, []).append(value)
    return {
        row: {name: statistics.fmean(numbers) for name, numbers in by_measure.items()}
        for row, by_measure in found.items()
    }


def spread(numbers: Sequence[float]) -> str:
    """Returns the mean and the sample standard deviation in words of a table."""
    mean = statistics.fmean(numbers)
    deviation = statistics.stdev(numbers) if len(numbers) > 1 else 0.0
    if deviation == 0:
        return f"{mean:,.0f}" if mean == round(mean) else f"{mean:.4g}"
    if max(abs(mean), deviation) < 1e-4:
        return f"{mean:.1e} ± {deviation:.1e}"
    decimals = max(0, 1 - math.floor(math.log10(deviation)))
    return f"{mean:.{decimals}f} ± {deviation:.{decimals}f}"


def markdown(study: Study, measurements: Mapping[str, dict]) -> str:
    """Returns `table.md`."""
    missing = missing_by_arm(study, measurements)
    commits = sorted(
        {
            str(measurements[trial.name]["commit"])
            for trial in study.trials
            if trial.is_measured(measurements)
        }
    )
    diverged = [
        f"`{trial.name}`: {measurements[trial.name]['diverged']}"
        for trial in study.trials
        if trial.is_measured(measurements) and "diverged" in measurements[trial.name]
    ]
    parts = [f"# {study.name}", study.question, study.protocol]
    if missing:
        parts.append(f"**Incomplete.** Trainings that are not measured yet, by arm: {missing}.")
    parts.append(
        "Mean ± sample standard deviation over the seeds. Test split, unless a column says "
        "otherwise; nothing was chosen by it."
    )
    if diverged:
        parts.append(
            "These trainings ended with a loss that was no number, and count only here: "
            + ", ".join(diverged)
            + "."
        )
    for table in study.tables:
        parts += [table.caption, table_of_arms(study, measurements, table)]
    if commits:
        parts.append(f"Trained by commit {', '.join(f'`{commit}`' for commit in commits)}.")
    return "\n\n".join(parts) + "\n"


def missing_by_arm(study: Study, measurements: Mapping[str, dict]) -> str:
    """Returns how many trainings of each arm are not measured yet, and nothing if all are."""
    missing = Counter(trial.arm for trial in study.missing(measurements))
    planned = Counter(trial.arm for trial in study.trials)
    return ", ".join(f"{arm} {count} of {planned[arm]}" for arm, count in missing.items())


def table_of_arms(study: Study, measurements: Mapping[str, dict], table: Table) -> str:
    """Returns one of a study's tables in Markdown."""
    rows = []
    for arm, measured in values(study, measurements).items():
        if arm.startswith(table.arms):
            cells = [spread(measured[name]) if name in measured else "" for name in table.columns]
            seeds = max(map(len, measured.values()), default=0)
            rows.append([f"`{arm}`", str(seeds), *cells])
    for name, measured in yardsticks(study, measurements, table.arms).items():
        if not measured.keys().isdisjoint(table.columns):
            cells = [spread([measured[key]]) if key in measured else "" for key in table.columns]
            rows.append([name, "", *cells])
    return lines(["", "seeds", *table.columns.values()], rows)


def lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table in Markdown."""
    rule = ["---"] * len(header)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def rows_csv(study: Study, measurements: Mapping[str, dict]) -> str:
    """Returns `table.csv`: a row for each training, then one for each yardstick of each kind."""
    trained, compared = [], {}
    for trial in study.trials:
        if not trial.is_measured(measurements):
            continue
        found = measurements[trial.name]
        facts = {
            "trial": trial.name,
            "arm": trial.arm,
            "part": trial.part,
            "seed": trial.recipe.seed,
            "epochs": trial.recipe.epochs,
            "commit": found["commit"],
            "seconds": round(found["seconds"], 1),
        }
        trained.append(facts | _numbers(study, found))
        for name, numbers in found["numbers"].items():
            if name != MODEL:
                row = {"arm": name, "part": trial.part} | numbers
                compared[tuple(row.items())] = row
    every = [*trained, *compared.values()]
    names = list(dict.fromkeys(name for row in every for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(every)
    return text.getvalue()
