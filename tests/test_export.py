"""Exports, judged by the programs that will load them."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from keras_ae import data, export, models
from keras_ae.loading import load, load_run
from keras_ae.runs import Run

BATCHES = (1, 2, 257)
# Runs of two recipes as training left them, and the other kinds of graphs: convolutions, batch
# normalization, LSTMs that are not unrolled.
BUILT = {
    "conv": lambda: models.ConvAutoencoder(),
    "batchnorm": lambda: models.DenseAutoencoder(
        latent_dim=32, hidden_units=(64, 32), batch_normalization=True
    ),
    "denoiser": lambda: models.SpatialAutoencoder(),
    "lstm": lambda: models.LSTMAutoencoder(latent_dim=16, hidden_units=(), unroll=False),
}
NAMES = ("mlp", "vae", *BUILT)


@pytest.fixture(scope="module")
def runs(mlp_run, vae_run, dataset, digits, tmp_path_factory):
    found = {"mlp": mlp_run, "vae": vae_run}
    for name, build in BUILT.items():
        run = found[name] = Run(tmp_path_factory.mktemp("runs"))
        model = build()
        model.compile(optimizer="adam", loss="mse")
        model.fit(digits, digits, epochs=2, verbose=0)
        model.save(run.model)
        export.export_run(run, dataset)
    return found


@pytest.fixture(scope="module")
def expected(runs, digits):
    """What the Keras models give for 257 digits: by run and signature, inputs and outputs."""
    images = digits[:257]

    def outputs(model):
        latents = model.encode(images)
        scores = model.score(images)
        by_signature = {
            "serving_default": (images, {"reconstructions": model.reconstruct(images)}),
            "reconstruct": (images, {"reconstructions": model.reconstruct(images)}),
            "encode": (images, {"latents": latents}),
            "decode": (latents, {"images": model.decode(latents)}),
            "score": (images, {"scores": scores}),
            "detect": (images, {"scores": scores}),
        }
        if isinstance(model, models.VariationalAutoencoder):
            mean, log_variance = model.encoder.predict(images, verbose=0)
            outputs = {"mean": mean, "log_variance": log_variance}
            by_signature["encode_distribution"] = (images, outputs)
        return by_signature

    return {name: outputs(load_run(run)) for name, run in runs.items()}


def python(code: str, *arguments, **environment) -> subprocess.CompletedProcess:
    """Runs code in a process that cannot import keras_ae."""
    code = f"import sys; sys.modules['keras_ae'] = None\n{code}"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )


def assert_agrees(actual, expected_outputs, rows, tolerance=1e-5):
    for name, values in expected_outputs.items():
        np.testing.assert_allclose(
            actual[name], values[:rows], rtol=tolerance, atol=tolerance, err_msg=name
        )


# --- SavedModel -----------------------------------------------------------------------------------

RUN_SIGNATURES = """
import pathlib
import numpy as np
import tensorflow as tf

for directory in pathlib.Path(sys.argv[1]).iterdir():
    signatures = tf.saved_model.load(directory / "saved_model").signatures
    outputs = {}
    for signature, inputs in np.load(directory / "inputs.npz").items():
        (name,) = signatures[signature].structured_input_signature[1]
        for rows in map(int, sys.argv[2:]):
            for output, values in signatures[signature](**{name: inputs[:rows]}).items():
                outputs[f"{signature}/{rows}/{output}"] = values.numpy()
    np.savez(directory / "outputs.npz", **outputs)
