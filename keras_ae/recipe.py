"""What a recipe is: its fields, and what each of them may be."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping

from keras_ae.errors import BadRequest


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One experiment: a model, and how it is trained.

    Example:

    ```python
    from keras_ae.runs import Run
    from keras_ae.training.run import train

    recipe: Recipe = keras_ae.RECIPES["mlp"].override(latent_dim=16, epochs=1, train_images=500)
    metrics = train(recipe, Run("saved_models/mlp-16"), with_exports=False)
    metrics["test"]["mse"]  # mean squared error per pixel on the test images
    ```

    Attributes:
        name: Name on the command line.
        description: One line for a list of recipes.
        source: Number of the source document that the experiment is from.
        parameters: Number of the model's parameters with the arguments below; `None` where an
            override changed them and the model is not built yet.
        model: Name of a class in `keras_ae.models`.
        arguments: Arguments of that class.
        learning_rate: Of the optimizer, at its highest.
        batch_size: Images in a step.
        epochs: Passes over the training images.
        optimizer: `adam` for `training.optimizer.AdamL2`, `muon` for `MuonL2`.
        l2: Factor of the weights that is added to their gradients, see `training.optimizer.AdamL2`.
        schedule: How the learning rate changes. `constant`: not at all. `plateau`: it falls to a
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
        any_train_noise: Whether the standard deviation is drawn anew for each image, uniformly from
            0 to `train_noise_std`, for a model that is not told how strong the noise is.
        train_shift_std: Standard deviation, in pixels, of how far each training image is moved
            down and to the right: Gaussian, rounded to whole pixels. Targets move, too.
        seed: Of initial weights, order, noise, dropout and sampling.
        dataset: TFDS name of a dataset whose images have one shape; `None` for own pictures.
        train_images: How many of the training images to use; `None` for all.
        train_classes: Labels of the images to train and to validate on; `None` for all.
        full_train: Whether the validation images are trained on, too.
    """

    name: str
    description: str
    source: str
    parameters: int | None
    model: str
    arguments: Mapping[str, object]
    learning_rate: float
    batch_size: int
    epochs: int
    optimizer: str = "adam"
    l2: float = 0.0
    schedule: str = "constant"
    figures_every: int = 5
    jit_compile: bool = False
    threads_per_operation: int = 0
    precision: str = "float32"
    train_noise_std: float = 0.0
    any_train_noise: bool = False
    train_shift_std: float = 0.0
    seed: int = 0
    dataset: str | None = "mnist"
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
        if arguments != self.arguments:
            replaced = {"parameters": None, **replaced}
        return dataclasses.replace(self, arguments=arguments, **replaced)


OPTIMIZERS = ("adam", "muon")
SCHEDULES = ("constant", "plateau", "cosine")
PRECISIONS = ("float32", "mixed_bfloat16")
ACTIVATIONS = ("relu", "tanh", "linear", "sigmoid", "elu", "gelu", "leaky_relu", "selu", "silu")
DEVICES = ("auto", "cpu", "gpu")
STRATEGIES = ("single", "mirrored", "multiworker")
COLORS = ("grey", "rgb")
# Of images: what the models take, and where a number is a slip.
SMALLEST_SIDE, LARGEST_SIDE = 8, 10_000


# How a recipe is trained, by name, with the value that holds where nothing is asked for, or where
# an earlier version did not know the name.
SETTINGS = {
    "archives": None,
    "images": None,
    "image_size": None,
    "color": None,
    "plot": None,
    "tensorboard": False,
    "device": "auto",
    "strategy": "single",
}

# Of the names that TFDS takes those without arguments of its builders, which could write anywhere.
_DATASET = re.compile(r"[A-Za-z]\w*(/\w[\w+.-]*)?(:(\d+|\*)(\.(\d+|\*)){2})?", re.ASCII)


def is_dataset_name(value) -> bool:
    """Returns whether a value is a name such as `mnist`, `emnist/letters` or `mnist:3.0.1`."""
    return isinstance(value, str) and _DATASET.fullmatch(value) is not None


def plain_dataset(name: str) -> str:
    """Returns the one spelling, without version, of a name that `is_dataset_name`.

    TFDS takes `FashionMnist` for `fashion_mnist`.
    """
    name, *config = name.partition(":")[0].split("/")
    for boundary in (r"(.)([A-Z][a-z0-9]+)", r"([a-z0-9])([A-Z])"):
        name = re.sub(boundary, r"\1_\2", name)
    return "/".join([name.lower(), *config])


