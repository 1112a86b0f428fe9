"""The same numbers from every door: whatever file of a run is asked, and whatever reads it."""

import dataclasses
import importlib.util
import json
import shutil
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from sklearn.datasets import load_digits

from keras_ae import data, export, models, runs
from keras_ae.loading import load_run
from keras_ae.runs import Run

pytestmark = pytest.mark.long

SHIPPED = ("dense", "conv", "batchnorm", "lstm", "vae-baseline", "mlp")
IMAGES = 200


def small_digits(image_shape: tuple[int, int, int]) -> data.Dataset:
    """Scikit-learn's digits, 8x8, with margins below and at the right."""
    found, (height, width, channels) = load_digits(), image_shape
    images = np.rint(found.images * (255 / 16)).astype("uint8")[..., None]
    images = np.pad(images, ((0, 0), (0, height - 8), (0, width - 8), (0, 0)))
    return dataset_of("small", images.repeat(channels, axis=-1), found.target.astype("int64"))


def coloured_digits() -> data.Dataset:
    """Digits of MNIST, 32x32, each in a colour of its own."""
    digits = data.load(train_images=1500).train
    colours = np.random.default_rng(0).uniform(0.3, 1, (len(digits), 1, 1, 3))
    margin = ((0, 0), (2, 2), (2, 2), (0, 0))
    images = np.pad(np.rint(digits.images * colours).astype("uint8"), margin)
    return dataset_of("colours", images, digits.labels)


def dataset_of(name: str, images: np.ndarray, labels: np.ndarray) -> data.Dataset:
    whole, classes = data.Split(images, labels), tuple(map(str, range(10)))
    parts = {
        "train": whole[:1000],
        "validation": whole[1000:1200],
        "test": whole[1200 : 1200 + IMAGES],
    }
    return data.Dataset(name=name, version="1", checksum="0" * 64, classes=classes, **parts)


def trained(model: models.Autoencoder, dataset: data.Dataset, run: Run) -> data.Dataset:
    images = data.to_float(dataset.train.images)
    model.compile(optimizer=keras.optimizers.Adam(0.003), loss=model.training_loss)
    model.fit(images, images, epochs=3, verbose=0)
    model.save(run.model)
    return dataset


# Shapes other than 28x28x1, grey and in colour.
OTHERS = {
    "conv 32x32x3": lambda run: trained(
        models.ConvAutoencoder(16, image_shape=(32, 32, 3)), coloured_digits(), run
    ),
    "lstm 8x8x1": lambda run: trained(
        models.LSTMAutoencoder(8, (16,), image_shape=(8, 8, 1)), small_digits((8, 8, 1)), run
    ),
    "vae 9x10x3": lambda run: trained(  # With cropped maps.
        models.VariationalAutoencoder(4, encoder_units=(16,), seed=0, image_shape=(9, 10, 3)),
        small_digits((9, 10, 3)),
        run,
    ),
}


@pytest.fixture(scope="module", params=(*SHIPPED, *OTHERS))
def exported(request, dataset, tmp_path_factory) -> tuple[Run, data.Dataset]:
    """A run with all of its exports, and its dataset."""
    run = Run(tmp_path_factory.mktemp("run"))
    if request.param in SHIPPED:
        shutil.copy(runs.pretrained()[request.param].model, run.model)
        dataset = dataclasses.replace(dataset, validation=dataset.validation[:IMAGES])
    else:
        dataset = OTHERS[request.param](run)
    export.export_run(run, dataset)
    return run, dataset


@pytest.fixture(scope="module")
def images(exported) -> np.ndarray:
    _, dataset = exported
    return data.to_float(dataset.test.images[:IMAGES])


