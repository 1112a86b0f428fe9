"""Trains and measures one planned run of a study."""

import dataclasses
import time
from collections.abc import Mapping

from keras_ae import revision
from keras_ae.commands.program import quiet_tensorflow
from keras_ae.errors import Diverged
from keras_ae.files import remove
from keras_ae.interrupts import Interrupts
from keras_ae.options import Options
from keras_ae.recipe import Recipe
from keras_ae.runs import Run
from studies.store import CODE, StudyFiles, processor
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
    files: StudyFiles,
    with_images: bool,
    keep_runs: bool,
    interrupts: Interrupts,
) -> None:
    """Trains a run, or resumes it, measures it and adds the measurement.

    Args:
        planned: What to train and to measure.
        files: Where measurements and runs are.
        with_images: Whether images for the figure are kept.
        keep_runs: Whether the run directory stays.
        interrupts: The signals to look at between two measures.

    Raises:
        RunFailed: If something could not be written.
        Interrupted: If SIGINT or SIGTERM came; the same call resumes.
    """
    measurement = {
        "variant": planned.variant,
        "part": planned.part,
        "measures": planned.measures,
        "recipe": dataclasses.asdict(planned.recipe),
        "commit": COMMIT,
        "processor": processor(),
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
