"""A map of the codes, and what they say about the label."""

import numpy as np
from sklearn.manifold import TSNE
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

from keras_ae import figures, metrics
from keras_ae.stages import Context, Rows, Section

MAP_IMAGES = 2_000
NEIGHBOURS = 5


def run(context: Context) -> Section:
    """A map of the codes, and what they say about the label."""
    dataset, dimensions = context.dataset, context.model.latent_dim
    section = Section()
    section.tables["labels"] = (
        f"Share of the test images whose label is that of most of their {NEIGHBOURS} nearest "
        f"training images by the distance of the codes ({len(dataset.train):,} training images), "
        f"beside PCA with {dimensions} components. Live units have more than one value.",
        label_rows(context),
    )
    shown = context.codes[:MAP_IMAGES]
    section.figures["map"] = (
        f"The codes of the first {len(shown):,} test images in two dimensions, coloured by label. "
        f"{_EXPLANATIONS[min(dimensions, 3)]} Look for digits that keep to themselves and for "
        "pairs that run into each other, among digits often 4 and 9.",
        figures.scatter(_maps(shown, context.settings.seed), dataset.test.labels[:MAP_IMAGES]),
    )
    return section


def label_rows(context: Context) -> Rows:
    """Returns what the nearest neighbours by the code say about the label."""
    dataset, dimensions = context.dataset, context.model.latent_dim
    codes = {
        "model": (context.train_codes, context.codes),
        "pca": tuple(
            context.pca.encode(images, dimensions)
            for images in (context.train_images, context.images)
        ),
    }
    rows = {}
    for name, (train, test) in codes.items():
        neighbours = KNeighborsClassifier(NEIGHBOURS).fit(train, dataset.train.labels)
        rows[name] = {
            "neighbour_accuracy": float(neighbours.score(test, dataset.test.labels)),
            "live_units": metrics.live_units(test),
            "latent_dim": dimensions,
        }
    return rows


_EXPLANATIONS = {
    1: "There is one latent unit, drawn from left to right; the height means nothing.",
    2: "There are two latent units, drawn as they are.",
    3: "PCA shows the two directions in which the codes vary most; t-SNE keeps near neighbours "
    "together, and its larger distances mean nothing.",
}


def _maps(codes: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    if codes.shape[1] == 1:
        height = np.random.default_rng(seed).random(codes.shape, dtype="float32")
        return {"code": np.concatenate([codes, height], axis=1)}
    if codes.shape[1] == 2:
        return {"code": codes}
    # Threads add up in an order that varies, and t-SNE makes a lot of the last digits.
    with threadpool_limits(1):
        neighbourly = TSNE(init="random", random_state=seed).fit_transform(codes)
    return {"PCA": metrics.PCA.fit(codes).encode(codes, 2), "t-SNE": neighbourly}
