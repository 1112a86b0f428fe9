"""Makes the shipped models: `python -m studies.ship`.

It trains each recipe in full and puts what is needed to use the model, and nothing else, into
`saved_models/pretrained/<recipe>/`: Keras file, SavedModel, measurements, picture, model card. What
other pages say of the shipped models is then written anew; `--pages-only` does this and no more.
`--export-only` trains nothing, and writes SavedModels and cards of the models that are there.
"""

import argparse
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from keras_ae import data, recipes
from keras_ae.evaluation.stages.elbo import likelihood
from keras_ae.export import SIGNATURES, export_run
from keras_ae.files import replacing, write_json, write_text
from keras_ae.loading import load_run
from keras_ae.metrics import active_units
from keras_ae.models import VariationalAutoencoder
from keras_ae.recipe import Recipe
from keras_ae.runs import RUNS, Run
from keras_ae.training.run import train
from studies.pages import markdown_table, with_parts
from studies.store import clean_commit

SHIPPED = (
    "dense", "dense-tuned", "conv", "conv-tuned", "batchnorm", "batchnorm-tuned",
    "mlp", "mlp-tuned", "lstm", "lstm-tuned", "vae-baseline", "vae-optimized", "vae-tuned",
    "denoiser",
)  # fmt: skip
PROJECT = Path(__file__).parents[1]
COMMAND = "python -m studies.ship"
README = PROJECT / "README.md"
# Beside the measurements of a variational model.
LIKELIHOOD = "likelihood.json"
NLL_IMAGES, NLL_SAMPLES = 300, 5_000
# The example of a request, and the model that answers it.
SERVING = PROJECT / "examples" / "serving" / "README.md"
REQUEST = SERVING.with_name("request.json")
SERVED = "conv"


def main() -> None:
    """Trains the recipes that are named, or all, and ships the models."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help=f"of {', '.join(SHIPPED)}")
    parser.add_argument("--save-dir", type=Path, default=PROJECT / RUNS / "pretrained",
        metavar="DIR", help="where to put the models (default: %(default)s)")  # fmt: skip
    parser.add_argument("-e", "--epochs", type=int, help="for a try: fewer epochs")
    parser.add_argument("--train-images", type=int, help="for a try: fewer images")
    parser.add_argument("--export-only", action="store_true",
        help="train nothing, and export the models in DIR anew")  # fmt: skip
    parser.add_argument("--pages-only", action="store_true",
        help="train nothing, and write what pages say of the models in DIR")  # fmt: skip
    options = parser.parse_args()
    overrides = {
        name: value
        for name in ("epochs", "train_images")
        if (value := getattr(options, name)) is not None
    }
    if not options.pages_only:
        commit = clean_commit()
        for name in options.recipes or SHIPPED:
            shipped = Run(options.save_dir / name)
            if options.export_only:
                _export_again(shipped)
            else:
                _train_and_ship(recipes.get(name).override(**overrides), shipped, commit)
            print(f"{name}: {_size(shipped.directory) / 1e6:.1f} MB in {shipped.directory}")
        print(f"all in {options.save_dir}: {_size(options.save_dir) / 1e6:.1f} MB")
    if not overrides:
        served = Run(options.save_dir / SERVED)
        request = serving_request()
        write_text(README, update_readme(README.read_text("utf-8"), options.save_dir))
        write_text(REQUEST, request)
        write_text(SERVING, update_serving(SERVING.read_text("utf-8"), served, request))


def _train_and_ship(recipe: Recipe, shipped: Run, commit: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        run = Run(Path(directory) / recipe.name)
        train(recipe, run)
        ship(run, shipped, commit)


def _export_again(shipped: Run) -> None:
    (commit,) = re.findall(
        r"^\| commit \| `(\w+)` \|$", shipped.card.read_text("utf-8"), re.MULTILINE
    )
    with tempfile.TemporaryDirectory() as directory:
        run = Run(Path(directory) / shipped.directory.name)
        shutil.copytree(shipped.directory, run.directory)
        export_run(run)
        ship(run, shipped, commit)
        # Written anew, the same weights would be another file.
        shutil.copy(run.model, shipped.model)


def ship(
    run: Run,
    shipped: Run,
    commit: str,
    nll_images: int = NLL_IMAGES,
    nll_samples: int = NLL_SAMPLES,
) -> None:
    """Copies what users of a model need from its run.

    The Keras file loses the optimizer's state, two thirds of it. Encoder, decoder and LiteRT files
    are left out: `train.py --export-only` makes them from the model.

    Args:
        run: A finished run.
        shipped: Where to put the model; what is there is replaced.
        commit: Revision of the code that trained it.
        nll_images: Test images that get importance samples, of a variational model.
        nll_samples: Importance samples for each of these.
    """
    shipped.directory.parent.mkdir(parents=True, exist_ok=True)
    with replacing(shipped.directory) as draft:
        copy = Run(draft)
        copy.figures.mkdir(parents=True)
        for source, target in (
            (run.config, copy.config),
            (run.history, copy.history),
            (run.metrics, copy.metrics),
            (run.export, copy.export),
        ):
            shutil.copy(source, target)
        shutil.copytree(run.saved_model, copy.saved_model)
        recipe = run.read_recipe()
        pictures = []
        for pattern in (run.reconstruction_figures, run.sample_figures):
            picture = Path(str(pattern).format(epoch=recipe.epochs))
            if picture.is_file():
                shutil.copy(picture, copy.figures)
                pictures.append((copy.figures / picture.name).relative_to(draft).as_posix())
        model = load_run(run)
        model.save(copy.model)
        bounds = None
        if isinstance(model, VariationalAutoencoder):
            bounds = _likelihood(model, nll_images, nll_samples)
            write_json(draft / LIKELIHOOD, bounds)
        write_text(copy.card, model_card(run, recipe, pictures, commit, bounds))


def _likelihood(model: VariationalAutoencoder, nll_images: int, nll_samples: int) -> dict:
    images = data.to_float(data.load().test.images)
    bounds, _ = likelihood(model, images, nll_images, nll_samples, seed=0)
    active = int(active_units(model.encode(images)).sum())
    return {"active_units": active, "nll_samples": nll_samples, **bounds}


_CARD = """\
# {recipe.name}

