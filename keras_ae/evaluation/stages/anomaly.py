"""Scores of single images, a threshold, and the separation from another dataset."""

import csv
import dataclasses
import io

import numpy as np
from sklearn.metrics import average_precision_score

from keras_ae import data, figures, metrics
from keras_ae.evaluation.context import Context, Rows, Section
from keras_ae.evaluation.scores import (
    FIT_IMAGES,
    hidden_angle,
    latent_angle,
    latent_mahalanobis,
    pixel_angle,
    relative_error,
)

EXTREMES_DRAWN = 10
# The quick ones.
_SCORES = (relative_error, latent_mahalanobis, pixel_angle, latent_angle, hidden_angle)


@dataclasses.dataclass(frozen=True)
class Measured:
    """Anomaly scores of single images.

    Attributes:
        scores: The model's own scores of whole splits, `[n]`, by the name of the dataset.
        validation: Those of the validation images; empty where there are none.
        threshold: Score above which an image counts as an anomaly; `None` without validation.
        separation: How well each score tells the other dataset; `None` where none was named.
    """

    scores: dict[str, np.ndarray]
    validation: np.ndarray
    threshold: float | None
    separation: Rows | None


def measure(context: Context) -> Measured:
    """Scores the test images, and those of the other dataset."""
    model, validation = context.model, context.dataset.validation
    scores = {context.dataset.name: model.score(context.images)}
    separation = threshold = None
    if context.ood is not None:
        ood_images = data.to_float(context.ood.test.images)
        scores[context.ood.name] = model.score(ood_images)
        separation = _separation(context, ood_images, *scores.values())
    of_validation = model.score(data.to_float(validation.images))
    if len(validation):
        threshold = float(np.percentile(of_validation, context.options.percentile))
    return Measured(scores, of_validation, threshold, separation)


def present(context: Context, measured: Measured) -> Section:
    """Shows the scores, the threshold, and the easiest and hardest images."""
    scores, threshold = measured.scores, measured.threshold
    kind = (
        "negative ELBO at the posterior mean, nats per image"
        if context.is_variational
        else "mean squared error per pixel"
    )
    section = Section()
    if threshold is None:
        section.skipped["threshold"] = (
            "the run was trained on the validation images, too, so none are left to take a "
            "threshold from"
        )
    else:
        sets = {"validation": measured.validation}
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
            f"training images. The angles and the Mahalanobis distance learn from {FIT_IMAGES:,} "
            "training images; keras_ae/evaluation/scores.py describes them. Angles are made for "
            "digits of another class: they look along the directions in which digits vary, and at "
            "no other.",
            measured.separation,
        )
    _present_extremes(context, scores[context.dataset.name], kind, section)
    section.figures["histogram"] = (
        "Scores of the test images. The less two datasets overlap, the better the score tells "
        "them apart. Scores above the last bin are counted in it.",
        figures.histograms(
            {f"{name} test": values for name, values in scores.items()},
            f"score: {kind}",
            threshold,
        ),
    )
    labels = {context.dataset.name: context.dataset.test.labels}
    if context.ood is not None:
        labels[context.ood.name] = context.ood.test.labels
    section.files[context.run.scores.name] = _scores_csv(scores, labels, threshold)
    return section


def _present_extremes(context: Context, scores: np.ndarray, kind: str, section: Section) -> None:
    order = np.argsort(scores, kind="stable")
    for name, chosen, caption in (
        (
            "easiest",
            order[:EXTREMES_DRAWN],
            "The test images with the lowest scores. Simple shapes of few strokes are easy.",
        ),
        (
            "hardest",
            order[::-1][:EXTREMES_DRAWN],
            "The test images with the highest scores: candidates for anomalies. Look "
            "whether a person would call them odd, too, or whether they just have much ink.",
        ),
    ):
        section.figures[name] = (
            f"{caption} Above each image is its score: {kind}.",
            figures.image_rows(
                {
                    "original": context.images[chosen],
                    "reconstructed": context.reconstructions[chosen],
                },
                column_titles=[f"{scores[index]:.3g}" for index in chosen],
            ),
        )


def _separation(
    context: Context, ood_images: np.ndarray, own_scores: np.ndarray, ood_scores: np.ndarray
) -> Rows:
    def pca_error(images):
        outputs = context.pca.reconstruct(images, context.model.latent_dim)
        return metrics.mean_squared_error(images, outputs)

    def mean_image_error(images):
        mean = context.pca.mean.reshape(images.shape[1:])
        return metrics.mean_squared_error(images, np.broadcast_to(mean, images.shape))

    def brightness(images):
        return images.mean(axis=(1, 2, 3))

    pairs = {"model": (own_scores, ood_scores)}
    for name, score in (
        ("pca", pca_error),
        ("mean_image", mean_image_error),
        ("brightness", brightness),
    ):
        pairs[name] = (score(context.images), score(ood_images))
    both = np.concatenate([context.images, ood_images])
    for score in _SCORES:
        values = score(context.model, context.train_images[:FIT_IMAGES], both)
        pairs[score.__name__] = np.split(values, [len(own_scores)])
    rows = {}
    for name, (own, other) in pairs.items():
        is_other = np.repeat([0, 1], [len(own), len(other)])
        values = np.concatenate([own, other])
        rows[name] = {
            "auroc": metrics.auroc(own, other),
            "average_precision": float(average_precision_score(is_other, values)),
        }
    return rows


def _scores_csv(scores: dict, labels: dict, threshold: float | None) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["dataset", "index", "label", "score", "above_threshold"])
    for name, values in scores.items():
        for index, (label, value) in enumerate(zip(labels[name], values, strict=True)):
            above = "" if threshold is None else int(value > threshold)
            writer.writerow([name, index, label, f"{value:.9g}", above])
    return text.getvalue()
