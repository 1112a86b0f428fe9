"""Measures of reconstructions and codes: pure functions over NumPy arrays."""

import dataclasses

import numpy as np


def mean_squared_error(images: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Returns the mean squared error per pixel of each image, float64 `[n]`.

    Args:
        images: `[n, ...]`.
        reconstructions: Of the same shape.
    """
    difference = images.reshape(len(images), -1) - reconstructions.reshape(len(images), -1)
    return np.mean(np.square(difference), axis=1, dtype="float64")


@dataclasses.dataclass(frozen=True)
class PCA:
    """Principal components: the best linear autoencoder, and so the yardstick of the others.

    Attributes:
        mean: Mean image, `[pixels]`.
        components: Orthonormal rows by falling variance, `[components, pixels]`.
        variances: Variance of the images along each component, `[components]`.
    """

    mean: np.ndarray
    components: np.ndarray
    variances: np.ndarray

    @classmethod
    def fit(cls, images: np.ndarray) -> "PCA":
        """Computes all components of `images`, `[n, ...]` floats."""
        flat = images.reshape(len(images), -1)
        mean = flat.mean(axis=0, dtype="float64")
        centred = flat - mean.astype(flat.dtype)
        variances, vectors = np.linalg.eigh((centred.T @ centred).astype("float64") / len(flat))
        return cls(
            mean.astype(flat.dtype), vectors.T[::-1].astype(flat.dtype), variances[::-1].clip(0)
        )

    def reconstruct(self, images: np.ndarray, dimensions: int) -> np.ndarray:
        """Projects `images` on the first `dimensions` components and back, without clipping."""
        basis = self.components[:dimensions]
        codes = (images.reshape(len(images), -1) - self.mean) @ basis.T
        return (codes @ basis + self.mean).reshape(images.shape)


def live_units(latents: np.ndarray) -> int:
    """Returns how many units of the code vary at all over `latents` `[n, latent_dim]`.

    A unit that has one value for every image carries nothing: the fate of a ReLU whose input
    has become negative for all of them.
    """
    return int(np.sum(np.ptp(latents, axis=0) > 1e-6))
