"""Builds the page: what the models, their latents and the test images are to a browser."""

import base64
import gzip
import html
import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from keras_ae import data, export, files
from keras_ae.errors import BadRequest
from keras_ae.explorer import MARK, PAGE, SCRIPTS, Target
from keras_ae.loading import load_dataset, load_run
from keras_ae.models import Autoencoder, VariationalAutoencoder
from keras_ae.options import PERCENTILE
from keras_ae.references import PCA, AffineFilter
from keras_ae.runs import Run

# A browser computes what a visitor waits for, and an unrolled LSTM has a step for each row.
LARGEST_SIDE = 128
# What the page shows of the test split, from the first image on.
DIGITS = 1_000
DIGITS_BYTES = 2**20
# Training images that the principal axes of the latents, and the form of images, come from.
FIT_IMAGES = 5_000
# A pixel that differs by more than this from the background shows something.
INK = 0.1
# Strengths of noise that the affine filter is fitted to. Each costs the page about a megabyte.
FILTER_STDS = (0.1, 0.3, 0.5)
# The filter has the square of this in numbers.
FILTER_VALUES = 1_024
SIGNATURES = ("encode", "encode_distribution", "decode", "score")


def build(runs: Sequence[Run], target: Target) -> None:
    """Writes the page of some runs.

    Args:
        runs: Finished runs, all on one dataset.
        target: Where to write.

    Raises:
        BadRequest: If the runs are of several datasets, or images that the page cannot show.
    """
    dataset = _dataset_of(runs)
    about, scripts = _describe(runs, dataset)
    about = json.dumps(about).replace("<", "\\u003c")
    scripts = {"about": f"describe({about});\n", **scripts}
    if target.one_file:
        with files.replacing(target.path) as draft:
            draft.write_text(_page(scripts, inline=True), encoding="utf-8")
        return
    with files.replacing(target.path) as draft:
        (draft / "data").mkdir(parents=True)
        for name in ("style.css", *SCRIPTS):
            (draft / name).write_bytes((PAGE / name).read_bytes())
        for name, text in scripts.items():
            (draft / "data" / f"{name}.js").write_text(text, encoding="utf-8")
        (draft / "index.html").write_text(_page(scripts, inline=False), encoding="utf-8")


def _dataset_of(runs: Sequence[Run]) -> data.Dataset:
    dataset = load_dataset(runs[0])
    for run in runs[1:]:
        other = load_dataset(run)
        if other.checksum != dataset.checksum:
            raise BadRequest(
                f"expected runs on one dataset, received {runs[0].directory} on {dataset.name} and "
                f"{run.directory} on {other.name}"
            )
    height, width, _ = dataset.image_shape
    if max(height, width) > LARGEST_SIDE:
        raise BadRequest(
            f"expected images of at most {LARGEST_SIDE}x{LARGEST_SIDE} pixels for the page, "
            f"received {height}x{width} of {runs[0].directory}"
        )
    return dataset


