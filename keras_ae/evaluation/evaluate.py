"""Measures a trained model on data, and writes what it finds."""

import contextlib
import dataclasses
import hashlib
import importlib
import json
import time
from pathlib import Path

from keras_ae import __version__, data, figures
from keras_ae.errors import BadRequest
from keras_ae.evaluation import report, scoring
from keras_ae.evaluation.context import Context, Section, Skipped
from keras_ae.evaluation.vocabulary import MEASURES
from keras_ae.files import check_writable, write_json, write_text
from keras_ae.loading import load_dataset, load_run
from keras_ae.options import STAGES, Options, is_path
from keras_ae.runs import FIGURE_SUFFIX, Run


def evaluate(run: Run, options: Options) -> dict:
    """Runs stages of an evaluation and writes `evaluation/` in the run directory.

    With `options.score` it scores new pictures instead, and writes these scores.

    Each stage, when it is done, replaces what an earlier evaluation of the same model said about
    it: its figures, its part of `metrics.json` and of `report.html`. Everything else stays.

    Returns the contents of `evaluation/metrics.json`: `run`, the model's description; `units` by
    measure; and in `stages`, by name, the `options` that it depends on, its `tables` with `caption`
    and `rows`, the captions of its `figures` by file, and the reasons for what was `skipped`. Of
    new pictures it returns the `threshold`, its `percentile`, and in `pictures`, by name, `score`
    and `anomaly`; threshold and `anomaly` are `None` without validation images.
    """
    context = open_run(run, options)
    if options.score is None:
        with run.locked():
            return _run_stages(context)
    pictures = scoring.read_like(context, options.score, "score")
    scored = scoring.measure(context, pictures)
    with run.locked():
        scoring.write(context, pictures, scored)
    return scored


def _run_stages(context: Context) -> dict:
    run, options = context.run, context.options
    content = {
        "run": _describe(context),
        "units": {key: measure.unit for key, measure in MEASURES.items()},
        "stages": {},
    }
    content["stages"] = _earlier(run, content)
    names = [name for name in STAGES if name in options.only]
    for position, name in enumerate(names, start=1):
        print(f"[{position}/{len(names)}] {STAGES[name].title} ...", end=" ", flush=True)
        started = time.monotonic()
        try:
            # scikit-learn comes with some of them, and training does without it.
            stage = importlib.import_module(f"keras_ae.evaluation.stages.{name}")
            section = stage.present(context, stage.measure(context))
        except Skipped as reason:
            section = Section(skipped={name: str(reason)})
            print("skipped:", reason, flush=True)
        else:
            print(f"{time.monotonic() - started:.1f} s", flush=True)
        _write(run, content, name, section, options)
    return content


def open_run(run: Run, options: Options) -> Context:
    """Returns what the stages need to measure a finished run."""
    recipe, trained_on = run.read_trained()
    run.check_open()
    options = options.resolved(trained_on)
    dataset = load_dataset(run, options.images)
    model = load_run(run)
    check_writable(run.evaluation)
    context = Context(run, recipe, model, dataset, None, options)
    return context if options.ood is None else dataclasses.replace(context, ood=_load_ood(context))


def _load_ood(context: Context) -> data.Dataset:
    """Returns the other dataset; of own pictures all are test images."""
    name, own = context.options.ood, context.dataset
    if is_path(name):
        pictures = scoring.read_like(context, name, "ood")
        test = data.Split(pictures.images, pictures.labels)
        nothing, checksum = test[:0], hashlib.sha256(pictures.images.tobytes()).hexdigest()
        stem = Path(name).absolute().stem
        stem += " (ood)" if stem == own.name else ""
        return data.Dataset(stem, "", checksum, pictures.classes, nothing, nothing, test)
    if (shape := data.image_shape(name)) != own.image_shape:
        raise BadRequest(
            f"`ood`: expected images {list(own.image_shape)}, as the run was trained on, received "
            f"{name} of {list(shape)}"
        )
    return data.load(name, context.options.ood_archives)


def _describe(context: Context) -> dict:
    recipe, dataset = context.recipe, context.dataset
    return {
        "recipe": recipe.name,
        "description": recipe.description,
        "latent_dim": context.model.latent_dim,
        "parameters": context.model.count_params(),
        "epochs": recipe.epochs,
        "seed": recipe.seed,
        "dataset": dataset.name,
        "image_shape": list(dataset.image_shape),
        "classes": list(dataset.classes),
        "dataset_checksum": dataset.checksum,
        "train_images": len(dataset.train),
        "test_images": len(dataset.test),
        "model_checksum": hashlib.sha256(context.run.model.read_bytes()).hexdigest(),
        "keras_ae": __version__,
    }


def _earlier(run: Run, content: dict) -> dict:
    """Returns the stages of an earlier evaluation of the same model, if there is one."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        earlier = json.loads(run.evaluation_metrics.read_text(encoding="utf-8"))
        if all(earlier[key] == content[key] for key in ("run", "units")):
            return dict(earlier["stages"])
    return {}


def _write(run: Run, content: dict, name: str, section: Section, options: Options) -> None:
    captions = {}
    for figure_name, (caption, figure) in section.figures.items():
        file = f"{name}_{figure_name}{FIGURE_SUFFIX}"
        figures.save(figure, run.evaluation / file)
        captions[file] = caption
    for file, text in section.files.items():
        write_text(run.evaluation / file, text)
    done = content["stages"] | {
        name: {
            "options": {key: getattr(options, key) for key in STAGES[name].options},
            "tables": {
                key: {"caption": caption, "rows": rows}
                for key, (caption, rows) in section.tables.items()
            },
            "figures": captions,
            "skipped": section.skipped,
        }
    }
    content["stages"] = {key: done[key] for key in STAGES if key in done}
    write_json(run.evaluation_metrics, content)
    write_text(run.evaluation_report, report.page(content, run.evaluation))
    for path in run.evaluation.glob(f"{name}_*{FIGURE_SUFFIX}"):
        if path.name not in captions:
            path.unlink()
