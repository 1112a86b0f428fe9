"""Anomaly scores: functions of a trained model, normal images and the images to be judged.

Each takes the model, the normal images that it was trained on and the images to score, both
float32 `[n, 28, 28, 1]` in [0, 1], and returns floats `[n]`: the higher, the more anomalous.
"""

from collections.abc import Callable

import numpy as np

from keras_ae import metrics
from keras_ae.models import Autoencoder

Score = Callable[[Autoencoder, np.ndarray, np.ndarray], np.ndarray]


def model(model: Autoencoder, normal: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The model's own score: reconstruction error, or negative ELBO at the posterior mean."""
    return model.score(images)


def pca(model: Autoencoder, normal: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Reconstruction error of PCA with as many components as the code has units: a yardstick."""
    outputs = metrics.PCA.fit(normal).reconstruct(images, model.latent_dim)
    return metrics.mean_squared_error(images, outputs)


SCORES: dict[str, Score] = {score.__name__: score for score in (model, pca)}
