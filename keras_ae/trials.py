"""Trains and measures what a study still lacks."""

import dataclasses
import gc
import signal
import time
from collections.abc import Mapping

import keras
import numpy as np

from keras_ae import evaluation, measures, training
from keras_ae.errors import Diverged, Interrupted
from keras_ae.files import locked, remove
from keras_ae.interrupts import Interrupts
from keras_ae.runs import Run, StudyFiles
from keras_ae.settings import Settings
from keras_ae.stages import history
from keras_ae.study import Study, Trial

# Enough to draw and to compare; the numbers are taken from the whole ones.
CURVE_DIGITS = 6
NLL_IMAGES = 500


def train(
    study: Study, files: StudyFiles, commit: str | None, keep_runs: bool = False
) -> list[Trial]:
    """Trains and measures every trial that has no measurement, and adds the measurements.

    Several processes may do this for the same study at once: each takes the trials that no other
    has begun. A trial that was interrupted goes on from its checkpoint if `commit` is still the
    same, and begins anew otherwise. A loss that stops being a number is a measurement, too.

    Args:
        study: What to train.
        files: Where measurements and runs are.
        commit: Revision of the code, for the records.
        keep_runs: Whether the run directories stay when they are measured.

    Returns:
        The trials that other processes were still at when nothing else was left.

    Raises:
        RunFailed: If a trial could not be written.
        Interrupted: If SIGINT or SIGTERM came; the same call goes on.
    """
    hint = f"go on with: python train.py --study {study.name}"
    with Interrupts(hint) as interrupts:
        progress = True
        while progress:
            progress, waiting = False, []
            for trial in study.missing(files.read()):
                interrupts.check()
                try:
                    with locked(files.lock_of(trial.name), wait=False):
                        # Another process may have measured it since.
                        if not trial.is_measured(files.read()):
                            _carry_out(trial, study, files, commit, keep_runs, interrupts)
                            progress = True
                except BlockingIOError:
                    waiting.append(trial)
                except Interrupted as error:
                    name = signal.Signals(error.signal_number).name
                    raise Interrupted(f"stopped by {name}; {hint}", error.signal_number) from error
    if not waiting:
        files.clear_up()
    return waiting


def _carry_out(
    trial: Trial,
    study: Study,
    files: StudyFiles,
    commit: str | None,
    keep_runs: bool,
    interrupts: Interrupts,
) -> None:
    done = len(study.trials) - len(study.missing(files.read()))
    print(f"trial {done + 1}/{len(study.trials)}: {trial.name}", flush=True)
    measurement = {
        "arm": trial.arm,
        "part": trial.part,
        "measures": trial.measures,
        "recipe": dataclasses.asdict(trial.recipe),
        "commit": commit,
    }
    run = files.run(trial.name)
    started = time.monotonic()
    try:
        _train(trial, run, commit)
    except Diverged as error:
        measurement |= {"diverged": str(error).split(":")[0], "numbers": {}, "curves": {}}
        measurement |= {"seconds": time.monotonic() - started, "measuring_seconds": 0.0}
    else:
        trained = time.monotonic()
        measurement |= _measure(trial, study, run, interrupts)
        measurement["seconds"] = trained - started
        measurement["measuring_seconds"] = time.monotonic() - trained
    files.add(trial.name, measurement)
    if not keep_runs:
        remove(run.directory)
    # The graphs of a trial are of no use to the next.
    keras.utils.clear_session()
    gc.collect()
    left = time.strftime("%H:%M:%S", time.gmtime(_seconds_left(study, files.read())))
    seconds = measurement["seconds"] + measurement["measuring_seconds"]
    print(f"measured {trial.name} in {seconds:.0f} s, study left {left}", flush=True)


def _train(trial: Trial, run: Run, commit: str | None) -> None:
    if run.config.is_file():
        same = run.read_config().get("commit") == commit and run.read_recipe() == trial.recipe
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
