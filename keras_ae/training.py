"""Turns a recipe into a trained run directory."""

import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from keras_ae import (
    __version__,
    callbacks,
    data,
    devices,
    evaluation,
    export,
    models,
    recipes,
    revision,
)
from keras_ae.checkpoints import Checkpoints
from keras_ae.errors import BadRequest, Diverged, RunFailed
from keras_ae.files import check_writable, remove, replacing, write_json
from keras_ae.interrupts import Interrupts
from keras_ae.optimizers import AdamL2
from keras_ae.recipes import Recipe
from keras_ae.runs import Run

FIGURE_IMAGES = 10
FIGURE_SAMPLES = 50
VALIDATION_BATCH = 1000


def build(recipe: Recipe) -> models.Autoencoder:
    """Returns the recipe's model, with initial weights from the recipe's seed.

    Raises:
        BadRequest: If the model's class has no use for the arguments together.
    """
    keras.utils.set_random_seed(recipe.seed)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.precision)
    try:
        return getattr(models, recipe.model)(**recipe.arguments)
    except (ValueError, MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise BadRequest(
            f"expected arguments that {recipe.model} can be built with, received "
            f"{dict(recipe.arguments)}: {' '.join(str(error).split())[:200]}"
        ) from error
    finally:
        keras.config.set_dtype_policy(policy)


def prepare(recipe: Recipe, images: np.ndarray) -> tuple[models.Autoencoder, data.ShuffledBatches]:
    """Returns what `fit` needs: the compiled model and the batches of the training images.

    Args:
        recipe: What to train.
        images: uint8 `[n, 28, 28, 1]`.
    """
    model = build(recipe)
    shuffled = data.ShuffledBatches(images, recipe.batch_size, recipe.seed, recipe.train_noise_std)
    model.compile(
        optimizer=AdamL2(_learning_rate(recipe, shuffled.steps), l2=recipe.l2),
        loss=model.training_loss,
        # XLA cannot compile a step that several devices share.
        jit_compile=recipe.jit_compile and model.distribute_strategy.num_replicas_in_sync == 1,
        # Python sees the model ten times an epoch: often enough for the progress bar.
        steps_per_execution=max(1, shuffled.steps // 10),
    )
    # A checkpoint is of variables that exist.
    model.optimizer.build(model.trainable_variables)
    return model, shuffled


def _learning_rate(recipe: Recipe, steps: int) -> float | keras.optimizers.schedules.CosineDecay:
    if recipe.schedule != "cosine":
        return recipe.learning_rate
    all_steps = recipe.epochs * steps
    rising = max(1, all_steps // 20)
    return keras.optimizers.schedules.CosineDecay(
        0.0, all_steps - rising, warmup_target=recipe.learning_rate, warmup_steps=rising
    )


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
        strategy: `single`, or `mirrored` to split each batch over all devices of that kind.
        with_exports: Whether to export the model, too; `export.export_run` does it later.

    Returns:
        The contents of `metrics.json`, see `evaluation.summarize`.

    Raises:
        BadRequest: If the directory, the devices or the dataset cannot be used. Nothing has been
            written.
        RunFailed: If the loss stopped being a number, or the disk is full. What was saved stays.
        Interrupted: If SIGINT or SIGTERM came; `resume` goes on.
    """
    run.check_free(overwrite)
    settings = {
        "archives": None if archives is None else str(Path(archives).absolute()),
        "plot": None if plot is None else str(Path(plot).absolute()),
        "tensorboard": tensorboard,
        "device": device,
        "strategy": strategy,
    }
    recipes.check_values(settings)
    return _carry_out(
        recipe, run, settings, lambda config: run.begin(config, overwrite), with_exports
    )


def resume(run: Run, with_exports: bool = True) -> dict[str, dict]:
    """Goes on with an interrupted run; the result is that of a run never interrupted.

    Args:
        run: Directory of the run, whose `config.json` says what to train and how.
        with_exports: See `train`.

    Returns:
        The contents of `metrics.json`, see `evaluation.summarize`.

    Raises:
        BadRequest: If there is no unfinished run, or the dataset or all checkpoints are damaged.
        RunFailed: If the loss stopped being a number, or the disk is full. What was saved stays.
        Interrupted: If SIGINT or SIGTERM came again.
    """
    run.check_resumable()
    return _carry_out(run.read_recipe(), run, run.read_settings(), run.check_same, with_exports)


def _carry_out(
    recipe: Recipe,
    run: Run,
    settings: dict,
    begin: Callable[[dict], None],
    with_exports: bool,
) -> dict[str, dict]:
    devices.use_device(settings["device"])
    devices.use_threads(recipe)
    distribution = devices.distribution(settings["strategy"])
    _check_plot(settings["plot"])
    if settings["tensorboard"] and importlib.util.find_spec("tensorboard") is None:
        raise BadRequest(
            "--tensorboard: expected the package tensorboard, received none: "
            'pip install ".[tensorboard]"'
        )
    dataset = data.load_for(recipe, settings["archives"])
    devices.check_even(recipe.batch_size, len(dataset.train), distribution.num_replicas_in_sync)
    with distribution.scope():
        model, shuffled = prepare(recipe, dataset.train.images)

    hint = f"go on with: {run.resume_command(recipe.name)}"
    with run.locked(), Interrupts(hint) as interrupts, _told_in_one_line(hint):
        begin(_config(recipe, settings, dataset))
        _fit(model, shuffled, recipe, run, settings, dataset, interrupts)
        interrupts.check()
        with replacing(run.model) as draft:
            model.save(draft)
        interrupts.check()
        if with_exports:
            export.export_run(run, dataset)
            interrupts.check()
        summary = evaluation.summarize(model, dataset)
        write_json(run.metrics, summary)
        remove(run.checkpoints)
    return summary


@contextlib.contextmanager
def _told_in_one_line(hint: str) -> Iterator[None]:
    try:
        yield
    except (OSError, tf.errors.ResourceExhaustedError, tf.errors.OutOfRangeError) as error:
        # TensorFlow has words of its own for a full disk; its last ones are the system's.
        reason = re.sub(r" \[Op:.*", "", str(error)).rsplit("; ", 1)[-1]
        raise RunFailed(f"could not write: {reason}; when that is mended, {hint}") from error


def _fit(
    model: models.Autoencoder,
    shuffled: data.ShuffledBatches,
    recipe: Recipe,
    run: Run,
    settings: dict,
    dataset: data.Dataset,
    interrupts: Interrupts,
) -> None:
    validation = None
    if len(dataset.validation):
        validation = data.batches(dataset.validation.images, VALIDATION_BATCH)
    curves = callbacks.LossPlot(settings["plot"] or run.loss_plot)
    # PyTorch's defaults. Its threshold is relative; at these losses that is as good as none.
    plateau = callbacks.PlateauSchedule(
        "loss" if validation is None else "val_loss", factor=0.1, patience=10, min_delta=0.0
    )
    stateful = {"curves": curves, **({"schedule": plateau} if recipe.schedule == "plateau" else {})}
    checkpoints = Checkpoints(run.checkpoints, model, stateful, shuffled.steps, interrupts)
    all_callbacks = [
        _FiniteLosses(),
        *([plateau] if recipe.schedule == "plateau" else []),
        shuffled,
        *_figures(recipe, run, model, dataset),
        curves,
        keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: run.write_history(curves.history)
        ),
        *([keras.callbacks.TensorBoard(run.tensorboard)] if settings["tensorboard"] else []),
        *([] if sys.stdout.isatty() else [_EpochLines()]),
        checkpoints,
    ]
    first_epoch, first_step = checkpoints.restore()
    if (first_epoch, first_step) == (0, 0):
        checkpoints.save(0, 0)
    verbose = 1 if sys.stdout.isatty() else 0
    # One list for several calls of `fit`, which would make one for each out of callbacks.
    callback_list = keras.callbacks.CallbackList(
        all_callbacks,
        add_history=True,
        add_progbar=verbose == 1,
        model=model,
        verbose=verbose,
        epochs=recipe.epochs,
        steps=shuffled.steps,
    )

    def fit(batches: tf.data.Dataset, initial_epoch: int, epochs: int) -> None:
        model.fit(
            batches,
            validation_data=validation,
            initial_epoch=initial_epoch,
            epochs=epochs,
            shuffle=False,
            callbacks=callback_list,
            verbose=verbose,
        )

    try:
        if first_step:
            fit(shuffled.dataset.skip(first_step), first_epoch, first_epoch + 1)
            first_epoch += 1
        fit(shuffled.dataset, first_epoch, recipe.epochs)
    except _LossNotFinite as error:
        name, value, epoch = error.args
        step = _first_bad_step(model, shuffled, checkpoints, epoch)
        raise Diverged(
            f"{name} became {value} in epoch {epoch + 1}{step}: expected a finite number; start "
            "again with --overwrite and a lower --learning-rate"
        ) from error


def _first_bad_step(
    model, shuffled: data.ShuffledBatches, checkpoints: Checkpoints, bad_epoch: int
) -> str:
    # `fit` shows the mean loss every tenth of an epoch. So the steps since the last checkpoint
    # are taken again, one at a time.
    if model.distribute_strategy.num_replicas_in_sync == 1:
        first_epoch, first_step = checkpoints.restore()
        for epoch in range(first_epoch, bad_epoch + 1):
            shuffled.on_epoch_begin(epoch)
            batches = shuffled.dataset.skip(first_step)
            for step, (inputs, targets) in enumerate(batches, start=first_step + 1):
                loss = model.train_on_batch(inputs, targets, return_dict=True)["loss"]
                if not np.isfinite(loss):
                    return f" at step {step}" if epoch == bad_epoch else ""
            first_step = 0
    return ""


def _check_plot(plot: str | None) -> None:
    if plot is None:
        return
    path = Path(plot)
    known = Figure().canvas.get_supported_filetypes()
    if path.suffix.removeprefix(".") not in known or path.is_dir():
        raise BadRequest(
            f"--plot: expected a file with one of the endings {', '.join(known)}, received {plot}"
        )
    check_writable(path.parent)


def _config(recipe: Recipe, settings: dict, dataset: data.Dataset) -> dict:
    packages = ("tensorflow", "keras", "numpy", "tensorflow-datasets")
    return {
        "recipe": dataclasses.asdict(recipe),
        "settings": settings,
        "dataset": {
            "name": dataset.name,
            "version": dataset.version,
            "checksum": dataset.checksum,
            "archives": settings["archives"],
            "train": len(dataset.train),
            "validation": len(dataset.validation),
            "test": len(dataset.test),
        },
        "commit": revision.commit(),
        "versions": {
            "python": platform.python_version(),
            "keras_ae": __version__,
            **{package: importlib.metadata.version(package) for package in packages},
        },
    }


def _figures(recipe: Recipe, run: Run, model, dataset: data.Dataset) -> list:
    # The test images stay untouched until evaluation; --full-train leaves no others.
    split = dataset.validation if len(dataset.validation) else dataset.train
    images = data.to_float(split.images[:FIGURE_IMAGES])
    inputs = None
    if recipe.train_noise_std:
        inputs = data.noisy(images, recipe.train_noise_std, seed=(recipe.seed, 0)).numpy()
    drawn = [
        callbacks.ReconstructionFigures(
            images, run.reconstruction_figures, recipe.figures_every, inputs
        )
    ]
    if isinstance(model, models.VariationalAutoencoder):
        latents = model.prior_step(FIGURE_SAMPLES, recipe.seed).numpy()
        drawn.append(callbacks.SampleFigures(latents, run.sample_figures, recipe.figures_every))
    return drawn


class _LossNotFinite(Exception):
    """Name of the loss, value and epoch, counted from 0."""


class _FiniteLosses(keras.callbacks.Callback):
    """Stops before anything is drawn or saved of a model that is lost."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        for name, value in logs.items():
            if not np.isfinite(value):
                raise _LossNotFinite(name, value, self.epoch)

    def on_epoch_end(self, epoch, logs=None):
        self.on_train_batch_end(None, logs)


class _EpochLines(keras.callbacks.Callback):
    """Prints one line an epoch, for logs."""

    def on_train_begin(self, logs=None):
        self.started = time.monotonic()
        self.epochs_done = 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs_done += 1
        epochs = self.params["epochs"]
        seconds = (time.monotonic() - self.started) / self.epochs_done
        values = "  ".join(f"{name} {value:.5g}" for name, value in (logs or {}).items())
        left = time.strftime("%H:%M:%S", time.gmtime(seconds * (epochs - epoch - 1)))
        print(f"epoch {epoch + 1}/{epochs}  {values}  {seconds:.1f} s  left {left}", flush=True)
