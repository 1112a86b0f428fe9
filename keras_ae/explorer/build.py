"""Builds the page: what the models, their latents and the test images are to a browser."""

import base64
import gzip
import html
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_ae import data, export, files
from keras_ae.errors import BadRequest
from keras_ae.explorer import MARK
from keras_ae.loading import load_dataset, load_run
from keras_ae.models import VariationalAutoencoder
from keras_ae.options import PERCENTILE
from keras_ae.references import PCA, AffineFilter
from keras_ae.runs import Run

PAGE = Path(__file__).parent / "page"
# In the order in which the browser reads them.
SCRIPTS = ("canvas.js", "maths.js", "runtime.js", "drawing.js", "latents.js", "panels.js", "app.js")
RUNTIME = ("core.js", "wasm-utils.js", "litert_wasm_compat_internal.js",
           "litert_wasm_compat_internal.wasm")  # fmt: skip
SIGNATURES = ("encode", "encode_distribution", "decode", "score")
# A browser computes what a visitor waits for, and an unrolled LSTM has a step for each row.
LARGEST_SIDE = 128
# What the page shows of the test split, from the first image on.
DIGITS, DIGITS_BYTES = 1_000, 2**20
# Training images that the principal axes of the latents, and the form of images, come from.
FIT_IMAGES = 5_000
# Principal axes that the page has, at most. Each of them weighs as much as the latents.
AXES = 64
# A pixel that differs by more than this from the background shows something.
INK = 0.1
# Strengths of noise that the affine filter is fitted to. Each costs the page about a megabyte, and
# the square of the values of an image.
FILTER_STDS, FILTER_VALUES = (0.1, 0.3, 0.5), 1_024


def build(
    runs: Sequence[Run], target: Path, one_file: bool, images: str | Path | None = None
) -> None:
    """Writes the page of some runs.

    Args:
        runs: Finished runs, all on one dataset.
        target: Folder, or file, to write, see `explorer.check_target`.
        one_file: Whether it is a file.
        images: Where own pictures lie, if they have moved.

    Raises:
        BadRequest: If the runs are of several datasets, or of images that the page cannot show.
    """
    first, *others = (run.read_trained()[1] for run in runs)
    for run, other in zip(runs[1:], others, strict=True):
        if other["checksum"] != first["checksum"]:
            raise BadRequest(
                f"expected runs on one dataset, received {runs[0].directory} on {first['name']} "
                f"and {run.directory} on {other['name']}"
            )
    about, scripts = {"models": []}, {"litert": _runtime()}
    names = [run.directory.resolve().name for run in runs]
    for number, run in enumerate(runs):
        dataset = load_dataset(run, images)
        if number == 0:
            facts, digits, scripts["images"] = _shared(dataset)
            about |= facts
        print(f"{run.directory.name}: exporting", flush=True)
        key, name = f"model_{number}", names[number]
        facts, scripts[key] = _model(key, run, dataset, digits)
        name = name if names.count(name) == 1 else str(run.directory)
        about["models"].append({"key": key, "name": name, **facts})

    with files.replacing(target) as draft:
        if one_file:
            tags = [f"<script>\n{text}</script>" for text in scripts.values()]
            draft.write_text(_page(about, tags), encoding="utf-8")
            return
        draft.mkdir()
        for name, text in scripts.items():
            (draft / f"{name}.js").write_text(text, encoding="utf-8")
        tags = [f'<script src="{name}.js"></script>' for name in scripts]
        (draft / "index.html").write_text(_page(about, tags), encoding="utf-8")


