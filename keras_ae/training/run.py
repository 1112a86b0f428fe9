"""From a recipe to a run directory, and on after an interruption."""

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras
import tensorflow as tf
from matplotlib.figure import Figure

from keras_ae import __version__, data, export, revision
from keras_ae.errors import BadRequest, RunFailed
from keras_ae.files import check_writable, nearest, refusing, remove, replacing, write_json
from keras_ae.interrupts import Interrupts
from keras_ae.recipe import Recipe, check_source, check_values
from keras_ae.runs import Run, owner_of
from keras_ae.summary import summarize
from keras_ae.training import devices
from keras_ae.training.fit import fit, prepare
from keras_ae.training.workers import Workers

RESUME_HINT = "resume it with keras_ae.training.run.resume"


def train(
    recipe: Recipe,
    run: Run,
    archives: str | Path | None = None,
    overwrite: bool = False,
    plot: str | Path | None = None,
    tensorboard: bool = False,
    device: str = "auto",
    strategy: str = "single",
    with_exports: bool = True,
    resume_hint: str = RESUME_HINT,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    images: str | Path | None = None,
    image_size: Sequence[int] | None = None,
    color: str | None = None,
) -> dict[str, dict]:
    """Trains a recipe and writes the run directory.

    Args:
        recipe: What to train.
        run: Where to write.
        archives: Directory of the dataset's archives, see `data.load`.
        overwrite: Whether an earlier run in the directory may be replaced.
        plot: File of the loss curves; by default one in the run directory.
        tensorboard: Whether to write logs for TensorBoard to the run directory.
        device: `auto`, `cpu` or `gpu`.
        strategy: `single`, `mirrored` to split each batch over all devices of that kind, or
            `multiworker` to split it over the processes in TF_CONFIG, which all call this.
        with_exports: Whether to export the model, too; `export.export_run` does it later.
        resume_hint: How to resume, for the message of an interrupted run.
        callbacks: Further callbacks, see `keras_ae.train`.
        images: Pictures of your own, in place of the recipe's dataset, see `data.load_images`.
        image_size: Height and width to which they are resized.
        color: `grey` or `rgb`, to which they are converted.

    Returns:
        The contents of `metrics.json`, see `summary.summarize`.

    Raises:
        BadRequest: If the directory, the devices or the dataset cannot be used. Nothing has been
            written.
        RunFailed: If the loss stopped being a number, or the disk is full. What was saved stays.
        Interrupted: If SIGINT or SIGTERM came; `resume` continues.
    """
    _check_callbacks(callbacks)
    settings = {
        **{
            name: None if path is None else str(Path(path).absolute())
            for name, path in (("archives", archives), ("images", images), ("plot", plot))
        },
        "image_size": image_size,
        "color": color,
        "tensorboard": tensorboard,
        "device": device,
        "strategy": strategy,
    }
    check_values(settings)
    if images is not None:
        recipe = recipe.override(dataset=None)
    check_source(recipe.dataset, settings)
    check = functools.partial(run.check_free, overwrite)
    begin = functools.partial(run.begin, overwrite=overwrite)
    return _train(recipe, run, settings, check, begin, with_exports, resume_hint, callbacks)


def resume(
    run: Run,
    with_exports: bool = True,
    resume_hint: str = RESUME_HINT,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    images: str | Path | None = None,
) -> dict[str, dict]:
    """Resumes an interrupted run; the result is that of a run never interrupted.

    Its `config.json` says what to train and how. `images` is the place of own pictures that have
    moved. All else is as in `train`.

    Raises:
        BadRequest: If there is no unfinished run, or the dataset or all checkpoints are damaged.
    """
    _check_callbacks(callbacks)
    recipe, settings = run.read_recipe(), run.read_settings(images)
    check, begin = run.check_resumable, run.check_same
    return _train(recipe, run, settings, check, begin, with_exports, resume_hint, callbacks)


def _train(
    recipe: Recipe,
    run: Run,
    settings: dict,
    check: Callable[[], None],
    begin: Callable[[dict], None],
    with_exports: bool,
    resume_hint: str,
    callbacks: Sequence[keras.callbacks.Callback],
) -> dict[str, dict]:
    devices.use_device(settings["device"])
    devices.use_threads(recipe)
    workers = devices.join(settings["strategy"])
    with workers.losing_none(BadRequest, "nothing was begun: start all of them again"):
        with workers.together():
            if workers.is_chief:
                check()
            _check_plot(settings["plot"], run)
            if settings["tensorboard"] and importlib.util.find_spec("tensorboard") is None:
                raise BadRequest(
                    "`tensorboard`: expected the package tensorboard, received none: "
                    'pip install ".[tensorboard]"'
                )
            with refusing("a directory of archives", str(settings["archives"])):
                nearest(settings["archives"] or "")
            dataset = data.load_for(recipe, settings)
            devices.check_even(recipe.batch_size, dataset, workers.devices)
        config = _config(recipe, settings, dataset)
        _check_alike(workers, run, config)
        model, shuffled = prepare(recipe, dataset.train.images, workers)

    # Overrides may have changed it.
    config["recipe"]["parameters"] = model.count_params()
    with contextlib.ExitStack() as stack:
        stack.enter_context(workers.losing_none(RunFailed, f"when all are back, {resume_hint}"))
        with workers.together():
            if workers.is_chief:
                stack.enter_context(run.locked())
        interrupts = stack.enter_context(Interrupts(resume_hint))
        stack.enter_context(_failing_to_write(resume_hint))
        with workers.together():
            if workers.is_chief:
                begin(config)
        fit(model, shuffled, recipe, run, settings, dataset, interrupts, workers, callbacks)
        summary = None
        with workers.together():  # The others wait, so that all end alike.
            if workers.is_chief:
                summary = _finish(run, model, dataset, interrupts, workers, with_exports)
        return workers.exchange(summary)[0]


