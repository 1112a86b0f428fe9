"""One contract for the models of all recipes, then what is particular to each class."""

import inspect
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ae import models
from keras_ae.models.layers import GaussianSampling
from keras_ae.models.vae import LOG_VARIANCE_RANGE
from keras_ae.recipes import RECIPES
from keras_ae.training import fit
from keras_ae.training.optimizer import AdamL2, MuonL2
from tests.conftest import PROJECT

NON_DEFAULT = {
    models.DenseAutoencoder: {
        "latent_dim": 3,
        "hidden_units": [20, 10],
        "activation": "tanh",
        "code_activation": "relu",
        "batch_normalization": True,
        "image_shape": [8, 9, 3],
        "name": "a",
    },
    models.ConvAutoencoder: {
        "latent_dim": 7,
        "filters": [3, 5],
        "activation": "elu",
        "code_activation": "tanh",
        "image_shape": [9, 8, 1],
        "name": "b",
    },
    models.LSTMAutoencoder: {
        "latent_dim": 6,
        "hidden_units": [9, 7],
        "activation": "relu",
        "output_activation": "sigmoid",
        "unroll": True,
        "image_shape": [10, 8, 3],
        "name": "c",
    },
    models.SpatialAutoencoder: {
        "latent_filters": 2,
        "filters": [3, 5],
        "depth": 2,
        "activation": "elu",
        "code_activation": "tanh",
        "image_shape": [12, 18, 3],
        "name": "g",
    },
    models.VariationalAutoencoder: {
        "latent_dim": 4,
        "lstm_units": 5,
        "encoder_units": [6],
        "dense_units": [6],
        "base_filters": 3,
        "filters": [4, 3, 2],
        "code_activation": "relu",
        "dropout": 0.25,
        "beta": 0.5,
        "unroll": True,
        "seed": 11,
        "image_shape": [28, 28, 3],
        "name": "d",
    },
    GaussianSampling: {"seed": 5, "name": "e"},
    AdamL2: {"learning_rate": 0.25, "l2": 0.125, "name": "f"},
    MuonL2: {"learning_rate": 0.25, "l2": 0.125, "name": "h"},
}


# Some recipes differ in their training only: the first one of each model.
ARCHITECTURES = {
    recipe.name: recipe
    for recipe in {
        (recipe.model, repr(recipe.arguments)): recipe for recipe in reversed(RECIPES.values())
    }.values()
}


@pytest.fixture(scope="module", params=ARCHITECTURES.values(), ids=lambda recipe: recipe.name)
def recipe(request):
    return request.param


@pytest.fixture(scope="module")
def model(recipe):
    return fit.build(recipe)


def test_recipe_states_the_number_of_parameters(recipe, model):
    assert model.count_params() == recipe.parameters


def test_contract_of_shapes_and_ranges(recipe, model, digits):
    latents = model.encode(digits)
    assert latents.shape == (300, {"latent_dim": 784, **recipe.arguments}["latent_dim"])
    for images in (model.decode(latents), model.decode(100 * latents), model.reconstruct(digits)):
        assert images.shape == digits.shape
        assert images.dtype == np.float32
        assert images.min() >= 0
        assert images.max() <= 1
    scores = model.score(digits)
    assert scores.shape == (300,)
    assert len(np.unique(scores)) > 250


def test_methods_agree_with_each_other_and_with_predict(model, digits):
    reconstructions = model.reconstruct(digits)
    np.testing.assert_allclose(model.decode(model.encode(digits)), reconstructions, atol=1e-6)
    np.testing.assert_allclose(
        model.predict(digits, verbose=0).clip(0, 1), reconstructions, atol=1e-5
    )
    np.testing.assert_allclose(model.reconstruct(digits, batch_size=7), reconstructions, atol=1e-5)
    np.testing.assert_allclose(model.reconstruct(digits[:7]), reconstructions[:7], atol=1e-5)


def test_empty_input_gets_empty_output(recipe, model, digits):
    nothing = digits[:0]
    assert model.encode(nothing).shape == (0, model.latent_dim)
    assert model.reconstruct(nothing).shape == nothing.shape
    assert model.score(nothing).shape == (0,)


