"""Bounds on the likelihood of a variational model, and the use of its latents."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_ae import figures, metrics
from keras_ae.evaluation.context import Context, Rows, Section, Skipped
from keras_ae.models import VariationalAutoencoder, losses
from keras_ae.models.autoencoder import IMAGES, split_into_batches

# They bound the memory, whatever the number of images and samples.
DECODED_AT_ONCE = 1_000
IMAGES_WEIGHED_AT_ONCE = 10
# Draws of the posterior for each image. The mean over 10,000 digits then has a standard error of
# 0.02 nats, and its first decimal holds.
ELBO_DRAWS = 4


class Measured(NamedTuple):
    """Bounds of a variational model."""

    bounds: Rows  # A row for each kind of image and number of images.
    active: np.ndarray  # Which units are active, bool `[latent_dim]`.
    divergence: np.ndarray  # KL of each unit, mean over the grey test images, `[latent_dim]`.


def measure(context: Context) -> Measured:
    """Measures the bounds on grey and on binarized test images."""
    model, options = context.model, context.options
    if not context.is_variational:
        raise Skipped(
            f"{context.recipe.name} is a plain autoencoder: it has no posterior, so no bound "
            "on the likelihood"
        )
    bounds, divergence = likelihood(
        model, context.images, options.nll_images, options.nll_samples, options.seed
    )
    return Measured(bounds, metrics.active_units(context.latents), divergence)


def likelihood(
    model: VariationalAutoencoder, images: np.ndarray, nll_images: int, nll_samples: int, seed: int
) -> tuple[Rows, np.ndarray]:
    """Bounds the negative log-likelihood of images, as they are and binarized, in nats per image.

    Args:
        model: A variational model.
        images: float32 `[n, height, width, channels]` in [0, 1].
        nll_images: How many of them, from the first on, get importance samples.
        nll_samples: Importance samples for each of these.
        seed: Of binarization and samples.

    Returns:
        The bounds: a row for each kind and number of images. The `nll` of all images is their
        negative ELBO less what importance samples gain on the first. And the KL divergence of each
        unit, mean over the grey images, `[latent_dim]`.
    """
    rng = np.random.default_rng(seed)
    binary = _binarized(images, rng)
    weigh = _weigher(model)
    bounds: Rows = {}
    for kind, targets in (("grey", images), ("binarized", binary)):
        reconstruction, kl = _negative_elbo_terms(weigh, targets, model.latent_dim, rng)
        nll, gain = [], []
        for batch in split_into_batches(targets[:nll_images], IMAGES_WEIGHED_AT_ONCE):
            log_weights = _log_weights(weigh, batch, nll_samples, model.latent_dim, rng)
            nll.append(metrics.importance_weighted_nll(log_weights))
            # Their mean is the negative ELBO by as many samples.
            gain.append(-log_weights.mean(axis=1, dtype="float64") - nll[-1])
        # What the samples gain differs less from image to image than the NLL. So the gain of some
        # images says much about all: a regression estimate with a slope of one, Cochran, 1977,
        # "Sampling Techniques", section 7.2.
        mean, error = _mean(gain)
        elbo = _means(reconstruction, kl)
        bounds[f"{kind}_all"] = {**elbo, "nll": elbo["negative_elbo"] - mean, "nll_error": error}
        mean, error = _mean(nll)
        elbo = _means(reconstruction[:nll_images], kl[:nll_images])
        bounds[f"{kind}_first"] = {**elbo, "nll": mean, "nll_error": error}
        if kind == "grey":
            divergence = kl.mean(axis=0)
    return bounds, divergence


def present(context: Context, measured: Measured) -> Section:
    """Shows the bounds and the use of the latents."""
    active, divergence = measured.active, measured.divergence
    order = np.argsort(-divergence, kind="stable")
    section = Section()
    section.tables["bounds"] = (
        f"Nats per image, beta 1. Negative ELBO = reconstruction + KL, by {ELBO_DRAWS} samples of "
        f"the posterior for each image; NLL is the bound by {context.options.nll_samples} "
        "importance samples, which is tighter. Only the first images get these; the NLL of all is "
        "their negative ELBO less what the samples gain on the first. The standard error says how "
        "far other images would move the mean of the first, or other first images that of all. "
        "Binarized: each pixel drawn once as 0 or 1 with its value as probability, with a fixed "
        "seed; these are true bounds on a likelihood, though the model was trained on images as "
        "they are. As they are: the pixel values stand in for probabilities, so this is the "
        "training objective and no likelihood of the images.",
        measured.bounds,
    )
    section.tables["use"] = (
        "Active units: their posterior mean varies over the test images with a variance above "
        "0.01. The others give the decoder noise alone.",
        {"model": {"active_units": int(active.sum()), "latent_dim": len(active)}},
    )
    section.tables["units"] = (
        "KL divergence from the prior for each unit, mean over the test images, largest "
        "first. A unit near 0 nats says nothing about the image.",
        {
            f"unit {unit}": {
                "kl": float(divergence[unit]),
                "mean_variance": float(context.latents[:, unit].var()),
                "active": bool(active[unit]),
            }
            for unit in order
        },
    )
    section.figures["kl"] = (
        "KL divergence of each latent unit, largest first. Bars near zero are units that the "
        "model has given up.",
        figures.bars(
            [str(unit) for unit in order],
            {"KL": divergence[order]},
            "latent unit",
            "KL divergence, nats per image",
        ),
    )
    return section


def _weigher(model: VariationalAutoencoder) -> Callable:
    """Returns a graph from images `[n, ...]` and noise `[n, samples, latent_dim]`.

    Its results are the reconstruction loss `[n, samples]`, the divergence `[n, latent_dim]` and the
    logarithm of the importance weights `[n, samples]`.
    """
    logits = model.decoder.get_layer("logits")

    @tf.function(
        input_signature=[IMAGES, tf.TensorSpec((None, None, model.latent_dim), tf.float32)]
    )
    def weigh(images, noise):
        mean, log_variance = model.posterior_step(images)
        latents = mean[:, None] + tf.exp(log_variance / 2)[:, None] * noise
        samples = tf.shape(noise)[1]
        reconstruction = losses.bernoulli_negative_log_likelihood(
            tf.repeat(images, samples, axis=0),
            logits(tf.reshape(latents, (-1, model.latent_dim)), training=False),
        )
        reconstruction = tf.reshape(reconstruction, (-1, samples))
        # log p(z) - log q(z | x); the constants of the two Gaussians cancel.
        log_ratio = 0.5 * tf.reduce_sum(
            tf.square(noise) + log_variance[:, None] - tf.square(latents), axis=-1
        )
        divergence = losses.gaussian_kl_divergence(mean, log_variance)
        return reconstruction, divergence, log_ratio - reconstruction

    return weigh


def _binarized(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws each pixel as 0 or 1 with its value as the probability of 1."""
    return (rng.random(images.shape) < images).astype("float32")


