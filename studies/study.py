"""What a study is: data, without TensorFlow.

A study compares variants of recipes. A planned run is one training run of a variant, with its seed;
what is measured of it becomes rows of tables, panels of a figure, and verdicts on claims.
"""

import dataclasses
import itertools
import json
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from keras_ae.errors import BadRequest, check_known
from keras_ae.recipe import Recipe
from studies.vocabulary import Quantity, Reference

if TYPE_CHECKING:
    from studies.claims import Verdict
    from studies.found import Found

SEEDS = (0, 1, 2)
MORE_SEEDS = (0, 1, 2, 3, 4)  # Of studies whose runs take less than a minute.
# Name of a variant, or a reference.
Row = str | Reference
# Fields of a recipe that do not change what is learned.
_NEUTRAL = {
    "description",
    "source",
    "parameters",
    "figures_every",
    "jit_compile",
    "threads_per_operation",
}


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """One training run of a study, and what is measured of it.

    Attributes:
        variant: Name of the variant.
        recipe: What is trained, seed included.
        measures: Names of functions in `measures.MEASURES`.
        part: Which part of the variant it is, where that has several.
    """

    variant: str
    recipe: Recipe
    measures: tuple[str, ...]
    part: str = ""

    @property
    def name(self) -> str:
        """Name in the study, fit for a directory: variant, part and seed."""
        return "-".join(filter(None, (self.variant, self.part, f"seed-{self.recipe.seed}")))

    def is_measured(self, measurements: Mapping[str, dict]) -> bool:
        """Returns whether there is a measurement of this run as it is declared now."""
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
class Variant:
    """A way to train, which is run once for each seed.

    Attributes:
        name: Fit for a directory.
        recipe: What is trained; with several parts, what they have in common.
        measures: Names of functions in `measures.MEASURES`.
        parts: Overrides of the recipe by the name of the part, where one seed takes several runs.
    """

    name: str
    recipe: Recipe
    measures: tuple[str, ...]
    parts: Mapping[str, Mapping[str, object]] = dataclasses.field(default_factory=lambda: {"": {}})

    @property
    def latent_dim(self) -> int | None:
        """Numbers that an image is encoded into, unless the shape of the image decides."""
        return self.recipe.arguments.get("latent_dim")

    def runs(self, seed: int) -> list[PlannedRun]:
        """Returns the runs with this seed, one for each part."""
        # Variational models have the seed of their samples among their arguments: this one.
        recipe = self.recipe.override(seed=seed, figures_every=self.recipe.epochs)
        return [
            PlannedRun(self.name, recipe.override(**overrides), self.measures, part)
            for part, overrides in self.parts.items()
        ]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with a row for each variant and each reference.

    Attributes:
        caption: What it shows, and the units.
        columns: What is shown.
        variants: Names of the variants in it; by default all.
    """

    caption: str
    columns: tuple[Quantity, ...]
    variants: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Curves:
    """A panel with losses over the epochs: training solid, validation dashed, a line each seed.

    Attributes:
        title: With the unit.
        loss: Name of the training loss.
        variants: Names of the variants in it; by default all.
        logarithmic: Whether the axis of the losses is.
    """

    title: str
    loss: str = "loss"
    variants: tuple[str, ...] | None = None
    logarithmic: bool = False

    def __post_init__(self):
        check_known("loss", self.loss, ("loss", "reconstruction_loss", "kl_loss"))


@dataclasses.dataclass(frozen=True)
class Dots:
    """A panel with a quantity by variant, a dot each seed, and the references as lines.

    Attributes:
        title: With the unit.
        quantity: What is drawn.
        variants: Names of the variants in it; by default all.
        label: What the dots are called where others are beside them.
        beside: Other quantities of the same variants, drawn as hollow dots, by their label.
        from_zero: Whether the axis begins at zero.
    """

    title: str
    quantity: Quantity
    variants: tuple[str, ...] | None = None
    label: str = ""
    beside: Mapping[str, Quantity] = dataclasses.field(default_factory=dict)
    from_zero: bool = True


@dataclasses.dataclass(frozen=True)
class Lines:
    """A panel with a quantity over the latent dimension, a line for each group of variants.

    Attributes:
        title: With the unit.
        quantity: What is drawn.
        groups: Names of the variants by the label of their line.
    """

    title: str
    quantity: Quantity
    groups: Mapping[str, tuple[str, ...]]

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of all variants in it."""
        return tuple(name for names in self.groups.values() for name in names)


