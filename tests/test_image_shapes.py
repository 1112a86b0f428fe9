"""Every class with images of other shapes than those of MNIST."""

import json
import zipfile

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_ae import models

# Four divides both sides, neither of them, one of them; grey and colour.
SHAPES = [(8, 8, 1), (32, 32, 3), (9, 10, 3), (45, 60, 1)]
BUILD = {
    "dense": lambda **shape: models.DenseAutoencoder(6, (32,), **shape),
    "batchnorm": lambda **shape: models.DenseAutoencoder(
        6, (32,), batch_normalization=True, **shape
    ),
    "conv": lambda **shape: models.ConvAutoencoder(6, (8, 8), **shape),
    "lstm": lambda **shape: models.LSTMAutoencoder(6, (16,), **shape),
    "vae": lambda **shape: models.VariationalAutoencoder(
        6, 16, base_filters=8, filters=(8, 8), seed=0, **shape
    ),
    "dense vae": lambda **shape: models.VariationalAutoencoder(
        6, encoder_units=(16,), base_filters=8, filters=(8, 8, 8), seed=0, **shape
    ),
}


def pictures(image_shape: tuple[int, int, int]) -> np.ndarray:
    """Scikit-learn's 8x8 digits, resized; where they shall have colours, one for each class."""
    digits, labels = load_digits(return_X_y=True)
    grey = digits[:320].reshape(-1, 8, 8, 1) / 16
    resized = np.asarray(keras.ops.image.resize(grey, image_shape[:2]))
    colours = np.random.default_rng(0).uniform(0.3, 1, (10, image_shape[-1]))
    if image_shape[-1] == 1:
        colours = np.ones((10, 1))
    return (resized * colours[labels[:320], None, None]).clip(0, 1).astype("float32")


@pytest.fixture(scope="module", params=SHAPES, ids=str)
def images(request):
    return pictures(request.param)


@pytest.fixture(scope="module", params=BUILD)
def trained(request, images):
    """A model after some epochs, and the losses of these."""
    keras.utils.set_random_seed(0)
    model = BUILD[request.param](image_shape=images.shape[1:])
    model.compile(optimizer=keras.optimizers.Adam(0.003), loss=model.training_loss)
    return model, model.fit(images, images, epochs=8, verbose=0).history["loss"]


def test_training_lowers_the_loss(trained, images):
    model, losses = trained
    assert losses[-1] < 0.9 * losses[0]
    fresh = type(model).from_config(model.get_config())
    assert model.score(images).mean() < 0.9 * fresh.score(images).mean()


def test_methods_follow_the_shape(trained, images):
    model, _ = trained
    assert model.image_shape == images.shape[1:]
    assert model.input_shape == model.output_shape == (None, *images.shape[1:])
    latents, reconstructions = model.encode(images), model.reconstruct(images)
    assert latents.shape == (320, 6)
    assert reconstructions.shape == images.shape
    np.testing.assert_allclose(model.decode(latents), reconstructions, atol=1e-6)
    np.testing.assert_allclose(
        model.clipped_decoder.predict(latents, verbose=0), reconstructions, atol=1e-5
    )
    np.testing.assert_allclose(
        model.predict(images, verbose=0).clip(0, 1), reconstructions, atol=1e-5
    )
    scores = model.score(images)
    if model.training_loss == "mse":
        errors = np.square(images - reconstructions).mean(axis=(1, 2, 3))
        np.testing.assert_allclose(scores, errors, rtol=1e-4)
    else:
        assert model.sample(2, seed=0).shape == (2, *images.shape[1:])
        assert scores.shape == (320,)
    assert model.reconstruct(images[:0]).shape == (0, *images.shape[1:])


def test_config_and_file_bring_the_shape_back(trained, images, tmp_path):
    model, _ = trained
    config = json.loads(json.dumps(model.get_config()))
    assert config["image_shape"] == list(images.shape[1:])
    assert type(model).from_config(config).image_shape == images.shape[1:]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.image_shape == images.shape[1:]
    np.testing.assert_array_equal(loaded.reconstruct(images), model.reconstruct(images))


