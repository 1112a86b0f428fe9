"""Samples, and their quality in the eyes of a classifier of the data's own labels."""

from typing import NamedTuple

import numpy as np
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from keras_ae import data, figures, metrics
from keras_ae.evaluation import classifier
from keras_ae.evaluation.context import Context, Rows, Section

SAMPLES = 10_000
SAMPLES_DRAWN = 100
MIXTURE_COMPONENTS = 10
CONFIDENT = 0.95
PLANE_STEPS = 15


class Quality(NamedTuple):
    """The samples in the eyes of a classifier, by the kind of image."""

    accuracy: float  # Share of the test images that the classifier gets right.
    references: int  # Training images that the distances are from.
    rows: Rows  # Distance to real images, confidence.
    shares: dict[str, np.ndarray]  # Share of the images in each class, `[classes]`.


class Measured(NamedTuple):
    """Samples of a model."""

    samples: dict[str, np.ndarray]  # By where their latents are from, see `_SOURCES`.
    quality: Quality | str  # Or why the samples are not judged.


_SOURCES = {
    "prior": "the standard normal prior",
    "gaussian": "one Gaussian fitted to the latents of the training images",
    "mixture": f"a mixture of {MIXTURE_COMPONENTS} Gaussians fitted to the latents of the training "
    "images",
}


def measure(context: Context) -> Measured:
    """Draws samples, as many as there are test images, and judges them."""
    model, seed = context.model, context.options.seed
    count = min(SAMPLES, max(SAMPLES_DRAWN, len(context.images)))
    if context.is_variational:
        latents = {"prior": model.prior_step(count, seed).numpy()}
    else:
        latents = {
            name: _fitted_samples(context.train_latents, components, count, seed)
            for name, components in (("gaussian", 1), ("mixture", MIXTURE_COMPONENTS))
        }
    samples = {name: model.decode(drawn) for name, drawn in latents.items()}
    reason = context.no_classes(context.dataset.test)
    return Measured(samples, reason or _judge(context, samples))


def _fitted_samples(latents: np.ndarray, components: int, count: int, seed: int) -> np.ndarray:
    components = min(components, len(latents))
    # k-means proper adds up in the order in which threads end, so its last digits vary.
    mixture = GaussianMixture(components, init_params="k-means++", max_iter=300, random_state=seed)
    # Its products are small: threads would wait for one another longer than they compute.
    with threadpool_limits(1):
        drawn, _ = mixture.fit(latents.astype("float64")).sample(count)
    # They come sorted by component.
    return np.random.default_rng(seed).permutation(drawn).astype("float32")


def _judge(context: Context, samples: dict[str, np.ndarray]) -> Quality | str:
    whole = context.whole_dataset
    judge = classifier.load(whole)
    counts = np.bincount(whole.test.labels)
    if judge.accuracy <= counts.max() / counts.sum():
        return (
            f"a classifier of the classes gets {judge.accuracy:.2%} of the test images right, no "
            f"more than the largest class has ({counts.max() / counts.sum():.2%})"
        )
    reference, _ = judge(data.to_float(whole.train.images[:SAMPLES]))
    sets = {"real_test": context.images, "test_reconstructions": context.reconstructions, **samples}
    if context.pca is not None:
        count = len(next(iter(samples.values())))
        linear = context.pca.sample(count, context.pca_dimensions, context.options.seed)
        sets["pca_gaussian"] = linear.reshape(-1, *context.images.shape[1:])
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
    return Quality(judge.accuracy, len(reference), rows, shares)


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
            f"{len(images):,}, none chosen. Look for blank or broken images, and for kinds that "
            "are missing.",
            figures.image_grid(images[:SAMPLES_DRAWN]),
        )
    _present_plane(context, section)
    if isinstance(measured.quality, str):
        section.skipped["quality of the samples"] = measured.quality
    else:
        _present_quality(context, measured, section)
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
        "training images. Look which kinds are neighbours, and at what lies between them.",
        figures.image_plane(context.model.decode(grid), first, second),
    )


def _present_quality(context: Context, measured: Measured, section: Section) -> None:
    quality, names = measured.quality, context.dataset.classes
    shares, count = quality.shares, len(next(iter(measured.samples.values())))
    pca = "; PCA with a Gaussian on its components shows what a linear model does"
    if context.no_references:
        pca = ""
        section.skipped["PCA"] = context.no_references
    section.tables["quality"] = (
        f"{count:,} samples of each kind beside {len(context.images):,} test images, judged by a "
        f"small classifier of the {len(names)} classes (test accuracy {quality.accuracy:.2%}), "
        f"which is confident when it gives a class {CONFIDENT:.0%} or more. The Fréchet distance "
        "is taken in the classifier's own feature space, from "
        f"{quality.references:,} training images: it is comparable within this project, and for "
        "one dataset only. The real test images are its floor. Reconstructions of the test images "
        f"show what the decoder can do at best{pca}.",
        quality.rows,
    )
    section.tables["classes"] = (
        "What the classifier takes them for: share of the images in each class. "
        f"{len(names)} equal shares would be {1 / len(names):.2g} each.",
        {
            name: {"share": {kind: float(values[place]) for kind, values in shares.items()}}
            for place, name in enumerate(names)
        },
    )
    section.figures["classes"] = (
        "Classes of the samples beside those of the real test images. A class without a bar is "
        "one that the model does not generate.",
        figures.bars(
            names,
            {name.replace("_", " "): shares[name] for name in ("real_test", *measured.samples)},
            "class that the classifier sees",
            "share of the images",
        ),
    )
