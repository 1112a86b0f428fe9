"""What is done for speed changes nothing else. Nothing here is timed."""

import keras
import numpy as np
import pytest

from keras_ae import data, recipes
from keras_ae.commands import train as command
from keras_ae.errors import BadRequest
from keras_ae.training import callbacks, fit
from keras_ae.training import run as training


@pytest.mark.parametrize("name", ["mlp", "conv", "lstm", "vae-baseline"])
def test_bfloat16_keeps_weights_and_outputs_float32(name, digits):
    recipe = recipes.get(name)
    exact = fit.build(recipe)
    rough = fit.build(recipe.override(precision="mixed_bfloat16"))
    assert keras.config.dtype_policy().name == "float32"
    assert {weight.dtype for weight in rough.weights} == {"float32"}
    for method in ("encode", "reconstruct", "score"):
        result = getattr(rough, method)(digits[:20])
        assert result.dtype == np.float32
        # bfloat16 has eight bits of mantissa.
        expected = getattr(exact, method)(digits[:20])
        np.testing.assert_allclose(result, expected, rtol=0.03, atol=0.03)
        assert not np.array_equal(result, expected)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_training_step_is_compiled_as_the_recipe_says(digits, jit_compile):
    recipe = recipes.get("mlp").override(jit_compile=jit_compile)
    model, shuffled = fit.prepare(recipe, (digits * 255).astype("uint8"))
    assert model.jit_compile == jit_compile
    assert shuffled.steps == 2


def test_no_epoch_waits_for_the_tuning_of_its_pipeline(digits):
    images = (digits * 255).astype("uint8")
    pipelines = data.ShuffledBatches(images, 10, seed=0).dataset, data.batches(images, 10)
    assert [pipeline.options().autotune.enabled for pipeline in pipelines] == [False, False]


def test_flags_of_speed_reach_the_recipe(monkeypatch, tmp_path):
    seen = {}

    def stop(recipe, run, **_):
        seen["recipe"] = recipe
        raise BadRequest("enough seen")

    monkeypatch.setattr(training, "train", stop)
    flags = ["--no-jit-compile", "--precision", "mixed_bfloat16", "-s", str(tmp_path / "run")]
    assert command.main(["mlp", *flags]) == 2
    assert seen["recipe"] == recipes.get("mlp").override(
        jit_compile=False, precision="mixed_bfloat16"
    )


def test_an_unknown_precision_is_refused():
    with pytest.raises(BadRequest, match="received 'float16'"):
        recipes.get("mlp").override(precision="float16")


def test_products_equal_the_convolutions_they_replace(digits):
    model = fit.build(recipes.get("conv"))
    features = keras.Model(model.encoder.input, model.encoder.layers[-2].output)(digits[:5])
    latents = model.encoder(digits[:5])
    convolution = keras.layers.Conv2D(64, 7)
    convolution.build(features.shape)
    convolution.set_weights(model.encoder.layers[-1].get_weights())
    np.testing.assert_allclose(convolution(features)[:, 0, 0], latents, rtol=1e-3, atol=1e-5)

    product = model.decoder.layers[1]
    transposed = keras.layers.Conv2DTranspose(32, 7, activation="relu")
    transposed.build((None, 1, 1, 64))
    transposed.set_weights(product.get_weights())
    np.testing.assert_allclose(
        transposed(latents[:, None, None]), product(latents), rtol=1e-3, atol=1e-5
    )


def test_the_last_curves_are_always_drawn(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        callbacks.figures, "save", lambda figure, path: drawn.append(figure.axes[0].lines[0])
    )
    plot = callbacks.LossPlot(tmp_path / "loss.png")
    for epoch in range(20):
        plot.on_epoch_end(epoch, {"loss": 1.0 / (epoch + 1)})
    plot.on_train_end()
    assert len(drawn[0].get_xdata()) == 1
    assert len(drawn[-1].get_xdata()) == 20
    assert plot.history["loss"] == [1.0 / (epoch + 1) for epoch in range(20)]
