"""Scores of single images, a threshold, and the separation from another dataset."""

import csv
import io
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from sklearn.metrics import average_precision_score

from keras_ae import data, figures, metrics
from keras_ae.evaluation.context import NO_THRESHOLD, Context, Rows, Section
from keras_ae.evaluation.scores import FIT_IMAGES, QUICK_SCORES

EXTREMES_DRAWN = 10


class Measured(NamedTuple):
    """Anomaly scores of single images."""

    scores: dict[str, np.ndarray]  # The model's own, of test splits, by the name of the dataset.
    separation: Rows | None  # How well each score tells the other dataset, if there is one.


def measure(context: Context) -> Measured:
    """Scores the test images, and those of the other dataset."""
    model, separation = context.model, None
    scores = {context.dataset.name: model.score(context.images)}
    if context.ood is not None:
        ood_images = data.to_float(context.ood.test.images)
        scores[context.ood.name] = model.score(ood_images)
        separation = _separation(context, ood_images, *scores.values())
    return Measured(scores, separation)


def present(context: Context, measured: Measured) -> Section:
    """Shows the scores, the threshold, and the easiest and hardest images."""
    scores, threshold, kind = measured.scores, context.threshold, context.score_words
    section = Section()
    if threshold is None:
        section.skipped["threshold"] = NO_THRESHOLD
    else:
        sets = {"validation": context.validation_scores}
        sets |= {f"{name} test": values for name, values in scores.items()}
        section.tables["threshold"] = (
            f"Scores ({kind}) of whole splits, and the share above the threshold, which is "
            f"percentile {context.options.percentile:g} of the validation images. The share of "
            "the test images should be near that of the validation images.",
            {
                name: {
                    "score_mean": float(values.mean()),
                    "score_median": float(np.median(values)),
                    "threshold": threshold,
                    "above_threshold": float(np.mean(values > threshold)),
                }
                for name, values in sets.items()
            },
        )
    if measured.separation is None:
        section.skipped["separation from another dataset"] = "none was named (`ood`)"
    else:
        chance = len(context.ood.test) / (len(context.dataset.test) + len(context.ood.test))
        section.tables["separation"] = (
            f"How well a score tells {context.ood.name} (to be found) from "
            f"{context.dataset.name}, on the two test splits. A score by chance has an AUROC of "
            f"0.5 and an average precision of {chance:.2f}. Compare the "
            "model with scores that need none: the error of PCA, the distance from the mean image, "
            "the brightness of the image alone, and the angle between its pixels and those of "
            f"training images. The angles and the Mahalanobis distance learn from "
            f"{min(FIT_IMAGES, len(context.dataset.train)):,} training images; "
            "keras_ae/evaluation/scores.py describes them. Angles are made for other classes of "
            "the same kind of image: they look along the directions in which the training images "
            "vary, and at no other.",
            measured.separation,
        )
        if context.no_references:
            section.skipped["PCA"] = context.no_references
    _present_extremes(context, scores[context.dataset.name], kind, section)
    section.figures["histogram"] = (
        "Scores of the test images. The less two datasets overlap, the better the score tells "
        "them apart. Scores above the last bin are counted in it.",
        figures.histograms(
            {f"{name} test": values for name, values in scores.items()}, f"score: {kind}", threshold
        ),
    )
    datasets = filter(None, (context.dataset, context.ood))
    section.files[context.run.scores.name] = _scores_csv(scores, datasets, threshold)
    return section


def _present_extremes(context: Context, scores: np.ndarray, kind: str, section: Section) -> None:
    order = np.argsort(scores, kind="stable")
    captions = {
        "easiest": "The test images with the lowest scores. Simple shapes are easy.",
        "hardest": "The test images with the highest scores: candidates for anomalies. Look "
        "whether a person would call them odd, too, or whether they just have much detail.",
    }
    for name, sorted_indices in zip(captions, (order, order[::-1]), strict=True):
        chosen = sorted_indices[:EXTREMES_DRAWN]
        rows = {"original": context.images, "reconstructed": context.reconstructions}
        section.figures[name] = (
            f"{captions[name]} Above each image is its score: {kind}.",
            figures.image_rows(
                {label: images[chosen] for label, images in rows.items()},
                column_titles=[f"{scores[index]:.3g}" for index in chosen],
            ),
        )


def _separation(
    context: Context, ood_images: np.ndarray, own_scores: np.ndarray, ood_scores: np.ndarray
) -> Rows:
    both = np.concatenate([context.images, ood_images])
    mean_image = np.broadcast_to(context.mean_image, both.shape)
    scores = {"model": np.concatenate([own_scores, ood_scores])}
    if context.pca is not None:
        pca = context.pca.reconstruct(both, context.pca_dimensions)
        scores["pca"] = metrics.mean_squared_error(both, pca)
    scores["mean_image"] = metrics.mean_squared_error(both, mean_image)
    scores["brightness"] = both.mean(axis=(1, 2, 3))
    normal = data.to_float(context.dataset.train.images[:FIT_IMAGES])
    for name, score in QUICK_SCORES.items():
        scores[name] = score(context.model, normal, both)
    is_other = np.repeat([0, 1], [len(own_scores), len(ood_scores)])
    return {
        name: {
            "auroc": metrics.auroc(*np.split(values, [len(own_scores)])),
            "average_precision": float(average_precision_score(is_other, values)),
        }
        for name, values in scores.items()
    }


def _scores_csv(
    scores: dict[str, np.ndarray], datasets: Iterable[data.Dataset], threshold: float | None
) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["dataset", "index", "label", "score", "above_threshold"])
    for dataset in datasets:
        values = scores[dataset.name]
        for index, (label, value) in enumerate(zip(dataset.test.labels, values, strict=True)):
            above = "" if threshold is None else int(value > threshold)
            name = dataset.classes[label] if dataset.classes else ""
            writer.writerow([dataset.name, index, name, f"{value:.9g}", above])
    return text.getvalue()
