"""The loop: from a recipe and a dataset to a trained model."""

import sys
import time
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_ae import data, models
from keras_ae.errors import BadRequest, Diverged
from keras_ae.interrupts import Interrupts
from keras_ae.models.autoencoder import IMAGE_SHAPE
from keras_ae.recipe import Recipe
from keras_ae.runs import Run
from keras_ae.training import callbacks
from keras_ae.training.checkpoints import Checkpoints
from keras_ae.training.optimizer import optimizer, schedule_callback
from keras_ae.training.workers import Workers

FIGURE_IMAGES = 10
FIGURE_SAMPLES = 50
VALIDATION_BATCH = 1000


def build(recipe: Recipe, image_shape: Sequence[int] = IMAGE_SHAPE) -> models.Autoencoder:
    """Returns the recipe's model for images of a shape; the recipe's seed gives the weights."""
    keras.utils.set_random_seed(recipe.seed)
    try:
        return getattr(models, recipe.model)(
            **recipe.arguments, image_shape=image_shape, dtype=recipe.precision
        )
    except (ValueError, MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise BadRequest(
            f"expected arguments that {recipe.model} can be built with, received "
            f"{dict(recipe.arguments)} for images {list(image_shape)}: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error


def prepare(
    recipe: Recipe, images: np.ndarray, workers: Workers | None = None
) -> tuple[models.Autoencoder, data.ShuffledBatches]:
    """Returns what `fit` needs: the compiled model, and batches of `images`, which are uint8.

    The `workers` are by default this process with one device.
    """
    workers = workers or Workers()
    shuffled = data.ShuffledBatches(
        images,
        recipe.batch_size,
        recipe.seed,
        recipe.train_noise_std,
        recipe.any_train_noise,
        recipe.train_shift_std,
    )
    with workers.strategy.scope():
        model = build(recipe, images.shape[1:])
        model.compile(
            optimizer=optimizer(recipe, shuffled.steps),
            loss=model.training_loss,
            # XLA cannot compile a step that several devices or processes share.
            jit_compile=recipe.jit_compile and workers.devices == workers.count == 1,
            # Python sees the model ten times an epoch: often enough for the progress bar.
            steps_per_execution=max(1, shuffled.steps // 10),
        )
        # A checkpoint is of variables that exist.
        model.optimizer.build(model.trainable_variables)
    workers.adapt(model)
    return model, shuffled


def fit(
    model: models.Autoencoder,
    shuffled: data.ShuffledBatches,
    recipe: Recipe,
    run: Run,
    settings: dict,
    dataset: data.Dataset,
    interrupts: Interrupts,
    workers: Workers,
    own_callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Trains what `prepare` made from its newest checkpoint, or from the beginning.

    `own_callbacks` are the user's. All workers call them; the run's own draw and write on the chief
    only.
    """
    validation = None
    if count := len(dataset.validation):
        size = VALIDATION_BATCH
        if workers.devices > 1:  # Equal ones, of which none has less than an image for each.
            size = -(-count // -(-count // VALIDATION_BATCH))
        validation = workers.distribute(data.batches(dataset.validation.images, size))
    verbose = int(sys.stdout.isatty() and workers.is_chief)
    curves = callbacks.LossPlot(settings["plot"] or run.loss_plot)
    schedule = schedule_callback(recipe, "loss" if validation is None else "val_loss")
    stateful = {"curves": curves, **({"schedule": schedule} if schedule else {})}
    checkpoints = Checkpoints(
        run.checkpoints, model, stateful, shuffled.steps, interrupts, run.fingerprint(), workers
    )
    reports = [
        *_figures(recipe, run, model, dataset),
        curves,
        keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: run.write_history(curves.history)
        ),
        *([keras.callbacks.TensorBoard(run.tensorboard)] if settings["tensorboard"] else []),
        *([] if verbose else [_EpochLines()]),
    ]
    all_callbacks = [
        _FiniteLosses(),
        *([schedule] if schedule else []),
        shuffled,
        *(reports if workers.is_chief else []),
        *own_callbacks,
        checkpoints,
    ]
    first_epoch, first_step = checkpoints.restore()
    if (first_epoch, first_step) == (0, 0):
        checkpoints.save(0, 0)
    # One list for several calls of `fit`, which would make one for each out of callbacks.
    callback_list = _OneTraining(
        all_callbacks,
        add_history=True,
        add_progbar=verbose == 1,
        model=model,
        verbose=verbose,
        epochs=recipe.epochs,
        steps=shuffled.steps,
    )

    parts = [(shuffled.dataset, recipe.epochs)]
    if first_step:  # The rest of an epoch that has begun.
        parts.insert(0, (shuffled.dataset.skip(first_step), first_epoch + 1))
    callback_list.begin()
    try:
        for batches, epochs in parts:
            model.fit(
                workers.distribute(batches),
                validation_data=validation,
                initial_epoch=first_epoch,
                epochs=epochs,
                shuffle=False,
                callbacks=callback_list,
                verbose=verbose,
            )
            if model.stop_training:
                break  # A callback asked for it.
            first_epoch = epochs
        callback_list.end()
    except _LossNotFinite as error:
        name, value, epoch = error.args
        step = ""
        if workers.devices == workers.count == 1:
            step = _first_bad_step(model, shuffled, checkpoints, epoch)
        raise Diverged(
            f"{name} became {value} in epoch {epoch + 1}{step}: expected a finite number; start "
            "again with `overwrite` and a lower `learning_rate`"
        ) from error


def _first_bad_step(
    model, shuffled: data.ShuffledBatches, checkpoints: Checkpoints, bad_epoch: int
) -> str:
    # `fit` shows the mean loss every tenth of an epoch. So the steps since the last checkpoint
    # are taken again, one at a time.
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


def _figures(recipe: Recipe, run: Run, model, dataset: data.Dataset) -> list:
    # The test images stay untouched until evaluation; `full_train` leaves no others.
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


class _OneTraining(keras.callbacks.CallbackList):
    """Callbacks whose training begins and ends once, however often `fit` is called."""

    def on_train_begin(self, logs=None):
        pass

    def on_train_end(self, logs=None):
        self._last_logs = logs

    def begin(self) -> None:
        super().on_train_begin()

    def end(self) -> None:
        super().on_train_end(self._last_logs)


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