def test_encoder_and_decoder_are_functional_models_of_stock_layers(model):
    def layers(part):
        for layer in part.layers:
            yield from layers(layer) if isinstance(layer, keras.Model) else [layer]

    for part in (model.encoder, model.decoder, model.clipped_decoder):
        assert type(part).__name__ == "Functional"
        assert all(type(layer).__module__.startswith("keras.") for layer in layers(part))


def test_seed_decides_the_initial_weights(recipe, model):
    again = fit.build(recipe)
    other = fit.build(recipe.override(seed=recipe.seed + 1))
    for weight, same, different in zip(
        model.get_weights(), again.get_weights(), other.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(weight, same)
        if weight.ndim > 1:
            assert not np.array_equal(weight, different)


LOADER = """
import pathlib, sys
import keras, numpy as np

images = np.load("images.npy")
for run in pathlib.Path().iterdir():
    if run.is_dir():
        code = keras.models.load_model(run / "encoder.keras").predict(images, verbose=0)
        latents = code[0] if isinstance(code, (list, tuple)) else code
        decoder = keras.models.load_model(run / "decoder.keras")
        np.save(run / "decoded.npy", decoder.predict(latents, verbose=0))
assert "keras_ae" not in sys.modules

import keras_ae

for run in pathlib.Path().iterdir():
    if run.is_dir():
        model = keras.models.load_model(run / "model.keras")
        np.save(run / "latents.npy", model.encode(images))
        np.save(run / "scores.npy", model.score(images))
"""


@pytest.fixture(scope="module")
def loaded_elsewhere(digits, tmp_path_factory):
    """Models of all recipes, and the directory where another process loaded and ran them."""
    directory = tmp_path_factory.mktemp("saved")
    np.save(directory / "images.npy", digits[:20])
    saved = {}
    for name, recipe in ARCHITECTURES.items():
        model = saved[name] = fit.build(recipe)
        # Weights away from their initial values, so that a load which builds anew is noticed.
        model.set_weights([weight + 0.01 for weight in model.get_weights()])
        (directory / name).mkdir()
        for part in (model, model.encoder, model.decoder):
            part.save(directory / name / f"{'model' if part is model else part.name}.keras")
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    subprocess.run(
        [sys.executable, "-c", LOADER], cwd=directory, check=True, env=environment, timeout=500
    )
    return saved, directory


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_loads_in_another_process_with_equal_outputs(name, loaded_elsewhere, digits):
    saved, directory = loaded_elsewhere
    model, images = saved[name], digits[:20]
    latents, decoded, scores = (
        np.load(directory / name / f"{output}.npy") for output in ("latents", "decoded", "scores")
    )
    np.testing.assert_allclose(latents, model.encode(images), atol=1e-5)
    np.testing.assert_allclose(decoded.clip(0, 1), model.reconstruct(images), atol=1e-5)
    np.testing.assert_allclose(scores, model.score(images), rtol=1e-4)


@pytest.mark.parametrize("subject", NON_DEFAULT, ids=lambda subject: subject.__name__)
def test_config_round_trip_with_non_default_values(subject):
    arguments = NON_DEFAULT[subject]
    parameters = inspect.signature(subject.__init__).parameters.values()
    named = {p.name for p in parameters if p.kind == p.POSITIONAL_OR_KEYWORD} - {"self"}
    defaults = {p.name: p.default for p in parameters}
    assert named <= set(arguments) | {"name"}
    assert all(defaults.get(name) != value for name, value in arguments.items())

    config = json.loads(json.dumps(subject(**arguments).get_config()))
    again = subject.from_config(config).get_config()
    assert again == config
    assert {name: config[name] for name in arguments} == arguments


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            np.zeros((2, 28, 28), "float32"),
            r"shape \[n, 28, 28, 1\]. Received: shape \[2, 28, 28\]",
        ),
        (np.zeros((2, 28, 28, 1), "uint8"), "floating point. Received: dtype uint8"),
        (np.full((2, 28, 28, 1), 255.0), r"in \[0, 1\].*Received: values from 255 to 255"),
        (np.full((2, 28, 28, 1), np.nan), "finite. Received: 1568 values"),
    ],
)
@pytest.mark.parametrize("method", ["encode", "reconstruct", "score"])
def test_images_of_another_kind_are_refused(images, message, method):
    model = models.DenseAutoencoder(2, (4,))
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(images)


