"""Anomaly scores: what a trained model and the normal images tell about other images.

Each function takes the model, the normal images that it was trained on and the images to judge,
both float32 `[n, 28, 28, 1]` in [0, 1], and returns floats `[n]`: the higher, the more anomalous.
None of them sees an anomaly or a label.
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from scipy.linalg import solve_triangular
from scipy.ndimage import gaussian_filter
from sklearn import decomposition
from sklearn.covariance import shrunk_covariance
from sklearn.neighbors import NearestNeighbors

from keras_ae import metrics, references
from keras_ae.models import Autoencoder, VariationalAutoencoder, losses
from keras_ae.models.autoencoder import IMAGES, check_images, split_into_batches

# Normal images that bound the cost of what compares thousands of activations.
FIT_IMAGES = 10_000
# Share of a covariance that becomes a multiple of the identity: units that never vary on normal
# images would otherwise have infinite weight.
SHRINKAGE = 0.01
# Of the scores by angle. Chosen on the validation images, see benchmarks/tuning.md.
NEIGHBOURS = 5
COMPONENTS = 32
DETAIL_POWER = 0.4
ERROR_NEIGHBOURS, ERROR_WEIGHT = 30, 0.2
POSTERIOR_SAMPLES = 16

Score = Callable[[Autoencoder, np.ndarray, np.ndarray], np.ndarray]


def model_score(model: Autoencoder, normal: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The model's own score: reconstruction error, or negative ELBO at the posterior mean."""
    return model.score(images)


