"""Reconstruction errors, overall and by digit, beside linear yardsticks."""

import numpy as np

from keras_ae import figures, metrics
from keras_ae.stages import Context, Section


def run(context: Context) -> Section:
    """Reconstruction errors, overall and by digit, beside linear yardsticks."""
    images, dimensions = context.images, context.model.latent_dim
    by_source = outputs(context)
    floor = metrics.bernoulli_entropy(images)
    quality = {name: _quality(images, output, floor) for name, output in by_source.items()}
    overall = {
        name: {measure: float(values.mean()) for measure, values in found.items()}
        for name, found in quality.items()
    }
    overall["floor"] = {"bce": float(floor.mean()), "bce_excess": 0.0}

    labels = context.dataset.test.labels
    groups = {"all": np.ones(len(labels), bool)}
    groups |= {str(label): labels == label for label in np.unique(labels)}
    by_digit = {
        group: {"images": int(chosen.sum())}
        | {
            f"{name}_{measure}": float(quality[name][measure][chosen].mean())
            for measure in quality["model"]
            for name in ("model", "pca", "mean_image")
        }
        for group, chosen in groups.items()
    }
    shown = context.examples(context.settings.clean_idx)

    section = Section()
    section.tables["overall"] = (
        f"Means over {len(images):,} test images. PCA has {dimensions} components, as many as the "
        "code has units, and is fitted to the training images: a model that does not beat it "
        "gains nothing from not being linear. Its output may leave [0, 1]; the clipped row cannot. "
        "Grey pixels have a cross-entropy above zero however good the output is: the floor row. "
        f"Probabilities are clipped to [{metrics.EPSILON:g}, 1 - {metrics.EPSILON:g}] in it, "
        "which PCA, no model of probabilities, often needs.",
        overall,
    )
    section.tables["by_digit"] = (
        "The same by digit, for the model, PCA and the mean training image. Thin digits such as "
        "the 1 have small errors whatever the model: compare with the yardsticks of the same row.",
        by_digit,
    )
    section.figures["images"] = (
        f"Originals over what comes back: test image {context.settings.clean_idx}, then the first "
        "of each digit. Look for strokes that become blurred, lost or another digit's, and compare "
        f"with PCA at the same {dimensions} numbers for an image.",
        figures.image_rows(
            {
                "original": images[shown],
                "reconstructed": context.reconstructions[shown],
                "PCA": by_source["pca_clipped"][shown],
            }
        ),
    )
    digits = [group for group in groups if group != "all"]
    section.figures["error_by_digit"] = (
        "Mean squared error per pixel by digit. The distance of the first bar from the second is "
        "what the model gains over a linear one.",
        figures.bars(
            digits,
            {
                name: [by_digit[digit][f"{key}_mse"] for digit in digits]
                for key, name in (("model", "model"), ("pca", "PCA"), ("mean_image", "mean image"))
            },
            "digit",
            "mean squared error per pixel",
        ),
    )
    return section


def outputs(context: Context) -> dict[str, np.ndarray]:
    """Returns what comes back of the test images, from the model and from its yardsticks."""
    images = context.images
    pca = context.pca.reconstruct(images, context.model.latent_dim)
    return {
        "model": context.reconstructions,
        "pca": pca,
        "pca_clipped": pca.clip(0, 1),
        "mean_image": np.broadcast_to(context.pca.mean.reshape(images.shape[1:]), images.shape),
    }


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
