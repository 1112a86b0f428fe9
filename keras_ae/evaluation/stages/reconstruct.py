"""Reconstruction errors, overall and by class, beside linear references."""

from typing import NamedTuple

import numpy as np

from keras_ae import figures, metrics
from keras_ae.evaluation.context import Context, Rows, Section

# Words of the figures for the rows of the tables.
LABELS = {"model": "model", "pca": "PCA", "mean_image": "mean image"}


class Measured(NamedTuple):
    """Errors of the reconstructions of the test images."""

    outputs: dict[str, np.ndarray]  # See `outputs`.
    overall: Rows  # Means over all images: a row for each of the outputs, and the floor.
    by_class: Rows  # The same over the images of each class; empty without classes.


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

    if context.no_classes(context.dataset.test):
        return Measured(by_source, overall, {})
    labels, names = context.dataset.test.labels, context.dataset.classes
    groups = {"all": np.ones(len(labels), bool)}
    for label in np.unique(labels):
        # A class may have any name, also that of the first row.
        name = names[label] if names[label] not in groups else f"class {names[label]}"
        groups[name] = labels == label
    by_class: Rows = {
        group: {"images": int(chosen.sum())}
        | {
            measure: {name: float(found[measure][chosen].mean()) for name, found in quality.items()}
            for measure in quality["model"]
        }
        for group, chosen in groups.items()
    }
    return Measured(by_source, overall, by_class)


def outputs(context: Context) -> dict[str, np.ndarray]:
    """Returns the reconstructions of the test images, by the model and by its references.

    All of them are clipped to [0, 1].
    """
    images = context.images
    found = {"model": context.reconstructions}
    if context.pca is not None:
        found["pca"] = context.pca.reconstruct(images, context.pca_dimensions)
    return found | {"mean_image": np.broadcast_to(context.mean_image, images.shape)}


def present(context: Context, measured: Measured) -> Section:
    """Shows errors and images."""
    images, dimensions = context.images, context.pca_dimensions
    shown = context.examples(context.options.clean_idx)
    section = Section()
    pca = (
        f"PCA has {dimensions} components, as many as the model has latents and the images allow, "
        "and is fitted to the training images: a model that does not beat it gains nothing from "
        "not being linear. "
    )
    if context.no_references:
        pca = ""
        section.skipped["PCA"] = context.no_references
    section.tables["overall"] = (
        f"Means over {len(images):,} test images. {pca}All images are clipped to [0, 1] before "
        "any error, those of the references, too. "
        "Pixels that are neither 0 nor 1 have a cross-entropy above zero however good the output "
        "is: the floor row. "
        f"Probabilities are clipped to [{metrics.EPSILON:g}, 1 - {metrics.EPSILON:g}] in it, "
        "which PCA, no model of probabilities, often needs.",
        measured.overall,
    )
    section.figures["images"] = (
        f"Originals over their reconstructions: test image {context.options.clean_idx}, then "
        f"{context.examples_words}. Look for details that become blurred, lost or another "
        "class's. PCA has the same number of latents, where it is shown.",
        figures.image_rows(
            {"original": images[shown]}
            | {
                label: measured.outputs[name][shown]
                for name, label in (("model", "reconstructed"), ("pca", "PCA"))
                if name in measured.outputs
            }
        ),
    )
    if reason := context.no_classes(context.dataset.test):
        section.skipped["errors by class"] = reason
        return section
    section.tables["by_class"] = (
        "The same by class, for the model and its references. Plain images have small errors "
        "whatever the model: compare with the references of the same row.",
        measured.by_class,
    )
    classes = {name: row for name, row in measured.by_class.items() if name != "all"}
    section.figures["error_by_class"] = (
        "Mean squared error per pixel by class, of the model and of its references, which are "
        "linear or constant.",
        figures.bars(
            list(classes),
            {
                LABELS[name]: [row["mse"][name] for row in classes.values()]
                for name in measured.outputs
            },
            "class",
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