def pca_error(model: Autoencoder, normal: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Reconstruction error of PCA with as many components as the model has latents: a reference."""
    outputs = references.PCA.fit(normal).reconstruct(images, model.latent_dim)
    return metrics.mean_squared_error(images, outputs)


def relative_error(model: Autoencoder, normal: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Squared error as a share of the image's own sum of squares.

    The plain error grows with the ink: a thin anomaly has less of it than a bold normal digit.
    """
    blank = np.zeros_like(images)
    energy = metrics.mean_squared_error(images, blank)
    errors = metrics.mean_squared_error(images, model.reconstruct(images))
    return errors / np.maximum(energy, 1e-6)


def pixel_angle(model: Autoencoder, normal: np.ndarray, images: np.ndarray) -> np.ndarray:
    """As `hidden_angle`, over the pixels, without the model: another reference."""
    return _angle(lambda some: [some.reshape(len(some), -1)], normal, images)


def blurred_angle(model: Autoencoder, normal: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Distance from the nearest normal image, without the model: another reference.

    Both are blurred by a pixel and scaled to length one, so that the nearest has the largest
    cosine. No component is dropped.
    """
    neighbours = NearestNeighbors(n_neighbors=1, algorithm="brute")
    fitted = neighbours.fit(_unit(_blurred(normal)))
    return fitted.kneighbors(_unit(_blurred(images)))[0][:, 0]


def detail_angle(model: Autoencoder, normal: np.ndarray, images: np.ndarray) -> np.ndarray:
    """`pixel_angle / detail^0.4`, without the model: another reference.

    Detail is the sum of squares of what a blur by a pixel takes from the image. The more of it an
    image has, the farther it is from everything, normal or not.
    """
    detail = np.square(images - _blurred(images)).sum(axis=(1, 2, 3))
    return pixel_angle(model, normal, images) / np.maximum(detail, 1e-6) ** DETAIL_POWER


def angle_and_error(model: Autoencoder, normal: np.ndarray, images: np.ndarray) -> np.ndarray:
    """`detail_angle * exp(0.2 |log(error / usual error)|)`.

    Error is the squared error of the reconstruction. The usual one is the geometric mean of the
    errors of the 30 normal images with the nearest latents: thin strokes are compared with thin
    ones, and an anomaly with what the model takes it for. An error that is unusually low says
    something, too: an image may be simpler than all of those.
    """

    def log_error(some: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(metrics.mean_squared_error(some, model.reconstruct(some)), 1e-12))

    count = min(ERROR_NEIGHBOURS, len(normal))
    neighbours = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(model.encode(normal))
    nearest = neighbours.kneighbors(model.encode(images), return_distance=False)
    unusual = np.abs(log_error(images) - log_error(normal)[nearest].mean(axis=1))
    return detail_angle(model, normal, images) * np.exp(ERROR_WEIGHT * unusual)


def latent_angle(model: Autoencoder, normal: np.ndarray, images: np.ndarray) -> np.ndarray:
    """As `hidden_angle`, over the latents."""
    return _angle(lambda some: [model.encode(some)], normal, images)


def hidden_angle(model: Autoencoder, normal: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Distance from the nearest normal images, by the activations of every layer of the encoder.

    Each layer's activations are scaled to length one and put side by side, so that neither the ink
    nor the width of a layer counts: a thin stroke is near everything in activations as they are.
    The first 32 principal components of normal images are compared: less work, and better than all.
    The score is the mean distance of the nearest five.
    """
    return _angle(_hidden_layers(model), normal, images)


def latent_mahalanobis(model: Autoencoder, normal: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Squared distance of the latents from their mean, in units of the normal images' spread."""
    return _mahalanobis(model.encode(normal), model.encode(images))


def rapp_sap(model: Autoencoder, normal: np.ndarray, images: np.ndarray) -> np.ndarray:
    """RaPP's simple aggregation along the pathway.

    Squared difference between an image and its reconstruction, summed over the pixels and the
    activations of every encoder layer: Kim et al., 2020, https://openreview.net/forum?id=HkgeGeBYDB.
    """
    return np.square(_pathway(model, images)).sum(axis=1)


def rapp_nap(model: Autoencoder, normal: np.ndarray, images: np.ndarray) -> np.ndarray:
    """RaPP's normalized aggregation along the pathway.

    As `rapp_sap`, with the differences whitened by their covariance on normal images (the first
    10,000 of them): Kim et al., 2020, section 3.3.
    """
    return _mahalanobis(_pathway(model, normal[:FIT_IMAGES]), _pathway(model, images))


def reconstruction_probability(
    model: VariationalAutoencoder, normal: np.ndarray, images: np.ndarray
) -> np.ndarray:
    """Negative expected log-likelihood of the image over its posterior, nats per image.

    An and Cho, 2015, "Variational Autoencoder based Anomaly Detection using Reconstruction
    Probability", with 16 samples of the posterior from a fixed seed.

    Raises:
        ValueError: If the model is not variational.
    """
    if not isinstance(model, VariationalAutoencoder):
        raise ValueError(
            "`model` must be a VariationalAutoencoder: there is no posterior to draw from. "
            f"Received: {type(model).__name__}"
        )
    logits = model.decoder.get_layer("logits")

    @tf.function(input_signature=[IMAGES, tf.TensorSpec((), tf.int32)])
    def expected(batch, seed):
        mean, log_variance = model.posterior_step(batch)
        total = 0.0
        for sample in range(POSTERIOR_SAMPLES):
            noise = tf.random.stateless_normal(tf.shape(mean), seed=(seed, sample))
            latents = mean + tf.exp(log_variance / 2) * noise
            total += losses.bernoulli_negative_log_likelihood(
                batch, logits(latents, training=False)
            )
        return total / POSTERIOR_SAMPLES

    batches = split_into_batches(check_images(images, model.image_shape), 1000)
    return np.concatenate([expected(batch, seed).numpy() for seed, batch in enumerate(batches)])


def _hidden_layers(model: Autoencoder) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Returns a function from images to the activations `[n, units]` of each encoder layer."""
    # The second output of a variational encoder, the log-variance, is no latent.
    latents = keras.tree.flatten(model.encoder.outputs)[0]
    layers = keras.Model(model.encoder.inputs, latents).layers
    outputs = [keras.layers.Flatten()(layer.output) for layer in layers if layer.weights]
    hidden = keras.Model(model.encoder.inputs, outputs)

    def activations(images: np.ndarray) -> list[np.ndarray]:
        # One layer alone comes without a list.
        layers = keras.tree.flatten(
            hidden.predict(check_images(images, model.image_shape), 1000, verbose=0)
        )
        return [layer.astype("float32", copy=False) for layer in layers]

    return activations


def _pathway(model: Autoencoder, images: np.ndarray) -> np.ndarray:
    """Returns pixels and activations of images less those of reconstructions, `[n, units]`."""
    hidden, reconstructions = _hidden_layers(model), model.reconstruct(images)
    differences = [(images - reconstructions).reshape(len(images), -1)]
    for own, other in zip(hidden(images), hidden(reconstructions), strict=True):
        differences.append(own - other)
    return np.concatenate(differences, axis=1)


def _angle(
    layers: Callable[[np.ndarray], list[np.ndarray]], normal: np.ndarray, images: np.ndarray
) -> np.ndarray:
    """Returns the mean distance of each image from the nearest normal ones, see `hidden_angle`.

    `layers` is a function from images to arrays `[n, units]`.
    """

    def directions(some: np.ndarray) -> np.ndarray:
        return np.concatenate([_unit(rows) for rows in layers(some)], axis=1)

    some = directions(normal[:FIT_IMAGES])
    # Activations are too many for `references.PCA`, which computes all components.
    components = decomposition.PCA(min(COMPONENTS, *some.shape), random_state=0).fit(some)

    def project(some: np.ndarray) -> np.ndarray:
        batches = split_into_batches(some, FIT_IMAGES)
        return np.concatenate([components.transform(directions(batch)) for batch in batches])

    neighbours = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(normal)), algorithm="brute")
    return neighbours.fit(project(normal)).kneighbors(project(images))[0].mean(axis=1)


def _unit(rows: np.ndarray) -> np.ndarray:
    """Returns `rows` `[n, ...]` as `[n, units]`, each scaled to length one."""
    flat = rows.reshape(len(rows), -1)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)


def _blurred(images: np.ndarray) -> np.ndarray:
    return gaussian_filter(images, 1.0, axes=(1, 2))


def _mahalanobis(normal: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns the squared Mahalanobis distances of `rows` `[n, units]` from normal ones."""
    covariance = np.atleast_2d(np.cov(normal, rowvar=False, dtype="float32"))
    root = np.linalg.cholesky(shrunk_covariance(covariance, SHRINKAGE))
    centred = (rows - normal.mean(axis=0)).T
    return np.square(solve_triangular(root, centred, lower=True)).sum(axis=0)


# Those that a report shows: they take seconds.
QUICK_SCORES: dict[str, Score] = {
    score.__name__: score
    for score in (relative_error, latent_mahalanobis, pixel_angle, latent_angle, hidden_angle)
}
# For any autoencoder, by name.
SCORES: dict[str, Score] = {
    score.__name__: score
    for score in (
        model_score,
        pca_error,
        rapp_sap,
        rapp_nap,
        blurred_angle,
        detail_angle,
        angle_and_error,
    )
} | QUICK_SCORES
# For models that have a posterior.
VARIATIONAL_SCORES: dict[str, Score] = {"reconstruction_probability": reconstruction_probability}
