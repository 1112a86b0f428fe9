"""Named descriptions of the experiments: pure data, without TensorFlow."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping

from keras_ae.errors import BadRequest, check_known


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One experiment: a model, and how it is trained.

    Attributes:
        name: Name on the command line.
        description: One line for `train.py --list`.
        source: Number of the source document that the experiment is from.
        parameters: Number of the model's parameters with the arguments below.
        model: Name of a class in `keras_ae.models`.
        arguments: Arguments of that class.
        learning_rate: Of Adam, at its highest.
        batch_size: Images in a step.
        epochs: Passes over the training images.
        l2: Factor of the weights that is added to their gradients, see `optimizers.AdamL2`.
        schedule: What becomes of the learning rate. `constant`: nothing. `plateau`: it falls to a
            tenth when the loss has not improved for ten epochs, which are PyTorch's defaults.
            `cosine`: it rises during the first twentieth of all steps, then falls to zero along
            half a cosine (Loshchilov and Hutter, 2017, https://arxiv.org/abs/1608.03983).
        figures_every: Epochs between figures.
        jit_compile: Whether XLA compiles the training step.
        threads_per_operation: Threads that share one operation; 0 for as many as there are cores.
            With 1, operations that do not wait for one another run side by side.
        precision: Keras dtype policy of the layers. Weights stay float32 with either.
        train_noise_std: Standard deviation of the Gaussian noise on the training inputs. Noisy
            pixels are clipped to [0, 1]. Targets stay clean.
        seed: Of initial weights, order, noise, dropout and sampling.
        dataset: TFDS name of a dataset of 28x28 grey images.
        train_images: How many of the training images to use; `None` for all.
        train_classes: Labels of the images to train and to validate on; `None` for all.
        full_train: Whether the 5,000 validation images are trained on, too.
    """

    name: str
    description: str
    source: str
    parameters: int
    model: str
    arguments: Mapping[str, object]
    learning_rate: float
    batch_size: int
    epochs: int
    l2: float = 0.0
    schedule: str = "constant"
    figures_every: int = 5
    jit_compile: bool = False
    threads_per_operation: int = 0
    precision: str = "float32"
    train_noise_std: float = 0.0
    seed: int = 0
    dataset: str = "mnist"
    train_images: int | None = None
    train_classes: tuple[int, ...] | None = None
    full_train: bool = False

    def override(self, **overrides) -> "Recipe":
        """Returns a recipe in which fields, or arguments of the model, are replaced.

        Args:
            **overrides: New values by field of this class or by argument of the model.

        Raises:
            BadRequest: If this recipe has no use for one of them, or a value is out of range.
        """
        fields = {field.name for field in dataclasses.fields(self)}
        for name, value in overrides.items():
            if name not in fields and name not in self.arguments:
                raise BadRequest(
                    f"recipe {self.name!r} has no use for {name}; "
                    f"expected one of {', '.join(self.arguments)} or a training setting, "
                    f"received {name}={value!r}"
                )
        check_values(overrides)
        arguments = {name: overrides.get(name, value) for name, value in self.arguments.items()}
        replaced = {name: value for name, value in overrides.items() if name in fields}
        return dataclasses.replace(self, arguments=arguments, **replaced)


SCHEDULES = ("constant", "plateau", "cosine")
PRECISIONS = ("float32", "mixed_bfloat16")
ACTIVATIONS = ("relu", "tanh", "linear", "sigmoid", "elu", "gelu", "leaky_relu", "selu", "silu")
DEVICES = ("auto", "cpu", "gpu")
STRATEGIES = ("single", "mirrored")


def _is_count(value) -> bool:
    return type(value) is int and 1 <= value < 2**31


def _is_number(value, least: float = 0, below: float = 3e38) -> bool:
    # Not a NaN, which compares as false, and not beyond float32.
    return type(value) in (int, float) and least <= value < below