def test_latents_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"shape \[n, 2\]. Received: shape \[5, 3\]"):
        models.DenseAutoencoder(2, (4,)).decode(np.zeros((5, 3), "float32"))


def test_whole_map_convolutions_equal_the_stock_layers(digits):
    """The matrix products of `ConvAutoencoder` are `Conv2D` and `Conv2DTranspose`."""
    model = models.ConvAutoencoder(name="conv")
    model.set_weights([weight + 0.02 for weight in model.get_weights()])
    *strided, whole = model.encoder.layers[1:]
    features = keras.Sequential(strided)(digits[:8])
    convolution = keras.layers.Conv2D(64, 7)
    convolution.build((None, 7, 7, 32))
    convolution.set_weights(whole.get_weights())
    latents = convolution(features)
    np.testing.assert_allclose(latents[:, 0, 0], model.encode(digits[:8]), atol=1e-4)

    product = model.decoder.layers[1]
    transposed = keras.layers.Conv2DTranspose(32, 7, activation="relu")
    transposed.build((None, 1, 1, 64))
    transposed.set_weights(product.get_weights())
    np.testing.assert_allclose(transposed(latents), product(latents[:, 0, 0]), atol=1e-4)


def test_latents_of_the_spatial_model_keep_their_places(digits):
    """Four pixels in the image are one place in the map, where no border is near."""
    model = models.SpatialAutoencoder(3, (4, 5), image_shape=(96, 80, 1))
    images = np.zeros((8, 96, 80, 1), "float32")
    maps = []
    for down, right in ((28, 24), (32, 20)):
        images[:] = 0
        images[:, down : down + 28, right : right + 28] = digits[:8]
        maps.append(model.encode(images).reshape(8, 24, 20, 3))
    there, here = maps[0][:, :-1, 1:], maps[1][:, 1:, :-1]
    assert np.ptp(here) > 0.1
    np.testing.assert_allclose(here, there, atol=1e-6)


def test_batch_normalization_follows_the_hidden_activations():
    model = fit.build(RECIPES["batchnorm"])
    for part in (model.encoder, model.decoder):
        kinds = [
            (type(layer).__name__, getattr(layer, "units", None))
            for layer in part.layers
            if isinstance(layer, keras.layers.Dense | keras.layers.BatchNormalization)
        ]
        widths = (256, 128, 32) if part is model.encoder else (128, 256, 784)
        first, second, last = (("Dense", width) for width in widths)
        norm = ("BatchNormalization", None)
        assert kinds == [first, norm, second, norm, last]
        assert part.layers[2 if part is model.encoder else 1].activation is keras.activations.relu


def test_unrolling_changes_no_weights_and_no_outputs(digits):
    for model_class, arguments in (
        (models.LSTMAutoencoder, {"hidden_units": (16,)}),
        (models.VariationalAutoencoder, {}),
    ):
        rolled, unrolled = (model_class(unroll=unroll, **arguments) for unroll in (False, True))
        unrolled.set_weights(rolled.get_weights())
        np.testing.assert_allclose(
            rolled.reconstruct(digits[:5]), unrolled.reconstruct(digits[:5]), atol=1e-5
        )


# The variational autoencoder.


@pytest.fixture
def vae():
    model = models.VariationalAutoencoder(latent_dim=4, lstm_units=8, filters=(4, 3), seed=3)
    model.set_weights([weight + 0.03 for weight in model.get_weights()])
    return model


def negative_elbo(vae, images, latents, beta=1.0):
    """The loss per image recomputed in NumPy: total, cross-entropy, divergence."""
    mean, log_variance = (value.numpy() for value in vae.posterior_step(images))
    probabilities = vae.decode(latents).astype("float64")
    terms = images * np.log(probabilities) + (1 - images) * np.log(1 - probabilities)
    divergence = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(axis=1)
    cross_entropy = -terms.sum(axis=(1, 2, 3))
    return cross_entropy + beta * divergence, cross_entropy, divergence


