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
from sklearn.covariance import shrunk_covariance
from sklearn.neighbors import NearestNeighbors

from keras_ae import losses, metrics
from keras_ae.models import Autoencoder, VariationalAutoencoder
from keras_ae.models.autoencoder import IMAGES, check_images

# Normal images that bound the cost of what compares thousands of activations.
FIT_IMAGES = 10_000
# Share of a covariance that becomes a multiple of the identity: units that never vary on normal
# images would otherwise have infinite weight.
SHRINKAGE = 0.01
ANGLE_SHRINKAGE = 1 / 3
POSTERIOR_SAMPLES = 16


def plain(model: Autoencoder, fit_images: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The model's own score: squared error, or the negative ELBO. It needs no normal images."""
    return model.score(images)


def pca_error(model: Autoencoder, fit_images: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Squared error of as many principal components as the model has latents: the yardstick."""
    pca = metrics.PCA.fit(check_images(fit_images, "fit_images"))
    return metrics.mean_squared_error(
        images, pca.reconstruct(check_images(images), model.latent_dim)
    )


def relative_error(model: Autoencoder, fit_images: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Squared error as a share of the image's own sum of squares.

    The plain error grows with the ink: a thin anomaly has less of it than a bold normal digit.
    """
    blank = np.zeros_like(images)
    energy = metrics.mean_squared_error(images, blank)
    errors = metrics.mean_squared_error(images, model.reconstruct(images))
    return errors / np.maximum(energy, 1e-6)


def latent_angle(model: Autoencoder, fit_images: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Distance from the latents' direction to the nearest one of a normal image.

    Directions, because the length of a code grows with the ink. They are whitened as in
    `latent_mahalanobis`, more cautiously, and scaled to length one again.
    """
    normal = _directions(model.encode(fit_images))
    mean, root = normal.mean(axis=0), _covariance_root(normal, ANGLE_SHRINKAGE)
    whitened = [
        _directions(solve_triangular(root, (directions - mean).T, lower=True).T)
        for directions in (normal, _directions(model.encode(images)))
    ]
    return _nearest(*whitened)


def hidden_angle(model: Autoencoder, fit_images: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Distance to the nearest of the first 10,000 normal images in the encoder's hidden layers.

    The activations of each layer are scaled to length one, so that neither the ink nor the width
    of a layer counts.
    """
    hidden = _hidden_layers(model)
    normal, rows = (
        np.concatenate([_directions(layer) for layer in hidden(some)], axis=1)
        for some in (fit_images[:FIT_IMAGES], images)
    )
    return _nearest(normal, rows)


def latent_mahalanobis(
    model: Autoencoder, fit_images: np.ndarray, images: np.ndarray
) -> np.ndarray:
    """Squared distance of the latents from their mean, in units of the normal images' spread."""
    return _mahalanobis(model.encode(fit_images), model.encode(images))


def rapp_sap(model: Autoencoder, fit_images: np.ndarray, images: np.ndarray) -> np.ndarray:
    """RaPP's simple aggregation along the pathway.

    Squared difference between an image and its reconstruction, summed over the pixels and the
    activations of every encoder layer: Kim et al., 2020, https://openreview.net/forum?id=HkgeGeBYDB.
    """
    return np.square(_pathway(model, images)).sum(axis=1)


def rapp_nap(model: Autoencoder, fit_images: np.ndarray, images: np.ndarray) -> np.ndarray:
    """RaPP's normalized aggregation along the pathway.

    As `rapp_sap`, with the differences whitened by their covariance on normal images (the first
    10,000 of them): Kim et al., 2020, section 3.3.
    """
    return _mahalanobis(_pathway(model, fit_images[:FIT_IMAGES]), _pathway(model, images))


def reconstruction_probability(
    model: VariationalAutoencoder, fit_images: np.ndarray, images: np.ndarray
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

    images = check_images(images)
    batches = np.array_split(images, range(1000, len(images), 1000))
    return np.concatenate([expected(batch, seed).numpy() for seed, batch in enumerate(batches)])


Score = Callable[[Autoencoder, np.ndarray, np.ndarray], np.ndarray]

# For any autoencoder, by the name in tables.
SCORES: dict[str, Score] = {
    "plain": plain,
    "pca": pca_error,
    "relative_error": relative_error,
    "rapp_sap": rapp_sap,
    "rapp_nap": rapp_nap,
    "latent_mahalanobis": latent_mahalanobis,
    "latent_angle": latent_angle,
    "hidden_angle": hidden_angle,
}
# For models with a posterior.
VARIATIONAL_SCORES: dict[str, Score] = {"reconstruction_probability": reconstruction_probability}


def _hidden_layers(model: Autoencoder) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Returns a function from images to the activations `[n, units]` of each encoder layer."""
    # The second output of a variational encoder, the log-variance, is no code.
    latents = keras.tree.flatten(model.encoder.outputs)[0]
    layers = keras.Model(model.encoder.inputs, latents).layers
    outputs = [keras.layers.Flatten()(layer.output) for layer in layers if layer.weights]
    hidden = keras.Model(model.encoder.inputs, outputs)

    def activations(images: np.ndarray) -> list[np.ndarray]:
        # One layer alone comes without a list.
        layers = keras.tree.flatten(hidden.predict(check_images(images), 1000, verbose=0))
        return [layer.astype("float32", copy=False) for layer in layers]

    return activations


def _pathway(model: Autoencoder, images: np.ndarray) -> np.ndarray:
    """Returns pixels and activations of images less those of reconstructions, `[n, units]`."""
    hidden, reconstructions = _hidden_layers(model), model.reconstruct(images)
    differences = [(images - reconstructions).reshape(len(images), -1)]
    for own, other in zip(hidden(images), hidden(reconstructions), strict=True):
        differences.append(own - other)
    return np.concatenate(differences, axis=1)


def _directions(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _nearest(normal: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns the Euclidean distance of each of `rows` from the nearest of `normal`."""
    neighbours = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(normal)
    return neighbours.kneighbors(rows)[0][:, 0]


def _covariance_root(normal: np.ndarray, shrinkage: float) -> np.ndarray:
    """Returns the lower Cholesky factor of the shrunk covariance of `normal` `[n, units]`."""
    covariance = np.atleast_2d(np.cov(normal, rowvar=False, dtype="float32"))
    return np.linalg.cholesky(shrunk_covariance(covariance, shrinkage))


def _mahalanobis(normal: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns the squared Mahalanobis distances of `rows` `[n, units]` from normal ones."""
    root = _covariance_root(normal, SHRINKAGE)
    centred = (rows - normal.mean(axis=0)).T
    return np.square(solve_triangular(root, centred, lower=True)).sum(axis=0)
