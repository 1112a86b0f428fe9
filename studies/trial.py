"""Trains and measures one trial of a study."""

import dataclasses
import time
from collections.abc import Mapping

import numpy as np

from keras_ae import revision
from keras_ae.errors import Diverged
from keras_ae.files import remove
from keras_ae.interrupts import Interrupts
from keras_ae.commands.program import quiet_tensorflow
from keras_ae.runs import Run, StudyFiles
from keras_ae.options import Settings
from studies.declared import NLL_IMAGES
from studies.study import Study, Trial

with quiet_tensorflow():
    from keras_ae import evaluation, measures, training
    from keras_ae.evaluation.context import history

# Enough to draw and to compare; the numbers are taken from the whole ones.
CURVE_DIGITS = 6
# As it was when the code was read.
COMMIT = revision.commit()


def carry_out(
    trial: Trial, study: Study, files: StudyFiles, keep_runs: bool, interrupts: Interrupts
) -> None:
    """Trains a trial, or goes on with it, measures it and adds the measurement.

    Args:
        trial: What to train and to measure.
        study: What it belongs to.
        files: Where measurements and runs are.
        keep_runs: Whether the run directory stays.
        interrupts: The signals to look at between two measures.

    Raises:
        RunFailed: If something could not be written.
        Interrupted: If SIGINT or SIGTERM came; the same call goes on.
    """
    done = len(study.trials) - len(study.missing(files.read()))
    print(f"trial {done + 1}/{len(study.trials)}: {trial.name}", flush=True)
    measurement = {
        "arm": trial.arm,
        "part": trial.part,
        "measures": trial.measures,
        "recipe": dataclasses.asdict(trial.recipe),
        "commit": COMMIT,
    }
    run = files.run(trial.name)
    started = time.monotonic()
    try:
        _train(trial, run)
    except Diverged as error:
        measurement |= {"diverged": str(error).split(":")[0], "numbers": {}, "curves": {}}
        trained = time.monotonic()
    else:
        trained = time.monotonic()
        measurement |= _measure(trial, study, run, interrupts)
    measurement["seconds"] = trained - started
    measurement["measuring_seconds"] = time.monotonic() - trained
    files.add(trial.name, measurement)
    if not keep_runs:
        remove(run.directory)
    left = time.strftime("%H:%M:%S", time.gmtime(_seconds_left(study, files.read())))
    seconds = measurement["seconds"] + measurement["measuring_seconds"]
    print(f"measured {trial.name} in {seconds:.0f} s, study left {left}", flush=True)


def _train(trial: Trial, run: Run) -> None:
    if run.config.is_file():
        same = run.read_config().get("commit") == COMMIT and run.read_recipe() == trial.recipe
        if same and run.metrics.is_file() and not run.checkpoints.is_dir():
            return  # It was stopped while it was measured.
        if same and run.checkpoints.is_dir():
            training.resume(run, with_exports=False)
            return
    remove(run.directory)
    training.train(trial.recipe, run, with_exports=False)


def _measure(trial: Trial, study: Study, run: Run, interrupts: Interrupts) -> dict:
    context = evaluation.open_run(run, Settings(nll_images=NLL_IMAGES))
    numbers: measures.Numbers = {}
    for name in trial.measures:
        interrupts.check()
        for row, values in measures.MEASURES[name](context).items():
            numbers.setdefault(row, {}).update(values)
    measurement: dict = {"numbers": numbers, "curves": _rounded(history.read(run))}
    if study.draws_images_of(trial):
        measurement["images"] = measures.pictures(context)
    return measurement


def _rounded(curves: Mapping[str, list[float]]) -> dict[str, list[float]]:
    return {
        name: [float(f"{value:.{CURVE_DIGITS}g}") for value in values]
        for name, values in curves.items()
        if name != "epoch"
    }


def _seconds_left(study: Study, measurements: Mapping[str, dict]) -> float:
    """Returns how long one process needs for the rest, by what like trials took."""
    took: dict[str, list[float]] = {}
    for measurement in measurements.values():
        seconds = measurement["seconds"] + measurement["measuring_seconds"]
        took.setdefault(measurement["arm"], []).append(seconds)
    everything = [seconds for values in took.values() for seconds in values]
    return sum(np.mean(took.get(trial.arm, everything)) for trial in study.missing(measurements))