{description}

{pictures}

{caption}

```python
import keras_ae

model = keras_ae.load("{recipe.name}")
```

Images are float32 `[n, 28, 28, 1]` with values in [0, 1]. The signatures of `saved_model/` are
those of every model, see the project's README; `export.json` has the shape, range and unit of each
of their tensors. `detect` calls an image anomalous when its score exceeds
{export[threshold]:.6g}, percentile {export[threshold_percentile]:g} of the scores of the
{export[split]} images. The model knows the images of this one dataset and no others.

## Measured

{measured}

`mse`, `pca_mse` (as many components as latents) and `mean_image_mse` are mean squared errors per
pixel. `non_constant_units` is the number of non-constant latent units: those that vary over the
images. Losses are in nats per image.

{bounds}LiteRT files made of this model, with the mean squared error on {litert[images]}
{export[split]} images, where the Keras model has {litert[keras_mse]:.6f}:

{litert_files}

## Made with

| | |
|---|---|
| recipe | `{recipe.name}`, from source {recipe.source} |
| model | `{recipe.model}({arguments})`, {recipe.parameters:,} parameters |
| training | {recipe.epochs} epochs, batches of {recipe.batch_size} |
| {optimizer} | learning rate {recipe.learning_rate:g} ({recipe.schedule}), L2 {recipe.l2:g} |
| training images | {changes} |
| seed | {recipe.seed} |
| data | TFDS `{dataset[name]}` {dataset[version]}, SHA-256 `{dataset[checksum]}` |
| images | train {dataset[train]:,}, validation {dataset[validation]:,}, test {dataset[test]:,} |
| versions | {versions} |
| commit | `{commit}` |
"""


_BOUNDS = """\
Bounds on the negative log-likelihood of the {all_images:,} test images, nats per image:
{active_units} of {latent_dim} latent units are active. NLL is by {nll_samples:,} importance samples
for each of the first {images:,} images: the negative ELBO of all less what the samples gain on
these, with the standard error of that gain.

{bounds}