"""


@pytest.fixture(scope="module")
def outputs_elsewhere(runs, expected, tmp_path_factory):
    """Outputs of all SavedModels, from a process that has TensorFlow and not this package."""
    directory = tmp_path_factory.mktemp("elsewhere")
    for name, run in runs.items():
        shutil.copytree(run.saved_model, directory / name / "saved_model")
        inputs = {signature: inputs for signature, (inputs, _) in expected[name].items()}
        np.savez(directory / name / "inputs.npz", **inputs)
    python(RUN_SIGNATURES, directory, *BATCHES)
    return {name: np.load(directory / name / "outputs.npz") for name in runs}


@pytest.mark.parametrize("rows", BATCHES)
@pytest.mark.parametrize("name", NAMES)
def test_saved_model_needs_no_package_and_agrees_with_keras(
    name, rows, expected, outputs_elsewhere
):
    for signature, (_, outputs) in expected[name].items():
        actual = {
            output: outputs_elsewhere[name][f"{signature}/{rows}/{output}"] for output in outputs
        }
        assert all(values.dtype == "float32" for values in actual.values())
        assert_agrees(actual, outputs, rows)


def saved_model_cli(*arguments) -> str:
    command = [Path(sys.executable).with_name("saved_model_cli"), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_saved_model_cli_shows_the_signatures(runs):
    shown = saved_model_cli("show", "--dir", runs["vae"].saved_model, "--all")
    found = {
        section.partition("'")[0]: set(re.findall(r"(?:inputs|outputs)\['(\w+)'\]", section))
        for section in shown.split("signature_def['")[1:]
    }
    found.pop("__saved_model_init_op", None)
    assert found == {
        "serving_default": {"images", "reconstructions"},
        "reconstruct": {"images", "reconstructions"},
        "encode": {"images", "latents"},
        "decode": {"latents", "images"},
        "score": {"images", "scores"},
        "detect": {"images", "scores", "anomalous"},
        "encode_distribution": {"images", "mean", "log_variance"},
        "sample": {"count", "seed", "images"},
    }
    assert "shape: (-1, 28, 28, 1)" in shown


@pytest.mark.parametrize(("name", "signature", "output"), [("mlp", "encode", "latents")])
def test_saved_model_cli_runs_on_a_numpy_file(name, signature, output, runs, expected, tmp_path):
    inputs, outputs = expected[name][signature]
    np.save(tmp_path / "digits.npy", inputs)
    saved_model_cli(
        "run", "--dir", runs[name].saved_model, "--tag_set", "serve", "--signature_def", signature,
        "--inputs", f"images={tmp_path / 'digits.npy'}", "--outdir", tmp_path,
    )  # fmt: skip
    assert_agrees({output: np.load(tmp_path / f"{output}.npy")}, outputs, len(inputs))


@pytest.mark.skipif(keras.__version__.startswith("3.8."), reason="Keras 3.8 cannot freeze it")
def test_saved_model_is_a_layer_of_another_keras_model(runs, expected, dataset):
    images, outputs = expected["mlp"]["encode"]
    encode = keras.layers.TFSMLayer(
        str(runs["mlp"].saved_model), call_endpoint="encode", trainable=False
    )
    inputs = keras.Input((28, 28, 1))
    encoded = encode(inputs)
    classifier = keras.Model(
        inputs, keras.layers.Dense(10, activation="softmax")(encoded["latents"])
    )
    before = keras.Model(inputs, encoded).predict(images, verbose=0)
    assert_agrees(before, outputs, len(images))
    classifier.compile(
        optimizer=keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy"
    )
    labels = dataset.train.labels[: len(images)]
    losses = classifier.fit(images, labels, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]


def test_saved_model_can_be_trained_further(runs, digits):
    loaded = tf.saved_model.load(str(runs["vae"].saved_model))
    assert len(loaded.trainable_variables) == len(load_run(runs["vae"]).trainable_variables)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(loaded.score(digits[:10])["scores"])
    gradients = tape.gradient(loss, loaded.trainable_variables)
    # The score is taken at the mean, and its divergence has a term for the variance, too.
    assert all(float(tf.norm(gradient)) > 0 for gradient in gradients)


@pytest.mark.parametrize("name", NAMES)
def test_saved_model_stores_the_weights_once(name, runs):
    weights = load_run(runs[name]).get_weights()
    stored = (runs[name].saved_model / "variables" / "variables.data-00000-of-00001").stat().st_size
    assert stored < 4 * sum(weight.size for weight in weights) + 10_000


def test_samples_are_a_function_of_the_seed(runs):
    sample = tf.saved_model.load(str(runs["vae"].saved_model)).signatures["sample"]

    def draw(count, seed):
        return sample(count=tf.constant(count), seed=tf.constant(seed))["images"].numpy()

    np.testing.assert_array_equal(draw(5, 3), draw(5, 3))
    assert not np.allclose(draw(5, 3), draw(5, 4))
    np.testing.assert_allclose(draw(5, 3), load_run(runs["vae"]).sample(5, 3), atol=1e-5)
    assert draw(0, 3).shape == (0, 28, 28, 1)
    with pytest.raises(tf.errors.InvalidArgumentError, match="-1 must be >= 0"):
        draw(-1, 3)


def test_detect_flags_what_exceeds_the_percentile_of_the_validation_scores(runs, dataset):
    run = runs["mlp"]
    validation = data.to_float(dataset.validation.images)
    threshold = json.loads(run.export.read_text())["threshold"]
    scores = load_run(run).score(validation)
    assert threshold == pytest.approx(np.percentile(scores, 99), rel=1e-6)
    detect = tf.saved_model.load(str(run.saved_model)).signatures["detect"]
    flags = detect(images=tf.constant(validation))["anomalous"].numpy()
    assert flags.dtype == bool
    assert flags.sum() == 50
    assert scores[flags].min() > scores[~flags].max()
    blank = tf.fill((1, 28, 28, 1), np.float32("nan"))
    assert detect(images=blank)["anomalous"].numpy().all()


# --- What is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp", "vae", "conv", "lstm"])
def test_empty_batch_gets_empty_outputs(name, runs, expected):
    signatures = tf.saved_model.load(str(runs[name].saved_model)).signatures
    interpreter = Interpreter(str(runs[name].litert))
    for signature, (inputs, outputs) in expected[name].items():
        (key,) = signatures[signature].structured_input_signature[1]
        results = [signatures[signature](**{key: tf.constant(inputs[:0])})]
        if signature != "serving_default":
            results.append(interpreter.get_signature_runner(signature)(**{key: inputs[:0]}))
        for result in results:
            assert {
                output: (0, *values.shape[1:]) for output, values in outputs.items()
            }.items() <= {output: tuple(values.shape) for output, values in result.items()}.items()


WRONG_IMAGES = {
    "rank": (np.zeros((3, 28, 28), "float32"), r"\[3,28,28\].*\[\?,28,28,1\]"),
    "one image": (np.zeros((28, 28, 1), "float32"), r"\[28,28,1\].*\[\?,28,28,1\]"),
    "size": (np.zeros((2, 32, 32, 1), "float32"), r"\[2,32,32,1\].*\[\?,28,28,1\]"),
    "pixels elsewhere": (np.zeros((2, 14, 56, 1), "float32"), r"\[2,14,56,1\].*\[\?,28,28,1\]"),
    "bytes": (np.zeros((2, 28, 28, 1), "uint8"), "expected to be a float .* uint8"),
    "double": (np.zeros((2, 28, 28, 1), "float64"), "expected to be a float .* double"),
}


@pytest.mark.parametrize(("images", "message"), WRONG_IMAGES.values(), ids=WRONG_IMAGES)
@pytest.mark.parametrize("name", ["mlp", "vae"])
def test_wrong_images_are_an_error_of_every_signature(name, images, message, runs, expected):
    signatures = tf.saved_model.load(str(runs[name].saved_model)).signatures
    interpreter = Interpreter(str(runs[name].litert))
    for signature in expected[name].keys() - {"decode"}:
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            signatures[signature](images=tf.constant(images))
        if signature != "serving_default":
            with pytest.raises((ValueError, RuntimeError), match=r"Cannot set tensor|reshape"):
                interpreter.get_signature_runner(signature)(images=images)


def test_wrong_latents_are_an_error(runs):
    decode = tf.saved_model.load(str(runs["mlp"].saved_model)).signatures["decode"]
    for shape, message in (((2, 9), r"\[2,9\].*\[\?,8\]"), ((8,), r"\[8\].*\[\?,8\]")):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            decode(latents=tf.zeros(shape))


# --- LiteRT --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_litert_agrees_with_keras(name, runs, expected):
    interpreter = Interpreter(str(runs[name].litert))
    signatures = expected[name].keys() - {"serving_default"}
    assert interpreter.get_signature_list().keys() == signatures
    for signature in signatures:
        inputs, outputs = expected[name][signature]
        (key,) = interpreter.get_signature_list()[signature]["inputs"]
        run = interpreter.get_signature_runner(signature)
        for rows in BATCHES:
            assert_agrees(run(**{key: inputs[:rows]}), outputs, rows)


@pytest.mark.parametrize("name", NAMES)
def test_quantized_litert_is_smaller_and_costs_little(name, runs, expected):
    run = runs[name]
    images, outputs = expected[name]["reconstruct"]
    reconstruct = Interpreter(str(run.litert_quantized)).get_signature_runner("reconstruct")
    quantized = reconstruct(images=images)["reconstructions"]
    np.testing.assert_allclose(quantized, outputs["reconstructions"], atol=0.1)
    assert not np.array_equal(quantized, outputs["reconstructions"])
    errors = {
        kind: np.mean(np.square(values - images))
        for kind, values in (("quantized", quantized), ("keras", outputs["reconstructions"]))
    }
    assert errors["quantized"] == pytest.approx(errors["keras"], rel=0.02)
    assert run.litert_quantized.stat().st_size < run.litert.stat().st_size


def test_quantized_litert_is_left_out_where_it_ruins_the_model(dataset, digits, tmp_path):
    model = models.DenseAutoencoder(latent_dim=32, hidden_units=(64,), batch_normalization=True)
    model.compile(optimizer="adam", loss="mse")
    model.fit(digits, digits, epochs=20, verbose=0)
    # A unit that is silent and whose variance has gone to zero, as high learning rates make them.
    dense, normalization = model.encoder.layers[2:4]
    kernel, bias = dense.get_weights()
    gamma, beta, mean, variance = normalization.get_weights()
    kernel[:, 0], bias[0], gamma[0], mean[0], variance[0] = 0, -1, 10, 0, 0
    dense.set_weights([kernel, bias])
    normalization.set_weights([gamma, beta, mean, variance])
    run = Run(tmp_path)
    model.save(run.model)
    report = export.export_run(run, dataset)["litert"]
    assert report[run.litert.name]["mse"] == pytest.approx(report["keras_mse"], rel=1e-3)
    is_ruined = report[run.litert_quantized.name]["mse"] > 1.1 * report["keras_mse"]
    assert run.litert.is_file()
    assert run.litert_quantized.exists() != is_ruined
    # Older converters do better.
    assert is_ruined or tf.__version__ < "2.21"


@pytest.mark.parametrize("name", NAMES)
def test_export_report_states_sizes_and_errors(name, runs, dataset):
    run = runs[name]
    report = json.loads(run.export.read_text())
    images = data.to_float(dataset.validation.images[: report["litert"]["images"]])
    for path in (run.litert, run.litert_quantized):
        reconstruct = Interpreter(str(path)).get_signature_runner("reconstruct")
        error = np.mean(np.square(reconstruct(images=images)["reconstructions"] - images))
        stated = report["litert"][path.name]
        assert stated == {
            "bytes": path.stat().st_size,
            "mse": pytest.approx(float(error), rel=1e-4),
        }
    assert report["litert"]["keras_mse"] == pytest.approx(
        float(np.mean(np.square(load_run(run).reconstruct(images) - images))), rel=1e-4
    )
    sizes = [path.stat().st_size for path in run.saved_model.rglob("*") if path.is_file()]
    assert report["saved_model"]["bytes"] == sum(sizes)


# --- Keras files ----------------------------------------------------------------------------------

PREDICT_PARTS = """
import pathlib
import keras
import numpy as np

