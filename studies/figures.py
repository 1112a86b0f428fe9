"""The figure of a study, from its measurements, without TensorFlow."""

import base64
import functools
import zlib
from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from studies.found import Found
from studies.study import Curves, Dots, Images, Lines, Study

PANELS_IN_A_ROW = 2  # More would be too small to read on a page.
IMAGES_IN_A_ROW = 10
REFERENCE_STYLES = ("--", ":", "-.")


def draw(study: Study, measurements: Mapping[str, dict]) -> Figure:
    """Returns the figure with all panels of a study."""
    columns = min(PANELS_IN_A_ROW, len(study.panels))
    rows = -(-len(study.panels) // columns)
    figure = Figure(figsize=(5.4 * columns, 4.2 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    found = Found(study, measurements)
    for axes, panel in zip(grid, study.panels, strict=False):
        _draw(panel, axes, found, measurements)
        axes.set_title(panel.title, fontsize="medium")
    for axes in grid[len(study.panels) :]:
        axes.axis("off")
    return figure


@functools.singledispatch
def _draw(panel, axes: Axes, found: Found, measurements: Mapping[str, dict]) -> None:
    raise TypeError(f"expected a panel, received {panel!r}")


@_draw.register
def _(panel: Curves, axes, found, measurements):
    variants = panel.variants or found.study.names
    for run in found.study.runs:
        if run.variant not in variants or not run.is_measured(measurements):
            continue
        curves = measurements[run.name]["curves"]
        colour = _colour(variants.index(run.variant), len(variants))
        for name, style in ((panel.loss, "-"), (f"val_{panel.loss}", "--")):
            if name in curves:
                epochs = range(1, len(curves[name]) + 1)
                axes.plot(epochs, curves[name], style, color=colour, linewidth=0.8)
    for position, variant in enumerate(variants):
        axes.plot([], [], color=_colour(position, len(variants)), label=variant)
    if panel.logarithmic:
        axes.set_yscale("log")
    axes.set(xlabel="epoch (dashed: validation)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    _legend_beside(axes)


@_draw.register
def _(panel: Dots, axes, found, measurements):
    variants = panel.variants or found.study.names
    series = {panel.label: (panel.quantity, "o", "C0", "full")}
    series |= {
        label: (quantity, "D", f"C{number}", "none")
        for number, (label, quantity) in enumerate(panel.beside.items(), start=1)
    }
    for label, (quantity, marker, colour, fill) in series.items():
        for position, variant in enumerate(variants):
            numbers = found.values(variant, quantity)
            axes.plot(
                [position] * len(numbers),
                numbers,
                marker,
                color=colour,
                fillstyle=fill,
                alpha=0.7,
                label=label if position == 0 else "",
            )
    shown = _references(found, panel)
    for number, (reference, value) in enumerate(shown.items()):
        style = REFERENCE_STYLES[number % len(REFERENCE_STYLES)]
        axes.axhline(value, linestyle=style, color=f"C{1 + number % 9}", label=reference.words)
    axes.set_xticks(range(len(variants)), variants, rotation=30, ha="right", fontsize="small")
    axes.set_xlim(-0.5, len(variants) - 0.5)
    axes.margins(y=0.1)
    if panel.from_zero:
        axes.set_ylim(0, axes.get_ylim()[1])
    axes.grid(axis="y", alpha=0.3)
    if panel.beside:
        _legend_beside(axes)
    elif shown:
        axes.legend(fontsize="small")


@_draw.register
def _(panel: Lines, axes, found, measurements):
    dimensions = {variant.name: variant.latent_dim for variant in found.study.variants}
    for number, (label, variants) in enumerate(panel.groups.items()):
        points = sorted(
            (dimensions[variant], found.values(variant, panel.quantity)) for variant in variants
        )
        points = [(dimension, numbers) for dimension, numbers in points if numbers]
        axes.plot(
            [dimension for dimension, _ in points],
            [np.mean(numbers) for _, numbers in points],
            color=f"C{number}",
            label=label,
        )
        for dimension, numbers in points:
            axes.plot([dimension] * len(numbers), numbers, ".", color=f"C{number}")
    shown = _references(found, panel)
    projections = sorted(
        (reference.latent_dim, value)
        for reference, value in shown.items()
        if reference.latent_dim is not None
    )
    if projections:
        axes.plot(*zip(*projections, strict=True), "k:", label="PCA")
    others = [reference for reference in shown if reference.latent_dim is None]
    for style, reference in zip(REFERENCE_STYLES, others, strict=False):
        axes.axhline(shown[reference], linestyle=style, color="grey", label=reference.words)
    ticks = sorted(set(dimensions.values()))
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, map(str, ticks))
    axes.set(xlabel="latent dimension")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


@_draw.register
def _(panel: Images, axes, found, measurements):
    variants = panel.variants or found.study.names
    rows = {}
    for run in found.study.runs:
        if run.variant in variants and run.is_measured(measurements):
            images = measurements[run.name].get("images")
            if images is not None and run.variant not in rows:
                if panel.kind == "reconstructions":
                    rows.setdefault("original", unpack(images["originals"]))
                if panel.kind in images:
                    rows[run.variant] = unpack(images[panel.kind])
    axes.axis("off")
    if not rows:
        return
    picture = np.block([list(images[:IMAGES_IN_A_ROW]) for images in rows.values()])
    axes.imshow(255 - picture, cmap="gray", vmin=0, vmax=255, aspect="equal")
    height = picture.shape[0] // len(rows)
    for position, label in enumerate(rows):
        middle = height * (position + 0.5)
        axes.text(-4, middle, label, ha="right", va="center", fontsize="small")


def _references(found: Found, panel: Dots | Lines) -> dict:
    measured = found.references(panel.variants).items()
    return {row: numbers[panel.quantity] for row, numbers in measured if panel.quantity in numbers}


def _legend_beside(axes: Axes) -> None:
    # Curves and dots may leave no corner free.
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))


def unpack(text: str) -> np.ndarray:
    """Returns the images of `measures.pack`, uint8 `[n, 28, 28]`."""
    raw = zlib.decompress(base64.b64decode(text))
    return np.frombuffer(raw, "uint8").reshape(-1, 28, 28)


def _colour(position: int, count: int):
    return f"C{position}" if count <= 10 else colormaps["turbo"](position / (count - 1))
