"""Samples, and their quality in the eyes of a classifier of digits."""

from typing import NamedTuple

import numpy as np
from sklearn.mixture import GaussianMixture

from keras_ae import data, figures, metrics
from keras_ae.evaluation import classifier
from keras_ae.evaluation.context import Context, Rows, Section

SAMPLES = 10_000
SAMPLES_DRAWN = 100
MIXTURE_COMPONENTS = 10
CONFIDENT = 0.95
PLANE_STEPS = 15


class Quality(NamedTuple):
    """The samples in the eyes of a classifier of digits, by the kind of image."""

    accuracy: float  # Share of the test images that the classifier gets right.
    rows: Rows  # Distance to real images, confidence.
    shares: dict[str, np.ndarray]  # Share of the images in each class, `[10]`.


class Measured(NamedTuple):
    """Samples of a model."""

    samples: dict[str, np.ndarray]  # By where their latents are from, see `_SOURCES`.
    quality: Quality | None  # `None` where the images are no digits of MNIST.


_SOURCES = {
    "prior": "the standard normal prior",
    "gaussian": "one Gaussian fitted to the latents of the training images",
    "mixture": f"a mixture of {MIXTURE_COMPONENTS} Gaussians fitted to the latents of the training "
    "images",
}


def measure(context: Context) -> Measured:
    """Draws samples and judges them."""
    model, seed = context.model, context.options.seed
    if context.is_variational:
        latents = {"prior": model.prior_step(SAMPLES, seed).numpy()}
    else:
        latents = {
            name: _fitted_samples(context.train_latents, components, seed)
            for name, components in (("gaussian", 1), ("mixture", MIXTURE_COMPONENTS))
        }
    samples = {name: model.decode(drawn) for name, drawn in latents.items()}
    is_mnist = context.dataset.name == "mnist"
    return Measured(samples, _judge(context, samples) if is_mnist else None)


def _fitted_samples(latents: np.ndarray, components: int, seed: int) -> np.ndarray:
    # k-means proper adds up in the order in which threads end, so its last digits vary.
    mixture = GaussianMixture(components, init_params="k-means++", max_iter=300, random_state=seed)
    drawn, _ = mixture.fit(latents.astype("float64")).sample(SAMPLES)
    # They come sorted by component.
    return np.random.default_rng(seed).permutation(drawn).astype("float32")


def _judge(context: Context, samples: dict[str, np.ndarray]) -> Quality:
    # The run may have had a part of the training images only; the classifier gets all.
    mnist = data.load("mnist")
    judge = classifier.load(mnist)
    reference, _ = judge(data.to_float(mnist.train.images[:SAMPLES]))
    linear = context.pca.sample(SAMPLES, context.model.latent_dim, context.options.seed)
    sets = {
        "real_test": context.images,
        "test_reconstructions": context.reconstructions,
        **samples,
        "pca_gaussian": linear.reshape(-1, *context.images.shape[1:]).clip(0, 1),
    }
    rows: Rows = {}
    shares = {}
    for name, images in sets.items():
        features, probabilities = judge(images)
        counts = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
        shares[name] = counts / counts.sum()
        rows[name] = {
            "frechet": metrics.frechet_distance(reference, features),
            "confident": float(np.mean(probabilities.max(axis=1) >= CONFIDENT)),
            "distance_to_uniform": metrics.distance_to_uniform(counts),
        }
    return Quality(judge.accuracy, rows, shares)


def present(context: Context, measured: Measured) -> Section:
    """Shows samples, the decoded plane of two latent units, and the classifier's words."""
    section = Section()
    if not context.is_variational:
        section.skipped["samples from a prior"] = (
            f"{context.recipe.name} is a plain autoencoder and has none; densities fitted to the "
            "latents of the training images stand in for it"
        )
    for name, images in measured.samples.items():
        section.figures[name] = (
            f"Decoded latents drawn from {_SOURCES[name]}, the first {SAMPLES_DRAWN} of "
            f"{SAMPLES:,}, none chosen. Look for blank or broken shapes, and for digits that are "
            "missing.",
            figures.image_grid(images[:SAMPLES_DRAWN]),
        )
    _present_plane(context, section)
    if measured.quality is None:
        section.skipped["quality of the samples"] = (
            f"it needs a classifier of mnist's digits, and the run is on {context.dataset.name}"
        )
    else:
        _present_quality(measured.quality, list(measured.samples), section)
    return section


def _present_plane(context: Context, section: Section) -> None:
    dimensions = context.model.latent_dim
    if dimensions != 2:
        section.skipped["decoded plane"] = f"it needs 2 latent units, and this has {dimensions}"
        return
    percentiles = np.linspace(2, 98, PLANE_STEPS)
    first, second = np.percentile(context.train_latents, percentiles, axis=0).T
    grid = np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2).astype("float32")
    section.figures["plane"] = (
        "The whole plane of latents, decoded, at percentiles 2 to 98 of each unit over the "
        "training images. Look which digits are neighbours, and at the shapes between them.",
        figures.image_plane(context.model.decode(grid), first, second),
    )


def _present_quality(quality: Quality, samples: list[str], section: Section) -> None:
    shares = quality.shares
    digits = [str(digit) for digit in range(len(shares["real_test"]))]
    section.tables["quality"] = (
        f"{SAMPLES:,} images of each kind, judged by a small classifier of digits (test accuracy "
        f"{quality.accuracy:.2%}), which is confident when it gives a class {CONFIDENT:.0%} or "
        "more. The Fréchet distance is taken in the classifier's own feature space, from "
        f"{SAMPLES:,} training images: it is comparable within this project only. The real test "
        "images are its floor. Reconstructions of the test images show what the decoder can do at "
        "best; PCA with a Gaussian on its components shows what a linear model does.",
        quality.rows,
    )
    section.tables["classes"] = (
        "What the classifier takes them for: share of the images in each class. Ten equal shares "
        "would be 0.1 each.",
        {
            digit: {"share": {name: float(values[place]) for name, values in shares.items()}}
            for place, digit in enumerate(digits)
        },
    )
    section.figures["classes"] = (
        "Classes of the samples beside those of the real test images. A digit without a bar is "
        "one that the model does not generate.",
        figures.bars(
            digits,
            {name.replace("_", " "): shares[name] for name in ("real_test", *samples)},
            "digit that the classifier sees",
            "share of the images",
        ),
    )