def _negative_elbo_terms(
    weigh: Callable, images: np.ndarray, latent_dim: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    reconstructions, divergences = [], []
    for batch in split_into_batches(images, DECODED_AT_ONCE // ELBO_DRAWS):
        noise = rng.standard_normal((len(batch), ELBO_DRAWS, latent_dim), dtype="float32")
        reconstruction, divergence, _ = weigh(batch, noise)
        reconstructions.append(reconstruction.numpy().mean(axis=1))
        divergences.append(divergence.numpy())
    return np.concatenate(reconstructions), np.concatenate(divergences)


def _log_weights(
    weigh: Callable, images: np.ndarray, samples: int, latent_dim: int, rng: np.random.Generator
) -> np.ndarray:
    at_once = DECODED_AT_ONCE // len(images)
    chunks = []
    for start in range(0, samples, at_once):
        count = min(at_once, samples - start)
        noise = rng.standard_normal((len(images), count, latent_dim), dtype="float32")
        chunks.append(weigh(images, noise)[2].numpy())
    return np.concatenate(chunks, axis=1)


def _means(reconstruction: np.ndarray, kl: np.ndarray) -> dict[str, float]:
    means = {
        "reconstruction": float(reconstruction.mean(dtype="float64")),
        "kl": float(kl.sum(axis=1).mean(dtype="float64")),
    }
    return {"images": len(kl), "negative_elbo": sum(means.values()), **means}


def _mean(parts: Sequence[np.ndarray]) -> tuple[float, float | None]:
    """Returns the mean over images, and its standard error if there are several."""
    values = np.concatenate(parts)
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return float(values.mean()), error
