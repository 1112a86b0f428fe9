"""Figures: arrays in, matplotlib `Figure` out. No pyplot, so nothing leaks in a loop."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


def image_rows(rows: Mapping[str, np.ndarray], title: str = "") -> Figure:
    """Draws rows of images that belong together column by column.

    Args:
        rows: As many images `[n, height, width, 1]` in [0, 1] in each row, by its label.
        title: Title of the figure.
    """
    return _mosaic(np.stack(list(rows.values())), title, inches=0.8, labels=list(rows))


def image_grid(images: np.ndarray, title: str = "", columns: int = 10) -> Figure:
    """Draws images in a grid, row by row.

    Args:
        images: `[n, height, width, 1]` in [0, 1].
        title: Title of the figure.
        columns: Images in a row.
    """
    rows = -(-len(images) // columns)
    cells = np.full((rows * columns, *images.shape[1:]), np.nan)
    cells[: len(images)] = images
    return _mosaic(cells.reshape(rows, columns, *images.shape[1:]), title, inches=0.6)


def _mosaic(cells: np.ndarray, title: str, inches: float, labels: Sequence[str] = ()) -> Figure:
    # One picture in one pair of axes: a pair for each image takes ten times as long to draw.
    rows, columns = cells.shape[:2]
    gap = 2
    cells = np.pad(cells.squeeze(-1), ((0, 0), (0, 0), (0, gap), (0, gap)), constant_values=np.nan)
    height, width = cells.shape[2:]
    picture = cells.swapaxes(1, 2).reshape(rows * height, columns * width)[:-gap, :-gap]
    margin = 1.1 if labels else 0.0
    figure = Figure(figsize=(inches * columns + margin, inches * rows + 0.4), layout="constrained")
    axes = figure.subplots()
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
    centres = (height - gap) / 2 + height * np.arange(len(labels))
    axes.set_xticks([])
    axes.set_yticks(centres, labels)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.suptitle(title)
    return figure


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
