"""The two terms of the bound against closed forms."""

import numpy as np
import pytest
from keras import ops

from keras_ae.models.layers import GaussianSampling
from keras_ae.models.losses import bernoulli_negative_log_likelihood, gaussian_kl_divergence


def test_cross_entropy_is_summed_over_the_pixels_of_each_image(digits):
    logits = np.random.default_rng(0).normal(0, 3, digits.shape)
    probabilities = 1 / (1 + np.exp(-logits))
    terms = digits * np.log(probabilities) + (1 - digits) * np.log(1 - probabilities)
    result = bernoulli_negative_log_likelihood(digits, logits.astype("float32"))
    np.testing.assert_allclose(result, -terms.sum(axis=(1, 2, 3)), rtol=1e-5)


def test_cross_entropy_of_a_coin_is_log_2_per_pixel(digits):
    result = bernoulli_negative_log_likelihood(digits, np.zeros_like(digits))
    np.testing.assert_allclose(result, 784 * np.log(2), rtol=1e-6)


@pytest.mark.parametrize(("pixel", "logit", "expected"), [(1.0, -1e4, 1e4), (1.0, 1e4, 0.0)])
def test_cross_entropy_of_extreme_logits_is_exact(pixel, logit, expected):
    result = bernoulli_negative_log_likelihood(
        np.full((1, 1), pixel, "float32"), np.full((1, 1), logit, "float32")
    )
    np.testing.assert_allclose(result, [expected])


@pytest.mark.parametrize(("mean", "log_variance"), [(0.0, 0.0), (1.5, 0.0), (0.7, -2.0), (-2, 1.0)])
def test_divergence_agrees_with_numerical_integration(mean, log_variance):
    deviation = np.exp(log_variance / 2)
    x = np.linspace(mean - 12 * deviation, mean + 12 * deviation, 20_001)
    log_posterior = -0.5 * ((x - mean) / deviation) ** 2 - np.log(deviation)
    integrand = np.exp(log_posterior) / np.sqrt(2 * np.pi) * (log_posterior + 0.5 * x**2)
    result = gaussian_kl_divergence(np.float32([[mean]]), np.float32([[log_variance]]))
    np.testing.assert_allclose(result, [[np.trapezoid(integrand, x)]], rtol=1e-5, atol=1e-6)


def test_sampling_has_the_moments_it_is_given():
    mean = np.tile(np.float32([[1.0, -3.0]]), (100_000, 1))
    log_variance = np.tile(np.float32([[0.0, np.log(4)]]), (100_000, 1))
    draws = ops.convert_to_numpy(GaussianSampling(seed=1)((mean, log_variance), training=True))
    # Five standard errors.
    np.testing.assert_allclose(draws.mean(axis=0), [1, -3], atol=5 * 2 / np.sqrt(100_000))
    np.testing.assert_allclose(draws.std(axis=0), [1, 2], rtol=5 / np.sqrt(2 * 100_000))


def test_sampling_returns_the_mean_at_inference_and_draws_anew_in_training():
    mean = np.float32([[1.0, 2.0]])
    layer = GaussianSampling(seed=1)
    np.testing.assert_array_equal(layer((mean, mean)), mean)
    first, second = layer((mean, mean), training=True), layer((mean, mean), training=True)
    assert not np.array_equal(first, second)
    again = GaussianSampling.from_config(layer.get_config())
    np.testing.assert_array_equal(again((mean, mean), training=True), first)
