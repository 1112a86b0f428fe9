"""Exports of a trained model for programs that do not have this package.

A SavedModel and two LiteRT files have the signatures in `SIGNATURES`, of named tensors in and out,
with any number of rows. An empty batch gives empty outputs. A wrong shape or dtype is an error.
Values are not checked: an image with NaN gets the score NaN and counts as anomalous.
"""

import tempfile
import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_ae import data, metrics
from keras_ae.files import replacing, write_json
from keras_ae.loading import load_dataset, load_run
from keras_ae.models import Autoencoder, VariationalAutoencoder
from keras_ae.models.vae import LOG_VARIANCE_RANGE
from keras_ae.options import PERCENTILE
from keras_ae.runs import Run

# Above this multiple of the Keras model's error, a quantized file does more harm than good. It
# happens where batch normalization has units of no variance: folded into the next weights, their
# huge factors leave nothing of the other weights in 8 bits.
QUANTIZATION_LIMIT = 1.1
# Enough for the third digit of the error, and a few seconds for the slowest model.
_LITERT_IMAGES = 500


class Signature(NamedTuple):
    """A function of a model that a SavedModel has under a name."""

    name: str
    takes: tuple[str, ...]  # Names of the tensors that it takes.
    gives: tuple[str, ...]  # Names of the tensors that it gives.
    step: Callable[[Autoencoder, float], Callable]  # From model and threshold to the function.
    variational_only: bool = False
    in_litert: bool = True


def _detect(model: Autoencoder, threshold: float) -> Callable:
    def detect(images):
        scores = model.score_step(images)
        return scores, tf.logical_or(scores > threshold, tf.math.is_nan(scores))

    return detect


def _sample(model: VariationalAutoencoder, threshold: float) -> Callable:
    return lambda count, seed: model.decode_step(model.prior_step(count, seed))


# `_tensors_of` says what each of their tensors is.
# fmt: off
SIGNATURES = (
    Signature("reconstruct", ("images",), ("reconstructions",),
              lambda model, _: model.reconstruct_step),
    Signature("encode", ("images",), ("latents",), lambda model, _: model.encode_step),
    Signature("decode", ("latents",), ("images",), lambda model, _: model.decode_step),
    Signature("score", ("images",), ("scores",), lambda model, _: model.score_step),
    Signature("detect", ("images",), ("scores", "anomalous"), _detect),
    Signature("encode_distribution", ("images",), ("mean", "log_variance"),
              lambda model, _: model.posterior_step, variational_only=True),
    Signature("sample", ("count", "seed"), ("images",), _sample,
              variational_only=True, in_litert=False),
)
# fmt: on


class Tensor(NamedTuple):
    """A tensor that signatures take or give."""

    shape: tuple[int | None, ...]  # `None` is the number of rows.
    dtype: str
    range: tuple[float | None, float | None]  # Both ends are in it; `None` is no bound.
    unit: str | None = None


def _tensors_of(model: Autoencoder) -> dict[str, Tensor]:
    """Returns the tensors of all signatures of a model, by name."""
    rows = (None,)
    images = Tensor(rows + model.image_shape, "float32", (0, 1), "share of full intensity")
    latents = Tensor((None, model.latent_dim), "float32", (None, None))
    every = {
        "images": images,
        "reconstructions": images,
        "latents": latents,
        "scores": Tensor(rows, "float32", (0, None), model.score_unit),
        "anomalous": Tensor(rows, "bool", (False, True)),
        "mean": latents,
        "log_variance": Tensor(latents.shape, "float32", LOG_VARIANCE_RANGE, "natural logarithm"),
        "count": Tensor((), "int32", (0, None), "images"),
        "seed": Tensor((), "int32", (None, None)),
    }
    used = {name for one in _signatures_of(model) for name in (*one.takes, *one.gives)}
    return {name: tensor for name, tensor in every.items() if name in used}


