"""What a study is: pure data, without TensorFlow.

A study is a list of trials and what to show of their measurements. A trial is one training, with
its seed; an arm is what the trials of several seeds, or parts, have in common.
"""

import dataclasses
import json
from collections.abc import Mapping

from keras_ae.recipes import Recipe

SEEDS = (0, 1, 2)
# Fields of a recipe that say nothing about what comes out.
_NEUTRAL = {
    "description",
    "source",
    "parameters",
    "figures_every",
    "jit_compile",
    "threads_per_operation",
}


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
        arms: How the names of the arms in it begin; several ways in a tuple.
        logarithmic: Whether the axis of the losses is.
    """

    title: str
    loss: str = "loss"
    arms: str | tuple[str, ...] = ""
    logarithmic: bool = False


@dataclasses.dataclass(frozen=True)
class Dots:
    """A panel with a measure by arm, a dot each seed, and the yardsticks as lines.

    Attributes:
        title: With the unit.
        measure: What is drawn.
        arms: How the names of the arms in it begin; several ways in a tuple.
        label: What the dots are called where others are beside them.
        beside: Other measures of the same arms, drawn as hollow dots, by their label.
        from_zero: Whether the axis begins at zero.
    """

    title: str
    measure: str
    arms: str | tuple[str, ...] = ""
    label: str = ""
    beside: Mapping[str, str] = dataclasses.field(default_factory=dict)
    from_zero: bool = True


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
        level: A validation loss. Where it is given, the measure `epochs_to_level` is the first
            epoch, from 1, in which a training has it or less.
    """

    name: str
    question: str
    protocol: str
    trials: tuple[Trial, ...]
    tables: tuple[Table, ...]
    panels: tuple[Curves | Dots | Lines | Images, ...]
    level: float | None = None

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
