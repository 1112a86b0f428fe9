"""The two terms of the evidence lower bound, in nats per image."""

from keras import ops


def bernoulli_negative_log_likelihood(images, logits):
    """Negative log-likelihood of images under independent Bernoulli pixels.

    It is the binary cross-entropy, summed over the pixels. Grey values are taken as
    probabilities, so its smallest value is the entropy of the images and not zero.

    Args:
        images: Targets in [0, 1], `[n, ...]`.
        logits: Log-odds of the pixels, of the same shape.

    Returns:
        `[n]`, nats per image.
    """
    # max(x, 0) - x z + log(1 + exp(-|x|)) neither overflows nor loses small probabilities.
    cross_entropy = ops.relu(logits) - logits * images + ops.softplus(-ops.abs(logits))
    return ops.sum(cross_entropy, axis=tuple(range(1, len(images.shape))))


def gaussian_kl_divergence(mean, log_variance):
    """Kullback-Leibler divergence of a diagonal Gaussian from the standard normal.

    Kingma and Welling, 2014, appendix B, https://arxiv.org/abs/1312.6114, without the sum over
    the latents.

    Args:
        mean: `[n, latent_dim]`.
        log_variance: `[n, latent_dim]`.

    Returns:
        `[n, latent_dim]`, nats per image and latent unit.
    """
    return 0.5 * (ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance)