# What each value has to be, in words and as a test: the one place for flags, Python and files.
_RULES: dict[str, tuple[str, Callable[[object], bool]]] = {
    name: (expected, is_good)
    for names, expected, is_good in (
        (
            "latent_dim lstm_units base_filters epochs batch_size figures_every parameters",
            "a positive integer below 2147483648",
            _is_count,
        ),
        (
            "train_images",
            "a positive integer below 2147483648",
            lambda value: value is None or _is_count(value),
        ),
        (
            "train_classes",
            "a list of one or more labels without repetition",
            lambda value: (
                value is None
                or (
                    isinstance(value, list | tuple)
                    and all(type(label) is int and label >= 0 for label in value)
                    and 1 <= len(value) == len(set(value))
                )
            ),
        ),
        (
            "hidden_units encoder_units dense_units filters",
            "a list of positive integers below 2147483648",
            lambda value: isinstance(value, list | tuple) and all(map(_is_count, value)),
        ),
        (
            "seed threads_per_operation",
            "an integer from 0 to 2147483647",
            lambda value: type(value) is int and 0 <= value < 2**31,
        ),
        (
            "learning_rate",
            "a finite number above zero",
            lambda value: _is_number(value) and value > 0,
        ),
        ("beta train_noise_std l2", "a finite number, zero or more", _is_number),
        (
            "dropout",
            "a number from 0 to below 1",
            lambda value: _is_number(value, below=1),
        ),
        (
            "jit_compile full_train batch_normalization unroll tensorboard",
            "true or false",
            lambda value: type(value) is bool,
        ),
        (
            "activation code_activation output_activation",
            f"one of {', '.join(ACTIVATIONS)}",
            lambda value: value in ACTIVATIONS,
        ),
        ("schedule", f"one of {', '.join(SCHEDULES)}", lambda value: value in SCHEDULES),
        ("precision", f"one of {', '.join(PRECISIONS)}", lambda value: value in PRECISIONS),
        ("device", f"one of {', '.join(DEVICES)}", lambda value: value in DEVICES),
        ("strategy", f"one of {', '.join(STRATEGIES)}", lambda value: value in STRATEGIES),
        (
            "name description source model dataset",
            "text",
            lambda value: isinstance(value, str),
        ),
        (
            "archives plot",
            "a path",
            lambda value: value is None or isinstance(value, str),
        ),
    )
    for name in names.split()
}


def check_values(values: Mapping[str, object]) -> None:
    """Checks the values of a recipe's fields, of a model's arguments or of settings.

    Args:
        values: Values by name.

    Raises:
        BadRequest: If one has the wrong type or is out of range.
    """
    for name, value in values.items():
        expected, is_good = _RULES[name]
        if not is_good(value):
            raise BadRequest(f"{name} must be {expected}, received {value!r}")


def check_names(received: Iterable[str], expected: Iterable[str]) -> None:
    """Checks that names are complete and none is unknown.

    Raises:
        BadRequest: If they are not the expected ones, in whatever order.
    """
    received, expected = set(received), set(expected)
    if received != expected:
        raise BadRequest(
            f"expected the names {', '.join(sorted(expected))}, "
            f"received {', '.join(sorted(received - expected)) or 'nothing'} beyond them and "
            f"{', '.join(sorted(expected - received)) or 'nothing'} missing"
        )


def _vae(name: str, description: str, parameters: int, learning_rate: float, **arguments) -> Recipe:
    return Recipe(
        name=name,
        description=description,
        source="004",
        parameters=parameters,
        model="VariationalAutoencoder",
        arguments={
            "latent_dim": 32,
            "lstm_units": 64,
            "encoder_units": (),
            "dense_units": (),
            "base_filters": 32,
            "filters": (32, 16),
            "code_activation": "linear",
            "dropout": 0.0,
            "beta": 1.0,
            "unroll": True,
            "seed": 0,
            **arguments,
        },
        learning_rate=learning_rate,
        batch_size=100,
        epochs=50,
    )


def _lstm(name: str, description: str, activation: str) -> Recipe:
    return Recipe(
        name=name,
        description=description,
        source="000",
        parameters=265_244,
        model="LSTMAutoencoder",
        arguments={
            "latent_dim": 64,
            "hidden_units": (128,),
            "activation": activation,
            "output_activation": "linear",
            "unroll": True,
        },
        learning_rate=1e-3,
        batch_size=128,
        epochs=20,
        threads_per_operation=1,
    )


# What is chosen for speed, and why, as `python -m benchmarks.training --variants` finds it:
# - XLA wins wherever there is no LSTM; it makes every LSTM slower.
# - bfloat16 never wins by as much as the noise of the machine, so that float32 stays.
# - LSTMs are chains of small operations. With one thread for each, two of them run side by side.
# - LSTMs are unrolled: TensorFlow's loop costs more than the larger graph, and LiteRT has no loop.
# - `ConvAutoencoder` writes its 7x7 convolutions as matrix products, which they are.
# - Ten executions an epoch: more would show in the small models, fewer would stop the progress bar.

