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

from keras_ae import study_tables
from studies.study import Curves, Dots, Images, Lines, Study

PANELS_IN_A_ROW = 2  # More would be too small to read on a page.
IMAGES_IN_A_ROW = 10
YARDSTICK_STYLES = ("--", ":", "-.")


def draw(study: Study, measurements: Mapping[str, dict]) -> Figure:
    """Returns the figure with all panels of a study."""
    columns = min(PANELS_IN_A_ROW, len(study.panels))
    rows = -(-len(study.panels) // columns)
    figure = Figure(figsize=(5.4 * columns, 4.2 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, panel in zip(grid, study.panels, strict=False):
        _draw(panel, axes, study, measurements)
        axes.set_title(panel.title, fontsize="medium")
    for axes in grid[len(study.panels) :]:
        axes.axis("off")
    return figure


@functools.singledispatch
def _draw(panel, axes: Axes, study: Study, measurements: Mapping[str, dict]) -> None:
    raise TypeError(f"expected a panel, received {panel!r}")


@_draw.register
def _(panel: Curves, axes, study, measurements):
    arms = [arm for arm in study.arms if arm.startswith(panel.arms)]
    for trial in study.trials:
        if trial.arm not in arms or not trial.is_measured(measurements):
            continue
        curves = measurements[trial.name]["curves"]
        colour = _colour(arms.index(trial.arm), len(arms))
        for name, style in ((panel.loss, "-"), (f"val_{panel.loss}", "--")):
            if name in curves:
                epochs = range(1, len(curves[name]) + 1)
                axes.plot(epochs, curves[name], style, color=colour, linewidth=0.8)
    for position, arm in enumerate(arms):
        axes.plot([], [], color=_colour(position, len(arms)), label=arm)
    if panel.logarithmic:
        axes.set_yscale("log")
    axes.set(xlabel="epoch (dashed: validation)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    _legend_beside(axes)


@_draw.register
def _(panel: Dots, axes, study, measurements):
    measured = study_tables.values(study, measurements)
    arms = [arm for arm in study.arms if arm.startswith(panel.arms)]
    series = {panel.label: (panel.measure, "o", "C0", "full")}
    series |= {
        label: (measure, "D", f"C{number}", "none")
        for number, (label, measure) in enumerate(panel.beside.items(), start=1)
    }
    for label, (measure, marker, colour, fill) in series.items():
        for position, arm in enumerate(arms):
            numbers = measured[arm].get(measure, [])
            axes.plot(
                [position] * len(numbers),
                numbers,
                marker,
                color=colour,
                fillstyle=fill,
                alpha=0.7,
                label=label if position == 0 else "",
            )
    compared = study_tables.yardsticks(study, measurements, panel.arms)
    shown = {name: row[panel.measure] for name, row in compared.items() if panel.measure in row}
    for number, (name, value) in enumerate(shown.items()):
        style = YARDSTICK_STYLES[number % len(YARDSTICK_STYLES)]
        axes.axhline(value, linestyle=style, color=f"C{1 + number % 9}", label=name)
    axes.set_xticks(range(len(arms)), arms, rotation=30, ha="right", fontsize="small")
    axes.set_xlim(-0.5, len(arms) - 0.5)
    axes.margins(y=0.1)
    if panel.from_zero:
        axes.set_ylim(0, axes.get_ylim()[1])
    axes.grid(axis="y", alpha=0.3)
    if panel.beside:
        _legend_beside(axes)
    elif shown:
        axes.legend(fontsize="small")


@_draw.register
def _(panel: Lines, axes, study, measurements):
    measured = study_tables.values(study, measurements)
    sizes = {trial.arm: trial.recipe.arguments["latent_dim"] for trial in study.trials}
    for number, (label, beginning) in enumerate(panel.groups.items()):
        points = sorted(
            (sizes[arm], np.mean(measured[arm][panel.measure]), measured[arm][panel.measure])
            for arm in study.arms
            if arm.startswith(beginning) and panel.measure in measured[arm]
        )
        axes.plot(
            [size for size, _, _ in points],
            [mean for _, mean, _ in points],
            color=f"C{number}",
            label=label,
        )
        for size, _, numbers in points:
            axes.plot([size] * len(numbers), numbers, ".", color=f"C{number}")
    ticks = sorted(set(sizes.values()))
    compared = study_tables.yardsticks(study, measurements)
    projections = [
        (size, compared.get(study_tables.pca_name(size), {}).get(panel.measure)) for size in ticks
    ]
    projections = [(size, value) for size, value in projections if value is not None]
    if projections:
        axes.plot(*zip(*projections, strict=True), "k:", label="PCA")
    others = {
        name: row[panel.measure]
        for name, row in compared.items()
        if panel.measure in row and not name.startswith("PCA")
    }
    for style, (name, value) in zip(YARDSTICK_STYLES, others.items(), strict=False):
        axes.axhline(value, linestyle=style, color="grey", label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, map(str, ticks))
    axes.set(xlabel="units of the code")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


@_draw.register
def _(panel: Images, axes, study, measurements):
    rows = {}
    for trial in study.trials:
        if trial.arm.startswith(panel.arms) and trial.is_measured(measurements):
            images = measurements[trial.name].get("images")
            if images is not None and trial.arm not in rows:
                if panel.kind == "reconstructions":
                    rows.setdefault("original", unpack(images["originals"]))
                if panel.kind in images:
                    rows[trial.arm] = unpack(images[panel.kind])
    axes.axis("off")
    if not rows:
        return
    picture = np.block([list(images[:IMAGES_IN_A_ROW]) for images in rows.values()])
    axes.imshow(255 - picture, cmap="gray", vmin=0, vmax=255, aspect="equal")
    for position, label in enumerate(rows):
        axes.text(-4, 28 * position + 14, label, ha="right", va="center", fontsize="small")


def _legend_beside(axes: Axes) -> None:
    # Curves and dots may leave no corner free.
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))


def unpack(text: str) -> np.ndarray:
    """Returns the images of `measures.pack`, uint8 `[n, 28, 28]`."""
    raw = zlib.decompress(base64.b64decode(text))
    return np.frombuffer(raw, "uint8").reshape(-1, 28, 28)


def _colour(position: int, count: int):
    return f"C{position}" if count <= 10 else colormaps["turbo"](position / (count - 1))
