"""Denoising at one strength of noise and over a sweep, beside linear filters."""

import numpy as np

from keras_ae import data, figures, metrics
from keras_ae.stages import Context, Rows, Section

NOISE_SWEEP = (0.1, 0.2, 0.3, 0.4, 0.5)


def run(context: Context) -> Section:
    """Denoising at one strength of noise and over a sweep, beside linear filters."""
    images, settings = context.images, context.settings
    shown = context.examples(settings.denoise_idx)
    sweep: Rows = {}
    for noise_std in sorted({*NOISE_SWEEP, settings.noise_std}):
        wiener = metrics.WienerFilter.fit(context.train_images, noise_std)
        # One draw for all strengths, so that they differ in nothing else.
        noisy = data.noisy(images, noise_std, seed=(settings.seed, 0)).numpy()
        outputs = {
            "noisy": noisy,
            "model": context.model.reconstruct(noisy),
            "pca": context.pca.reconstruct(noisy, context.model.latent_dim).clip(0, 1),
            "wiener": wiener(noisy).clip(0, 1),
        }
        quality = {name: _error_and_ratio(images, output) for name, output in outputs.items()}
        sweep[str(noise_std)] = {
            f"{name}_{measure}": quality[name][measure]
            for measure in ("mse", "psnr")
            for name in outputs
        }
        if noise_std == settings.noise_std:
            chosen = quality
            rows = {
                label: outputs[name][shown]
                for name, label in (("noisy", "noisy"), ("model", "denoised"), ("wiener", "Wiener"))
            }
    chosen["model_without_noise"] = _error_and_ratio(images, context.reconstructions)
    strength = f"Noise of standard deviation {settings.noise_std:g}"
    trained = (
        f"This model was trained on inputs with noise of {context.recipe.train_noise_std:g}."
        if context.recipe.train_noise_std
        else "This model never saw noise in training."
    )

    section = Section()
    section.tables["at_noise_std"] = (
        f"{strength}, clipped to [0, 1], on all test images, compared with the clean originals. "
        f"{trained} The noisy input is the error before, the model's row the error after. PCA "
        f"projects on {context.model.latent_dim} components. The Wiener filter is the best affine "
        "one for this noise on the training images. Both are clipped to [0, 1], too. No denoising "
        "by this model can be expected to be better than its reconstruction without noise.",
        chosen,
    )
    section.tables["sweep"] = (
        "The same over the strength of the noise (first column, standard deviation). A small code "
        "may win where the noise is strong; it loses where its own reconstruction error is larger "
        "than the noise.",
        sweep,
    )
    section.figures["images"] = (
        f"{strength}: test image {settings.denoise_idx}, then the first of each digit. "
        "Look whether the denoised digit is still the original one, and not only clean.",
        figures.image_rows({**rows, "original": images[shown]}),
    )
    section.figures["sweep"] = (
        "Error against the strength of the noise; lower is better. Where the model's curve is "
        "above that of the noisy input, it does more harm than the noise.",
        figures.curves(
            [float(noise_std) for noise_std in sweep],
            {
                label: [row[f"{name}_mse"] for row in sweep.values()]
                for name, label in (
                    ("noisy", "noisy input"),
                    ("model", "model"),
                    ("pca", "PCA"),
                    ("wiener", "Wiener filter"),
                )
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