def export_run(
    run: Run, dataset: data.Dataset | None = None, images: str | Path | None = None
) -> dict:
    """Writes all exports of a finished run, from its `model.keras`.

    They are the encoder and the decoder as Keras files that load without this package, the
    SavedModel, LiteRT files in float32 and with dynamic-range quantization, and `export.json`. The
    quantized file is left out where it would cost more than a tenth of the error. All of them
    give images in [0, 1]: the decoder's file ends in a layer that clips.

    Returns the contents of `export.json`: the threshold of `detect`, the sizes in bytes, for the
    LiteRT files the mean squared error per pixel beside that of the Keras model, and for each
    signature the tensors that it takes and gives, with their shapes, dtypes, ranges and units.

    A training gives its `dataset` and has locked the directory. Without it, the one that
    `config.json` names is loaded, and the directory is locked here. `images` is the new place of
    own pictures that have moved.
    """
    model = load_run(run)
    if dataset is not None:
        return _write_exports(run, model, dataset)
    dataset = load_dataset(run, images)
    run.check_open()
    with run.locked():
        return _write_exports(run, model, dataset)


def find_threshold(model: Autoencoder, dataset: data.Dataset) -> tuple[float, str]:
    """Returns the score above which an image is anomalous, and the split that it comes from."""
    # With `full_train` there is no validation split, and the training images stand in for it.
    split = "validation" if len(dataset.validation) else "train"
    scores = model.score(data.to_float(getattr(dataset, split).images))
    return float(np.percentile(scores, PERCENTILE)), split


def _write_exports(run: Run, model: Autoencoder, dataset: data.Dataset) -> dict:
    threshold, split = find_threshold(model, dataset)
    images = data.to_float(getattr(dataset, split).images)

    for path, part in ((run.encoder, model.encoder), (run.decoder, model.clipped_decoder)):
        with replacing(path) as draft:
            part.save(draft)
    with replacing(run.saved_model) as draft:
        export_saved_model(model, draft, threshold)
    with replacing(run.litert) as draft, replacing(run.litert_quantized) as quantized_draft:
        export_litert(model, draft, quantized_draft, threshold)

    images = images[:_LITERT_IMAGES]
    keras_mse = _error(images, model.reconstruct(images))
    litert = {
        path.name: {
            "bytes": path.stat().st_size,
            "mse": _error(images, _reconstruct_with_litert(path, images)),
        }
        for path in (run.litert, run.litert_quantized)
    }
    if litert[run.litert_quantized.name]["mse"] > QUANTIZATION_LIMIT * keras_mse:
        run.litert_quantized.unlink()
    files = (path for path in run.saved_model.rglob("*") if path.is_file())
    report = {
        "threshold": threshold,
        "threshold_percentile": PERCENTILE,
        "split": split,
        "saved_model": {"bytes": sum(path.stat().st_size for path in files)},
        "litert": {"images": len(images), "keras_mse": keras_mse, **litert},
        "signatures": {
            one.name: {"takes": one.takes, "gives": one.gives} for one in _signatures_of(model)
        },
        "tensors": {name: tensor._asdict() for name, tensor in _tensors_of(model).items()},
    }
    write_json(run.export, report)
    return report


def export_saved_model(
    model: Autoencoder,
    path: str | Path,
    threshold: float,
    *,
    only: Collection[str] | None = None,
    batch_size: int | None = None,
) -> None:
    """Writes a SavedModel with the signatures in `SIGNATURES`.

    Example:

    ```python
    model = keras_ae.load("mlp")
    export_saved_model(model, "saved_model", threshold=0.05)
    served = tf.saved_model.load("saved_model")
    answer = served.signatures["detect"](images=np.zeros((1, 28, 28, 1), "float32"))
    answer["anomalous"]  # [1], booleans
    ```

    Args:
        model: A trained model.
        path: Directory to write.
        threshold: Score above which `detect` calls an image anomalous.
        only: Names of the signatures to write, of those that the model has; `None` for all.
        batch_size: Number of rows that every batch must have; `None` for any number.
    """
    archive = keras.export.ExportArchive()
    specs = {
        name: tf.TensorSpec(
            [batch_size if side is None else side for side in tensor.shape], tensor.dtype, name
        )
        for name, tensor in _tensors_of(model).items()
    }
    # The first one becomes `serving_default`, too.
    for signature in _signatures_of(model, only):
        taken = [specs[name] for name in signature.takes]
        archive.add_endpoint(signature.name, _endpoint(signature, model, threshold, taken), taken)
    # `archive.track(model)` would store every weight twice.
    for name in ("variables", "trainable_variables", "non_trainable_variables"):
        variables = [variable.value for variable in getattr(model, name)]
        archive.add_variable_collection(name, variables)
    archive.write_out(path, verbose=False)


