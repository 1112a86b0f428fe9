"""Turns a recipe into a trained run directory."""

import dataclasses
import importlib.metadata
import math
import platform
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_ae import __version__, callbacks, data, evaluation, models
from keras_ae.errors import BadRequest, RunFailed
from keras_ae.files import replacing, write_json
from keras_ae.optimizers import AdamL2
from keras_ae.recipes import Recipe
from keras_ae.runs import Run

FIGURE_IMAGES = 10
FIGURE_SAMPLES = 50
VALIDATION_BATCH = 1000


def build(recipe: Recipe) -> models.Autoencoder:
    """Returns the recipe's model, with initial weights from the recipe's seed."""
    keras.utils.set_random_seed(recipe.seed)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.precision)
    try:
        return getattr(models, recipe.model)(**recipe.arguments)
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
        optimizer=AdamL2(recipe.learning_rate, l2=recipe.l2),
        loss=model.training_loss,
        jit_compile=recipe.jit_compile,
        # Python sees the model ten times an epoch: often enough for the progress bar.
        steps_per_execution=max(1, shuffled.steps // 10),
    )
    return model, shuffled


def train(
    recipe: Recipe,
    run: Run,
    archives: str | Path | None = None,
    overwrite: bool = False,
    plot: str | Path | None = None,
    tensorboard: bool = False,
) -> dict[str, dict]:
    """Trains a recipe and writes the run directory.

    Args:
        recipe: What to train.
        run: Where to write.
        archives: Directory of the dataset's archives, see `data.load`.
        overwrite: Whether an earlier run in the directory may be replaced.
        plot: File of the loss curves; by default one in the run directory.
        tensorboard: Whether to write logs for TensorBoard to the run directory.

    Returns:
        The contents of `metrics.json`, see `evaluation.summarize`.

    Raises:
        BadRequest: If the directory or the dataset cannot be used. Nothing has been written.
        RunFailed: If the loss stopped being a number.
    """
    run.check_free(overwrite)
    dataset = data.load(recipe.dataset, archives, recipe.full_train, recipe.train_images)
    model, shuffled = prepare(recipe, dataset.train.images)
    validation = None
    if len(dataset.validation):
        validation = data.batches(dataset.validation.images, VALIDATION_BATCH)

    run.begin(_config(recipe, dataset, archives))
    curves = callbacks.LossPlot(plot or run.loss_plot)
    monitored = "loss" if validation is None else "val_loss"
    all_callbacks = [
        shuffled,
        keras.callbacks.TerminateOnNaN(),
        *_figures(recipe, run, model, dataset),
        curves,
        keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: run.write_history(curves.history)
        ),
    ]
    if recipe.reduce_on_plateau:
        # PyTorch's defaults. Its threshold is relative; at these losses that is as good as none.
        schedule = keras.callbacks.ReduceLROnPlateau(
            monitored, factor=0.1, patience=10, min_delta=0.0
        )
        all_callbacks.insert(0, schedule)
    if tensorboard:
        all_callbacks.append(keras.callbacks.TensorBoard(run.tensorboard))
    interactive = sys.stdout.isatty()
    if not interactive:
        all_callbacks.append(_EpochLines())
    model.fit(
        shuffled.dataset,
        validation_data=validation,
        epochs=recipe.epochs,
        shuffle=False,
        callbacks=all_callbacks,
        verbose=1 if interactive else 0,
    )
    loss = curves.history["loss"][-1]
    if not math.isfinite(loss):
        raise RunFailed(
            f"the loss of epoch {len(curves.history['loss'])} is {loss}: expected a finite number; "
            "try a lower --learning-rate"
        )

    for path, part in (
        (run.model, model),
        (run.encoder, model.encoder),
        (run.decoder, model.decoder),
    ):
        with replacing(path) as draft:
            part.save(draft)
    summary = evaluation.summarize(model, dataset)
    write_json(run.metrics, summary)
    return summary


def use_device(device: str) -> None:
    """Restricts TensorFlow to a kind of device.

    Args:
        device: `auto`, `cpu` or `gpu`.

    Raises:
        BadRequest: If there is no such device.
    """
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    elif device == "gpu" and not tf.config.list_physical_devices("GPU"):
        raise BadRequest("--device gpu: expected a GPU that TensorFlow can use, received none")


def _config(recipe: Recipe, dataset: data.Dataset, archives: str | Path | None) -> dict:
    packages = ("tensorflow", "keras", "numpy", "tensorflow-datasets")
    return {
        "recipe": dataclasses.asdict(recipe),
        "dataset": {
            "name": dataset.name,
            "version": dataset.version,
            "checksum": dataset.checksum,
            "archives": None if archives is None else str(Path(archives).absolute()),
            "train": len(dataset.train),
            "validation": len(dataset.validation),
            "test": len(dataset.test),
        },
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
