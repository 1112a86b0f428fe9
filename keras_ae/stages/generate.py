"""Samples, and what a digit classifier makes of them."""

import numpy as np
from sklearn.mixture import GaussianMixture

from keras_ae import classifier, data, figures, metrics
from keras_ae.stages import Context, Rows, Section

SAMPLES = 10_000
SAMPLES_DRAWN = 100
MIXTURE_COMPONENTS = 10
CONFIDENT = 0.95
PLANE_STEPS = 15


def run(context: Context) -> Section:
    """Samples, and what a digit classifier makes of them."""
    model, settings = context.model, context.settings
    section = Section()
    if context.is_variational:
        sources = {
            "prior": ("the standard normal prior", model.prior_step(SAMPLES, settings.seed).numpy())
        }
    else:
        section.skipped["samples from a prior"] = (
            f"{context.recipe.name} is a plain autoencoder and has none; densities "
            "fitted to the codes of the training images stand in for it"
        )
        sources = {
            name: (
                f"{words} fitted to the codes of the training images",
                _fitted_samples(context.train_codes, components, settings.seed),
            )
            for name, words, components in (
                ("gaussian", "one Gaussian", 1),
                ("mixture", f"a mixture of {MIXTURE_COMPONENTS} Gaussians", MIXTURE_COMPONENTS),
            )
        }
    samples = {}
    for name, (words, codes) in sources.items():
        samples[name] = images = model.decode(codes)
        section.figures[name] = (
            f"Decoded codes drawn from {words}, the first {SAMPLES_DRAWN} of {SAMPLES:,}, "
            "none chosen. Look for blank or broken shapes, and for digits that are missing.",
            figures.image_grid(images[:SAMPLES_DRAWN]),
        )
    _plane(context, section)
    if context.dataset.name == "mnist":
        _judge(context, section, samples)
    else:
        section.skipped["quality of the samples"] = (
            f"it needs a classifier of mnist's digits, and the run is on {context.dataset.name}"
        )
    return section


def _fitted_samples(codes: np.ndarray, components: int, seed: int) -> np.ndarray:
    # k-means proper adds up in the order in which threads end, so its last digits vary.
    mixture = GaussianMixture(components, init_params="k-means++", max_iter=300, random_state=seed)
    drawn, _ = mixture.fit(codes.astype("float64")).sample(SAMPLES)
    # They come sorted by component.
    return np.random.default_rng(seed).permutation(drawn).astype("float32")


def _plane(context: Context, section: Section) -> None:
    dimensions = context.model.latent_dim
    if dimensions != 2:
        section.skipped["decoded plane"] = f"it needs a code of 2 units, and this has {dimensions}"
        return
    percentiles = np.linspace(2, 98, PLANE_STEPS)
    first, second = np.percentile(context.train_codes, percentiles, axis=0).T
    grid = np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2).astype("float32")
    section.figures["plane"] = (
        "The whole plane of codes, decoded, at percentiles 2 to 98 of each unit over the training "
        "images. Look which digits are neighbours, and at the shapes between them.",
        figures.image_plane(context.model.decode(grid), first, second),
    )


def _judge(context: Context, section: Section, samples: dict[str, np.ndarray]) -> None:
    # The run may have had a part of the training images only; the classifier gets all.
    mnist = data.load("mnist")
    judge = classifier.load(mnist)
    reference, _ = judge(data.to_float(mnist.train.images[:SAMPLES]))
    linear = context.pca.sample(SAMPLES, context.model.latent_dim, context.settings.seed)
    sets = {
        "real_test": context.images,
        "test_reconstructions": context.reconstructions,
        **samples,
        "pca_gaussian": linear.reshape(-1, *context.images.shape[1:]).clip(0, 1),
    }
    quality: Rows = {}
    shares = {}
    for name, images in sets.items():
        features, probabilities = judge(images)
        counts = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
        shares[name] = counts / counts.sum()
        quality[name] = {
            "frechet": metrics.frechet_distance(reference, features),
            "confident": float(np.mean(probabilities.max(axis=1) >= CONFIDENT)),
            "distance_to_uniform": metrics.distance_to_uniform(counts),
        }
    section.tables["quality"] = (
        f"{SAMPLES:,} images of each kind, judged by a small classifier of digits (test accuracy "
        f"{judge.accuracy:.2%}), which is confident when it gives a class {CONFIDENT:.0%} or "
        "more. The Fréchet distance is taken in the classifier's own feature space, from "
        f"{SAMPLES:,} training images: it is comparable within this project only. The real test "
        "images are its floor. Reconstructions of the test images show what the decoder can do at "
        "best; PCA with a Gaussian on its components shows what a linear model does.",
        quality,
    )
    section.tables["classes"] = (
        "What the classifier takes them for: share of the images in each class. Ten equal shares "
        "would be 0.1 each.",
        {
            str(digit): {f"{name}_share": float(values[digit]) for name, values in shares.items()}
            for digit in range(len(shares["real_test"]))
        },
    )
    section.figures["classes"] = (
        "Classes of the samples beside those of the real test images. A digit without a bar is "
        "one that the model does not generate.",
        figures.bars(
            [str(digit) for digit in range(10)],
            {name.replace("_", " "): shares[name] for name in ("real_test", *samples)},
            "digit that the classifier sees",
            "share of the images",
        ),
    )
