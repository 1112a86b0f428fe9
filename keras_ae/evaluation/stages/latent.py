"""A map of the latents, and what they say about the label."""

import numpy as np
from sklearn.manifold import TSNE
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

from keras_ae import figures, metrics
from keras_ae.evaluation.context import Context, Rows, Section
from keras_ae.references import PCA

MAP_IMAGES = 2_000
NEIGHBOURS = 5


def measure(context: Context) -> Rows:
    """Returns what the nearest neighbours by the latents say about the label."""
    dataset, dimensions = context.dataset, context.model.latent_dim
    latents = {
        "model": (context.train_latents, context.latents),
        "pca": tuple(
            context.pca.encode(images, dimensions)
            for images in (context.train_images, context.images)
        ),
    }
    rows: Rows = {}
    for name, (train, test) in latents.items():
        neighbours = KNeighborsClassifier(NEIGHBOURS).fit(train, dataset.train.labels)
        rows[name] = {
            "neighbour_accuracy": float(neighbours.score(test, dataset.test.labels)),
            "non_constant_units": metrics.non_constant_units(test),
            "latent_dim": dimensions,
        }
    return rows


def present(context: Context, labels: Rows) -> Section:
    """Shows what neighbours say, and draws the map."""
    dataset, dimensions = context.dataset, context.model.latent_dim
    section = Section()
    section.tables["labels"] = (
        f"Share of the test images whose label is that of most of their {NEIGHBOURS} nearest "
        f"training images by the distance of the latents ({len(dataset.train):,} training images), "
        f"beside PCA with {dimensions} components. Non-constant units have more than one value.",
        labels,
    )
    shown = context.latents[:MAP_IMAGES]
    section.figures["map"] = (
        f"The latents of the first {len(shown):,} test images in two dimensions, coloured by label."
        f" {_EXPLANATIONS[min(dimensions, 3)]} Look for digits that keep to themselves and for "
        "pairs that run into each other, among digits often 4 and 9.",
        figures.scatter(_maps(shown, context.options.seed), dataset.test.labels[:MAP_IMAGES]),
    )
    return section


_EXPLANATIONS = {
    1: "There is one latent unit, drawn from left to right; the height means nothing.",
    2: "There are two latent units, drawn as they are.",
    3: "PCA shows the two directions in which the latents vary most; t-SNE keeps near neighbours "
    "together, and its larger distances mean nothing.",
}


def _maps(latents: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    if latents.shape[1] == 1:
        height = np.random.default_rng(seed).random(latents.shape, dtype="float32")
        return {"latents": np.concatenate([latents, height], axis=1)}
    if latents.shape[1] == 2:
        return {"latents": latents}
    # Threads add up in an order that varies, and t-SNE makes a lot of the last digits.
    with threadpool_limits(1):
        neighbourly = TSNE(init="random", random_state=seed).fit_transform(latents)
    return {"PCA": PCA.fit(latents).encode(latents, 2), "t-SNE": neighbourly}
