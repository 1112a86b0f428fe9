"""The recipes: the experiments as data, without TensorFlow."""

import dataclasses
from collections.abc import Mapping

from keras_ae.errors import BadRequest, check_known
from keras_ae.recipe import Recipe, check_names, check_values

# What is chosen for speed, and why, as `python -m benchmarks.training --variants` finds it:
# - XLA wins wherever there is no LSTM; it makes every LSTM slower.
# - bfloat16 never wins by as much as the noise of the machine, so that float32 stays.
# - LSTMs are chains of small operations. With one thread for each, two of them run side by side.
# - LSTMs are unrolled: TensorFlow's loop costs more than the larger graph, and LiteRT has no loop.
# - `ConvAutoencoder` writes its 7x7 convolutions as matrix products, which they are.
# - Ten executions an epoch: more would show in the small models, fewer would stop the progress bar.


def _vae(name: str, description: str, parameters: int, learning_rate: float, **arguments) -> Recipe:
    defaults = {
        "latent_dim": 32, "lstm_units": 64, "encoder_units": (), "dense_units": (),
        "base_filters": 32, "filters": (32, 16), "code_activation": "linear", "dropout": 0.0,
        "beta": 1.0, "unroll": True, "seed": 0,
    }  # fmt: skip
    return Recipe(
        name, description, "004", parameters, "VariationalAutoencoder", {**defaults, **arguments},
        learning_rate, batch_size=100, epochs=50,
    )  # fmt: skip


def _lstm(name: str, description: str, activation: str) -> Recipe:
    arguments = {
        "latent_dim": 64, "hidden_units": (128,), "activation": activation,
        "output_activation": "linear", "unroll": True,
    }  # fmt: skip
    return Recipe(
        name, description, "000", 265_244, "LSTMAutoencoder", arguments,
        learning_rate=1e-3, batch_size=128, epochs=20, threads_per_operation=1,
    )  # fmt: skip


# Of the sources 001 and 003.
_SMALL_DECAY = {"learning_rate": 1e-3, "l2": 1e-5, "jit_compile": True}

# The source of the VAE describes four of its seven configurations. The others are steps of one
# factor between them, so that each change can be judged alone.
_DEEPER = {"dense_units": (128,), "filters": (32, 32, 16)}
_CHANNELS = {"base_filters": 16, "filters": (48, 24)}

# fmt: off
_SOURCES = (
    Recipe(
        "mlp", "784-392-8, ReLU also on the latents, plateau schedule",
        source="003", parameters=622_504, model="DenseAutoencoder",
        arguments={
            "latent_dim": 8, "hidden_units": (392,), "activation": "relu",
            "code_activation": "relu",
        },
        batch_size=256, epochs=50, schedule="plateau", **_SMALL_DECAY,
    ),
    Recipe(
        "dense", "784-128-64-12-5, linear latents",
        source="001", parameters=219_941, model="DenseAutoencoder",
        arguments={
            "latent_dim": 5, "hidden_units": (128, 64, 12), "activation": "relu",
            "code_activation": "linear",
        },
        batch_size=64, epochs=13, figures_every=4, **_SMALL_DECAY,
    ),
    Recipe(
        "conv", "three convolutions to 64 latents, and back",
        source="001", parameters=210_369, model="ConvAutoencoder",
        arguments={
            "latent_dim": 64, "filters": (16, 32), "activation": "relu",
            "code_activation": "linear",
        },
        batch_size=64, epochs=13, figures_every=4, **_SMALL_DECAY,
    ),
    Recipe(
        "batchnorm", "784-256-128-32 with batch normalization, at the source's rate of 0.05",
        source="002", parameters=479_792, model="DenseAutoencoder",
        arguments={
            "latent_dim": 32, "hidden_units": (256, 128), "activation": "relu",
            "code_activation": "linear", "batch_normalization": True,
        },
        learning_rate=0.05, batch_size=1024, epochs=25, jit_compile=True,
    ),
    _lstm("lstm", "rows as timesteps, LSTMs 128-64-64-128, tanh (Keras' default)", "tanh"),
    _lstm("lstm-relu", "as lstm, with ReLU inside the LSTMs", "relu"),
    _lstm("lstm-linear", "as lstm, without activation inside the LSTMs", "linear"),
    _vae("vae-baseline", "LSTM encoder, three transposed convolutions", 204_321, 5e-4),
    _vae("vae-deeper", "baseline with one more transposed convolution and dense layer",
         368_321, 5e-4, **_DEEPER),
    _vae("vae-dropout", "baseline with dropout 0.3", 204_321, 5e-4, dropout=0.3),
    _vae("vae-deeper-dropout", "deeper with dropout 0.3", 368_321, 5e-4, **_DEEPER, dropout=0.3),
    _vae("vae-channels", "baseline with a smaller dense layer and more channels",
         182_001, 5e-4, **_CHANNELS),
    _vae("vae-fast", "baseline at a learning rate of 0.001", 204_321, 1e-3),
    _vae("vae-optimized", "channels at a learning rate of 0.001", 182_001, 1e-3, **_CHANNELS),
    Recipe(
        "denoiser", "convolutions to a map of 784 latents, and back, for noise of unknown strength",
        source="003", parameters=203_793, model="SpatialAutoencoder",
        arguments={
            "latent_filters": 16, "filters": (32, 64), "depth": 1, "activation": "relu",
            "code_activation": "linear",
        },
        learning_rate=0.01, batch_size=128, epochs=24, optimizer="muon", schedule="cosine",
        train_noise_std=0.55, any_train_noise=True,
    ),
)
# fmt: on
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _SOURCES}
DEFAULT_RECIPE = "mlp"


