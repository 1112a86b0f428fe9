"""The studies that put claims of the sources to the test: pure data, without TensorFlow.

A study is a list of trials and what to show of their measurements. A trial is one training, with
its seed; an arm is what the trials of several seeds, or parts, have in common.
"""

import dataclasses
import difflib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence

from keras_ae import recipes
from keras_ae.errors import BadRequest
from keras_ae.recipes import Recipe

SEEDS = (0, 1, 2)
# Fields of a recipe that say nothing about what comes out.
_NEUTRAL = {"description", "source", "parameters", "figures_every", "jit_compile"}


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training of a study, and what is measured of it.

    Attributes:
        arm: What it has in common with the trials of other seeds; fit for a file's name.
        recipe: What is trained, seed included.
        measures: Names of functions in `measures.MEASURES`.
        part: Where an arm is a mean over several trainings of the same seed, which one it is.
    """

    arm: str
    recipe: Recipe
    measures: tuple[str, ...]
    part: str = ""

    @property
    def name(self) -> str:
        """Name in the study: arm, part and seed."""
        return "-".join(filter(None, (self.arm, self.part, f"seed-{self.recipe.seed}")))

    def is_measured(self, measurements: Mapping[str, dict]) -> bool:
        """Returns whether there is a measurement of this trial as it is declared now."""
        found = measurements.get(self.name)
        if found is None or not set(self.measures) <= set(found["measures"]):
            return False
        # A field that the recipe did not have then had the effect of today's default.
        defaults = {
            field.name: field.default
            for field in dataclasses.fields(Recipe)
            if field.default is not dataclasses.MISSING
        }
        then = {**defaults, **found["recipe"]}
        now = json.loads(json.dumps(dataclasses.asdict(self.recipe)))
        return all(then[name] == value for name, value in now.items() if name not in _NEUTRAL)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with a row for each arm and each yardstick.

    Attributes:
        caption: What it shows, and the units.
        columns: Heading by measure.
        arms: How the names of the arms in it begin.
    """

    caption: str
    columns: Mapping[str, str]
    arms: str = ""


@dataclasses.dataclass(frozen=True)
class Curves:
    """A panel with losses over the epochs: training solid, validation dashed, a line each seed.

    Attributes:
        title: With the unit.
        loss: Name of the training loss.
        arms: How the names of the arms in it begin.
        logarithmic: Whether the axis of the losses is.
    """

    title: str
    loss: str = "loss"
    arms: str = ""
    logarithmic: bool = False


@dataclasses.dataclass(frozen=True)
class Dots:
    """A panel with a measure by arm, a dot each seed, and the yardsticks as lines.

    Attributes:
        title: With the unit.
        measure: What is drawn.
        arms: How the names of the arms in it begin.
    """

    title: str
    measure: str
    arms: str = ""


@dataclasses.dataclass(frozen=True)
class Lines:
    """A panel with a measure over the size of the code, a line for each group of arms.

    Attributes:
        title: With the unit.
        measure: What is drawn.
        groups: How the names of the arms begin, by the label of the line.
    """

    title: str
    measure: str
    groups: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Images:
    """A panel with images of the first seed, a row for each arm.

    Attributes:
        title: What is seen.
        kind: `reconstructions` or `samples`.
        arms: How the names of the arms in it begin.
    """

    title: str
    kind: str
    arms: str = ""


@dataclasses.dataclass(frozen=True)
class Study:
    """Trials side by side.

    Attributes:
        name: Name on the command line.
        question: What it asks, in one line.
        protocol: How it asks: what is equal, what is changed, what is chosen by what.
        trials: What is trained, in this order.
        tables: What is shown of the measurements in Markdown.
        panels: What is drawn of them, from left to right and from top to bottom.
    """

    name: str
    question: str
    protocol: str
    trials: tuple[Trial, ...]
    tables: tuple[Table, ...]
    panels: tuple[Curves | Dots | Lines | Images, ...]

    @property
    def arms(self) -> list[str]:
        """Names of the arms, in order."""
        return list(dict.fromkeys(trial.arm for trial in self.trials))

    def draws_images_of(self, trial: Trial) -> bool:
        """Returns whether a panel shows images of `trial`, which is one of the first seed."""
        return trial.recipe.seed == SEEDS[0] and any(
            isinstance(panel, Images) and trial.arm.startswith(panel.arms) for panel in self.panels
        )

    def missing(self, measurements: Mapping[str, dict]) -> list[Trial]:
        """Returns the trials that are not measured yet."""
        return [trial for trial in self.trials if not trial.is_measured(measurements)]


