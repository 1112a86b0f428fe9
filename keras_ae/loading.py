"""Trained models, from a run directory or among the shipped ones, and their datasets."""

import dataclasses
import zipfile
import zlib
from pathlib import Path

import keras

from keras_ae import data
from keras_ae.errors import BadRequest
from keras_ae.files import refusing
from keras_ae.models import Autoencoder
from keras_ae.models.autoencoder import IMAGE_SHAPE
from keras_ae.runs import Run, pretrained


def load(name: str | Path) -> Autoencoder:
    """Loads a trained model.

    Keras' safe mode is on: no code that a file may carry is run.

    Example:

    ```python
    model = keras_ae.load("mlp")
    images = np.zeros((2, 28, 28, 1), "float32")
    latents = model.encode(images)  # [2, 8]
    scores = model.score(images)  # [2], the higher, the more anomalous
    ```

    Args:
        name: Name of a shipped model, such as `"mlp"`, or path of a run directory, such as
            `"saved_models/mlp"`. A run directory called like a shipped model needs a `./`.

    Returns:
        The model, not compiled.

    Raises:
        BadRequest: If there is no such model, or its file is damaged or holds something else.
    """
    shipped = pretrained()
    run = shipped.get(str(name)) or Run(name)
    with refusing("the name of a model or of a run directory", name):
        found = run.model.is_file()
    if not found:
        raise BadRequest(
            f"expected a run directory with a {run.model.name}, or one of the shipped models "
            f"({', '.join(shipped) or 'there are none'}), received {str(name)!r}"
        )
    return load_run(run)


def load_run(run: Run) -> Autoencoder:
    """Loads the model of a run, see `load`, and checks that it is the one of `config.json`."""
    try:
        with zipfile.ZipFile(run.model) as archive:
            # From Python 3.13 on reading weights checks no sums.
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"bad checksum of {damaged}")
        model = keras.saving.load_model(run.model, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile, zlib.error) as error:
        # Keras prints the whole configuration, and then what was wrong with it.
        reason = " ".join(str(error).split("Exception encountered: ")[-1].split())[:300]
        raise BadRequest(f"expected a model that loads, received {run.model}: {reason}") from error
    if not isinstance(model, Autoencoder):
        raise BadRequest(
            f"expected a model of keras_ae in {run.model}, received a {type(model).__name__}"
        )
    if run.config.is_file():
        run.check_whole()
        _check_described(model, run)
    return model


def _check_described(model: Autoencoder, run: Run) -> None:
    config = run.read_config()
    recipe, arguments = config["recipe"], config["recipe"].get("arguments")
    # Not `parameters`: in runs of 0.1 with overrides it is that of other arguments.
    image_shape = config["dataset"].get("image_shape", list(IMAGE_SHAPE))
    described = {"model": recipe.get("model"), "image_shape": image_shape}
    described |= arguments if isinstance(arguments, dict) else {}
    received = {"model": type(model).__name__, **model.get_config()}
    # Other versions have other arguments.
    for name, expected in described.items():
        value = received.get(name, expected)
        if expected is not None and expected != (list(value) if type(value) is tuple else value):
            raise BadRequest(
                f"expected the model that {run.config} describes, with {name} {expected!r}, "
                f"received {run.model} with {name} {value!r}"
            )


def load_dataset(run: Run, images: str | Path | None = None) -> data.Dataset:
    """Loads the dataset that a run was trained on, and checks that it is still what it was.

    Args:
        run: A trained run.
        images: Where own pictures lie, if they have moved.

    Raises:
        BadRequest: If the dataset is not to be had, or is another one.
    """
    recipe, trained_on = run.read_trained()
    settings = run.read_settings(images)
    archives = trained_on["archives"]
    # A run may have moved. The checksum tells whether the data are still the same.
    with refusing("a directory of archives", str(archives)):
        if archives is not None and not Path(archives).is_dir():
            archives = None
    dataset = data.load_for(recipe, {**settings, "archives": archives})
    run.check_dataset(dataset.describe())
    return dataclasses.replace(dataset, name=trained_on["name"])
