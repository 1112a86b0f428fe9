"""Anomaly scores against independent computations, and on digits that were not trained on."""

import keras
import numpy as np
import pytest
import scipy.ndimage
import scipy.spatial
import scipy.stats
from sklearn.metrics import roc_auc_score

from keras_ae import data, metrics, models, recipes
from keras_ae.evaluation import scores
from keras_ae.training import fit

MODELS = {
    "dense": lambda: models.DenseAutoencoder(4, (16,), batch_normalization=True),
    "conv": lambda: models.ConvAutoencoder(8, (4, 4)),
    "lstm": lambda: models.LSTMAutoencoder(8, (8,)),
    "one layer": lambda: models.DenseAutoencoder(1, ()),
    "vae": lambda: models.VariationalAutoencoder(4, lstm_units=8, base_filters=4, filters=(4, 4)),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    """A model of each class with initial weights."""
    keras.utils.set_random_seed(0)
    return MODELS[request.param]()


@pytest.mark.parametrize("name", scores.SCORES)
def test_every_score_takes_every_model_and_judges_each_image_alone(model, digits, name):
    normal, images = digits[:200], digits[200:]
    values = scores.SCORES[name](model, normal, images)
    assert values.shape == (100,)
    assert np.isfinite(values).all()
    again = scores.SCORES[name](model, normal, images[::-1][:30])
    np.testing.assert_allclose(again, values[::-1][:30], rtol=1e-3)


def test_reconstruction_probability_is_the_mean_of_the_reconstruction_loss(digits):
    model = MODELS["vae"]()
    model.compile(optimizer="adam")
    values = scores.reconstruction_probability(model, digits, digits)
    losses = model.evaluate(np.repeat(digits, 16, axis=0), verbose=0, return_dict=True)
    assert values.mean() == pytest.approx(losses["reconstruction_loss"], rel=1e-3)
    assert np.array_equal(values, scores.reconstruction_probability(model, digits, digits))


def test_reconstruction_probability_needs_a_posterior(digits):
    with pytest.raises(ValueError, match="Received: DenseAutoencoder"):
        scores.reconstruction_probability(MODELS["dense"](), digits, digits)


def test_aggregation_along_the_pathway_layer_by_layer(digits):
    model = MODELS["dense"]()
    flatten, dense, norm, latents = model.encoder.layers[1:]
    total = metrics.mean_squared_error(digits, model.reconstruct(digits)) * 784
    image, reconstruction = flatten(digits), flatten(model.reconstruct(digits))
    for layer in (dense, norm, latents):
        image, reconstruction = layer(image), layer(reconstruction)
        total += np.square(image - reconstruction).sum(axis=1)
    np.testing.assert_allclose(scores.rapp_sap(model, digits, digits), total, rtol=1e-4)


def test_normalized_aggregation_whitens_what_the_simple_one_sums(digits):
    # With hardly any shrinkage, the squared distances of the normal images themselves sum to
    # their number less one for each direction in which they vary.
    model = models.DenseAutoencoder(4, (16,), activation="tanh")
    normal = digits[:250]
    differences = scores._pathway(model, normal)
    np.testing.assert_allclose(
        scores.rapp_sap(model, normal, normal), np.square(differences).sum(axis=1), rtol=1e-4
    )
    latents = model.encode(digits)
    expected = [
        scipy.spatial.distance.mahalanobis(
            one, latents.mean(axis=0), np.linalg.inv(np.cov(latents, rowvar=False))
        )
        ** 2
        for one in latents
    ]
    np.testing.assert_allclose(scores.latent_mahalanobis(model, digits, digits), expected, rtol=0.1)


def _directions(rows):
    flat = np.asarray(rows, "float64").reshape(len(rows), -1)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def test_angle_to_the_latents_of_normal_images(digits):
    # Fewer latents than components, so that these only rotate.
    model = MODELS["conv"]()
    normal, images = digits[:200], digits[200:]
    cosines = _directions(model.encode(images)) @ _directions(model.encode(normal)).T
    nearest = np.sqrt(2 - 2 * -np.sort(-cosines, axis=1)[:, : scores.NEIGHBOURS])
    np.testing.assert_allclose(
        scores.latent_angle(model, normal, images), nearest.mean(axis=1), rtol=1e-3, atol=1e-4
    )


def test_pixel_angle_is_over_principal_components_and_not_over_ink(digits):
    rows = _directions(digits)
    components = np.linalg.svd(rows[:200] - rows[:200].mean(axis=0), full_matrices=False)[2]
    latents = rows @ components[: scores.COMPONENTS].T
    distances = np.sort(scipy.spatial.distance.cdist(latents[200:], latents[:200]), axis=1)
    expected = distances[:, : scores.NEIGHBOURS].mean(axis=1)
    values = scores.pixel_angle(MODELS["dense"](), digits[:200], digits[200:])
    np.testing.assert_allclose(values, expected, rtol=0.01)
    fainter = scores.pixel_angle(MODELS["dense"](), digits[:200], 0.3 * digits[200:])
    np.testing.assert_allclose(fainter, values, rtol=1e-3)


def _blurred(digits):
    # One image at a time; neither across images nor across channels.
    return np.stack([scipy.ndimage.gaussian_filter(image[..., 0], 1) for image in digits])


def test_blurred_angle_is_to_the_nearest_by_cosine(digits):
    rows = _directions(_blurred(digits))
    expected = np.sqrt(2 - 2 * (rows[200:] @ rows[:200].T).max(axis=1))
    values = scores.blurred_angle(MODELS["dense"](), digits[:200], digits[200:])
    np.testing.assert_allclose(values, expected, rtol=1e-3)


def test_detail_counts_by_its_power(digits):
    model = MODELS["dense"]()
    detail = np.square(digits[200:, ..., 0] - _blurred(digits[200:])).sum(axis=(1, 2))
    angle = scores.pixel_angle(model, digits[:200], digits[200:])
    values = scores.detail_angle(model, digits[:200], digits[200:])
    np.testing.assert_allclose(values, angle / np.power(detail, 0.4), rtol=1e-4)


def test_error_counts_beside_that_of_the_nearest_latents(digits):
    model = models.DenseAutoencoder(4, (16,))
    normal, images = digits[:200], digits[200:]
    distances = scipy.spatial.distance.cdist(model.encode(images), model.encode(normal))
    nearest = np.argsort(distances, axis=1)[:, :30]
    usual, errors = (
        np.mean((some - model.reconstruct(some)) ** 2, axis=(1, 2, 3)) for some in (normal, images)
    )
    ratios = errors / scipy.stats.gmean(usual[nearest], axis=1)
    assert ratios.min() < 1 < ratios.max()
    values = scores.angle_and_error(model, normal, images)
    without = scores.detail_angle(model, normal, images)
    # A low error is as unusual as a high one.
    expected = without * np.maximum(ratios, 1 / ratios) ** 0.2
    np.testing.assert_allclose(values, expected, rtol=1e-4)


def test_hidden_angle_is_over_the_layers_that_have_weights(digits):
    model = models.DenseAutoencoder(4, (12,), batch_normalization=True)
    activations, squared = model.encoder.layers[1](digits), 0
    for layer in model.encoder.layers[2:]:
        activations = layer(activations)
        rows = _directions(activations)
        squared += scipy.spatial.distance.cdist(rows[200:], rows[:200], "sqeuclidean")
    nearest = np.sort(np.sqrt(squared), axis=1)[:, : scores.NEIGHBOURS]
    np.testing.assert_allclose(
        scores.hidden_angle(model, digits[:200], digits[200:]),
        nearest.mean(axis=1),
        rtol=1e-3,
        atol=1e-3,
    )


def test_scores_tell_a_digit_from_the_others_where_the_error_does_not(dataset):
    train = dataset.train.images[dataset.train.labels == 8]
    recipe = recipes.get("conv").override(epochs=3)
    model, shuffled = fit.prepare(recipe, train)
    model.fit(
        shuffled.dataset, epochs=recipe.epochs, callbacks=[shuffled], shuffle=False, verbose=0
    )
    images, labels = dataset.validation.images[:2000], dataset.validation.labels[:2000]
    separation = {
        name: roc_auc_score(
            labels != 8, scores.SCORES[name](model, data.to_float(train), data.to_float(images))
        )
        for name in ("model_score", "relative_error", "hidden_angle")
    }
    assert separation["relative_error"] > separation["model_score"]
    assert separation["hidden_angle"] > separation["model_score"] + 0.05