def is_count(value) -> bool:
    """Returns whether a value is a positive integer that TensorFlow can count to."""
    return type(value) is int and 1 <= value < 2**31


def is_number(value, below: float = 3e38) -> bool:
    """Returns whether a value is a number from zero on, no NaN, and not beyond float32."""
    return type(value) in (int, float) and 0 <= value < below


def _is_size(value) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(type(side) is int and SMALLEST_SIDE <= side <= LARGEST_SIDE for side in value)
    )


def _are_labels(value) -> bool:
    return (
        isinstance(value, list | tuple)
        and all(type(label) is int and label >= 0 for label in value)
        and 1 <= len(value) == len(set(value))
    )


# What each value has to be, in words and as a test: the one place for flags, Python and files.
# fmt: off
_RULES: dict[str, tuple[str, Callable[[object], bool]]] = {
    name: rule
    for names, *rule in (
        ("latent_dim lstm_units base_filters latent_filters depth epochs batch_size figures_every",
         "a positive integer below 2147483648", is_count),
        ("train_images parameters", "a positive integer below 2147483648",
         lambda value: value is None or is_count(value)),
        ("train_classes", "a list of one or more labels without repetition",
         lambda value: value is None or _are_labels(value)),
        ("hidden_units encoder_units dense_units filters",
         "a list of positive integers below 2147483648",
         lambda value: isinstance(value, list | tuple) and all(map(is_count, value))),
        ("seed threads_per_operation", "an integer from 0 to 2147483647",
         lambda value: type(value) is int and 0 <= value < 2**31),
        ("learning_rate", "a finite number above zero",
         lambda value: is_number(value) and value > 0),
        ("beta train_noise_std train_shift_std l2", "a finite number, zero or more", is_number),
        ("dropout", "a number from 0 to below 1", lambda value: is_number(value, below=1)),
        ("jit_compile full_train any_train_noise batch_normalization unroll tensorboard",
         "true or false",
         lambda value: type(value) is bool),
        ("color", f"one of {', '.join(COLORS)}", (None, *COLORS).__contains__),
        *((names, f"one of {', '.join(choices)}", choices.__contains__) for names, choices in (
            ("activation code_activation output_activation", ACTIVATIONS),
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("precision", PRECISIONS),
            ("device", DEVICES),
            ("strategy", STRATEGIES),
        )),
        ("name description source model", "text", lambda value: isinstance(value, str)),
        ("dataset", "text, name[/config][:version] of a TFDS dataset",
         lambda value: value is None or is_dataset_name(value)),
        ("archives plot images", "a path", lambda value: value is None or isinstance(value, str)),
        ("image_size", f"height and width, integers from {SMALLEST_SIDE} to {LARGEST_SIDE}",
         lambda value: value is None or _is_size(value)),
    )
    for name in names.split()
}
# fmt: on


def check_values(values: Mapping[str, object]) -> None:
    """Checks the values of a recipe's fields, of a model's arguments or of settings, by name."""
    for name, value in values.items():
        expected, is_good = _RULES[name]
        if not is_good(value):
            raise BadRequest(f"{name} must be {expected}, received {value!r}")


def check_source(dataset: str | None, settings: Mapping[str, object]) -> None:
    """Checks that images come from one source, and that no setting is for the other one."""
    images = settings["images"]
    if (dataset is None) == (images is None):
        raise BadRequest(
            f"expected either a dataset or `images`, received dataset {dataset!r} and images "
            f"{images!r}"
        )
    if images is None:
        foreign, reason = ("image_size", "color"), "needs `images`, pictures of your own"
    else:
        foreign, reason = ("archives",), "is for a dataset by name, and not for `images`"
    for name in foreign:
        if settings[name] is not None:
            raise BadRequest(f"`{name}` {reason}: expected none, received {settings[name]!r}")


def check_names(received: Iterable[str], expected: Iterable[str]) -> None:
    """Checks that names are complete, in whatever order, and none is unknown."""
    received, expected = set(received), set(expected)
    if received != expected:
        raise BadRequest(
            f"expected the names {', '.join(sorted(expected))}, "
            f"received {', '.join(sorted(received - expected)) or 'nothing'} beyond them and "
            f"{', '.join(sorted(expected - received)) or 'nothing'} missing"
        )