images = np.load(sys.argv[1])
for number, directory in enumerate(map(pathlib.Path, sys.argv[2:])):
    encoder = keras.models.load_model(directory / "encoder.keras")
    decoder = keras.models.load_model(directory / "decoder.keras")
    encoded = encoder.predict(images, verbose=0)
    latents = encoded[0] if isinstance(encoded, (list, tuple)) else encoded
    images_again = decoder.predict(latents, verbose=0)
    out = pathlib.Path(sys.argv[1]).with_name(f"{number}.npz")
    np.savez(out, latents=latents, reconstructions=images_again)
print(keras.backend.backend())
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_encoder_and_decoder_load_under_every_backend(backend, runs, expected, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    np.save(tmp_path / "digits.npy", expected["mlp"]["encode"][0])
    directories = [run.directory for run in runs.values()]
    printed = python(
        PREDICT_PARTS, tmp_path / "digits.npy", *directories, KERAS_BACKEND=backend
    ).stdout
    assert printed.split()[-1] == backend
    for number, name in enumerate(runs):
        outputs = expected[name]["encode"][1] | expected[name]["reconstruct"][1]
        assert_agrees(np.load(tmp_path / f"{number}.npz"), outputs, 257, tolerance=1e-4)


@pytest.mark.parametrize("first", ["keras, keras_ae", "keras_ae, keras"])
def test_classes_are_known_in_either_order_of_import(first, runs):
    code = (
        f"import {first}, sys; model = keras.models.load_model(sys.argv[1]); "
        "assert type(model) is keras_ae.models.VariationalAutoencoder"
    )
    command = [sys.executable, "-c", code, str(runs["vae"].model)]
    environment = {**os.environ, "PYTHONPATH": str(Path(export.__file__).parents[1])}
    subprocess.run(command, check=True, env=environment, cwd=runs["vae"].directory)


# --- Exporting anew -------------------------------------------------------------------------------


def test_export_only_repeats_the_export(mlp_run, script, tmp_path, digits):
    copy = Run(tmp_path / "copy")
    shutil.copytree(mlp_run.directory, copy.directory)
    shutil.rmtree(copy.saved_model)
    for path in (copy.litert, copy.litert_quantized, copy.export, copy.encoder, copy.decoder):
        path.unlink()
    before = copy.model.read_bytes(), copy.metrics.read_bytes()
    done = script("train.py", "--export-only", copy.directory)
    assert done.returncode == 0, done.stderr
    assert (copy.model.read_bytes(), copy.metrics.read_bytes()) == before
    files = {path.name for path in mlp_run.directory.iterdir()}
    assert {path.name for path in copy.directory.iterdir()} == files
    ours, theirs = (json.loads(run.export.read_text()) for run in (copy, mlp_run))
    assert ours["threshold"] == theirs["threshold"]
    signatures = tf.saved_model.load(str(copy.saved_model)).signatures
    assert_agrees(
        signatures["encode"](images=tf.constant(digits)),
        {"latents": load(copy.directory).encode(digits)},
        len(digits),
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--export-only", "nowhere"], "expected a run directory"),
        (["vae-fast", "--export-only", "nowhere"], "expected no other settings"),
        (["--export-only", "nowhere", "-e", "3"], "expected no other settings"),
    ],
)
def test_export_only_refuses(arguments, message, script):
    done = script("train.py", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
