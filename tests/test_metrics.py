"""Measures against closed forms and independent computations."""

import numpy as np

from keras_ae import metrics


def test_mean_squared_error_is_per_image_and_per_pixel():
    images = np.zeros((2, 28, 28, 1), "float32")
    reconstructions = np.stack([np.full((28, 28, 1), 0.5), np.eye(28)[..., None]])
    errors = metrics.mean_squared_error(images, reconstructions.astype("float32"))
    np.testing.assert_allclose(errors, [0.25, 28 / 784], rtol=1e-6)


def test_pca_error_is_the_sum_of_the_variances_left_out(digits):
    pca = metrics.PCA.fit(digits)
    for dimensions in (1, 8, 64):
        error = metrics.mean_squared_error(digits, pca.reconstruct(digits, dimensions)).mean()
        np.testing.assert_allclose(error, pca.variances[dimensions:].sum() / 784, rtol=1e-4)


def test_pca_agrees_with_a_singular_value_decomposition(digits):
    flat = digits.reshape(len(digits), -1).astype("float64")
    mean = flat.mean(axis=0)
    left, values, right = np.linalg.svd(flat - mean, full_matrices=False)
    expected = (left[:, :5] * values[:5]) @ right[:5] + mean
    result = metrics.PCA.fit(digits).reconstruct(digits, 5)
    np.testing.assert_allclose(result.reshape(len(digits), -1), expected, atol=1e-4)


def test_live_units_counts_the_units_that_vary():
    latents = np.array([[0.0, 1.0, 5.0, 0.0], [0.0, 2.0, 5.0, 1e-3]], "float32")
    assert metrics.live_units(latents) == 2
