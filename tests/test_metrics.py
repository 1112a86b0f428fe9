"""Measures against closed forms and independent computations."""

import keras
import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import skimage.metrics
from sklearn.linear_model import LinearRegression

from keras_ae import data, metrics
from keras_ae.references import PCA, AffineFilter, too_large


@pytest.fixture(scope="module")
def blurred(digits):
    """The digits at eight components: reconstructions of a middling quality, in [0, 1]."""
    return PCA.fit(digits).reconstruct(digits, 8)


@pytest.fixture(scope="module")
def pale(digits):
    """The digits so pale that nothing linear has to be clipped."""
    return 0.45 + 0.1 * digits


def test_mean_squared_error_is_per_image_and_per_pixel():
    images = np.zeros((2, 28, 28, 1), "float32")
    reconstructions = np.stack([np.full((28, 28, 1), 0.5), np.eye(28)[..., None]])
    errors = metrics.mean_squared_error(images, reconstructions.astype("float32"))
    np.testing.assert_allclose(errors, [0.25, 28 / 784], rtol=1e-6)


def test_pca_error_is_the_sum_of_the_variances_left_out(pale):
    pca = PCA.fit(pale)
    for dimensions in (1, 8, 64):
        error = metrics.mean_squared_error(pale, pca.reconstruct(pale, dimensions)).mean()
        np.testing.assert_allclose(error, pca.variances[dimensions:].sum() / 784, rtol=1e-4)


def test_pca_agrees_with_a_singular_value_decomposition(digits):
    flat = digits.reshape(len(digits), -1).astype("float64")
    mean = flat.mean(axis=0)
    left, values, right = np.linalg.svd(flat - mean, full_matrices=False)
    expected = (left[:, :5] * values[:5]) @ right[:5] + mean
    assert expected.min() < -0.1
    result = PCA.fit(digits).reconstruct(digits, 5)
    np.testing.assert_allclose(result.reshape(len(digits), -1), expected.clip(0, 1), atol=1e-4)


def test_non_constant_units_counts_the_units_that_vary():
    latents = np.array([[0.0, 1.0, 5.0, 0.0], [0.0, 2.0, 5.0, 1e-3]], "float32")
    assert metrics.non_constant_units(latents) == 2


def test_peak_signal_to_noise_ratio_agrees_with_scikit_image(digits, blurred):
    ratios = metrics.peak_signal_to_noise_ratio(metrics.mean_squared_error(digits, blurred))
    expected = [
        skimage.metrics.peak_signal_noise_ratio(image, other, data_range=1)
        for image, other in zip(digits, blurred, strict=True)
    ]
    np.testing.assert_allclose(ratios, expected, rtol=1e-5)


def test_peak_signal_to_noise_ratio_of_no_error_is_finite():
    np.testing.assert_allclose(
        metrics.peak_signal_to_noise_ratio(np.array([1.0, 0.01, 0.0])), [0, 20, 100], atol=1e-9
    )


