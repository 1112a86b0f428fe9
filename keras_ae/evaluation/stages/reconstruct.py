"""Reconstruction errors, overall and by digit, beside linear references."""

from typing import NamedTuple

import numpy as np

from keras_ae import figures, metrics
from keras_ae.evaluation.context import Context, Rows, Section

REFERENCES = ("pca", "mean_image")


class Measured(NamedTuple):
    """Errors of the reconstructions of the test images."""

    outputs: dict[str, np.ndarray]  # See `outputs`.
    overall: Rows  # Means over all images: a row for each of the outputs, and the floor.
    by_digit: Rows  # Means over the images of each digit, of the model and `REFERENCES`.


def measure(context: Context) -> Measured:
    """Measures the reconstructions of all test images."""
    images, by_source = context.images, outputs(context)
    floor = metrics.bernoulli_entropy(images)
    quality = {name: _quality(images, output, floor) for name, output in by_source.items()}
    overall: Rows = {
        name: {measure: float(values.mean()) for measure, values in found.items()}
        for name, found in quality.items()
    }
    overall["floor"] = {"bce": float(floor.mean()), "bce_excess": 0.0}

    labels = context.dataset.test.labels
    groups = {"all": np.ones(len(labels), bool)}
    groups |= {str(label): labels == label for label in np.unique(labels)}
    by_digit: Rows = {
        group: {"images": int(chosen.sum())}
        | {
            measure: {
                name: float(quality[name][measure][chosen].mean())
                for name in ("model", *REFERENCES)
            }
            for measure in quality["model"]
        }
        for group, chosen in groups.items()
    }
    return Measured(by_source, overall, by_digit)


def outputs(context: Context) -> dict[str, np.ndarray]:
    """Returns the reconstructions of the test images, by the model and by its references."""
    images = context.images
    pca = context.pca.reconstruct(images, context.model.latent_dim)
    return {
        "model": context.reconstructions,
        "pca": pca,
        "pca_clipped": pca.clip(0, 1),
        "mean_image": np.broadcast_to(context.pca.mean.reshape(images.shape[1:]), images.shape),
    }


def present(context: Context, measured: Measured) -> Section:
    """Shows errors and images."""
    images, dimensions = context.images, context.model.latent_dim
    shown = context.examples(context.options.clean_idx)
    section = Section()
    section.tables["overall"] = (
        f"Means over {len(images):,} test images. PCA has {dimensions} components, as many as the "
        "model has latents, and is fitted to the training images: a model that does not beat it "
        "gains nothing from not being linear. Its output may leave [0, 1]; the clipped row cannot. "
        "Grey pixels have a cross-entropy above zero however good the output is: the floor row. "
        f"Probabilities are clipped to [{metrics.EPSILON:g}, 1 - {metrics.EPSILON:g}] in it, "
        "which PCA, no model of probabilities, often needs.",
        measured.overall,
    )
    section.tables["by_digit"] = (
        "The same by digit, for the model, PCA and the mean training image. Thin digits such as "
        "the 1 have small errors whatever the model: compare with the references of the same row.",
        measured.by_digit,
    )
    section.figures["images"] = (
        f"Originals over their reconstructions: test image {context.options.clean_idx}, then the "
        "first of each digit. Look for strokes that become blurred, lost or another digit's, and "
        f"compare with PCA at the same {dimensions} numbers for an image.",
        figures.image_rows(
            {
                "original": images[shown],
                "reconstructed": context.reconstructions[shown],
                "PCA": measured.outputs["pca_clipped"][shown],
            }
        ),
    )
    digits = {name: row for name, row in measured.by_digit.items() if name != "all"}
    section.figures["error_by_digit"] = (
        "Mean squared error per pixel by digit. The distance of the first bar from the second is "
        "what the model gains over a linear one.",
        figures.bars(
            list(digits),
            {
                label: [row["mse"][name] for row in digits.values()]
                for name, label in (
                    ("model", "model"),
                    ("pca", "PCA"),
                    ("mean_image", "mean image"),
                )
            },
            "digit",
            "mean squared error per pixel",
        ),
    )
    return section


def _quality(images: np.ndarray, outputs: np.ndarray, floor: np.ndarray) -> dict[str, np.ndarray]:
    squared_errors = metrics.mean_squared_error(images, outputs)
    cross_entropy = metrics.bernoulli_cross_entropy(images, outputs)
    return {
        "mse": squared_errors,
        "psnr": metrics.peak_signal_to_noise_ratio(squared_errors),
        "ssim": metrics.structural_similarity(images, outputs),
        "bce": cross_entropy,
        "bce_excess": cross_entropy - floor,
    }