def test_one_graph_serves_every_batch_size(trained, images):
    model, _ = trained
    for rows in (1, 2, 3):
        model.score(images[:rows])
    for step in (model.encode_step, model.reconstruct_step, model.score_step):
        assert step.experimental_get_tracing_count() <= 1


def test_images_of_another_shape_are_refused(trained, images):
    model, _ = trained
    height, width, channels = model.image_shape
    for wrong in (images[0], images[..., 0], images[:, 1:], np.repeat(images, 2, axis=-1)):
        for method in (model.encode, model.reconstruct, model.score):
            with pytest.raises(ValueError, match="must have the shape") as caught:
                method(wrong)
            assert f"[n, {height}, {width}, {channels}]" in str(caught.value)
            assert str(caught.value).endswith(f"Received: shape {list(wrong.shape)}")


def test_steps_refuse_tensors_of_another_shape(trained, images):
    model, _ = trained
    for step in (model.encode_step, model.reconstruct_step, model.score_step):
        with pytest.raises(Exception, match=r"[Ss]hape"):
            step(images[:2, 1:])


NO_SHAPES = [
    (7, 28, 1), (28, 7, 1), (28, 28, 2), (28, 28, 4), (28, 28, 0), (28.0, 28, 1), (28, 28),
    (28, 28, 1, 1), (28, 28, True), (-28, 28, 1), (), 28, None, "281", {8, 9, 1},
]  # fmt: skip


@pytest.mark.parametrize("image_shape", NO_SHAPES, ids=repr)
@pytest.mark.parametrize("name", BUILD)
def test_shapes_that_are_none_are_refused(name, image_shape):
    with pytest.raises(ValueError, match=r"^`image_shape` must be \(height, width, ch") as caught:
        BUILD[name](image_shape=image_shape)
    assert str(caught.value).endswith(f"Received: {image_shape!r}")


@pytest.mark.parametrize("name", BUILD)
def test_files_of_earlier_versions_are_of_mnist(name, digits, tmp_path):
    """Their configurations name no `image_shape`."""
    model = BUILD[name]()
    assert model.image_shape == (28, 28, 1)
    model.save(tmp_path / "model.keras")
    with (
        zipfile.ZipFile(tmp_path / "model.keras") as new,
        zipfile.ZipFile(tmp_path / "old.keras", "w") as old,
    ):
        for entry in new.namelist():
            content = new.read(entry)
            if entry == "config.json":
                config = json.loads(content)
                assert config["config"].pop("image_shape") == [28, 28, 1]
                content = json.dumps(config)
            old.writestr(entry, content)
    loaded = keras.models.load_model(tmp_path / "old.keras")
    np.testing.assert_array_equal(loaded.reconstruct(digits[:20]), model.reconstruct(digits[:20]))


@pytest.mark.parametrize("name", ["conv", "vae"])
@pytest.mark.parametrize(
    ("image_shape", "margins"),
    [
        ((28, 28, 1), None),
        ((32, 32, 3), None),
        ((9, 10, 3), ((0, 3), (0, 2))),
        ((45, 60, 1), ((0, 3), (0, 0))),
    ],
)
def test_maps_are_cropped_only_where_they_are_too_large(name, image_shape, margins):
    decoder = BUILD[name](image_shape=image_shape).decoder
    stack = decoder.get_layer("logits") if name == "vae" else decoder
    crops = [layer for layer in stack.layers if isinstance(layer, keras.layers.Cropping2D)]
    assert [layer.cropping for layer in crops] == ([] if margins is None else [margins])


def test_the_contract_takes_parts_of_any_shape():
    encoder = keras.Sequential(
        [keras.Input((8, 12, 3)), keras.layers.Flatten(), keras.layers.Dense(4)]
    )
    decoder = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(288), keras.layers.Reshape((8, 12, 3))]
    )
    model = models.Autoencoder(encoder, decoder)
    images = pictures((8, 12, 3))
    assert model.image_shape == (8, 12, 3)
    assert model.encode(images).shape == (320, 4)
    assert model.clipped_decoder(model.encode(images)).shape == images.shape