@dataclasses.dataclass(frozen=True)
class Images:
    """A panel with images of the first seed, a row for each variant.

    Attributes:
        title: What is seen.
        kind: `reconstructions` or `samples`.
        variants: Names of the variants in it; by default all.
    """

    title: str
    kind: str
    variants: tuple[str, ...] | None = None

    def __post_init__(self):
        check_known("kind of image", self.kind, ("reconstructions", "samples"))


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim of a source that a study decides about.

    Attributes:
        name: Number of the source and of the claim in it.
        words: The claim in our words.
        shown: The rows whose numbers are shown, by quantity.
        rule: From the numbers to the verdict, see `claims`.
        test: The rule in words.
        change: What would change the verdict.
    """

    name: str
    words: str
    shown: Mapping[Quantity, tuple[Row, ...]]
    rule: Callable[["Found"], "Verdict"]
    test: str
    change: str


@dataclasses.dataclass(frozen=True)
class Study:
    """Variants side by side.

    Attributes:
        name: Name on the command line.
        question: What it asks, in one line.
        protocol: How it asks: what is equal, what is changed, what is chosen by what.
        variants: What is trained.
        tables: What is shown of the measurements in Markdown.
        panels: What is drawn of them, from left to right and from top to bottom.
        claims: What it decides about.
        level: A validation loss. Where it is given, `epochs_to_level` is the first epoch, from 1,
            in which a run has it or less.
        seeds: Each variant is trained once with each.

    Raises:
        BadRequest: If something refers to a variant that is not declared.
    """

    name: str
    question: str
    protocol: str
    variants: tuple[Variant, ...]
    tables: tuple[Table, ...]
    panels: tuple[Curves | Dots | Lines | Images, ...]
    claims: tuple[Claim, ...]
    level: float | None = None
    seeds: tuple[int, ...] = SEEDS

    def __post_init__(self):
        for shown in (*self.tables, *self.panels):
            if shown.variants is not None and len(shown.variants) == 0:
                raise BadRequest(f"expected variants in {self.name}, received none in {shown}")
            for name in shown.variants or ():
                check_known("variant", name, self.names)
        for claim in self.claims:
            for row in itertools.chain(*claim.shown.values()):
                self.check_row(row)

    def check_row(self, row: Row) -> None:
        """Checks that a row can come of this study.

        Raises:
            BadRequest: If there is no such variant, or no variant of that latent dimension.
        """
        if isinstance(row, str):
            check_known("variant", row, self.names)
        elif row.latent_dim is not None:
            dimensions = sorted({variant.latent_dim for variant in self.variants} - {None})
            if row.latent_dim not in dimensions:
                raise BadRequest(
                    f"unknown row of {self.name}: expected PCA with a latent dimension among "
                    f"{', '.join(map(str, dimensions))}, received {row.latent_dim}"
                )

    @property
    def names(self) -> list[str]:
        """Names of the variants, in order."""
        return [variant.name for variant in self.variants]

    @property
    def runs(self) -> list[PlannedRun]:
        """All runs, those of one seed after those of the other."""
        return [
            run for seed in self.seeds for variant in self.variants for run in variant.runs(seed)
        ]

    def draws_images_of(self, run: PlannedRun) -> bool:
        """Returns whether a panel shows images of `run`, which is one of the first seed."""
        return run.recipe.seed == self.seeds[0] and any(
            isinstance(panel, Images) and run.variant in (panel.variants or self.names)
            for panel in self.panels
        )

    def only(self, variants: Collection[str]) -> "Study":
        """Returns the study of some variants with the first seed, without what is shown of it.

        Raises:
            BadRequest: If there is no such variant.
        """
        for name in variants:
            check_known("variant", name, self.names)
        return dataclasses.replace(
            self,
            variants=tuple(variant for variant in self.variants if variant.name in variants),
            seeds=self.seeds[:1],
            tables=(),
            panels=(),
            claims=(),
        )

    def missing(self, measurements: Mapping[str, dict]) -> list[PlannedRun]:
        """Returns the runs that are not measured yet."""
        return [run for run in self.runs if not run.is_measured(measurements)]
