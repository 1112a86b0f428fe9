"""What the stages of an evaluation share, and what each of them gives back."""

import dataclasses
import functools
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure

from keras_ae import data
from keras_ae.errors import BadRequest
from keras_ae.models import Autoencoder, VariationalAutoencoder
from keras_ae.options import Options
from keras_ae.recipe import Recipe
from keras_ae.references import PCA, too_large
from keras_ae.runs import Run

# A table: by row and measure a number, or numbers by what they are of, such as the model and PCA.
# `vocabulary` has the words and units of the measures.
Number = float | int | bool
Rows = dict[str, dict[str, Number | dict[str, Number]]]


NO_THRESHOLD = (
    "the run was trained on the validation images, too, so none are left to take a threshold from"
)


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

    @property
    def score_words(self) -> str:
        """What the model's own scores are, with their unit."""
        if self.is_variational:
            return "negative ELBO at the posterior mean, nats per image"
        return "mean squared error per pixel"

    @functools.cached_property
    def images(self) -> np.ndarray:
        """Test images, float32 `[n, height, width, channels]`."""
        return data.to_float(self.dataset.test.images)

    @functools.cached_property
    def reconstructions(self) -> np.ndarray:
        """The model's reconstructions of `images`."""
        return self.model.reconstruct(self.images)

    @functools.cached_property
    def latents(self) -> np.ndarray:
        """Latents of `images`, `[n, latent_dim]`."""
        return self.model.encode(self.images)

    @property
    def train_images(self) -> np.ndarray:
        """Training images, float32 `[n, height, width, channels]`: made anew, since many."""
        return data.to_float(self.dataset.train.images)

    @functools.cached_property
    def train_latents(self) -> np.ndarray:
        """Latents of `train_images`."""
        return self.model.encode(self.train_images)

    @property
    def no_references(self) -> str | None:
        """Why there are no PCA and no affine filter; nothing where there are."""
        return too_large(self.dataset.image_shape)

    @functools.cached_property
    def pca(self) -> PCA | None:
        """Principal components of the training images, if these are small enough."""
        return None if self.no_references else PCA.fit(self.train_images)

    @property
    def pca_dimensions(self) -> int:
        """Components of PCA beside the model: as many as latents, if there are."""
        return min(self.model.latent_dim, len(self.pca.components)) if self.pca else 0

    @functools.cached_property
    def mean_image(self) -> np.ndarray:
        """Mean of the training images, `[height, width, channels]`."""
        return self.train_images.mean(axis=0, dtype="float64").astype("float32")

    @functools.cached_property
    def validation_scores(self) -> np.ndarray:
        """The model's own scores of the validation images, `[n]`."""
        return self.model.score(data.to_float(self.dataset.validation.images))

    @property
    def threshold(self) -> float | None:
        """Score above which an image counts as an anomaly; needs validation images."""
        if len(self.validation_scores) == 0:
            return None
        return float(np.percentile(self.validation_scores, self.options.percentile))

    @functools.cached_property
    def whole_dataset(self) -> data.Dataset:
        """The dataset with all training images, whichever of them the model had."""
        everything = {"train_images": None, "train_classes": None, "full_train": False}
        recipe = dataclasses.replace(self.recipe, **everything)
        if recipe == self.recipe:
            return self.dataset
        settings = self.run.read_settings(self.options.images)
        # The dataset has been prepared, since this run's part of it has been loaded.
        return data.load_for(recipe, {**settings, "archives": None})

    def no_classes(self, split: data.Split) -> str | None:
        """Returns why nothing can be told by the classes of a split; nothing where it can."""
        if not self.dataset.classes:
            return "the images have no labels"
        labels = np.unique(split.labels)
        name = self.dataset.classes[labels[0]]
        return None if len(labels) > 1 else f"all images are of one class, {name}"

    def examples(self, first: int) -> np.ndarray:
        """Returns indices of test images: `first`, then those of `first_of_classes`."""
        others = self.first_of_classes
        return np.array([first, *others[others != first]])

    @property
    def examples_words(self) -> str:
        """What `examples` are after the first."""
        if self.no_classes(self.dataset.test):
            return "the first images of the split"
        many = len(np.unique(self.dataset.test.labels)) > 10
        return f"the first of each {'of ten classes' if many else 'class'}"

    @property
    def first_of_classes(self) -> np.ndarray:
        """Indices of the first test images of ten classes, or the first ten without classes."""
        labels = self.dataset.test.labels
        if self.no_classes(self.dataset.test):
            return np.arange(min(10, len(labels)))
        return np.unique(labels, return_index=True)[1][:10]