def _tune(name: str, source: str, description: str, **overrides) -> None:
    # The same layers have as many parameters.
    always = {"schedule": "cosine", "figures_every": 20, "parameters": RECIPES[source].parameters}
    recipe = RECIPES[source].override(**{**always, "l2": 0.0, **overrides})
    RECIPES[name] = dataclasses.replace(recipe, name=name, description=description)


# The same layers and latents, trained as well as they can be. `benchmarks/tuning.md` says what was
# tried; all was chosen on the validation images.
_tune(
    "mlp-tuned", "mlp", "mlp with linear latents, at a rate four times as high, images shifted",
    code_activation="linear", learning_rate=4e-3, batch_size=128, epochs=400, l2=3e-7,
    train_shift_std=0.3,
)  # fmt: skip
_tune(
    "dense-tuned", "dense", "dense with GELU and Muon, images shifted",
    activation="gelu", optimizer="muon", learning_rate=0.03, batch_size=256, epochs=80,
    train_shift_std=0.3,
)  # fmt: skip
_tune(
    "conv-tuned", "conv", "conv with GELU and Muon, images shifted",
    activation="gelu", optimizer="muon", learning_rate=0.01, batch_size=128, epochs=60,
    train_shift_std=0.45,
)  # fmt: skip
_tune(
    "batchnorm-tuned", "batchnorm", "batchnorm at a rate that it bears, images shifted",
    learning_rate=0.01, batch_size=256, epochs=200, train_shift_std=0.45,
)  # fmt: skip
_tune(
    "lstm-tuned", "lstm", "lstm with Muon", optimizer="muon", learning_rate=0.01, epochs=30,
)  # fmt: skip
_tune(
    "vae-tuned", "vae-deeper", "vae-deeper with Muon, images shifted",
    optimizer="muon", learning_rate=0.01, epochs=160, train_shift_std=0.3,
)  # fmt: skip


def get(name: str) -> Recipe:
    """Returns the recipe called `name`."""
    check_known("recipe", name, RECIPES)
    return RECIPES[name]


# Fields that the runs of version 0.1 and 0.2 do not have, as those were trained.
_SINCE_0_2 = {"optimizer": "adam", "any_train_noise": False, "train_shift_std": 0.0}


def from_config(config: Mapping[str, object]) -> Recipe:
    """Returns the recipe whose fields `dataclasses.asdict` gave and JSON has kept."""
    config = {**_SINCE_0_2, **config}
    check_names(config, [field.name for field in dataclasses.fields(Recipe)])
    arguments = config["arguments"]
    if not isinstance(arguments, dict):
        raise BadRequest(f"arguments must be an object, received {arguments!r}")
    fields = {name: value for name, value in config.items() if name != "arguments"}
    check_values(fields)
    recipe = get(fields["name"])
    check_names(arguments, recipe.arguments)
    check_values(arguments)
    if fields["model"] != recipe.model:
        raise BadRequest(f"model must be {recipe.model!r}, received {fields['model']!r}")
    return Recipe(**_with_tuples(fields), arguments=_with_tuples(arguments))


def _with_tuples(values: Mapping[str, object]) -> dict[str, object]:
    # JSON has none.
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