def test_vae_score_is_the_negative_elbo_at_the_posterior_mean(vae, digits):
    expected, _, _ = negative_elbo(vae, digits, vae.encode(digits))
    np.testing.assert_allclose(vae.score(digits), expected, rtol=1e-4)


@pytest.fixture
def narrow_vae(vae):
    """A model with a posterior so narrow that its sample is the mean: a loss without chance."""
    head = vae.encoder.get_layer("log_variance")
    kernel, bias = head.get_weights()
    head.set_weights([np.zeros_like(kernel), np.full_like(bias, LOG_VARIANCE_RANGE[0])])
    return vae


@pytest.mark.parametrize("beta", [1.0, 0.25])
def test_vae_metrics_are_means_over_images_of_the_recomputed_loss(narrow_vae, digits, beta):
    narrow_vae.beta = beta
    narrow_vae.compile("adam")
    # 300 images in batches of 256: a mean over batches would weigh the last 44 like the 256.
    result = narrow_vae.evaluate(digits, batch_size=256, verbose=0, return_dict=True)
    expected = negative_elbo(narrow_vae, digits, narrow_vae.encode(digits), beta)
    for name, values in zip(("loss", "reconstruction_loss", "kl_loss"), expected, strict=True):
        assert result[name] == pytest.approx(values.mean(), rel=1e-4)


def test_vae_takes_noisy_inputs_with_clean_targets(narrow_vae, digits):
    noisy = np.clip(digits + 0.3, 0, 1)
    narrow_vae.compile("adam")
    result = narrow_vae.evaluate(noisy, digits, verbose=0, return_dict=True)
    _, cross_entropy, _ = negative_elbo(narrow_vae, digits, narrow_vae.encode(noisy))
    _, _, divergence = negative_elbo(narrow_vae, noisy, narrow_vae.encode(noisy))
    assert result["reconstruction_loss"] == pytest.approx(cross_entropy.mean(), rel=1e-4)
    assert result["kl_loss"] == pytest.approx(divergence.mean(), rel=1e-4)


def test_vae_loss_is_the_same_in_training_and_validation(vae, digits):
    """A step of rate zero reports what evaluation reports, up to the noise of one sample."""
    vae.compile(keras.optimizers.SGD(0.0))
    history = vae.fit(digits, epochs=1, batch_size=100, verbose=0, validation_data=(digits,))
    logs = {name: values[0] for name, values in history.history.items()}
    assert logs["kl_loss"] == pytest.approx(logs["val_kl_loss"], rel=1e-5)
    assert logs["loss"] == pytest.approx(logs["val_loss"], rel=2e-3)
    assert logs["loss"] != logs["val_loss"]
    assert logs["loss"] == pytest.approx(logs["kl_loss"] + logs["reconstruction_loss"], rel=1e-5)


def test_vae_train_step_follows_the_gradient_of_the_recomputed_loss(vae, digits):
    vae.compile(keras.optimizers.SGD(1e-4))
    before = [weight.copy() for weight in vae.get_weights()]
    seed_state = keras.ops.convert_to_numpy(vae.sampling.seed_generator.state)
    with tf.GradientTape() as tape:
        mean, log_variance = vae.encoder(digits[:50], training=True)
        latents = vae.sampling((mean, log_variance), training=True)
        logits = vae.decoder.get_layer("logits")(latents, training=True)
        cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(digits[:50], logits)
        divergence = 0.5 * (mean**2 + tf.exp(log_variance) - 1 - log_variance)
        loss = (tf.reduce_sum(cross_entropy) + tf.reduce_sum(divergence)) / 50
    gradients = tape.gradient(loss, vae.trainable_weights)
    vae.sampling.seed_generator.state.assign(seed_state)
    vae.train_on_batch(digits[:50])
    for old, gradient, new in zip(before, gradients, vae.get_weights(), strict=True):
        np.testing.assert_allclose(new, old - 1e-4 * gradient.numpy(), rtol=1e-4, atol=1e-6)


def test_vae_refuses_sample_weights(vae, digits):
    vae.compile("adam")
    with pytest.raises(ValueError, match="Received: sample weights"):
        vae.train_on_batch(digits, digits, np.ones(len(digits)))


