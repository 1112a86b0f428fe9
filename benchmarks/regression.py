"""Whether something became slower than the committed numbers of this processor say.

What is compared is how many times as fast as plain Keras training and inference are, in one run in
which both take turns: that hardly depends on what else the machine does, seconds do. What seems
slower is measured once more. `--save` keeps the numbers of this run for the next ones, which are
closer to it than to the longer benchmarks: there more contenders take turns, and empty the caches.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks import inference, measuring, training

# By benchmark: this package, and the reference beside it.
TRAINED = ("keras_ae", "keras_fit")
CALLED = ("keras_ae", "Keras predict")

# Name of the saved results.
SAVED = "regression"

# Of every turn, how many times as fast as the reference it was.
Ratios = dict[str, list[float]]


def of_training(results: Mapping) -> Ratios:
    """Returns the ratios of all families in `training.json`."""
    ratios = {}
    for family, result in results.items():
        rows = [result["contenders"][name] for name in TRAINED]
        # Of some results the speed is all that was kept.
        seconds = [row.get("epoch_seconds", [1 / row["images_per_second"]]) for row in rows]
        ratios[f"{family}, training"] = [theirs / ours for ours, theirs in zip(*seconds)]  # noqa: B905
    return ratios


def of_inference(results: Mapping) -> Ratios:
    """Returns the ratios of all families, operations and batches in `inference.json`."""
    return {
        f"{family}, {row['operation']}, batch {row['batch']:,}": [theirs / ours]
        for family, result in results.items()
        for row in result["rows"]
        for ours, theirs in [[row["seconds"][name] for name in CALLED]]
        if theirs is not None
    }


def of_all(results: Mapping[str, Mapping]) -> Ratios:
    """Returns the ratios of all results by name, those of a saved run where there are some."""
    ratios = of_training(results["training"]) | of_inference(results["inference"])
    for saved in results[SAVED].values():
        ratios |= saved["ratios"]
    return ratios


def compare(before: Sequence[float], now: Sequence[float]) -> tuple[float, float]:
    """Compares the ratios of two runs.

    Returns:
        The share of the speed that was lost, negative where it became faster, and the noise: twice
        the larger of the two interquartile ranges, as a share of its median. It became slower if
        the first is above the second.
    """
    spreads = [
        np.subtract(*np.percentile(some, [75, 25])) / np.median(some) for some in (before, now)
    ]
    return float(1 - np.median(now) / np.median(before)), float(2 * max(spreads))


def report(before: Ratios, now: Ratios) -> tuple[list[str], list[str]]:
    """Returns a line for everything that was measured now, and the names of what became slower."""
    lines = [f"{'times as fast as Keras':40}{'before':>10}{'now':>10}{'lost':>10}{'noise':>10}"]
    slower = []
    for name in sorted(now.keys() & before.keys()):
        lost, noise = compare(before[name], now[name])
        if lost > noise:
            slower.append(name)
        medians = (float(np.median(some[name])) for some in (before, now))
        numbers = "".join(f"{median:10.2f}" for median in medians)
        lines.append(f"{name:40}{numbers}{lost:10.0%}{noise:10.0%}{'  SLOWER' * (lost > noise)}")
    return lines, slower


def _measure(family: str, options) -> Ratios:
    ratios: Ratios = {}
    setup = measuring.elsewhere(training._setup, family)
    for _ in range(options.repeats):
        # Processes differ, too, so each turn of these has its own.
        contenders = training._compare(TRAINED, family, options, setup)
        rows = inference._measure(family, 0.2, 1, CALLED)
        some = of_training({family: {"contenders": contenders}})
        some |= of_inference({family: {"rows": rows}})
        for name, values in some.items():
            ratios.setdefault(name, []).extend(values)
    return ratios


def main() -> None:
    """Measures, prints, and ends with the status 1 if something became slower."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.regression", description=__doc__)
    add = parser.add_argument
    families = training.FAMILIES
    add("--families", nargs="+", choices=families, default=families, metavar="NAME")
    add("--repeats", type=int, default=3, help="how often the processes are started anew")
    add("--epochs", type=int, default=3, help="timed epochs of each process, at most")
    add("--seconds", type=float, default=5, help="timed seconds of each process, at most")
    add("--save", action="store_true", help="keep the numbers, to compare later runs with")
    options = parser.parse_args()
    options.images = 55_000

    environment = measuring.environment()
    committed = {name: measuring.load(name) for name in ("training", "inference", SAVED)}
    before = of_all(committed)
    if not before and not options.save:
        sys.exit(f"expected numbers in {measuring.results_directory()}, received none")
    for package in ("tensorflow", "keras"):
        measured = {one[package] for some in committed.values() for one in some.values()}
        if measured - {environment[package]}:
            print(f"note: {package} is {environment[package]}, and was {', '.join(measured)}")
    now: Ratios = {}
    for family in options.families:
        ratios = _measure(family, options)
        if options.save:
            measuring.save(SAVED, {family: {**environment, "ratios": ratios}})
        now |= ratios
        print(f"{family} is measured", flush=True)
    _, slower = report(before, now)
    for family in {name.split(",")[0] for name in slower}:
        # Calls of one image have modes that last as long as a process. What is slower is so again.
        for name, ratios in _measure(family, options).items():
            now[name] += ratios
        print(f"{family} is measured again", flush=True)
    lines, slower = report(before, now)
    print("\n".join(lines))
    sys.exit(f"slower by more than the noise: {'; '.join(slower)}" if slower else None)


if __name__ == "__main__":
    main()