# The source of the VAE describes four of its seven configurations. The others are steps of one
# factor between them, so that each change can be judged alone.
_DEEPER = {"dense_units": (128,), "filters": (32, 32, 16)}
_CHANNELS = {"base_filters": 16, "filters": (48, 24)}

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="mlp",
            description="784-392-8, ReLU also on the latents, plateau schedule",
            source="003",
            parameters=622_504,
            model="DenseAutoencoder",
            arguments={
                "latent_dim": 8,
                "hidden_units": (392,),
                "activation": "relu",
                "code_activation": "relu",
            },
            learning_rate=1e-3,
            batch_size=256,
            epochs=50,
            l2=1e-5,
            schedule="plateau",
            jit_compile=True,
        ),
        Recipe(
            name="dense",
            description="784-128-64-12-5, linear latents",
            source="001",
            parameters=219_941,
            model="DenseAutoencoder",
            arguments={
                "latent_dim": 5,
                "hidden_units": (128, 64, 12),
                "activation": "relu",
                "code_activation": "linear",
            },
            learning_rate=1e-3,
            batch_size=64,
            epochs=13,
            l2=1e-5,
            figures_every=4,
            jit_compile=True,
        ),
        Recipe(
            name="conv",
            description="three convolutions to 64 latents, and back",
            source="001",
            parameters=210_369,
            model="ConvAutoencoder",
            arguments={
                "latent_dim": 64,
                "filters": (16, 32),
                "activation": "relu",
                "code_activation": "linear",
            },
            learning_rate=1e-3,
            batch_size=64,
            epochs=13,
            l2=1e-5,
            figures_every=4,
            jit_compile=True,
        ),
        Recipe(
            name="batchnorm",
            description="784-256-128-32 with batch normalization, at the source's rate of 0.05",
            source="002",
            parameters=479_792,
            model="DenseAutoencoder",
            arguments={
                "latent_dim": 32,
                "hidden_units": (256, 128),
                "activation": "relu",
                "code_activation": "linear",
                "batch_normalization": True,
            },
            learning_rate=0.05,
            batch_size=1024,
            epochs=25,
            jit_compile=True,
        ),
        _lstm("lstm", "rows as timesteps, LSTMs 128-64-64-128, tanh (Keras' default)", "tanh"),
        _lstm("lstm-relu", "as lstm, with ReLU inside the LSTMs", "relu"),
        _lstm("lstm-linear", "as lstm, without activation inside the LSTMs", "linear"),
        _vae("vae-baseline", "LSTM encoder, three transposed convolutions", 204_321, 5e-4),
        _vae(
            "vae-deeper",
            "baseline with one more transposed convolution and dense layer",
            368_321,
            5e-4,
            **_DEEPER,
        ),
        _vae("vae-dropout", "baseline with dropout 0.3", 204_321, 5e-4, dropout=0.3),
        _vae(
            "vae-deeper-dropout", "deeper with dropout 0.3", 368_321, 5e-4, **_DEEPER, dropout=0.3
        ),
        _vae(
            "vae-channels",
            "baseline with a smaller dense layer and more channels",
            182_001,
            5e-4,
            **_CHANNELS,
        ),
        _vae("vae-fast", "baseline at a learning rate of 0.001", 204_321, 1e-3),
        _vae("vae-optimized", "channels at a learning rate of 0.001", 182_001, 1e-3, **_CHANNELS),
    )
}


def _tuned(name: str, source: str, description: str, **overrides) -> Recipe:
    overrides = {"schedule": "cosine", "l2": 0.0, "figures_every": 20, **overrides}
    recipe = RECIPES[source].override(**overrides)
    return dataclasses.replace(recipe, name=name, description=description)


# The same layers and latents, trained as well as they can be. `benchmarks/tuning.md` says what was
# tried; all was chosen on the validation images.
RECIPES |= {
    recipe.name: recipe
    for recipe in (
        _tuned(
            "mlp-tuned",
            "mlp",
            "mlp with linear latents, at a rate four times as high",
            code_activation="linear",
            learning_rate=4e-3,
            batch_size=128,
            epochs=150,
            l2=1e-6,
        ),
        _tuned(
            "dense-tuned",
            "dense",
            "dense with GELU",
            activation="gelu",
            learning_rate=3e-3,
            batch_size=128,
            epochs=80,
        ),
        _tuned(
            "conv-tuned",
            "conv",
            "conv with GELU",
            activation="gelu",
            learning_rate=4e-3,
            epochs=60,
        ),
        _tuned(
            "batchnorm-tuned",
            "batchnorm",
            "batchnorm at a rate that it bears",
            learning_rate=0.01,
            batch_size=256,
            epochs=100,
        ),
        _tuned("lstm-tuned", "lstm", "lstm trained longer", learning_rate=4e-3, epochs=40),
        _tuned(
            "vae-tuned",
            "vae-deeper",
            "vae-deeper at a rate four times as high, for longer",
            learning_rate=2e-3,
            epochs=120,
        ),
    )
}
DEFAULT_RECIPE = "mlp"


def get(name: str) -> Recipe:
    """Returns the recipe called `name`.

    Raises:
        BadRequest: If there is none. The message names the nearest one.
    """
    check_known("recipe", name, RECIPES)
    return RECIPES[name]


def from_config(config: Mapping[str, object]) -> Recipe:
    """Returns the recipe whose fields `dataclasses.asdict` gave and JSON has kept.

    Raises:
        BadRequest: If a field or an argument is unknown, missing or has a wrong value.
    """
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
