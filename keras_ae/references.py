"""What a model is compared with: PCA and the best affine filter against noise.

All images that they give are clipped to [0, 1], as those of the models are, before any error.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

# Both cost the cube of the values of an image (height x width x channels) and the memory of their
# square. On two busy cores with 10,000 images PCA took 2 s at 784 values, 36 s at 3,072 (32x32 in
# colour) and 143 s at 4,096; the filter, which an evaluation fits six times, 6 s, 26 s and 30 s.
LARGEST_IMAGE = 3_072
# Images that are in work at once.
_BLOCK = 5_000


def too_large(image_shape: Sequence[int]) -> str | None:
    """Returns why PCA and the affine filter are not fitted to images `(height, width, channels)`.

    That is nothing where they are.
    """
    values = math.prod(image_shape)
    if values <= LARGEST_IMAGE:
        return None
    return (
        f"its cost is the cube of the values of an image; it is fitted up to {LARGEST_IMAGE:,} of "
        f"them, and these images have {values:,}"
    )


@dataclasses.dataclass(frozen=True)
class PCA:
    """Principal components: the best linear autoencoder, and so the reference for the others.

    There are as many components as an image has values, or as images if these are fewer. Whoever
    asks for more gets all.

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
        """Computes the components of `images`, `[n, ...]` floats."""
        flat = images.reshape(len(images), -1)
        mean = flat.mean(axis=0, dtype="float64")
        centred = flat - mean.astype(flat.dtype)
        variances, vectors = np.linalg.eigh((centred.T @ centred).astype("float64") / len(flat))
        components = vectors.T[::-1].astype(flat.dtype)[: len(flat)]
        return cls(mean.astype(flat.dtype), components, variances[::-1].clip(0)[: len(flat)])

    def encode(self, images: np.ndarray, dimensions: int) -> np.ndarray:
        """Returns the coordinates along the first components, `[n, dimensions]`."""
        latents = [
            (some.reshape(len(some), -1) - self.mean) @ self.components[:dimensions].T
            for some in _blocks(images)
        ]
        return np.concatenate(latents)

    def reconstruct(self, images: np.ndarray, dimensions: int) -> np.ndarray:
        """Projects `images` on the first `dimensions` components and back."""
        return self._decode(self.encode(images, dimensions)).reshape(images.shape)

    def sample(self, n: int, dimensions: int, seed: int) -> np.ndarray:
        """Draws from a Gaussian along the first components, `[n, pixels]`."""
        deviations = np.sqrt(self.variances[:dimensions])
        latents = np.random.default_rng(seed).standard_normal((n, len(deviations))) * deviations
        return self._decode(latents.astype(self.components.dtype))

    def _decode(self, latents: np.ndarray) -> np.ndarray:
        return (latents @ self.components[: latents.shape[1]] + self.mean).clip(0, 1)


@dataclasses.dataclass(frozen=True)
class AffineFilter:
    """The best affine filter against Gaussian noise that is clipped to [0, 1]: a Wiener filter.

    It minimizes the expected squared error over the images that it was fitted to and all draws of
    the noise: the covariance of clean and noisy pixels times the inverse covariance of the noisy
    ones. See Kay, Fundamentals of Statistical Signal Processing: Estimation Theory, section 12.3.

    Attributes:
        weights: `[pixels, pixels]`, to be multiplied from the right.
        noisy_mean: Mean noisy image, `[pixels]`.
        mean: Mean clean image, `[pixels]`.
    """

    weights: np.ndarray
    noisy_mean: np.ndarray
    mean: np.ndarray

    @classmethod
    def fit(cls, images: np.ndarray, noise_stds: Iterable[float]) -> Iterator["AffineFilter"]:
        """Yields a filter for each strength of the noise, computed without drawing noise.

        Args:
            images: Clean images `[n, ...]`, uint8.
            noise_stds: Standard deviations of the noise before clipping, above zero.
        """
        levels = images.reshape(len(images), -1)
        # How often each pixel has each level.
        counts = np.stack([np.bincount(pixel, minlength=256) for pixel in levels.T])
        values = np.linspace(0, 1, 256)

        def table_and_mean(moment):
            return moment.astype("float32"), (counts @ moment / len(levels)).astype("float32")

        table, mean = table_and_mean(values)
        for noise_std in noise_stds:
            expected, variance = _moments_of_clipped_noise(values, noise_std)
            noisy_table, noisy_mean = table_and_mean(expected)
            across = within = 0.0
            for some in _blocks(levels):
                # Clean pixels are looked up for each strength: kept, they are four times the bytes.
                clean, noisy = np.take(table, some) - mean, np.take(noisy_table, some) - noisy_mean
                across = across + (noisy.T @ clean).astype("float64")
                within = within + (noisy.T @ noisy).astype("float64")
            weights = np.linalg.solve(within + np.diag(counts @ variance), across)
            yield cls(weights.astype("float32"), noisy_mean, mean)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Removes the noise from `images`, `[n, ...]`."""
        cleaned = [
            ((some - self.noisy_mean) @ self.weights + self.mean).clip(0, 1)
            for some in _blocks(images.reshape(len(images), -1))
        ]
        return np.concatenate(cleaned).reshape(images.shape)


def _blocks(images: np.ndarray) -> list[np.ndarray]:
    return np.array_split(images, len(images) // _BLOCK + 1)


def _moments_of_clipped_noise(
    levels: np.ndarray, noise_std: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and variance of pixels that get Gaussian noise and are clipped to [0, 1]."""
    from scipy.stats import norm

    lower, upper = -levels / noise_std, (1 - levels) / noise_std
    inside = norm.cdf(upper) - norm.cdf(lower)
    slope = noise_std * (norm.pdf(lower) - norm.pdf(upper))
    mean = levels * inside + slope + norm.sf(upper)
    square = (
        (levels**2 + noise_std**2) * inside
        + 2 * levels * slope
        + noise_std**2 * (lower * norm.pdf(lower) - upper * norm.pdf(upper))
        + norm.sf(upper)
    )
    return mean, square - mean**2