def _arms(
    arms: Mapping[str, tuple[str, dict]],
    measures: Sequence[str],
    more: Callable[[str], Iterable[str]] = lambda arm: (),
    **overrides,
) -> tuple[Trial, ...]:
    """Returns the trials of all arms, one seed of every arm after the other.

    Args:
        arms: Name of a recipe and its overrides by arm.
        measures: What is measured of all of them.
        more: From the name of an arm to what else is measured of it.
        **overrides: Overrides of all of them.
    """
    return tuple(
        Trial(
            arm,
            _seeded(recipes.get(name).override(**overrides, **own), seed),
            (*measures, *more(arm)),
        )
        for seed in SEEDS
        for arm, (name, own) in arms.items()
    )


def _seeded(recipe: Recipe, seed: int) -> Recipe:
    # Variational models have the seed of their samples among their arguments, which is this one.
    return recipe.override(seed=seed, figures_every=recipe.epochs)


_MSE = "test MSE"
_QUALITY = {
    "mse": _MSE,
    "validation_mse": "validation MSE",
    "sharpness": "sharpness",
    "ssim": "SSIM",
    "recognised": "recognised",
    "live_units": "live units",
}
_YARDSTICKS = (
    "The yardsticks below the line of arms need no training: PCA with as many components as the "
    "code has units, fitted to the training images, and the mean training image."
)


def _batchnorm_rate() -> Study:
    rates = (0.05, 0.01, 0.003, 0.001)
    arms = {f"rate-{rate}": ("batchnorm", {"learning_rate": rate}) for rate in rates}
    for rate in rates[:2]:
        overrides = {"learning_rate": rate, "batch_normalization": False}
        arms[f"plain-rate-{rate}"] = ("batchnorm", overrides)
    return Study(
        name="batchnorm-rate",
        question="Is the source's learning rate of 0.05 a good one, and what does batch "
        "normalization do for it?",
        protocol="The recipe `batchnorm` (784-256-128-32, batches of 1,024, Adam) at four rates, "
        "and without batch normalization (`plain`) at two: 25 epochs each, nothing else changed. "
        "Instability is the mean relative rise of the validation loss from one epoch to the next, "
        "where an epoch in which it falls counts as zero.",
        trials=_arms(arms, ("summary", "curves", "quality", "recognised")),
        tables=(
            Table(
                "Mean squared error per pixel by split, and how unstable the validation loss is. "
                + _YARDSTICKS,
                {
                    "mse": _MSE,
                    "validation_mse": "validation MSE",
                    "train_mse": "train MSE",
                    "instability": "instability",
                    "sharpness": "sharpness",
                    "recognised": "recognised",
                },
            ),
        ),
        panels=(
            Curves("mean squared error per pixel", arms="rate", logarithmic=True),
            Dots("test MSE", "mse"),
            Dots("instability of the validation loss", "instability"),
        ),
    )


def _dense_vs_conv() -> Study:
    arms = {
        "dense-5": ("dense", {}),
        "conv-5": ("conv", {"latent_dim": 5}),
        "dense-64": ("dense", {"latent_dim": 64, "hidden_units": (118, 64)}),
        "conv-64": ("conv", {}),
    }
    return Study(
        name="dense-vs-conv",
        question="Are reconstructions of the convolutional autoencoder sharper, and is that due "
        "to the convolutions?",
        protocol="`dense-5` and `conv-64` are the source's pair, with codes of 5 and 64 numbers. "
        "`dense-64` (784-118-64-64) has the code of `conv-64` and within 1 % as many parameters; "
        "`conv-5` is `conv` with the code of `dense-5`. All have the source's training: 13 epochs, "
        "batches of 64, Adam at 0.001 with L2. Sharpness is the gradient energy of the "
        "reconstructions, the sum of squared differences of neighbouring pixels, as a share of "
        "that of the originals.",
        trials=_arms(arms, ("summary", "curves", "quality", "recognised"), epochs=13),
        tables=(
            Table(
                "Error, sharpness and structural similarity (SSIM, at most 1) on the test images. "
                "Recognised: share of the reconstructions that a classifier of digits gives the "
                "label of the original. " + _YARDSTICKS,
                {**_QUALITY, "parameters": "parameters"},
            ),
        ),
        panels=(
            Dots("test MSE", "mse"),
            Dots("sharpness, 1 is that of the originals", "sharpness"),
            Images("reconstructions, first seed", "reconstructions"),
        ),
    )


STUDIES: dict[str, Study] = {study.name: study for study in (_batchnorm_rate(), _dense_vs_conv())}


def get(name: str) -> Study:
    """Returns the study called `name`.

    Raises:
        BadRequest: If there is none. The message names the nearest one.
    """
    if name not in STUDIES:
        near = difflib.get_close_matches(name, STUDIES, n=1, cutoff=0.0)[0]
        raise BadRequest(
            f"unknown study, did you mean {near!r}? Expected one of {', '.join(STUDIES)}, "
            f"received {name!r}"
        )
    return STUDIES[name]
