"""Measures of reconstructions, latents and samples: pure functions over NumPy arrays.

SciPy, scikit-learn and TensorFlow are imported where they are used, so that training does without.
"""

import functools
from collections.abc import Callable

import numpy as np

# Probabilities are kept this far from 0 and 1 in a cross-entropy, as Keras does.
EPSILON = 1e-7
# Pixels on a side of the window of the structural similarity, where the images have them.
SSIM_WINDOW = 11
_PART = 1000


def _in_parts(measure: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """Calls a measure of single images for some of them after the other: it keeps many copies."""

    @functools.wraps(measure)
    def measured(*arrays: np.ndarray) -> np.ndarray:
        starts = range(0, len(arrays[0]) or 1, _PART)
        parts = [measure(*(array[start : start + _PART] for array in arrays)) for start in starts]
        return np.concatenate(parts)

    return measured


@_in_parts
def mean_squared_error(images: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Returns the mean squared error per pixel of each image, float64 `[n]`.

    Args:
        images: `[n, ...]`.
        reconstructions: Of the same shape.
    """
    difference = images.reshape(len(images), -1) - reconstructions.reshape(len(images), -1)
    return np.mean(np.square(difference), axis=1, dtype="float64")


def peak_signal_to_noise_ratio(squared_errors: np.ndarray) -> np.ndarray:
    """Returns the peak signal-to-noise ratio of each image in decibels, float64 `[n]`.

    `10 log10(1 / mse)`: the peak is 1. An error below 1e-10 counts as 1e-10, which makes 100 dB
    the best.

    Args:
        squared_errors: Mean squared error per pixel of each image, `[n]`.
    """
    return -10 * np.log10(np.maximum(squared_errors, 1e-10))


@_in_parts
def structural_similarity(images: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Returns the structural similarity (SSIM) of each pair of images, float32 `[n]`, at most 1.

    Wang et al., 2004, https://doi.org/10.1109/TIP.2003.819861, with their Gaussian window of 11
    pixels and standard deviation 1.5 and their constants 0.01 and 0.03, for values in [0, 1].
    Images with a side below 11 pixels get the largest odd window that fits. Colours are measured
    apart, and the mean is taken.

    Args:
        images: `[n, height, width, channels]`.
        reconstructions: Of the same shape.
    """
    import tensorflow as tf

    window = min(SSIM_WINDOW, (min(images.shape[1:3]) - 1) // 2 * 2 + 1)
    return tf.image.ssim(images, reconstructions, max_val=1.0, filter_size=window).numpy()


@_in_parts
def bernoulli_cross_entropy(images: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Returns the binary cross-entropy of each image, summed over pixels, float64 `[n]` in nats.

    Grey values are taken as probabilities. Predicted probabilities are clipped to
    [1e-7, 1 - 1e-7], so that a pixel costs 16.1 nats at most.

    Args:
        images: `[n, ...]` in [0, 1].
        probabilities: Of the same shape.
    """
    from scipy.special import xlog1py, xlogy

    targets = images.reshape(len(images), -1).astype("float64")
    predicted = probabilities.reshape(len(images), -1).astype("float64")
    predicted = predicted.clip(EPSILON, 1 - EPSILON)
    return -np.sum(xlogy(targets, predicted) + xlog1py(1 - targets, -predicted), axis=1)


@_in_parts
def bernoulli_entropy(images: np.ndarray) -> np.ndarray:
    """Returns the smallest cross-entropy that each image allows, float64 `[n]` in nats.

    It is that of a perfect reconstruction, and above zero as soon as a pixel is grey.

    Args:
        images: `[n, ...]` in [0, 1].
    """
    from scipy.special import entr

    values = images.reshape(len(images), -1).astype("float64")
    return np.sum(entr(values) + entr(1 - values), axis=1)


def non_constant_units(latents: np.ndarray) -> int:
    """Returns how many latent units vary at all over `latents` `[n, latent_dim]`.

    A unit that has one value for every image carries nothing: the fate of a ReLU whose input
    has become negative for all of them.
    """
    return int(np.sum(np.ptp(latents, axis=0) > 1e-6))


def active_units(means: np.ndarray) -> np.ndarray:
    """Returns which latent units a variational model uses, bool `[latent_dim]`.

    A unit is active if the variance of its posterior mean over the images is above 0.01: Burda et
    al., 2016, section 5.2, https://arxiv.org/abs/1509.00519.

    Args:
        means: Posterior means `[n, latent_dim]`.
    """
    return np.var(means, axis=0) > 0.01


def importance_weighted_nll(log_weights: np.ndarray) -> np.ndarray:
    """Returns an upper bound on the negative log-likelihood of each image, float64 `[n]` in nats.

    Minus the logarithm of the mean importance weight: Burda et al., 2016, equation 8,
    https://arxiv.org/abs/1509.00519. With one sample it is the negative evidence lower bound; it
    falls towards the negative log-likelihood as samples are added.

    Args:
        log_weights: `[n, samples]` of `log p(x, z) - log q(z | x)`, z drawn from q.
    """
    from scipy.special import logsumexp

    samples = log_weights.shape[1]
    return np.log(samples) - logsumexp(log_weights.astype("float64"), axis=1)


def frechet_distance(features: np.ndarray, others: np.ndarray) -> float:
    """Returns the squared Fréchet distance of two Gaussians fitted to two sets of features.

    `|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`: Dowson and Landau, 1982,
    https://doi.org/10.1016/0047-259X(82)90077-X. In units of the features squared, so only
    distances in one feature space compare. It shrinks as the sets grow.

    Args:
        features: `[n, features]`.
        others: `[m, features]`.
    """
    means = [np.mean(rows, axis=0, dtype="float64") for rows in (features, others)]
    first, second = (np.cov(rows.astype("float64"), rowvar=False) for rows in (features, others))
    # The eigenvalues of C1 C2 are those of the symmetric C1^(1/2) C2 C1^(1/2), and real.
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    return float(
        np.sum((means[0] - means[1]) ** 2) + np.trace(first) + np.trace(second) - 2 * cross
    )


def distance_to_uniform(counts: np.ndarray) -> float:
    """Returns how far a histogram is from a flat one: the total variation distance, 0 to 1.

    It is the share of the images that would have to change class.

    Args:
        counts: Images in each class, `[classes]`.
    """
    shares = np.asarray(counts) / np.sum(counts)
    return float(np.abs(shares - 1 / len(shares)).sum() / 2)


def auroc(normal: np.ndarray, anomalous: np.ndarray) -> float:
    """Returns the area under the receiver operating characteristic of a score of anomaly.

    It is the share of all pairs of a normal and an anomalous image in which the anomalous one has
    the higher score; 0.5 is chance.

    Args:
        normal: Scores of normal images, `[n]`.
        anomalous: Scores of anomalous images, `[m]`.
    """
    from sklearn.metrics import roc_auc_score

    is_anomalous = np.repeat([0, 1], [len(normal), len(anomalous)])
    return float(roc_auc_score(is_anomalous, np.concatenate([normal, anomalous])))
