"""Measures a trained model on data, and writes what it finds."""

import contextlib
import hashlib
import importlib
import json
import time

import numpy as np

from keras_ae import __version__, data, figures, metrics, report, stages
from keras_ae.files import check_writable, write_json, write_text
from keras_ae.loading import load_dataset, load_run
from keras_ae.models import Autoencoder, VariationalAutoencoder
from keras_ae.runs import Run
from keras_ae.settings import STAGES, Settings


def summarize(model: Autoencoder, dataset: data.Dataset) -> dict[str, dict]:
    """Measures `model` on every split, beside two yardsticks fitted to the training images.

    Args:
        model: A trained model, compiled if it is variational.
        dataset: Splits; an empty validation split is left out.

    Returns:
        By split: `mse`, `pca_mse` (as many components as latents) and `mean_image_mse`, mean
        squared errors per pixel; `latent_dim` and `live_units` of the code; for a variational
        model `loss`, `reconstruction_loss` and `kl_loss` in nats per image, with one sample of
        the posterior per image. The `mse` of such a model is that of the decoded posterior mean.
    """
    train = data.to_float(dataset.train.images)
    pca = metrics.PCA.fit(train)
    splits = {"test": dataset.test, "validation": dataset.validation, "train": dataset.train}
    summary = {}
    for name, split in splits.items():
        if len(split) == 0:
            continue
        images = train if name == "train" else data.to_float(split.images)
        latents = model.encode(images)
        reconstructions = {
            "mse": model.decode(latents),
            "pca_mse": pca.reconstruct(images, model.latent_dim),
            "mean_image_mse": np.broadcast_to(pca.mean.reshape(images.shape[1:]), images.shape),
        }
        summary[name] = {
            key: float(metrics.mean_squared_error(images, values).mean())
            for key, values in reconstructions.items()
        }
        summary[name] |= {"latent_dim": model.latent_dim, "live_units": metrics.live_units(latents)}
        if isinstance(model, VariationalAutoencoder):
            batches = data.batches(split.images, batch_size=1000)
            summary[name] |= model.evaluate(batches, verbose=0, return_dict=True)
    return summary


def evaluate(run: Run, settings: Settings) -> dict:
    """Runs stages of an evaluation and writes `evaluation/` in the run directory.

    Each stage, when it is done, replaces what an earlier evaluation of the same model said about
    it: its figures, its part of `metrics.json` and of `report.html`. Everything else stays.

    Args:
        run: A finished run.
        settings: What to evaluate, and how.

    Returns:
        The contents of `evaluation/metrics.json`: `run`, the model's description; `units` by
        measure; and in `stages`, by name, the `settings` that it depends on, its `tables` with
        `caption` and `rows`, the captions of its `figures` by file, and the reasons for what was
        `skipped`.

    Raises:
        BadRequest: If the run, a setting or a dataset cannot be used. Nothing has been written.
    """
    context = open_run(run, settings)
    with run.locked():
        return _run_stages(context)


def _run_stages(context: stages.Context) -> dict:
    run, settings = context.run, context.settings
    run.evaluation.mkdir(exist_ok=True)
    content = {"run": _describe(context), "units": report.units(), "stages": {}}
    content["stages"] = _earlier(run, content)
    names = [name for name in STAGES if name in settings.only]
    for position, name in enumerate(names, start=1):
        print(f"[{position}/{len(names)}] {STAGES[name].title} ...", end=" ", flush=True)
        started = time.monotonic()
        try:
            # scikit-learn comes with some of them, and training does without it.
            section = importlib.import_module(f"keras_ae.stages.{name}").run(context)
        except stages.Skipped as reason:
            section = stages.Section(skipped={name: str(reason)})
            print("skipped:", reason, flush=True)
        else:
            print(f"{time.monotonic() - started:.1f} s", flush=True)
        _write(run, content, name, section, settings)
    return content


def open_run(run: Run, settings: Settings) -> stages.Context:
    """Returns what the stages need to measure a finished run.

    Raises:
        BadRequest: If the run, a setting or a dataset cannot be used.
    """
    recipe, trained_on = run.read_trained()
    settings.check_against(trained_on)
    dataset = load_dataset(run)
    ood = None if settings.ood is None else data.load(settings.ood, settings.ood_archives)
    model = load_run(run)
    check_writable(run.evaluation)
    return stages.Context(run, recipe, model, dataset, ood, settings)


def _describe(context: stages.Context) -> dict:
    recipe, dataset = context.recipe, context.dataset
    return {
        "recipe": recipe.name,
        "description": recipe.description,
        "latent_dim": context.model.latent_dim,
        "parameters": context.model.count_params(),
        "epochs": recipe.epochs,
        "seed": recipe.seed,
        "dataset": dataset.name,
        "dataset_checksum": dataset.checksum,
        "train_images": len(dataset.train),
        "test_images": len(dataset.test),
        "model_checksum": hashlib.sha256(context.run.model.read_bytes()).hexdigest(),
        "keras_ae": __version__,
    }


def _earlier(run: Run, content: dict) -> dict:
    """Returns the stages of an earlier evaluation of the same model, if there is one."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        earlier = json.loads(run.evaluation_metrics.read_text(encoding="utf-8"))
        if {key: earlier[key] for key in ("run", "units")} == {
            key: content[key] for key in ("run", "units")
        }:
            return earlier["stages"]
    return {}


def _write(run: Run, content: dict, name: str, section: stages.Section, settings: Settings) -> None:
    captions = {}
    for figure_name, (caption, figure) in section.figures.items():
        file = f"{name}_{figure_name}.png"
        figures.save(figure, run.evaluation / file)
        captions[file] = caption
    for file, text in section.files.items():
        write_text(run.evaluation / file, text)
    done = content["stages"] | {
        name: {
            "settings": {key: getattr(settings, key) for key in STAGES[name].settings},
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
    for path in run.evaluation.glob(f"{name}_*.png"):
        if path.name not in captions:
            path.unlink()
