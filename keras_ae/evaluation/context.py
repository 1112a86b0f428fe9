"""What the stages of an evaluation share, and what each of them gives back."""

import functools
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure

from keras_ae import data
from keras_ae.errors import BadRequest
from keras_ae.models import Autoencoder, VariationalAutoencoder
from keras_ae.options import Options
from keras_ae.recipe import Recipe
from keras_ae.references import PCA
from keras_ae.runs import Run

# A table: by row and measure a number, or numbers by what they are of, such as the model and PCA.
# `vocabulary` has the words and units of the measures.
Number = float | int | bool
Rows = dict[str, dict[str, Number | dict[str, Number]]]


class Skipped(Exception):
    """Raised by a stage that does not apply; the message says why."""


@dataclass
class Section:
    """What a stage shows, by name. A caption says what to look at."""

    tables: dict[str, tuple[str, Rows]] = field(default_factory=dict)  # Caption and rows.
    figures: dict[str, tuple[str, Figure]] = field(default_factory=dict)  # Caption and figure.
    skipped: dict[str, str] = field(default_factory=dict)  # Why a part does not apply.
    files: dict[str, str] = field(default_factory=dict)  # Contents of further files.


@dataclass(frozen=True)
class Context:
    """What the stages share. Everything costly is computed once, when it is first needed."""

    run: Run
    recipe: Recipe
    model: Autoencoder
    dataset: data.Dataset  # The splits that the model was trained on and is tested on.
    ood: data.Dataset | None  # Another dataset to tell from it.
    options: Options

    def __post_init__(self):
        if self.ood is not None and self.ood.checksum == self.dataset.checksum:
            raise BadRequest(
                f"`ood` must be another dataset than the run's own, {self.dataset.name}, received "
                f"{self.options.ood}, which has the same images"
            )

    @property
    def is_variational(self) -> bool:
        """Whether the model has a posterior and a prior."""
        return isinstance(self.model, VariationalAutoencoder)

    @functools.cached_property
    def images(self) -> np.ndarray:
        """Test images, float32 `[n, 28, 28, 1]`."""
        return data.to_float(self.dataset.test.images)

    @functools.cached_property
    def reconstructions(self) -> np.ndarray:
        """The model's reconstructions of `images`."""
        return self.model.reconstruct(self.images)

    @functools.cached_property
    def latents(self) -> np.ndarray:
        """Latents of `images`, `[n, latent_dim]`."""
        return self.model.encode(self.images)

    @functools.cached_property
    def train_images(self) -> np.ndarray:
        """Training images, float32 `[n, 28, 28, 1]`."""
        return data.to_float(self.dataset.train.images)

    @functools.cached_property
    def train_latents(self) -> np.ndarray:
        """Latents of `train_images`."""
        return self.model.encode(self.train_images)

    @functools.cached_property
    def pca(self) -> PCA:
        """Principal components of the training images."""
        return PCA.fit(self.train_images)

    def examples(self, first: int) -> np.ndarray:
        """Returns indices of test images: `first`, and the first image of each of ten classes."""
        of_classes = self.first_of_classes
        return np.array([first, *of_classes[of_classes != first]])

    @property
    def first_of_classes(self) -> np.ndarray:
        """Indices of the first test image of each of ten classes."""
        return np.unique(self.dataset.test.labels, return_index=True)[1][:10]
