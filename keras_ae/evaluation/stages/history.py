"""Loss curves."""

import csv

from keras_ae import figures
from keras_ae.evaluation.context import Context, Section, Skipped
from keras_ae.runs import Run


def measure(context: Context) -> dict[str, list[float]]:
    """Returns the losses of every epoch by name, see `read`."""
    return read(context.run)


def present(context: Context, curves: dict[str, list[float]]) -> Section:
    """Draws the curves."""
    epochs = len(curves["loss"])
    unit = "nats per image" if context.is_variational else "mean squared error per pixel"
    section = Section()
    section.figures["loss"] = (
        f"Loss on training and validation images over {epochs} epochs, {unit}. Two curves that "
        "part mean that the model learns the training images by heart; two that still fall mean "
        "that more epochs would help.",
        figures.loss_curves(curves),
    )
    return section


def read(run: Run) -> dict[str, list[float]]:
    """Returns the columns of `history.csv`: values of every epoch by name."""
    try:
        with run.history.open(encoding="utf-8", newline="") as file:
            rows = [
                {name: float(value) for name, value in row.items()} for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, TypeError, csv.Error) as error:
        reason = " ".join(str(error).split())[:200]
        raise Skipped(f"the run has no history.csv that can be read ({reason})") from error
    if not rows or "loss" not in rows[0]:
        raise Skipped("the run's history.csv has no epoch with a loss")
    return {name: [row[name] for row in rows] for name in rows[0]}
