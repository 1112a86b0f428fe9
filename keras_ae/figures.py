"""Figures: arrays in, matplotlib `Figure` out. No pyplot, so nothing leaks in a loop."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


def image_rows(rows: Mapping[str, np.ndarray], title: str = "") -> Figure:
    """Draws rows of images that belong together column by column.

    Args:
        rows: Images `[n, height, width, 1]` in [0, 1] by the label of their row.
        title: Title of the figure.
    """
    columns = max(len(images) for images in rows.values())
    figure = Figure(figsize=(0.8 * columns + 1.1, 0.85 * len(rows) + 0.4), layout="constrained")
    all_axes = figure.subplots(len(rows), columns, squeeze=False)
    for axes_row, (label, images) in zip(all_axes, rows.items(), strict=True):
        for axes, image in zip(axes_row, images, strict=True):
            _draw(axes, image)
        axes_row[0].set_ylabel(label, rotation=0, ha="right", va="center")
    figure.suptitle(title)
    return figure


def image_grid(images: np.ndarray, title: str = "", columns: int = 10) -> Figure:
    """Draws images in a grid, row by row.

    Args:
        images: `[n, height, width, 1]` in [0, 1].
        title: Title of the figure.
        columns: Images in a row.
    """
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(0.6 * columns, 0.6 * rows + 0.4), layout="constrained")
    all_axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, image in zip(all_axes, images, strict=False):
        _draw(axes, image)
    for axes in all_axes[len(images) :]:
        axes.axis("off")
    figure.suptitle(title)
    return figure


def _draw(axes, image: np.ndarray) -> None:
    axes.imshow(image.squeeze(-1), cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])


def loss_curves(history: Mapping[str, Sequence[float]], title: str = "") -> Figure:
    """Draws training and validation loss over the epochs.

    Args:
        history: Values per epoch by name, as in `keras.callbacks.History.history`. A curve named
            `val_x` is drawn dashed, beside `x`. Names without `loss` are left out.
        title: Title of the figure.
    """
    terms = [name for name in history if "loss" in name and not name.startswith("val_")]
    figure = Figure(figsize=(4.5 * len(terms), 3.4), layout="constrained")
    for axes, term in zip(figure.subplots(1, len(terms), squeeze=False)[0], terms, strict=True):
        for name, label, style in ((term, "training", "-"), (f"val_{term}", "validation", "--")):
            if name in history:
                values = history[name]
                axes.plot(range(1, len(values) + 1), values, style, label=label)
        axes.set(xlabel="epoch", title=term.replace("_", " "))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    return figure
