"""What a study measured, as text, without TensorFlow."""

import csv
import io
import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

from studies.found import Found, of_model, of_references
from studies.pages import markdown_table
from studies.study import Study, Table


def spread(numbers: Sequence[float]) -> str:
    """Returns the mean and the sample standard deviation in words of a table."""
    mean = statistics.fmean(numbers)
    deviation = statistics.stdev(numbers) if len(numbers) > 1 else 0.0
    # Sums in another order are no spread between seeds.
    if deviation <= 1e-6 * abs(mean):
        return f"{mean:,.0f}" if mean == round(mean) else f"{mean:.4g}"
    if max(abs(mean), deviation) < 1e-4:
        return f"{mean:.1e} ± {deviation:.1e}"
    decimals = max(0, 1 - math.floor(math.log10(deviation)))
    return f"{mean:.{decimals}f} ± {deviation:.{decimals}f}"


def markdown(
    study: Study, measurements: Mapping[str, dict], again: Mapping[str, dict] | None = None
) -> str:
    """Returns `table.md`, with the runs that were measured `again` on another processor."""
    measured = {
        run.name: measurements[run.name] for run in study.runs if run.is_measured(measurements)
    }
    commits = sorted({str(measurement["commit"]) for measurement in measured.values()})
    diverged = [
        f"`{name}`: {measurement['diverged']}"
        for name, measurement in measured.items()
        if "diverged" in measurement
    ]
    parts = [f"# {study.name}", study.question, study.protocol]
    if missing := missing_by_variant(study, measurements):
        parts.append(f"**Incomplete.** Runs that are not measured yet, by variant: {missing}.")
    parts.append(
        "Mean ± sample standard deviation over the seeds. Test split, unless a column says "
        "otherwise; nothing was chosen by it."
    )
    if diverged:
        parts.append(
            "These runs ended with a loss that was no number, and count only here: "
            + ", ".join(diverged)
            + "."
        )
    found = Found(study, measurements)
    for table in study.tables:
        parts += [table.caption, _table(found, table)]
    if again:
        parts += _again(study, measurements, again)
    if commits:
        parts.append(f"Trained by commit {', '.join(f'`{commit}`' for commit in commits)}.")
    return "\n\n".join(parts) + "\n"


def missing_by_variant(study: Study, measurements: Mapping[str, dict]) -> str:
    """Returns how many runs of each variant are not measured yet, and nothing if all are."""
    missing = Counter(run.variant for run in study.missing(measurements))
    planned = Counter(run.variant for run in study.runs)
    return ", ".join(f"{name} {count} of {planned[name]}" for name, count in missing.items())


def _table(found: Found, table: Table) -> str:
    rows = []
    for variant in table.variants or found.study.names:
        values = [found.values(variant, quantity) for quantity in table.columns]
        cells = [spread(numbers) if numbers else "" for numbers in values]
        rows.append([f"`{variant}`", str(found.seeds(variant)), *cells])
    for reference, measured in found.references(table.variants).items():
        if not measured.keys().isdisjoint(table.columns):
            cells = [
                spread([measured[quantity]]) if quantity in measured else ""
                for quantity in table.columns
            ]
            rows.append([reference.words, "", *cells])
    return markdown_table(["", "seeds", *(quantity.heading for quantity in table.columns)], rows)


def _again(study: Study, measurements: Mapping[str, dict], again: Mapping[str, dict]) -> list[str]:
    """Returns what some variants have with the first seed: in the tables above, and again."""
    some = study.only({str(measurement["variant"]) for measurement in again.values()})
    before, after = Found(some, measurements), Found(some, again)
    columns = study.tables[0].columns
    here = sorted({measurement["processor"] for measurement in again.values()})
    # The first runs did not keep it.
    there = sorted(
        {
            measurements[name].get("processor", "a processor whose name was not kept")
            for name in again
        }
    )
    rows, pairs = [], []
    for name in some.names:
        for words, found in ((f"`{name}`, above", before), ("reproduced", after)):
            values = [found.values(name, quantity) for quantity in columns]
            rows.append([words, *(_number(one[0]) if one else "" for one in values)])
            pairs.append(values)
    all_or_not = "all" if pairs[::2] == pairs[1::2] else "not all"
    caption = (
        f"Reproduced on {' and '.join(here)}: the first seed of some variants, trained and "
        f"measured anew with the same command. Those above are from {' and '.join(there)}; "
        f"{all_or_not} numbers are the same to the last bit."
    )
    return [caption, markdown_table(["", *(quantity.heading for quantity in columns)], rows)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:.5g}"


def rows_csv(study: Study, measurements: Mapping[str, dict]) -> str:
    """Returns `table.csv`: a row for each run, then one for each reference of each kind.

    A column is called as its measure, followed by the condition if there is one.
    """
    trained, compared = [], {}
    for run in study.runs:
        if not run.is_measured(measurements):
            continue
        measurement = measurements[run.name]
        facts = {
            "run": run.name,
            "variant": run.variant,
            "reference": "",
            "part": run.part,
            "seed": run.recipe.seed,
            "epochs": run.recipe.epochs,
            "commit": measurement["commit"],
            "seconds": round(measurement["seconds"], 1),
        }
        numbers = of_model(study, measurement)
        trained.append(facts | {quantity.column: value for quantity, value in numbers.items()})
        for reference, numbers in of_references(measurement).items():
            row = {"reference": reference.words, "part": run.part}
            row |= {quantity.column: value for quantity, value in numbers.items()}
            compared[tuple(row.items())] = row
    every = [*trained, *compared.values()]
    names = list(dict.fromkeys(name for row in every for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(every)
    return text.getvalue()
