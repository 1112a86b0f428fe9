"""What studies measure of a trained model: functions from a run to numbers.

Each returns numbers by measure, by row. The row `model` is the model; the others are yardsticks, in
the words of a table. Everything is measured on the test split unless the name says otherwise.
"""

import base64
import json
import zlib
from collections.abc import Callable

import numpy as np

from keras_ae import classifier, data, metrics
from keras_ae.models import VariationalAutoencoder
from keras_ae.stages import Context, history, reconstruct
from keras_ae.study_tables import MODEL, pca_name

Numbers = dict[str, dict[str, float]]

MEAN_IMAGE = "mean image"
SAMPLES_KEPT = 20


def summary(context: Context) -> Numbers:
    """What every run has in its `metrics.json`, see `evaluation.summarize`."""
    found = json.loads(context.run.metrics.read_text(encoding="utf-8"))
    pca = pca_name(context.model.latent_dim)
    numbers: Numbers = {MODEL: {}, pca: {}, MEAN_IMAGE: {}}
    for split, values in found.items():
        prefix = "" if split == "test" else f"{split}_"
        for name, value in values.items():
            row = {"pca_mse": pca, "mean_image_mse": MEAN_IMAGE}.get(name, MODEL)
            numbers[row][prefix + (name if row == MODEL else "mse")] = value
    numbers[MODEL]["parameters"] = context.model.count_params()
    return numbers


def curves(context: Context) -> Numbers:
    """What the losses of the epochs say about convergence."""
    found = history.read(context.run)
    losses = found.get("val_loss", found["loss"])
    fall = found["loss"][0] - found["loss"][-1]
    return {
        MODEL: {
            "instability": metrics.instability(losses),
            "train_instability": metrics.instability(found["loss"]),
            "epochs_to_settle": metrics.epochs_to_settle(losses),
            "fall_by_epoch_10": (found["loss"][0] - found["loss"][:10][-1]) / fall,
        }
    }


def quality(context: Context) -> Numbers:
    """Errors that see more than single pixels, and sharpness."""
    outputs = reconstruct.outputs(context)
    energy = metrics.gradient_energy(context.images).sum()
    rows = {
        MODEL: "model",
        pca_name(context.model.latent_dim): "pca_clipped",
        MEAN_IMAGE: "mean_image",
    }
    return {
        row: {
            "ssim": float(metrics.structural_similarity(context.images, outputs[name]).mean()),
            "sharpness": float(metrics.gradient_energy(outputs[name]).sum() / energy),
        }
        for row, name in rows.items()
    }


def recognised(context: Context) -> Numbers:
    """Share of the reconstructions that a classifier gives the label of the original."""
    judge = classifier.load(data.load("mnist"))
    outputs = reconstruct.outputs(context)
    rows = {
        MODEL: outputs["model"],
        pca_name(context.model.latent_dim): outputs["pca_clipped"],
        "originals": context.images,
    }
    return {
        row: {"recognised": judge.accuracy_on(images, context.dataset.test.labels)}
        for row, images in rows.items()
    }


MEASURES: dict[str, Callable[[Context], Numbers]] = {
    function.__name__: function for function in (summary, curves, quality, recognised)
}


def pictures(context: Context) -> dict[str, str]:
    """Returns images to draw, packed: the first of each digit, what comes back, and samples."""
    shown = context.first_of_classes
    found = {"originals": context.images[shown], "reconstructions": context.reconstructions[shown]}
    if isinstance(context.model, VariationalAutoencoder):
        found["samples"] = context.model.sample(SAMPLES_KEPT, context.settings.seed)
    return {name: pack(images) for name, images in found.items()}


def pack(images: np.ndarray) -> str:
    """Returns images in [0, 1] as text: bytes, compressed, in base 64."""
    raw = np.round(images * 255).astype("uint8").tobytes()
    return base64.b64encode(zlib.compress(raw, 9)).decode("ascii")
