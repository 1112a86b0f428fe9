"""Training and evaluation as calls of Python, for a notebook for example."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import keras

from keras_ae import checks
from keras_ae.errors import check_known
from keras_ae.evaluation.evaluate import evaluate as evaluate_run
from keras_ae.options import Options
from keras_ae.runs import Run
from keras_ae.training import run as training


def train(
    recipe: str | None = None,
    directory: str | Path | None = None,
    *,
    images: str | Path | None = None,
    image_size: Sequence[int] | None = None,
    color: str | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    overwrite: bool = False,
    resume: bool = False,
    **overrides,
) -> dict[str, dict]:
    """Trains a recipe and writes a run directory, as the command `keras-ae-train` does.

    Example:

    ```python
    metrics = keras_ae.train("mlp", "runs/mlp", latent_dim=16, epochs=1, train_images=500)
    metrics["test"]["mse"]  # mean squared error per pixel on the test images
    model = keras_ae.load("runs/mlp")
    ```

    SIGINT (Ctrl-C, or a notebook's button to interrupt) and SIGTERM save a checkpoint and raise
    `Interrupted`. The same call with `resume=True` resumes the run: recipe, overrides and settings
    come from its `config.json`, and those that are given here have to be the same.

    Callbacks are called after the run's own, once for each epoch, and some ten times within it for
    batches. When a run is resumed, they are given anew, or left out. `on_train_begin` is called
    again, then whatever follows from the step on at which the run resumes. What they changed in
    the model or its optimizer is in the checkpoint; what they remember is not, so that the
    patience of an `EarlyStopping` begins anew. A callback that sets `model.stop_training` ends the
    run, which is then finished like any other. If one raises an error, the run can be resumed.

    Args:
        recipe: Name of a recipe, see `keras_ae.RECIPES`. By default `mlp`, or with `resume` and a
            directory that of the run.
        directory: Where to write; by default `saved_models/RECIPE` below the current directory.
        images: Pictures of your own, in place of the recipe's dataset, see `load_images`. With
            `resume`, their place if they have moved.
        image_size: Height and width to which they are resized.
        color: `grey` or `rgb`, to which they are converted.
        callbacks: Further Keras callbacks, those of a tracker of experiments for instance.
        overwrite: Whether an earlier run in the directory may be replaced.
        resume: Whether to resume an interrupted run.
        **overrides: New values of fields of the recipe, such as `epochs`, `learning_rate`, `seed`
            or `dataset`; of arguments of its model, such as `latent_dim`; and the settings
            `archives`, `plot`, `tensorboard`, `device` and `strategy` of `training.run.train`.

    Returns:
        The contents of `metrics.json`, by split: `mse`, `pca_mse`, and what else the run measured.

    Raises:
        BadRequest: If something cannot be used as asked. Nothing has been written.
        RunFailed: If the loss stopped being a number, or the disk is full. What was saved stays.
        Interrupted: If a signal stopped it.
    """
    data = {"images": images, "image_size": image_size, "color": color}
    given = {name: value for name, value in data.items() if value is not None}
    options = _with_text_for_paths({**overrides, **given})
    run, chosen, settings = checks.training(recipe, directory, overwrite, resume, options)
    hint = f"resume with: keras_ae.train({chosen.name!r}, {str(run.directory)!r}, resume=True)"
    if resume:
        return training.resume(
            run, images=settings["images"], resume_hint=hint, callbacks=callbacks
        )
    return training.train(
        chosen, run, overwrite=overwrite, resume_hint=hint, callbacks=callbacks, **settings
    )


def evaluate(directory: str | Path, **options) -> dict:
    """Measures a finished run on its test images, as the command `keras-ae-evaluate` does.

    Example:

    ```python
    keras_ae.train("dense", "runs/dense", epochs=1, train_images=500)
    report = keras_ae.evaluate("runs/dense", only=["reconstruct"])
    report["stages"]["reconstruct"]["tables"]
    ```

    `report.html` in `evaluation/` of the run directory explains the numbers and shows the figures.

    Args:
        directory: Of a finished run.
        **options: Fields of `keras_ae.options.Options`: the stages to run (`only`), the `seed`, the
            indices of test images, and others. With `score`, the path of new pictures, these are
            scored, and no stage is run.

    Returns:
        The contents of `evaluation/metrics.json`: `run`, `units`, and `stages` with their tables.

    Raises:
        BadRequest: If there is no such run, or an option cannot be used.
    """
    names = [field.name for field in dataclasses.fields(Options)]
    for name in options:
        check_known("option", name, names)
    return evaluate_run(Run(directory), Options(**_with_text_for_paths(options)))


def _with_text_for_paths(options: dict) -> dict:
    return {
        name: str(value) if isinstance(value, Path) else value for name, value in options.items()
    }
