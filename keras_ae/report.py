"""Turns the measurements of an evaluation into a web page and into text for a terminal."""

import base64
import dataclasses
import html
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

from keras_ae.settings import STAGES


@dataclasses.dataclass(frozen=True)
class Measure:
    """How a number is shown.

    Attributes:
        label: Name in the head of a column.
        unit: Unit, or how to read a number without one.
        format: Format specification.
        meaning: One sentence for the glossary.
    """

    label: str
    unit: str
    format: str
    meaning: str


# By key in the tables. A key may have a prefix that says whose measure it is, as in `pca_mse`.
MEASURES: dict[str, Measure] = {
    "images": Measure("images", "count", ",d", "Number of images that the row is a mean of."),
    "mse": Measure("MSE", "per pixel", ".5f", "Mean squared error; pixels are in [0, 1]."),
    "psnr": Measure(
        "PSNR", "dB", ".2f", "Peak signal-to-noise ratio: 10 log10(1 / MSE), mean over images."
    ),
    "ssim": Measure(
        "SSIM", "1 is best", ".4f", "Structural similarity in windows of 11 pixels (Wang, 2004)."
    ),
    "bce": Measure(
        "BCE", "nats/image", ".2f", "Binary cross-entropy, grey values taken as probabilities."
    ),
    "bce_excess": Measure(
        "BCE excess", "nats/image", ".2f", "What the cross-entropy has above its floor."
    ),
    "path_length": Measure(
        "length", "RMS of pixels", ".3f", "Sum of the differences of neighbours on the path."
    ),
    "mean_step": Measure(
        "mean step", "RMS of pixels", ".4f", "Mean difference of neighbours on the path."
    ),
    "largest_step": Measure(
        "largest step", "RMS of pixels", ".4f", "Largest difference of neighbours on the path."
    ),
    "score_mean": Measure("mean", "of the score", ".4g", "Mean score of the images."),
    "score_median": Measure("median", "of the score", ".4g", "Median score of the images."),
    "threshold": Measure(
        "threshold", "of the score", ".4g", "Score above which an image counts as an anomaly."
    ),
    "above_threshold": Measure(
        "above threshold", "share", ".2%", "Share of the images that count as anomalies."
    ),
    "auroc": Measure(
        "AUROC",
        "0.5 is chance",
        ".4f",
        "Area under the receiver operating characteristic: how often an image of the other "
        "dataset has a higher score than one of the run's own.",
    ),
    "average_precision": Measure(
        "average precision", "1 is best", ".4f", "Area under the curve of precision over recall."
    ),
    "frechet": Measure(
        "Fréchet distance",
        "squared features",
        ".2f",
        "Distance of two Gaussians fitted to the features of a classifier; 0 is best.",
    ),
    "confident": Measure(
        "confident", "share", ".1%", "Share of the images of which the classifier is sure."
    ),
    "distance_to_uniform": Measure(
        "distance to uniform",
        "0 to 1",
        ".3f",
        "Total variation distance of the classes from equal shares: the share of images that "
        "would have to change class.",
    ),
    "share": Measure("share", "of the images", ".3f", "Share of the images."),
    "negative_elbo": Measure(
        "negative ELBO", "nats/image", ".2f", "Negative evidence lower bound; lower is better."
    ),
    "reconstruction": Measure(
        "reconstruction", "nats/image", ".2f", "Cross-entropy of images decoded from samples."
    ),
    "kl": Measure("KL", "nats/image", ".3f", "Divergence of the posterior from the prior."),
    "nll": Measure(
        "NLL",
        "nats/image",
        ".2f",
        "Negative log-likelihood, bounded from above by importance sampling (Burda, 2016).",
    ),
    "mean_variance": Measure(
        "variance of the mean", "of the code", ".4f", "Variance of the posterior mean over images."
    ),
    "active": Measure("active", "yes or no", "", "Whether that variance is above 0.01."),
    "neighbour_accuracy": Measure(
        "neighbour accuracy", "share", ".2%", "Share of the labels that neighbours get right."
    ),
    "active_units": Measure(
        "active units", "count", "d", "Latent units whose posterior mean varies enough to count."
    ),
    "live_units": Measure("live units", "count", "d", "Latent units that vary at all."),
    "latent_dim": Measure("latent units", "count", "d", "Numbers in the code of an image."),
}