def _finish(
    run: Run,
    model: keras.Model,
    dataset: data.Dataset,
    interrupts: Interrupts,
    workers: Workers,
    with_exports: bool,
) -> dict[str, dict]:
    """Writes what a trained model leaves, and returns its summary."""
    interrupts.check()
    with replacing(run.model) as draft:
        model.save(draft)
    interrupts.check()
    if with_exports:
        export.export_run(run, dataset)
        interrupts.check()
    if workers.devices > 1 or workers.count > 1:
        # From here on without the others.
        model = keras.models.load_model(run.model)
    summary = summarize(model, dataset)
    write_json(run.metrics, summary)
    remove(run.checkpoints)
    return summary


def _check_alike(workers: Workers, run: Run, config: dict) -> None:
    """Checks that all workers were asked for the same, and share the directory of the run."""
    if workers.count == 1:
        return
    asked = [config["recipe"], config["dataset"]["checksum"], config["versions"], workers.devices]
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    digests = workers.exchange(digest)
    with refusing("a directory that can be written", run.directory):
        # Named like a draft of the lock, which the next command clears up.
        name = workers.exchange(f".{os.getpid()}-{run.lock.name}")[0]
        token = nearest(run.directory) / name
        if workers.is_chief:
            token.touch()
        workers.exchange(None)
        sees = workers.exchange(token.exists())
        if workers.is_chief:
            token.unlink()
    for index in range(workers.count):
        if digests[index] != digests[0]:
            raise BadRequest(
                "expected the same command, images and packages on all workers, received others "
                f"on worker {index} than on worker 0"
            )
        if not sees[index]:
            raise BadRequest(
                "expected a run directory on a disk that all workers share, received "
                f"{run.directory}, which worker {index} does not share with worker 0"
            )
    if not workers.is_chief:
        share = config["recipe"]["batch_size"] * workers.local_devices // workers.devices
        print(
            f"worker {workers.index} of {workers.count}: {share} of "
            f"{config['recipe']['batch_size']} images in a step; worker 0 reports",
            flush=True,
        )


@contextlib.contextmanager
def _failing_to_write(hint: str) -> Iterator[None]:
    try:
        yield
    except (OSError, tf.errors.ResourceExhaustedError, tf.errors.OutOfRangeError) as error:
        # TensorFlow has words of its own for a full disk; its last ones are the system's.
        reason = re.sub(r" \[Op:.*", "", str(error)).rsplit("; ", 1)[-1]
        raise RunFailed(f"could not go on: {reason}; when that is mended, {hint}") from error


def _check_callbacks(callbacks: Sequence[keras.callbacks.Callback]) -> None:
    are_many = isinstance(callbacks, list | tuple)
    if not are_many or not all(isinstance(one, keras.callbacks.Callback) for one in callbacks):
        raise BadRequest(f"`callbacks`: expected a list of Keras callbacks, received {callbacks!r}")


def _check_plot(plot: str | None, run: Run) -> None:
    if plot is None:
        return
    with refusing("a file that can be written as `plot`", plot):
        # Its draft has a longer name.
        nearest(Path(plot).with_name(f".{os.getpid()}-{Path(plot).name}"))
        path, directory = (Path(os.path.realpath(one)) for one in (plot, run.directory))
        owner = owner_of(path)
    known = Figure().canvas.get_supported_filetypes()
    if path.suffix.removeprefix(".") not in known or path.is_dir():
        raise BadRequest(
            f"`plot`: expected a file with one of the endings {', '.join(known)}, received {plot}"
        )
    if directory.is_relative_to(path) or owner not in (None, directory):
        raise BadRequest(
            f"`plot`: expected a file apart from {owner or 'the run directory'}, received {plot}"
        )
    check_writable(Path(plot).parent)


def _config(recipe: Recipe, settings: dict, dataset: data.Dataset) -> dict:
    packages = ("tensorflow", "keras", "numpy", "tensorflow-datasets")
    return {
        "recipe": dataclasses.asdict(recipe),
        "settings": settings,
        "dataset": {
            **dataset.describe(),
            **{name: settings[name] for name in ("archives", "images", "image_size", "color")},
        },
        "commit": revision.commit(),
        "versions": {
            "python": platform.python_version(),
            "keras_ae": __version__,
            **{package: importlib.metadata.version(package) for package in packages},
        },
    }