Binarized: each pixel drawn once as 0 or 1, with its value as probability (seed 0). The model was
trained on grey images. Published for models that were trained on binarized digits, drawn anew in
training: a plain variational autoencoder 86.4 and one with 50 importance samples 84.8 (Burda et
al., 2016, https://arxiv.org/abs/1509.00519), with better gradients 84.3 (Tucker et al., 2019,
https://arxiv.org/abs/1810.04152).

"""


def model_card(
    run: Run, recipe: Recipe, pictures: list[str], commit: str, bounds: dict | None = None
) -> str:
    """Returns the text of a model's card.

    Args:
        run: Where its measurements are.
        recipe: What was trained.
        pictures: Paths of its pictures, relative to the card.
        commit: Revision of the code that trained it.
        bounds: Of a variational model, the contents of its `LIKELIHOOD`.
    """
    config, metrics, export = (
        json.loads(path.read_text("utf-8")) for path in (run.config, run.metrics, run.export)
    )
    measured = [
        [name, *(_number(values[name]) for values in metrics.values())] for name in metrics["test"]
    ]
    litert_files = [
        [
            path.name if path.is_file() else f"{path.name}, left out for its error",
            f"{export['litert'][path.name]['bytes']:,}",
            _number(export["litert"][path.name]["mse"]),
        ]
        for path in (run.litert, run.litert_quantized)
    ]
    return _CARD.format(
        recipe=recipe,
        description=f"{recipe.description[0].upper()}{recipe.description[1:]}.",
        pictures="\n\n".join(f"![{Path(picture).stem}]({picture})" for picture in pictures),
        caption=_caption(recipe, len(pictures)),
        export=export,
        measured=markdown_table(["", *metrics], measured),
        bounds=_bounds(bounds, recipe) if bounds else "",
        litert=export["litert"],
        litert_files=markdown_table(["file", "bytes", "mse"], litert_files),
        optimizer=recipe.optimizer.capitalize(),
        changes=_changes(recipe),
        arguments=", ".join(f"{name}={value!r}" for name, value in recipe.arguments.items()),
        dataset=config["dataset"],
        versions=", ".join(f"{name} {value}" for name, value in config["versions"].items()),
        commit=commit,
    )


def _bounds(found: dict, recipe: Recipe) -> str:
    rows = [
        [
            kind,
            f"{found[f'{kind}_all']['negative_elbo']:.1f}",
            _nll(found, kind, 2),
        ]
        for kind in ("grey", "binarized")
    ]
    return _BOUNDS.format(
        active_units=found["active_units"],
        latent_dim=recipe.arguments["latent_dim"],
        nll_samples=found["nll_samples"],
        images=found["grey_first"]["images"],
        all_images=found["grey_all"]["images"],
        bounds=markdown_table(["images", "negative ELBO", "NLL"], rows),
    )


def _nll(found: dict, kind: str, decimals: int) -> str:
    row = found[f"{kind}_all"]
    return f"{row['nll']:.{decimals}f} ± {row['nll_error']:.{decimals}f}"


def _caption(recipe: Recipe, pictures: int) -> str:
    noise = f", with noise of {recipe.train_noise_std:g}," if recipe.train_noise_std else ""
    samples = ", and images decoded from draws of the prior" if pictures > 1 else ""
    return f"Validation images{noise} over their reconstructions{samples}."


def _changes(recipe: Recipe) -> str:
    changes = []
    if recipe.train_noise_std:
        strength = "up to " if recipe.any_train_noise else ""
        changes.append(f"with noise of {strength}{recipe.train_noise_std:g}")
    if recipe.train_shift_std:
        changes.append(f"moved by pixels, standard deviation {recipe.train_shift_std:g}")
    return ", ".join(changes) or "as they are"


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    # One sample of the posterior for each image: only the first decimal of nats holds.
    return f"{value:.6f}" if value < 1 else f"{value:.1f}"


def update_readme(readme: str, directory: Path) -> str:
    """Returns the README's text with its tables of results and signatures written anew.

    Args:
        readme: Text with a pair of comments around each of them.
        directory: Where the shipped models are.
    """
    parts = {
        "results": _results([Run(directory / name) for name in SHIPPED]),
        "signatures": _signatures(),
    }
    return with_parts(readme, parts, COMMAND)


def _results(runs: list[Run]) -> str:
    rows = []
    for run in runs:
        if not run.metrics.is_file():
            continue
        recipe, test = run.read_recipe(), json.loads(run.metrics.read_text("utf-8"))["test"]
        used, bounds = test["non_constant_units"], ["", "", ""]
        if "loss" in test:
            found = json.loads((run.directory / LIKELIHOOD).read_text("utf-8"))
            used = found["active_units"]
            bounds = [f"{found['grey_all']['negative_elbo']:.1f}"]
            bounds += [_nll(found, kind, 1) for kind in ("grey", "binarized")]
        rows.append(
            [
                f"[`{recipe.name}`](saved_models/pretrained/{recipe.name}/)",
                recipe.description,
                recipe.source,
                f"{recipe.parameters:,}",
                f"{used} of {test['latent_dim']}",
                f"{test['mse']:.4f}",
                f"{test['pca_mse']:.4f}",
                *bounds,
            ]
        )
    header = ["recipe", "what", "source", "parameters", "latent units in use", "test MSE", "PCA"]
    return markdown_table([*header, "negative ELBO", "NLL, grey", "NLL, binarized"], rows)


def _signatures() -> str:
    rows = []
    for position, signature in enumerate(SIGNATURES):
        # The first one has two names.
        names = ([] if position else ["serving_default"]) + [signature.name]
        rows.append(
            [
                *(
                    ", ".join(f"`{name}`" for name in cell)
                    for cell in (names, signature.takes, signature.gives)
                ),
                "variational" if signature.variational_only else "all",
                "yes" if signature.in_litert else "no",
            ]
        )
    return markdown_table(["signature", "takes", "gives", "models", "in LiteRT"], rows)


def serving_request() -> str:
    """Returns the example of a request: the first test image, row by row."""
    image = np.round(data.to_float(data.load().test.images[0]).astype("float64"), 2).tolist()
    rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in image)
    return f'{{"signature_name": "detect", "instances": [[\n{rows}\n]]}}\n'


def update_serving(page: str, served: Run, request: str) -> str:
    """Returns the text of the serving example with the answer written anew.

    Args:
        page: Text with a pair of comments around the answer.
        served: The model that answers.
        request: What it answers, see `serving_request`.
    """
    body = json.loads(request)
    signature = tf.saved_model.load(str(served.saved_model)).signatures[body["signature_name"]]
    answer = signature(images=tf.constant(body["instances"]))
    prediction = {
        "anomalous": bool(answer["anomalous"][0]),
        # By way of text, the float32 keeps its shortest form.
        "scores": float(str(answer["scores"][0].numpy())),
    }
    text = f"```json\n{json.dumps({'predictions': [prediction]})}\n```"
    return with_parts(page, {"answer": text}, COMMAND)


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
