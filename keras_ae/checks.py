"""What a command and a Python call check before TensorFlow is imported."""

from collections.abc import Callable
from pathlib import Path

from keras_ae import cluster, recipes
from keras_ae.errors import BadRequest
from keras_ae.files import check_images
from keras_ae.recipe import SETTINGS, Recipe, check_source, check_values
from keras_ae.runs import RUNS, Run


def training(
    name: str | None, directory: str | Path | None, overwrite: bool, resume: bool, options: dict
) -> tuple[Run, Recipe, dict]:
    """Checks all that can be checked of a training run before it begins.

    Args:
        name: Name of a recipe; by default `recipes.DEFAULT_RECIPE`, or that of the resumed run.
        directory: Of the run; by default the one for runs of the recipe.
        overwrite: Whether it may replace an earlier run.
        resume: Whether it resumes an interrupted run.
        options: Overrides of the recipe, and settings in `recipe.SETTINGS`, by name.

    Returns:
        The run, its recipe with overrides, and its settings as far as they are given.

    Raises:
        BadRequest: If something of that cannot be used.
    """
    if not isinstance(name, str | None):
        raise BadRequest(f"expected the name of a recipe, received {name!r}")
    if directory == "":
        raise BadRequest("`directory`: expected a directory, received ''")
    if overwrite and resume:
        raise BadRequest("expected `overwrite` or `resume`, received both")
    default = RUNS / str(recipes.DEFAULT_RECIPE if name is None else name)
    run = Run(default if directory is None else directory)
    if resume:
        run.read_recipe()
        _check_alone(run.read_settings(), run.check_resumable)
        return run, *_check_same(run, options if name is None else {**options, "name": name})
    settings = {key: value for key, value in options.items() if key in SETTINGS}
    overrides = {key: value for key, value in options.items() if key not in SETTINGS}
    check_values(settings)
    if (images := settings.get("images")) is not None:
        if "dataset" in overrides:
            raise BadRequest(
                f"expected either `dataset` or `images`, received {overrides['dataset']!r} and "
                f"{images!r}"
            )
        overrides["dataset"] = None
        check_images(images)
    recipe = recipes.get(recipes.DEFAULT_RECIPE if name is None else name).override(**overrides)
    check_source(recipe.dataset, {**SETTINGS, **settings})
    _check_alone(settings, lambda: run.check_free(overwrite))
    return run, recipe, settings


def _check_alone(settings: dict, check: Callable[[], None]) -> None:
    """Checks a directory, or of several workers who they are: the chief checks it when all came."""
    if settings.get("strategy") == "multiworker":
        cluster.read()
    else:
        check()


def _check_same(run: Run, options: dict) -> tuple[Recipe, dict]:
    """Checks that `options` are those of the run, and returns its recipe and its settings."""
    # Own pictures may have moved. Their checksum tells whether they are the same.
    recipe, settings = run.read_recipe(), run.read_settings(options.get("images"))
    if settings["images"] is not None:
        check_images(settings["images"])
    began = {**vars(recipe), **recipe.arguments, **settings}
    for name, value in options.items():
        if name in ("archives", "images", "plot"):
            value = str(Path(value).absolute())
        if name == "image_size" and settings[name] is not None:
            value = list(value)  # As in JSON.
        if name not in began or began[name] != value:
            raise BadRequest(
                f"`resume` continues the run in {run.directory} as it began: expected {name} "
                f"{began.get(name)!r} or no word of it, received {value!r}"
            )
    return recipe, settings
