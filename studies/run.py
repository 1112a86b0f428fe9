"""Trains and measures one planned run of a study."""

import dataclasses
import time
from collections.abc import Mapping, Sequence

import numpy as np

from keras_ae import revision
from keras_ae.commands.program import quiet_tensorflow
from keras_ae.errors import Diverged
from keras_ae.files import remove
from keras_ae.interrupts import Interrupts
from keras_ae.options import Options
from keras_ae.recipe import Recipe
from keras_ae.runs import Run
from studies.store import CODE, StudyFiles
from studies.study import PlannedRun
from studies.vocabulary import NLL_IMAGES, Numbers, check_numbers

with quiet_tensorflow():
    from keras_ae.evaluation.evaluate import open_run
    from keras_ae.evaluation.stages import history
    from keras_ae.training.run import resume, train
    from studies import measures

# Enough to draw and to compare; the numbers are taken from the whole ones.
CURVE_DIGITS = 6
# As they were when the code was read: of all code that counts, and of the package alone.
COMMIT = revision.commit(paths=CODE)
PACKAGE_COMMIT = revision.commit()


def train_and_measure(
    planned: PlannedRun,
    all_planned: Sequence[PlannedRun],
    files: StudyFiles,
    with_images: bool,
    keep_runs: bool,
    interrupts: Interrupts,
) -> None:
    """Trains a run, or resumes it, measures it and adds the measurement.

    Args:
        planned: What to train and to measure.
        all_planned: All runs of the study.
        files: Where measurements and runs are.
        with_images: Whether images for the figure are kept.
        keep_runs: Whether the run directory stays.
        interrupts: The signals to look at between two measures.

    Raises:
        RunFailed: If something could not be written.
        Interrupted: If SIGINT or SIGTERM came; the same call resumes.
    """
    done = len(all_planned) - len(_missing(all_planned, files.read()))
    print(f"run {done + 1}/{len(all_planned)}: {planned.name}", flush=True)
    measurement = {
        "variant": planned.variant,
        "part": planned.part,
        "measures": planned.measures,
        "recipe": dataclasses.asdict(planned.recipe),
        "commit": COMMIT,
    }
    run = files.run(planned.name)
    started = time.monotonic()
    try:
        _train(planned.recipe, run, interrupts.hint)
    except Diverged as error:
        measurement |= {"diverged": str(error).split(":")[0], "numbers": {}, "curves": {}}
        trained = time.monotonic()
    else:
        trained = time.monotonic()
        measurement |= _measure(planned, run, with_images, interrupts)
    measurement["seconds"] = trained - started
    measurement["measuring_seconds"] = time.monotonic() - trained
    files.add(planned.name, measurement)
    if not keep_runs:
        remove(run.directory)
    seconds_left = _seconds_left(all_planned, files.read())
    left = time.strftime("%H:%M:%S", time.gmtime(seconds_left))
    seconds = measurement["seconds"] + measurement["measuring_seconds"]
    print(f"measured {planned.name} in {seconds:.0f} s, study left {left}", flush=True)


def _train(recipe: Recipe, run: Run, hint: str) -> None:
    if run.config.is_file():
        # The number of parameters is known once the model is built.
        began = dataclasses.replace(run.read_recipe(), parameters=recipe.parameters)
        if run.read_config().get("commit") == PACKAGE_COMMIT and began == recipe:
            if run.checkpoints.is_dir():
                resume(run, with_exports=False, resume_hint=hint)
                return
            if run.metrics.is_file():
                return  # It was stopped while it was measured.
    remove(run.directory)
    train(recipe, run, with_exports=False, resume_hint=hint)


def _measure(planned: PlannedRun, run: Run, with_images: bool, interrupts: Interrupts) -> dict:
    context = open_run(run, Options(nll_images=NLL_IMAGES))
    numbers: Numbers = {}
    for name in planned.measures:
        interrupts.check()
        found = measures.MEASURES[name](context)
        check_numbers(found)
        for row, values in found.items():
            numbers.setdefault(row, {}).update(values)
    measurement: dict = {"numbers": numbers, "curves": _rounded(history.read(run))}
    if with_images:
        measurement["images"] = measures.pictures(context)
    return measurement


def _rounded(curves: Mapping[str, list[float]]) -> dict[str, list[float]]:
    return {
        name: [float(f"{value:.{CURVE_DIGITS}g}") for value in values]
        for name, values in curves.items()
        if name != "epoch"
    }


def _missing(planned: Sequence[PlannedRun], measurements: Mapping[str, dict]) -> list[PlannedRun]:
    return [run for run in planned if not run.is_measured(measurements)]


def _seconds_left(planned: Sequence[PlannedRun], measurements: Mapping[str, dict]) -> float:
    """Returns how long one process needs for the rest, by what runs of the variants took."""
    took: dict[str, list[float]] = {}
    for measurement in measurements.values():
        seconds = measurement["seconds"] + measurement["measuring_seconds"]
        took.setdefault(measurement["variant"], []).append(seconds)
    everything = [seconds for values in took.values() for seconds in values]
    missing = _missing(planned, measurements)
    return sum(np.mean(took.get(run.variant, everything)) for run in missing)