# Words for keys that are not read well as they are.
_NAMES = {
    "pca": "PCA",
    "pca_clipped": "PCA, clipped",
    "pca_gaussian": "PCA with a Gaussian",
    "floor": "floor (perfect output)",
    "noisy": "noisy input",
    "wiener": "Wiener filter",
    "model_without_noise": "model, input without noise",
    "linear": "linear in the code",
    "spherical": "spherical in the code",
    "pixels": "pixels faded",
    "brightness": "brightness alone",
    "real_test": "real test images (floor)",
    "gaussian": "samples, Gaussian",
    "mixture": "samples, mixture",
    "prior": "samples, prior",
    "grey_all": "grey, all",
    "grey_first": "grey, first",
    "binarized_all": "binarized, all",
    "binarized_first": "binarized, first",
}


def units() -> dict[str, str]:
    """Returns the unit of each measure by its key."""
    return {key: measure.unit for key, measure in MEASURES.items()}


def text(evaluation: Mapping, stages: tuple[str, ...]) -> str:
    """Returns the first table of each of some stages, and what was skipped.

    Args:
        evaluation: Contents of `evaluation/metrics.json`.
        stages: Names of the stages.
    """
    lines = []
    for name in stages:
        section = evaluation["stages"][name]
        for table in list(section["tables"].values())[:1]:
            lines += ["", STAGES[name].title, *_text_table(table["rows"])]
        lines += [
            f"{STAGES[name].title}, skipped: {part}: {reason}"
            for part, reason in section["skipped"].items()
        ]
    return "\n".join(lines)