def _shared(dataset: data.Dataset) -> tuple[dict, data.Split, str]:
    """Returns what holds for all models, the test images of the page, and the script of both."""
    values = math.prod(dataset.image_shape)
    if max(dataset.image_shape) > LARGEST_SIDE:
        height, width, _ = dataset.image_shape
        raise BadRequest(
            f"expected images of at most {LARGEST_SIDE}x{LARGEST_SIDE} pixels for the page, "
            f"received {height}x{width}"
        )
    digits = dataset.test[: min(DIGITS, max(DIGITS_BYTES // values, 1))]
    arrays = {"images": digits.images, "labels": digits.labels.astype("uint16")}
    train, units = dataset.train.images, {}
    filters = AffineFilter.fit(train, FILTER_STDS)
    for std in FILTER_STDS if values <= FILTER_VALUES else ():
        fitted = next(filters)
        units[std] = float(np.abs(fitted.weights).max() / np.iinfo("int16").max) or 1.0
        arrays[f"filter {std} weights"] = np.rint(fitted.weights / units[std]).astype("int16")
        arrays[f"filter {std} noisy_mean"] = fitted.noisy_mean
        arrays[f"filter {std} mean"] = fitted.mean
    facts = {
        "dataset": dataset.name,
        "classes": dataset.classes,
        "shape": dataset.image_shape,
        "digits": len(digits),
        "form": _form(data.to_float(train[:FIT_IMAGES])),
        "filters": [{"std": std, "unit": unit} for std, unit in units.items()],
    }
    return facts, digits, _packed(arrays)


def _model(key: str, run: Run, dataset: data.Dataset, digits: data.Split) -> tuple[dict, str]:
    model = load_run(run)
    threshold, _ = export.find_threshold(model, dataset)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.tflite"
        export.export_litert(model, path, None, threshold, only=SIGNATURES, batch_size=1)
        litert = np.fromfile(path, "uint8")
    latents = model.encode(data.to_float(dataset.train.images[:FIT_IMAGES]))
    pca = PCA.fit(latents)
    # A code of two units is a plane itself.
    axes = np.eye(2, dtype="float32") if model.latent_dim == 2 else pca.components[:AXES]
    arrays = {
        "litert": litert,
        "mean": pca.mean,
        "axes": axes,
        "stds": ((latents - pca.mean) @ axes.T).std(axis=0),
        "coordinates": (model.encode(data.to_float(digits.images)) - pca.mean) @ axes.T,
    }
    facts = {
        "variational": isinstance(model, VariationalAutoencoder),
        "units": model.latent_dim,
        "parameters": model.count_params(),
        "threshold": threshold,
    }
    return facts, _packed({f"{key} {name}": array for name, array in arrays.items()})


def _form(images: np.ndarray) -> dict | None:
    """Returns how grey images place what they show, or nothing if they have no even background.

    A drawing is brought into the same form. That of MNIST: white on black, the longer side of its
    box 20 pixels, its centre of mass in the middle.
    """
    images, edge = images[..., 0] if images.shape[-1] == 1 else images[:0, ..., 0], [0, -1]
    border = np.concatenate([images[:, edge].ravel(), images[:, :, edge].ravel()])
    background = float(border.size and np.median(border) > 0.5)
    ink = np.abs(images - background)
    ink = ink[ink.max(axis=(1, 2), initial=0) > INK]
    if not len(ink) or (np.abs(border - background) > INK).mean() > 0.2:
        return None
    boxes, masses = [], []
    for side, axis in zip(ink.shape[1:], (2, 1), strict=True):
        covered, profile = ink.max(axis=axis) > INK, ink.sum(axis=axis)
        boxes.append((covered.argmax(axis=1), side - covered[:, ::-1].argmax(axis=1)))
        masses.append(profile @ (np.arange(side) + 0.5) / profile.sum(axis=1))
    (starts, ends), masses = np.swapaxes(boxes, 0, 1), np.array(masses)
    centres = (starts + ends) / 2
    # Whichever lies still is what the images were centred by.
    by_mass = masses.std(axis=1).mean() < centres.std(axis=1).mean()
    return {
        "background": background,
        "box": float(np.median((ends - starts).max(axis=0))),
        "by_mass": bool(by_mass),
        "centre": (masses if by_mass else centres).mean(axis=1).tolist(),
    }


def _runtime() -> str:
    return _packed({name: np.fromfile(PAGE / "litert" / name, "uint8") for name in RUNTIME})


def _packed(arrays: dict[str, np.ndarray]) -> str:
    """Returns JavaScript that hands over arrays under their names, a line for each."""
    lines = []
    for name, array in arrays.items():
        text = base64.b64encode(gzip.compress(array.tobytes(), mtime=0)).decode()
        kind = f"{array.dtype.name.capitalize()}Array"  # In JavaScript.
        lines.append(f'pack("{name}", "{kind}", "{text}");\n')
    return "".join(lines)


def _page(about: dict, tags: Sequence[str]) -> str:
    def read(name: str) -> str:
        return (PAGE / name).read_text("utf-8")

    page = read("index.html")
    for place, text in {
        "mark": MARK,
        "style": f"<style>\n{read('style.css')}</style>",
        "version": read("litert/VERSION").strip(),
        "licence": html.escape(read("litert/LICENSE")),
        "percentile": f"{PERCENTILE:g}",
        "about": json.dumps(about).replace("<", "\\u003c"),
        "scripts": "<script>\n" + "\n".join(map(read, SCRIPTS)) + "</script>",
        "data": "\n".join(tags),
    }.items():
        page = page.replace(f"<!-- {place} -->", text)
    return page