def _describe(runs: Sequence[Run], dataset: data.Dataset) -> tuple[dict, dict[str, str]]:
    """Returns the description of everything, and the scripts with the arrays, by name."""
    values = math.prod(dataset.image_shape)
    digits = dataset.test[: min(DIGITS, max(DIGITS_BYTES // values, 1))]
    filters = _filters(dataset)
    scripts = {"litert": "".join(_runtime())}
    scripts["images"] = "".join(
        [
            _packed("images", digits.images.astype("uint8")),
            _packed("labels", digits.labels.astype("uint16")),
            *(
                _packed(f"filter {std} {name}", array)
                for std, (_, arrays) in filters.items()
                for name, array in arrays.items()
            ),
        ]
    )
    models = []
    for number, run in enumerate(runs):
        print(f"{run.directory.name}: exporting", flush=True)
        described, scripts[f"model_{number}"] = _model(f"model {number}", run, digits)
        models.append({"key": f"model {number}", "name": _name(run, runs), **described})
    about = {
        "dataset": dataset.name,
        "classes": dataset.classes,
        "shape": dataset.image_shape,
        "digits": len(digits),
        "form": _form(data.to_float(dataset.train.images[:FIT_IMAGES])),
        "filters": {str(std): unit for std, (unit, _) in filters.items()},
        "models": models,
    }
    return about, scripts


def _name(run: Run, runs: Sequence[Run]) -> str:
    name = run.directory.resolve().name
    names = [other.directory.resolve().name for other in runs]
    return name if names.count(name) == 1 else str(run.directory)


def _model(key: str, run: Run, digits: data.Split) -> tuple[dict, str]:
    model, dataset = load_run(run), load_dataset(run)
    threshold, _ = export.find_threshold(model, dataset)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.tflite"
        export.export_litert(model, path, None, threshold, only=SIGNATURES, batch_size=1)
        scripts = [_packed(f"{key} litert", path.read_bytes())]
    latents = model.encode(data.to_float(digits.images))
    pca = PCA.fit(model.encode(data.to_float(dataset.train.images[:FIT_IMAGES])))
    stds = np.sqrt(pca.variances).astype("float32")
    arrays = {"latents": latents, "mean": pca.mean, "axes": pca.components, "stds": stds}
    scripts += [_packed(f"{key} {name}", array) for name, array in arrays.items()]
    return _facts(model, threshold), "".join(scripts)


def _facts(model: Autoencoder, threshold: float) -> dict:
    return {
        "family": type(model).__name__,
        "variational": isinstance(model, VariationalAutoencoder),
        "units": model.latent_dim,
        "parameters": model.count_params(),
        "threshold": threshold,
    }


def _filters(dataset: data.Dataset) -> dict[float, tuple]:
    """Returns by strength of noise: the unit of the weights, and the arrays by name."""
    if math.prod(dataset.image_shape) > FILTER_VALUES:
        return {}
    images = data.to_float(dataset.train.images)
    fitted = {}
    for std in FILTER_STDS:
        one = AffineFilter.fit(images, std)
        unit = float(np.abs(one.weights).max() / np.iinfo("int16").max) or 1.0
        weights = np.rint(one.weights / unit).astype("int16")
        arrays = {"weights": weights, "noisy_mean": one.noisy_mean, "mean": one.mean}
        fitted[std] = (unit, arrays)
    return fitted


def _form(images: np.ndarray) -> dict | None:
    """Returns how grey images place what they show, or nothing if they have no even background.

    A drawing is brought into the same form. That of MNIST: white on black, the longer side of its
    box 20 pixels, its centre of mass in the middle.
    """
    if images.shape[-1] != 1:
        return None
    images = images[..., 0]
    edge = np.ones(images.shape[1:], bool)
    edge[1:-1, 1:-1] = False
    background = float(np.median(images[:, edge]) > 0.5)
    ink = np.abs(images - background)
    ink = ink[ink.max(axis=(1, 2)) > INK]
    if not len(ink) or (ink[:, edge] > INK).mean() > 0.2:
        return None
    sizes, centres, masses = [], [], []
    for side, axis in zip(ink.shape[1:], (2, 1), strict=True):
        profile, places = ink.sum(axis=axis), np.arange(side) + 0.5
        covered = ink.max(axis=axis) > INK
        first, last = covered.argmax(axis=1), side - 1 - covered[:, ::-1].argmax(axis=1)
        sizes.append(last - first + 1)
        centres.append((first + last + 1) / 2)
        masses.append(profile @ places / profile.sum(axis=1))
    # Whichever lies still is what the images were centred by.
    by_mass = np.std(masses, axis=1).mean() < np.std(centres, axis=1).mean()
    return {
        "background": background,
        "box": float(np.median(np.max(sizes, axis=0))),
        "by_mass": bool(by_mass),
        "centre": np.mean(masses if by_mass else centres, axis=1).tolist(),
    }


def _runtime() -> Iterator[str]:
    for name in ("core.js", "wasm-utils.js", "litert_wasm_compat_internal.js",
                 "litert_wasm_compat_internal.wasm"):  # fmt: skip
        yield _packed(name, (PAGE / "litert" / name).read_bytes())


def _packed(name: str, content: bytes | np.ndarray) -> str:
    """Returns a line of JavaScript that hands over bytes, or an array, under a name."""
    content = content if isinstance(content, bytes) else content.tobytes()
    packed = gzip.compress(content, mtime=0)
    return f'pack("{name}", "{base64.b64encode(packed).decode()}");\n'


def _page(scripts: dict[str, str], inline: bool) -> str:
    licence = (PAGE / "litert" / "LICENSE").read_text("utf-8")
    names = [*SCRIPTS[:1], *(f"data/{name}.js" for name in scripts), *SCRIPTS[1:]]
    if inline:
        style = f"<style>\n{(PAGE / 'style.css').read_text('utf-8')}</style>"
        texts = {f"data/{name}.js": text for name, text in scripts.items()}
        texts |= {name: (PAGE / name).read_text("utf-8") for name in SCRIPTS}
        tags = [f"<script>\n{texts[name]}</script>" for name in names]
    else:
        style = '<link rel="stylesheet" href="style.css">'
        tags = [f'<script src="{name}"></script>' for name in names]
    page = (PAGE / "index.html").read_text("utf-8")
    for place, text in (
        ("<!-- mark -->", MARK),
        ("<!-- style -->", style),
        ("<!-- version -->", (PAGE / "litert" / "VERSION").read_text("utf-8").strip()),
        ("<!-- percentile -->", f"{PERCENTILE:g}"),
        ("<!-- licence -->", html.escape(licence)),
        ("<!-- scripts -->", "\n".join(tags)),
    ):
        page = page.replace(place, text)
    return page
