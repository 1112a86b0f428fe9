"""Figures: arrays in, matplotlib `Figure` out. No pyplot, so nothing leaks in a loop.

Images are `[n, height, width, channels]` in [0, 1], of one channel (grey) or three (colour).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_ae.files import replacing


def save(figure: Figure, path: str | Path) -> None:
    """Writes a figure at once, in the format that the suffix of `path` names."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        figure.savefig(draft, dpi=100)


def image_rows(
    rows: Mapping[str, np.ndarray], title: str = "", column_titles: Sequence[str] = ()
) -> Figure:
    """Draws labelled rows of images, as many in each, which belong together column by column."""
    return _mosaic(np.stack(list(rows.values())), title, 0.8, list(rows), column_titles)


def image_grid(images: np.ndarray, title: str = "", columns: int = 10) -> Figure:
    """Draws images in a grid, row by row."""
    rows = -(-len(images) // columns)
    cells = np.full((rows * columns, *images.shape[1:]), np.nan)
    cells[: len(images)] = images
    return _mosaic(cells.reshape(rows, columns, *images.shape[1:]), title, inches=0.6)


def _mosaic(
    cells: np.ndarray,
    title: str,
    inches: float,
    labels: Sequence[str] = (),
    column_titles: Sequence[str] = (),
) -> Figure:
    # One picture in one pair of axes: a pair for each image takes ten times as long to draw.
    rows, columns = cells.shape[:2]
    wide, high = _inches(inches, cells.shape[2:])
    gap = 2
    edges = ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0))
    cells = np.pad(cells, edges, constant_values=np.nan)
    height, width = cells.shape[2:4]
    margin = 1.1 if labels else 0.0
    figure = Figure(figsize=(wide * columns + margin, high * rows + 0.4), layout="constrained")
    axes = figure.subplots()
    _draw(axes, _joined(cells)[:-gap, :-gap])
    middle = (height - gap) / 2
    axes.xaxis.tick_top()
    axes.set_xticks(middle + width * np.arange(len(column_titles)), column_titles, size="small")
    axes.set_yticks(middle + height * np.arange(len(labels)), labels)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.suptitle(title)
    return figure


def _inches(side: float, shape: Sequence[int]) -> tuple[float, float]:
    """Returns width and height of an image whose longer side is `side` inches at 28 pixels.

    Larger images get more room, up to twice as much.
    """
    longer = max(shape[:2])
    side *= np.clip(np.sqrt(longer / 28), 1, 2)
    return side * shape[1] / longer, side * shape[0] / longer


def _joined(cells: np.ndarray) -> np.ndarray:
    """Returns images `[rows, columns, height, width, channels]` side by side as one."""
    rows, columns, height, width, channels = cells.shape
    return cells.swapaxes(1, 2).reshape(rows * height, columns * width, channels)


def _draw(axes: Axes, picture: np.ndarray) -> None:
    if picture.shape[-1] == 1:
        axes.imshow(picture[..., 0], cmap="gray", vmin=0, vmax=1)
    else:
        axes.imshow(np.nan_to_num(picture, nan=1.0))  # What is no image is white.


def loss_curves(history: Mapping[str, Sequence[float]], title: str = "") -> Figure:
    """Draws the losses of all epochs, as `keras.callbacks.History.history` has them by name.

    A curve named `val_x` is drawn dashed, beside `x`. Names without `loss` are left out.
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


def image_plane(images: np.ndarray, first: Sequence[float], second: Sequence[float]) -> Figure:
    """Draws the images that a decoder makes of a rectangle of two-dimensional latents.

    They come row after row, each with one value of the second unit. Both units' values rise; those
    of the second are drawn upwards.
    """
    height, width = images.shape[1:3]
    tiles = images.reshape(len(second), len(first), *images.shape[1:])[::-1]
    figure = Figure(figsize=_inches(7.0, images.shape[1:]), layout="constrained")
    axes = figure.subplots()
    _draw(axes, _joined(tiles))
    for axis, values, size in ((axes.xaxis, first, width), (axes.yaxis, second[::-1], height)):
        centres = np.arange(len(values)) * size + size / 2
        axis.set_ticks(centres[::2], [f"{value:.1f}" for value in values[::2]])
    axes.set(xlabel="first latent unit", ylabel="second latent unit")
    return figure


def curves(
    x: Sequence[float], values: Mapping[str, Sequence[float]], xlabel: str, ylabel: str
) -> Figure:
    """Draws curves over a common axis; `values` has the heights of the points of each by name."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, heights in values.items():
        axes.plot(x, heights, marker="o", label=name)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def bars(
    labels: Sequence[str], heights: Mapping[str, Sequence[float]], xlabel: str, ylabel: str
) -> Figure:
    """Draws a group of bars for each label; each name in `heights` has one bar in every group."""
    figure = Figure(figsize=(max(6.0, 0.22 * len(labels) + 2), 3.4), layout="constrained")
    axes = figure.subplots()
    positions, width = np.arange(len(labels)), 0.8 / len(heights)
    for offset, (name, values) in enumerate(heights.items()):
        shift = (offset - (len(heights) - 1) / 2) * width
        axes.bar(positions + shift, values, width, label=name)
    axes.set_xticks(positions, labels)
    if max(map(len, labels)) > 3:
        axes.tick_params("x", rotation=90)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(axis="y", alpha=0.3)
    if len(heights) > 1:
        figure.legend(loc="outside upper center", ncols=len(heights))
    return figure


def histograms(
    values: Mapping[str, np.ndarray], xlabel: str, threshold: float | None = None
) -> Figure:
    """Draws histograms over each other, each as the share of its own values."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    everything = np.concatenate(list(values.values()))
    # A few extreme values would squeeze all others into the first bins.
    last = max(np.percentile(everything, 99.5), threshold or -np.inf)
    edges = np.linspace(everything.min(), last, 80)
    for name, numbers in values.items():
        inside = numbers.clip(edges[0], edges[-1])
        shares = np.full(len(inside), 1 / len(inside))
        axes.hist(inside, edges, weights=shares, alpha=0.6, label=name)
    if threshold is not None:
        axes.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:.4g}")
    axes.set(xlabel=xlabel, ylabel="share of the images")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def scatter(
    maps: Mapping[str, np.ndarray], labels: np.ndarray, names: Sequence[str] = ()
) -> Figure:
    """Draws points in two dimensions, coloured by their label, map beside map.

    `names` are those of the labels from 0 on. Without names there is no legend.
    """
    figure = Figure(figsize=(5.4 * len(maps) + 0.6, 5.2), layout="constrained")
    classes = np.unique(labels)
    colours = colormaps["tab10" if len(classes) <= 10 else "turbo"]
    for axes, (name, points) in zip(
        figure.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True
    ):
        for position, label in enumerate(classes):
            chosen = points[labels == label]
            colour = colours(position / max(1, len(classes) - 1))
            axes.scatter(*chosen.T, s=5, color=colour, label=names[label] if names else None)
        axes.set(title=name, xticks=[], yticks=[])
    if names:
        figure.legend(
            *axes.get_legend_handles_labels(),
            loc="outside right center",
            markerscale=3,
            title="class",
            ncols=-(-len(classes) // 20),
        )
    return figure