def test_vae_samples_are_a_function_of_the_seed(vae):
    first, same, other = vae.sample(6, seed=1), vae.sample(6, seed=1), vae.sample(6, seed=2)
    assert first.shape == (6, 28, 28, 1)
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)
    prior = vae.prior_step(50_000, 0).numpy()
    np.testing.assert_allclose(np.cov(prior.T), np.eye(4), atol=0.03)
    np.testing.assert_allclose(prior.mean(axis=0), 0, atol=0.03)


NO_COUNTS = [-1, 1.5, True, None, "3", [2], float("nan"), 2**31]


@pytest.mark.parametrize("n", NO_COUNTS)
def test_vae_refuses_numbers_of_samples_that_are_none(vae, n):
    with pytest.raises(ValueError, match=r"`n` must be an integer from 0 to .* Received") as caught:
        vae.sample(n, seed=0)
    assert str(caught.value).endswith(repr(n))


@pytest.mark.parametrize("seed", [1.5, True, None, "3", [2], float("nan"), 2**63, -(2**70)])
def test_vae_refuses_seeds_that_are_none(vae, seed):
    with pytest.raises(ValueError, match=r"`seed` must be an integer from .* Received") as caught:
        vae.sample(2, seed)
    assert str(caught.value).endswith(repr(seed))


def test_vae_samples_with_every_integer_as_seed(vae):
    for seed in (-(2**63), -1, np.int64(7), 2**63 - 1):
        assert vae.sample(np.int32(2), seed).shape == (2, 28, 28, 1)
    assert vae.sample(0, 0).shape == (0, 28, 28, 1)


def test_latents_that_overflow_in_the_decoder_are_refused(recipe, model):
    """Whatever `decode` returns lies in [0, 1]; all else is a `ValueError` of one line."""
    refused = []
    rng = np.random.default_rng(0)
    size = (1, model.latent_dim)
    model = fit.build(recipe)
    model.set_weights([3 * weight for weight in model.get_weights()])
    for value in (1.0, 1e10, 1e30, 1e37, 3e38, -3e38):
        latents = np.full(size, value, "float32") * rng.choice([-1, 1], size).astype("float32")
        try:
            images = model.decode(latents)
        except ValueError as error:
            refused.append(str(error))
        else:
            assert images.min() >= 0
            assert images.max() <= 1
    assert all("Received: values from" in message for message in refused)
    assert not any("\n" in message for message in refused)
    assert not any("from -1 to" in message for message in refused)
    assert refused or recipe.name != "vae-baseline"


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5"])
def test_a_format_that_does_not_load_is_not_saved(name, tmp_path):
    with pytest.raises(ValueError, match=r"must end with \.keras\. Received: .*model\.h"):
        models.DenseAutoencoder(2, (4,)).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_vae_is_deterministic_at_inference_and_random_in_training(vae, digits):
    np.testing.assert_array_equal(vae(digits[:5]), vae(digits[:5]))
    assert not np.array_equal(vae(digits[:5], training=True), vae(digits[:5], training=True))


def test_vae_log_variance_is_bounded(vae, digits):
    head = vae.encoder.get_layer("log_variance")
    head.set_weights([1e4 * weight for weight in head.get_weights()])
    _, log_variance = vae.posterior_step(digits)
    assert (log_variance.numpy().min(), log_variance.numpy().max()) == LOG_VARIANCE_RANGE


def test_dense_encoder_takes_the_place_of_the_lstm(digits):
    model = models.VariationalAutoencoder(latent_dim=4, encoder_units=(7, 5), lstm_units=8, seed=3)
    # Two dense layers, then mean and log-variance.
    expected = 785 * 7 + 8 * 5 + 2 * 6 * 4
    assert model.encoder.count_params() == expected
    kernels = [layer.get_weights() for layer in model.encoder.layers if layer.get_weights()]
    mean = model.encoder.get_layer("latents").get_weights()
    x = digits[:3].reshape(3, 784)
    for kernel, bias in kernels[:2]:
        x = np.maximum(x @ kernel + bias, 0)
    np.testing.assert_allclose(model.encode(digits[:3]), x @ mean[0] + mean[1], atol=1e-5)