def _signatures_of(model: Autoencoder, only: Collection[str] | None = None) -> list[Signature]:
    is_variational = isinstance(model, VariationalAutoencoder)
    has = [one for one in SIGNATURES if is_variational or not one.variational_only]
    return [one for one in has if only is None or one.name in only]


def _endpoint(
    signature: Signature, model: Autoencoder, threshold: float, taken: list[tf.TensorSpec]
) -> Callable:
    step = signature.step(model, threshold)

    def named(*tensors):
        return dict(zip(signature.gives, tf.nest.flatten(step(*tensors)), strict=True))

    # Scalars are no batch, and a batch of a fixed size is never empty.
    return _for_any_batch(named, *taken) if None in taken[0].shape else named


def _for_any_batch(step: Callable, spec: tf.TensorSpec) -> Callable:
    """Wraps a step so that it checks the shape of its batch, and takes an empty one."""

    def endpoint(batch):
        batch = tf.ensure_shape(batch, spec.shape)
        rows = tf.shape(batch)[0]
        # Convolutions refuse an empty batch, so that one gets a row for the time being.
        extra = tf.zeros((tf.cast(rows == 0, tf.int32), *spec.shape[1:]))
        outputs = step(tf.concat([batch, extra], axis=0))
        return {name: values[:rows] for name, values in outputs.items()}

    return endpoint


def export_litert(
    model: Autoencoder,
    path: str | Path,
    quantized_path: str | Path | None,
    threshold: float,
    *,
    only: Collection[str] | None = None,
    batch_size: int | None = None,
) -> None:
    """Writes LiteRT (`.tflite`) files with the signatures that LiteRT can have.

    The converter can express neither loops over time nor random numbers: LSTMs are unrolled, and
    there is no `sample`.

    Example:

    ```python
    model = keras_ae.load("dense")
    export_litert(model, "model.tflite", "model_dynamic_range.tflite", threshold=0.05)
    encode = tf.lite.Interpreter("model.tflite").get_signature_runner("encode")
    encode(images=np.zeros((3, 28, 28, 1), "float32"))["latents"]  # [3, 5]
    ```

    Args:
        model: A trained model.
        path: File to write in float32.
        quantized_path: File to write with weights as 8-bit integers (dynamic-range quantization);
            `None` for none.
        threshold: Score above which `detect` calls an image anomalous.
        only: Names of the signatures to write, of those that the model has; `None` for all.
        batch_size: Number of rows that every batch must have; `None` for any number.
    """
    config = model.get_config()
    if config.get("unroll") is False:
        weights = model.get_weights()
        model = type(model).from_config({**config, "unroll": True})
        model.set_weights(weights)
    names = sorted(one.name for one in _signatures_of(model, only) if one.in_litert)
    files = {path: [], quantized_path: [tf.lite.Optimize.DEFAULT]}
    files.pop(None, None)
    with tempfile.TemporaryDirectory() as directory:
        export_saved_model(model, directory, threshold, only=names, batch_size=batch_size)
        for file, optimizations in files.items():
            converter = tf.lite.TFLiteConverter.from_saved_model(directory, names)
            converter.optimizations = optimizations
            Path(file).write_bytes(converter.convert())


def _reconstruct_with_litert(path: Path, images: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        # The interpreter is moving to a package of its own. This one comes with TensorFlow.
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf.lite.Interpreter is deprecated")
        # Without delegates: the one that comes by default announces itself on stderr.
        plain = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = tf.lite.Interpreter(str(path), experimental_op_resolver_type=plain)
    return interpreter.get_signature_runner("reconstruct")(images=images)["reconstructions"]


def _error(images: np.ndarray, reconstructions: np.ndarray) -> float:
    return float(metrics.mean_squared_error(images, reconstructions).mean())