def _text_table(rows: Mapping) -> Iterator[str]:
    columns, cells = _columns(rows)
    table = [
        ["", *(f"{_name(owner)} {measure.label}".strip() for owner, measure in columns)],
        ["", *(measure.unit for _, measure in columns)],
    ]
    table += [[_name(row), *values] for row, values in cells.items()]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for first, *others in table:
        padded = [first.ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  " + "  ".join(padded)


def _columns(rows: Mapping) -> tuple[list[tuple[str, Measure]], dict[str, list[str]]]:
    """Returns owner and measure of each column, and the cells of each row."""
    keys = list(dict.fromkeys(key for row in rows.values() for key in row))
    columns = [_measure(key) for key in keys]
    cells = {
        name: [
            _format(row.get(key), measure.format)
            for key, (_, measure) in zip(keys, columns, strict=True)
        ]
        for name, row in rows.items()
    }
    return columns, cells


def _measure(key: str) -> tuple[str, Measure]:
    """Returns whose measure `key` is, or nothing, and the measure."""
    for name in sorted(MEASURES, key=len, reverse=True):
        if key == name or key.endswith(f"_{name}"):
            return key[: -len(name)].rstrip("_"), MEASURES[name]
    raise KeyError(key)


def _format(value, specification: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format(value, specification)


def _name(key: str) -> str:
    return _NAMES.get(key, key.replace("_", " "))


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff;
       max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 3rem; border-bottom: 1px solid #d0d7de; }
nav a { margin-right: 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 1.5rem 0 0.3rem; font-size: 0.8rem; }
th, td { padding: 0.2rem 0.5rem; text-align: right; border-bottom: 1px solid #e4e8ec;
         font-variant-numeric: tabular-nums; }
th { vertical-align: bottom; } .group { text-align: center; }
th small { display: block; font-weight: normal; color: #57606a; }
th:first-child { text-align: left; font-weight: normal; white-space: nowrap; }
figure { margin: 2rem 0; } img { max-width: 100%; display: block; }
.caption, figcaption { color: #40474f; max-width: 48rem; margin: 0.3rem 0; font-size: 0.92rem; }
.skipped { background: #f6f8fa; border-left: 3px solid #b8c0c8; padding: 0.3rem 0.8rem; }
dt { font-weight: 600; } dd { margin: 0 0 0.4rem 1.5rem; }
"""


def page(evaluation: Mapping, directory: Path) -> str:
    """Returns the report: one HTML page with everything in it, figures too.

    Args:
        evaluation: Contents of `evaluation/metrics.json`.
        directory: Where the figures are.
    """
    run, stages = evaluation["run"], evaluation["stages"]
    title = f"Evaluation of {run['recipe']}"
    links = " ".join(f'<a href="#{name}">{_escape(STAGES[name].title)}</a>' for name in stages)
    facts = (
        f"Recipe: {run['description']}. This run: {run['latent_dim']} latent units, "
        f"{run['parameters']:,} parameters. Trained on {run['train_images']:,} images "
        f"of {run['dataset']} in {run['epochs']} epochs with seed {run['seed']}; measured on "
        f"{run['test_images']:,} test images that training never saw."
    )
    body = [
        f"<h1>{_escape(title)}</h1>",
        f"<p>{_escape(facts)}</p>",
        f"<nav>{links} <a href='#glossary'>Glossary</a></nav>",
    ]
    for name, section in stages.items():
        body += _section(name, section, directory)
    body += ['<h2 id="glossary">Glossary</h2>', "<dl>"]
    used = {
        measure: None
        for section in stages.values()
        for table in section["tables"].values()
        for _, measure in _columns(table["rows"])[0]
    }
    for measure in used:
        body.append(
            f"<dt>{_escape(measure.label)} ({_escape(measure.unit)})</dt>"
            f"<dd>{_escape(measure.meaning)}</dd>"
        )
    body.append("</dl>")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _section(name: str, section: Mapping, directory: Path) -> Iterator[str]:
    yield f'<h2 id="{name}">{_escape(STAGES[name].title)}</h2>'
    yield f"<p>{_escape(STAGES[name].introduction)}</p>"
    for table in section["tables"].values():
        yield from _html_table(table["rows"])
        yield f'<p class="caption">{_escape(table["caption"])}</p>'
    for file, caption in section["figures"].items():
        image = base64.b64encode((directory / file).read_bytes()).decode()
        yield (
            f'<figure><img alt="{_escape(file)}" src="data:image/png;base64,{image}">'
            f"<figcaption>{_escape(caption)}</figcaption></figure>"
        )
    for part, reason in section["skipped"].items():
        yield f'<p class="skipped">Skipped, {_escape(part)}: {_escape(reason)}.</p>'


def _html_table(rows: Mapping) -> Iterator[str]:
    columns, cells = _columns(rows)
    yield '<div class="scroll"><table><thead><tr><th></th>'
    # Neighbours with the same measure share its name and have a second line for their owners.
    for measure, group in itertools.groupby(columns, key=lambda column: column[1]):
        width = len(list(group))
        span = f' class="group" colspan="{width}"' if width > 1 else ""
        yield (f"<th{span}>{_escape(measure.label)}<small>{_escape(measure.unit)}</small></th>")
    if any(owner for owner, _ in columns):
        yield "</tr><tr><th></th>"
        yield from (f"<th><small>{_escape(_name(owner))}</small></th>" for owner, _ in columns)
    yield "</tr></thead>"
    for row, values in cells.items():
        data = "".join(f"<td>{_escape(value)}</td>" for value in values)
        yield f"<tr><th>{_escape(_name(row))}</th>{data}</tr>"
    yield "</table></div>"


def _escape(value: str) -> str:
    return html.escape(str(value))
