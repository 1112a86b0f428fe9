"""Scores of new pictures by a trained run: `--score`."""

import csv
import io

import numpy as np

from keras_ae import data, figures
from keras_ae.errors import BadRequest
from keras_ae.evaluation.context import NO_THRESHOLD, Context
from keras_ae.files import write_text

WORST_DRAWN = 10
VERDICTS = {True: "anomaly", False: "normal", None: ""}


def read_like(context: Context, path: str, argument: str) -> data.Pictures:
    """Reads pictures in the form of the run: with its `image_size` and `color`.

    Raises:
        BadRequest: If they cannot be read, or have another shape than the run's. The message says
            which `argument` named them.
    """
    settings = context.run.read_settings()
    try:
        pictures = data.read_images(path, settings["image_size"], settings["color"])
    except BadRequest as error:
        # Its words are those for the pictures of a training.
        raise BadRequest(str(error).replace("`images`", f"`{argument}`")) from error
    expected, received = context.dataset.image_shape, pictures.images.shape[1:]
    if received != expected:
        raise BadRequest(
            f"`{argument}`: expected pictures of {_words(expected)}, as the run was trained on, "
            f"received {pictures.names[0]} of {_words(received)}"
        )
    return pictures


def _words(shape: tuple[int, int, int]) -> str:
    height, width, channels = shape
    return f"{height}x{width} {'grey' if channels == 1 else 'colour'} pixels"


def measure(context: Context, pictures: data.Pictures) -> dict:
    """Returns what `evaluate.evaluate` returns of new pictures."""
    scores = context.model.score(data.to_float(pictures.images))
    threshold = context.threshold
    return {
        "threshold": threshold,
        "percentile": context.options.percentile,
        "pictures": {
            # Names of files may hold anything, also the ends of lines.
            name if name.isprintable() else repr(name): {
                "score": float(score),
                "anomaly": None if threshold is None else bool(score > threshold),
            }
            for name, score in zip(pictures.names, scores, strict=True)
        },
    }


def write(context: Context, pictures: data.Pictures, scored: dict) -> None:
    """Writes the scores, and the worst pictures beside their reconstructions."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows(scored))
    write_text(context.run.scored, text.getvalue())
    scores = np.array([found["score"] for found in scored["pictures"].values()])
    worst = np.argsort(-scores, kind="stable")[:WORST_DRAWN]
    images = data.to_float(pictures.images[worst])
    figure = figures.image_rows(
        {"original": images, "reconstructed": context.model.reconstruct(images)},
        column_titles=[f"{score:.3g}" for score in scores[worst]],
    )
    figures.save(figure, context.run.scored_worst)


def rows(scored: dict) -> list[tuple[str, str, str]]:
    """Returns the table of scores, with its head, as text."""
    return [("picture", "score", "verdict")] + [
        (name, f"{found['score']:.9g}", VERDICTS[found["anomaly"]])
        for name, found in scored["pictures"].items()
    ]


def remark(scored: dict) -> str:
    """Returns what is to be said of the verdicts."""
    count, threshold = len(scored["pictures"]), scored["threshold"]
    if threshold is None:
        return f"no verdicts: {NO_THRESHOLD}"
    above = sum(found["anomaly"] for found in scored["pictures"].values())
    return (
        f"{above:,} of {count:,} pictures are above the threshold {threshold:.4g}, percentile "
        f"{scored['percentile']:g} of the validation images"
    )