@pytest.fixture(scope="module")
def doors(exported, images) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Latents and reconstructions of the images, by door."""
    run, _ = exported
    model = load_run(run)
    latents = model.encode(images)
    return {
        "methods": (latents, model.decode(latents)),
        "reconstruct": (latents, model.reconstruct(images)),
        "Keras files": through_keras_files(run, images),
        "SavedModel": through_saved_model(run, images),
        "LiteRT": through_litert(run, images),
    }


def through_keras_files(run: Run, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    encoder, decoder = map(keras.models.load_model, (run.encoder, run.decoder))
    latents = first(encoder.predict(images, verbose=0))
    return latents, decoder.predict(latents, verbose=0)


def through_saved_model(run: Run, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    signatures = tf.saved_model.load(str(run.saved_model)).signatures
    latents = signatures["encode"](images=tf.constant(images))["latents"]
    decoded = signatures["decode"](latents=latents)["images"].numpy()
    outputs = signatures["reconstruct"](images=tf.constant(images))["reconstructions"].numpy()
    np.testing.assert_allclose(decoded, outputs, atol=1e-5)
    return latents.numpy(), outputs


def through_litert(run: Run, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    interpreter = Interpreter(str(run.litert))
    latents = interpreter.get_signature_runner("encode")(images=images)["latents"]
    outputs = interpreter.get_signature_runner("reconstruct")(images=images)["reconstructions"]
    decoded = interpreter.get_signature_runner("decode")(latents=latents)["images"]
    np.testing.assert_allclose(decoded, outputs, atol=1e-5)
    return latents, outputs


def first(outputs):
    """The latents: a variational encoder gives log-variances beside them."""
    return outputs[0] if isinstance(outputs, list | tuple) else outputs


def assert_same(door, expected):
    """Latents to 1e-5 of their largest, images to 1e-5."""
    for values, others, largest in zip(door, expected, (np.abs(expected[0]).max(), 1), strict=True):
        np.testing.assert_allclose(values, others, rtol=0, atol=1e-5 * largest)


def test_every_door_gives_the_same_latents_and_images(doors):
    for door in doors.values():
        assert_same(door, doors["methods"])
        assert door[1].min() >= 0
        assert door[1].max() <= 1


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("tf2onnx", "onnx", "onnxruntime"))),
    reason="the packages of the extra `onnx` are not installed",
)
def test_onnx_gives_the_same_latents_and_images(exported, images, tmp_path):
    import onnxruntime

    run, _ = exported
    model, sessions = load_run(run), []
    for part in (model.encoder, model.clipped_decoder):
        path = tmp_path / f"{part.name}.onnx"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
            part.export(path, format="onnx", verbose=False)
        sessions.append(onnxruntime.InferenceSession(path))
    encoder, decoder = sessions
    for rows in (images[:1], images):
        latents = encoder.run(None, {"images": rows})[0]
        (outputs,) = decoder.run(None, {"latents": latents})
        assert_same((latents, outputs), (model.encode(rows), model.reconstruct(rows)))


def test_export_states_every_tensor_of_the_saved_model(exported, images):
    run, _ = exported
    stated = json.loads(run.export.read_text())
    signatures = tf.saved_model.load(str(run.saved_model)).signatures
    assert stated["signatures"].keys() == signatures.keys() - {"serving_default"}
    inputs = {"images": images, "latents": load_run(run).encode(images)}
    inputs |= {"count": np.int32(4), "seed": np.int32(1)}
    used = set()
    for name, one in stated["signatures"].items():
        signature = signatures[name]
        taken = {key: inputs[key] for key in one["takes"]}
        given = signature(**{key: tf.constant(values) for key, values in taken.items()})
        assert given.keys() == set(one["gives"])
        specs = signature.structured_input_signature[1]
        assert {key: spec.shape.as_list() for key, spec in specs.items()} == {
            key: stated["tensors"][key]["shape"] for key in taken
        }
        for key, values in (*taken.items(), *given.items()):
            tensor, array = stated["tensors"][key], np.asarray(values)
            rows = 4 if name == "sample" else IMAGES
            assert tensor["dtype"] == array.dtype.name
            assert [rows if size is None else size for size in tensor["shape"]] == [*array.shape]
            low, high = tensor["range"]
            assert low is None or array.min() >= low
            assert high is None or array.max() <= high
        used |= taken.keys() | given.keys()
    assert stated["tensors"].keys() == used
    # What has no bound does leave [0, 1].
    assert (inputs["latents"].min() < 0) | (inputs["latents"].max() > 1)


def test_export_states_the_units_of_the_scores(exported, images):
    run, _ = exported
    unit = json.loads(run.export.read_text())["tensors"]["scores"]["unit"]
    model = load_run(run)
    errors = np.square(images - model.reconstruct(images)).mean(axis=(1, 2, 3))
    is_error = np.allclose(model.score(images), errors, rtol=1e-4)
    assert unit == ("mean squared error per pixel" if is_error else "nats per image")