def test_structural_similarity_agrees_with_scikit_image(digits, blurred):
    expected = [
        skimage.metrics.structural_similarity(
            image[..., 0],
            other[..., 0],
            data_range=1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for image, other in zip(digits, blurred, strict=True)
    ]
    assert np.std(expected) > 0.05
    np.testing.assert_allclose(metrics.structural_similarity(digits, blurred), expected, atol=1e-4)
    np.testing.assert_allclose(metrics.structural_similarity(digits, digits), 1, atol=1e-6)


@pytest.mark.parametrize(("side", "window"), [(8, 7), (9, 9), (10, 9), (11, 11), (20, 11)])
def test_structural_similarity_of_small_and_coloured_images(digits, blurred, side, window):
    # Three digits as the colours of one picture, whose middle is taken.
    some, others = (
        np.concatenate(np.split(images[:60], 3), axis=-1)[:, 14 - side // 2 :][:, :side, 5:25]
        for images in (digits, blurred)
    )
    weights = scipy.stats.norm.pdf(np.arange(window) - window // 2, scale=1.5)
    weights = np.outer(weights, weights) / weights.sum() ** 2

    def mean(values):  # Of every window that lies inside.
        values = np.lib.stride_tricks.sliding_window_view(values, (window, window), axis=(1, 2))
        return np.sum(values.astype("float64") * weights, axis=(-1, -2))

    a, b, c1, c2 = mean(some), mean(others), 0.01**2, 0.03**2
    covariance = mean(some * others) - a * b
    variances = mean(some**2) - a**2 + mean(others**2) - b**2
    maps = (2 * a * b + c1) * (2 * covariance + c2) / ((a**2 + b**2 + c1) * (variances + c2))
    expected = maps.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(metrics.structural_similarity(some, others), expected, atol=1e-4)


def test_pca_has_no_more_components_than_images_or_pixels(digits):
    few, narrow = PCA.fit(digits[:20]), PCA.fit(digits[:, 10:14, 10:14])
    assert len(few.components) == len(few.variances) == 20
    assert len(narrow.components) == 16
    np.testing.assert_allclose(few.reconstruct(digits[:20], 30), digits[:20], atol=1e-4)
    assert few.sample(5, 30, seed=0).shape == (5, 784)


def test_size_up_to_which_pca_is_fitted():
    assert too_large((32, 32, 3)) is None
    assert "up to 3,072 of them, and these images have 4,096" in too_large((64, 64, 1))


def test_cross_entropy_agrees_with_keras(digits, blurred):
    flat, other = digits.reshape(len(digits), -1), blurred.reshape(len(digits), -1)
    other = other.clip(0.01, 0.99)
    expected = keras.losses.binary_crossentropy(flat, other) * 784
    np.testing.assert_allclose(
        metrics.bernoulli_cross_entropy(flat, other), np.asarray(expected), rtol=1e-4
    )


def test_cross_entropy_is_clipped_where_a_pixel_is_certain_and_wrong():
    images = np.array([[[1.0, 0.0]], [[1.0, 0.0]]])
    probabilities = np.array([[[0.0, 0.0]], [[1.0, 1.0]]])
    np.testing.assert_allclose(
        metrics.bernoulli_cross_entropy(images, probabilities), -np.log(1e-7), rtol=1e-6
    )


def test_entropy_is_the_cross_entropy_of_a_perfect_reconstruction(digits):
    np.testing.assert_allclose(
        metrics.bernoulli_entropy(digits),
        metrics.bernoulli_cross_entropy(digits, digits),
        rtol=1e-4,
    )
    np.testing.assert_allclose(metrics.bernoulli_entropy(np.full((1, 4), 0.5)), 4 * np.log(2))
    assert metrics.bernoulli_entropy(np.array([[0.0, 1.0]])) == 0


def test_entropy_of_the_test_images_is_the_known_floor(dataset):
    floor = metrics.bernoulli_entropy(data.to_float(dataset.test.images)).mean()
    np.testing.assert_allclose(floor, 45.534, atol=5e-4)


def test_affine_filter_is_the_regression_of_clean_on_noisy_images(digits):
    few, noise_std = digits[:, 7:21, 7:21].reshape(len(digits), -1), 0.3
    rng = np.random.default_rng(0)

    def noisy():
        noise = rng.normal(0, noise_std, few.shape).astype("float32")
        return (few + noise).clip(0, 1)

    # A hundred draws of the noise for each digit; the filter knows all draws.
    many = np.concatenate([noisy() for _ in range(100)])
    regression = LinearRegression().fit(many, np.tile(few, (100, 1)))
    again = noisy()
    (affine,) = AffineFilter.fit(np.rint(few * 255).astype("uint8"), [noise_std])
    best = metrics.mean_squared_error(few, affine(again)).mean()
    predicted = regression.predict(again).clip(0, 1)
    other = metrics.mean_squared_error(few, predicted).mean()
    assert best < other < 1.02 * best
    np.testing.assert_allclose(affine(again), predicted, atol=0.1)


def test_pca_samples_have_the_variances_of_the_components(pale):
    pca = PCA.fit(pale)
    samples = pca.sample(20_000, 5, seed=0)
    np.testing.assert_allclose(samples.mean(axis=0), pca.mean, atol=0.003)
    latents = pca.encode(samples, 8)
    np.testing.assert_allclose(latents[:, :5].var(axis=0), pca.variances[:5], rtol=0.05)
    np.testing.assert_allclose(latents[:, 5:], 0, atol=1e-4)


def test_active_units_are_those_whose_mean_varies():
    noise = np.random.default_rng(0).standard_normal((5000, 1))
    active = metrics.active_units(noise * [1, 0.09, 0.11, 0] + [0, 5, 0, 3])
    np.testing.assert_array_equal(active, [True, False, True, False])


def _log_weights(x, samples, seed, mean, std):
    """Of the model z ~ N(0, 1), x ~ N(z, 1) with the proposal N(mean, std)."""
    z = np.random.default_rng(seed).normal(mean[:, None], std, (len(x), samples))
    joint = scipy.stats.norm.logpdf(z) + scipy.stats.norm.logpdf(x[:, None], z)
    return joint - scipy.stats.norm.logpdf(z, mean[:, None], std)


def test_importance_weighted_nll_finds_the_likelihood_of_a_linear_gaussian_model():
    x = np.array([-2.0, 0.0, 1.0, 3.0])
    expected = -scipy.stats.norm.logpdf(x, scale=np.sqrt(2))
    exact = _log_weights(x, 3, 0, x / 2, np.sqrt(0.5))
    np.testing.assert_allclose(metrics.importance_weighted_nll(exact), expected, rtol=1e-12)
    poor = _log_weights(x, 50_000, 1, 0.3 * x, 0.9)
    np.testing.assert_allclose(metrics.importance_weighted_nll(poor), expected, atol=0.02)
    # One sample gives the negative ELBO, which is above.
    single = metrics.importance_weighted_nll(_log_weights(x, 1, 2, 0.3 * x, 0.9))
    assert single.mean() > expected.mean()


def test_importance_weighted_nll_does_not_underflow():
    log_weights = np.random.default_rng(0).normal(-900, 30, (6, 100)).astype("float32")
    shifted = np.mean(np.exp(log_weights.astype("float64") + 800), axis=1)
    expected = 800 - np.log(shifted)
    np.testing.assert_allclose(metrics.importance_weighted_nll(log_weights), expected, rtol=1e-12)


def test_frechet_distance_has_its_closed_forms():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((500, 6)) @ rng.standard_normal((6, 6))
    np.testing.assert_allclose(metrics.frechet_distance(features, features), 0, atol=1e-9)
    np.testing.assert_allclose(metrics.frechet_distance(features, features + 2), 24, rtol=1e-9)
    # Along independent axes it is the sum of the squared differences of the deviations.
    axes = np.linalg.qr(features - features.mean(axis=0))[0]
    deviations = axes.std(axis=0, ddof=1)
    np.testing.assert_allclose(
        metrics.frechet_distance(axes, axes * np.arange(6)),
        np.sum((deviations * (np.arange(6) - 1)) ** 2),
        rtol=1e-9,
    )


def test_frechet_distance_agrees_with_a_matrix_square_root():
    rng = np.random.default_rng(1)
    first = rng.standard_normal((400, 5)) @ rng.standard_normal((5, 5))
    second = rng.standard_normal((300, 5)) @ rng.standard_normal((5, 5)) + 1
    covariances = [np.cov(rows, rowvar=False) for rows in (first, second)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.sum((first.mean(axis=0) - second.mean(axis=0)) ** 2) + np.trace(
        covariances[0] + covariances[1] - 2 * root
    )
    np.testing.assert_allclose(metrics.frechet_distance(first, second), expected, rtol=1e-8)


def test_distance_to_uniform_runs_from_zero_to_almost_one():
    assert metrics.distance_to_uniform([7, 7, 7, 7]) == 0
    np.testing.assert_allclose(metrics.distance_to_uniform([5, 0, 0, 0]), 0.75)
    np.testing.assert_allclose(metrics.distance_to_uniform([2, 2, 0, 0]), 0.5)


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(0)
    normal, anomalous = rng.normal(0, 1, 300), rng.normal(0.7, 2, 200).round(1)
    higher = anomalous[:, None] > normal
    assert metrics.auroc(normal, anomalous) == pytest.approx(higher.mean(), abs=1e-12)
    assert metrics.auroc(normal, normal) == pytest.approx(0.5)  # Ties count half.
