"""Denoising at one strength of noise and over a sweep, beside linear references."""

from typing import NamedTuple

import numpy as np

from keras_ae import data, figures, metrics
from keras_ae.evaluation.context import Context, Rows, Section
from keras_ae.options import NOISE_SWEEP
from keras_ae.references import AffineFilter


class Measured(NamedTuple):
    """Errors against the clean test images, of the noisy input, the model, PCA and the filter."""

    chosen: Rows  # At the strength that was asked for, and of the model without noise.
    sweep: Rows  # A row for each strength.
    images: dict[str, np.ndarray]  # Some noisy and denoised images at the chosen strength.
    shown: np.ndarray  # Their indices.


def measure(context: Context) -> Measured:
    """Measures denoising at every strength of `NOISE_SWEEP` and at the one asked for."""
    images, options = context.images, context.options
    shown = context.examples(options.denoise_idx)
    strengths = sorted({*NOISE_SWEEP, options.noise_std})
    filters = AffineFilter.fit(context.dataset.train.images, strengths)
    sweep: Rows = {}
    for noise_std in strengths:
        # One draw for all strengths, so that they differ in nothing else.
        noisy = data.noisy(images, noise_std, seed=(options.seed, 0)).numpy()
        outputs = {
            "noisy": noisy,
            "model": context.model.reconstruct(noisy),
        }
        if context.pca is not None:
            outputs["pca"] = context.pca.reconstruct(noisy, context.pca_dimensions)
            outputs["affine"] = next(filters)(noisy)
        errors = {name: _error_and_ratio(images, output) for name, output in outputs.items()}
        sweep[str(noise_std)] = {
            measure: {name: errors[name][measure] for name in outputs}
            for measure in ("mse", "psnr")
        }
        if noise_std == options.noise_std:
            chosen = errors
            drawn = {name: output[shown] for name, output in outputs.items() if name != "pca"}
    chosen["model_without_noise"] = _error_and_ratio(images, context.reconstructions)
    return Measured(chosen, sweep, drawn, shown)


def present(context: Context, measured: Measured) -> Section:
    """Shows the errors and the images."""
    options = context.options
    strength = f"Noise of standard deviation {options.noise_std:g}"
    seen = f"{context.recipe.train_noise_std:g}"
    if context.recipe.any_train_noise:
        seen = f"every strength up to {seen}, and it is not told which"
    trained = (
        f"This model was trained on inputs with noise of {seen}."
        if context.recipe.train_noise_std
        else "This model never saw noise in training."
    )
    section = Section()
    references = (
        f"PCA projects on {context.pca_dimensions} components. The affine filter is the best one "
        "for this noise: it is fitted to the training images and told the strength of the noise. "
        "All outputs are clipped to [0, 1]. "
    )
    if context.no_references:
        references = ""
        section.skipped["PCA and the affine filter"] = context.no_references
    section.tables["at_noise_std"] = (
        f"{strength}, clipped to [0, 1], on all test images, compared with the clean originals. "
        f"{trained} The noisy input is the error before, the model's row the error after. "
        f"{references}Denoising by this model cannot be expected to be better than its "
        "reconstruction without noise.",
        measured.chosen,
    )
    section.tables["sweep"] = (
        "The same over the strength of the noise (first column, standard deviation). Few latents "
        "may win where the noise is strong; they lose where their own reconstruction error is "
        "larger than the noise.",
        measured.sweep,
    )
    labels = {"noisy": "noisy", "model": "denoised", "affine": "affine filter"}
    section.figures["images"] = (
        f"{strength}: test image {options.denoise_idx}, then {context.examples_words}. "
        "Look whether a denoised image still shows what the original does, and is not only clean.",
        figures.image_rows(
            {
                **{labels[name]: images for name, images in measured.images.items()},
                "original": context.images[measured.shown],
            }
        ),
    )
    section.figures["sweep"] = (
        "Error against the strength of the noise; lower is better. Where the model's curve is "
        "above that of the noisy input, it does more harm than the noise.",
        figures.curves(
            [float(noise_std) for noise_std in measured.sweep],
            {
                label: [row["mse"][name] for row in measured.sweep.values()]
                for name, label in (
                    ("noisy", "noisy input"),
                    ("model", "model"),
                    ("pca", "PCA"),
                    ("affine", "affine filter"),
                )
                if name in measured.chosen
            },
            "standard deviation of the noise, before clipping",
            "mean squared error per pixel",
        ),
    )
    return section


def _error_and_ratio(images: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
    squared_errors = metrics.mean_squared_error(images, outputs)
    ratios = metrics.peak_signal_to_noise_ratio(squared_errors)
    return {"mse": float(squared_errors.mean()), "psnr": float(ratios.mean())}
