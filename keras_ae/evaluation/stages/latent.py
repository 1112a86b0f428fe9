"""A map of the latents, and what they say about the label."""

import numpy as np
from sklearn.manifold import TSNE
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

from keras_ae import figures, metrics
from keras_ae.evaluation.context import Context, Rows, Section
from keras_ae.references import PCA

MAP_IMAGES = 1_000
NEIGHBOURS = 5


def measure(context: Context) -> Rows:
    """Returns what the nearest neighbours by the latents say about the label."""
    dataset = context.dataset
    latents = {"model": (context.train_latents, context.latents)}
    if context.pca is not None:
        latents["pca"] = tuple(
            context.pca.encode(images, context.pca_dimensions)
            for images in (context.train_images, context.images)
        )
    rows: Rows = {}
    for name, (train, test) in latents.items():
        rows[name] = {}
        if not context.no_classes(dataset.train):
            neighbours = KNeighborsClassifier(min(NEIGHBOURS, len(train)))
            neighbours.fit(train, dataset.train.labels)
            accuracy = float(neighbours.score(test, dataset.test.labels))
            rows[name]["neighbour_accuracy"] = accuracy
        rows[name] |= {
            "non_constant_units": metrics.non_constant_units(test),
            "latent_dim": test.shape[1],
        }
    return rows


def present(context: Context, labels: Rows) -> Section:
    """Shows what neighbours say, and draws the map."""
    dataset, dimensions = context.dataset, context.model.latent_dim
    section = Section()
    shown = context.latents[:MAP_IMAGES]
    neighbours, colours, look = (
        f"Share of the test images whose label is that of most of their {NEIGHBOURS} nearest "
        f"training images, of {len(dataset.train):,}, by the distance of the latents. ",
        ", coloured by class",
        " Look for classes that keep to themselves and for pairs that run into each other.",
    )
    if reason := context.no_classes(dataset.train):
        section.skipped["labels of the neighbours"] = reason
        neighbours = ""
    if context.no_classes(dataset.test):
        colours = look = ""
    if context.no_references:
        section.skipped["PCA"] = context.no_references
    section.tables["labels"] = (
        f"{neighbours}Non-constant units have more than one value. PCA, where it has a row, has as "
        "many components as the model has latents and the images allow.",
        labels,
    )
    if len(shown) < 2:
        section.skipped["map"] = "there is one test image only"
        return section
    section.figures["map"] = (
        f"The latents of the first {len(shown):,} test images in two dimensions{colours}. "
        f"{_EXPLANATIONS[min(dimensions, 3)]}{look}",
        figures.scatter(
            _maps(shown, context.options.seed),
            dataset.test.labels[:MAP_IMAGES],
            dataset.classes if colours else (),
        ),
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
    perplexity = min(30.0, (len(latents) - 1) / 3)
    # With scikit-learn's 1,000 steps and angle of 0.5 the map looks alike and takes 2.5 times as
    # long: of the latents of `mlp` it has a divergence of 0.98 instead of 1.01.
    tsne = TSNE(perplexity=perplexity, max_iter=500, angle=0.8, init="random", random_state=seed)
    # Threads add up in an order that varies, and t-SNE makes a lot of the last digits.
    with threadpool_limits(1):
        return {"PCA": PCA.fit(latents).encode(latents, 2), "t-SNE": tsne.fit_transform(latents)}
