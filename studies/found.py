"""What a study measured: numbers by row and quantity, without TensorFlow."""

import statistics
from collections.abc import Collection, Mapping

from studies.study import Row, Study
from studies.vocabulary import MODEL, STATISTICS, Quantity, Reference, by_quantity, has_dimension

LEVEL = Quantity("epochs_to_level")


class NotMeasured(LookupError):
    """A number that a verdict needs is not there yet."""


class Found:
    """The numbers of a study.

    Args:
        study: What was measured.
        measurements: Measurements by the name of the run, see `StudyFiles.read`.
    """

    def __init__(self, study: Study, measurements: Mapping[str, dict]):
        self.study = study
        # By variant, then by seed, the numbers of each part.
        self._parts: dict[str, dict[int, list[dict[Quantity, float]]]] = {}
        self._references: dict[str, list[tuple[Reference, dict[Quantity, float]]]] = {}
        for run in study.runs:
            seeds = self._parts.setdefault(run.variant, {})
            rows = self._references.setdefault(run.variant, [])
            if run.is_measured(measurements):
                measurement = measurements[run.name]
                seeds.setdefault(run.recipe.seed, []).append(of_model(study, measurement))
                rows += of_references(measurement).items()
        self._missing = {run.variant for run in study.missing(measurements)}

    def values(self, variant: str, quantity: Quantity) -> list[float]:
        """Returns what was measured of a variant, one value for each seed.

        A seed counts when all parts of the variant are measured.
        """
        planned = next(len(known.parts) for known in self.study.variants if known.name == variant)
        stored = Quantity(quantity.measure, quantity.at)
        found = []
        for parts in self._parts[variant].values():
            numbers = [part[stored] for part in parts if stored in part]
            if len(numbers) == planned:
                found.append(STATISTICS[quantity.over_parts](numbers))
        return found

    def seeds(self, variant: str) -> int:
        """Returns how many seeds of a variant have numbers."""
        known = {quantity for parts in self._parts[variant].values() for part in parts
                 for quantity in part}  # fmt: skip
        return max((len(self.values(variant, quantity)) for quantity in known), default=0)

    def references(
        self, variants: Collection[str] | None = None
    ) -> dict[Reference, dict[Quantity, float]]:
        """Returns the numbers of the references, each the mean over the runs.

        Args:
            variants: Names of the variants beside which they were measured; by default
                all.
        """
        found: dict[Reference, dict[Quantity, list[float]]] = {}
        for variant, rows in self._references.items():
            if variant in (variants or self.study.names):
                for reference, numbers in rows:
                    for quantity, value in numbers.items():
                        found.setdefault(reference, {}).setdefault(quantity, []).append(value)
        return {
            reference: {quantity: statistics.fmean(values) for quantity, values in row.items()}
            for reference, row in found.items()
        }

    def __call__(self, row: Row, quantity: Quantity) -> list[float]:
        """Returns the values of a variant, one for each seed, or that of a reference.

        Raises:
            NotMeasured: If a run of the variant is missing, or no loss of it stayed a number.
            BadRequest: If the study has no such row.
            LookupError: If all is measured, but not this quantity.
        """
        self.study.check_row(row)
        if isinstance(row, Reference):
            values = self.references().get(row, {})
            if quantity in values:
                return [values[quantity]]
            may_come = bool(self._missing)
        else:
            if row in self._missing:
                raise NotMeasured(row)
            if values := self.values(row, quantity):
                return values
            # A run may never reach the level, or end before anything can be measured.
            may_come = quantity == LEVEL or self.seeds(row) == 0
        if may_come:
            raise NotMeasured(f"{row}, {quantity}")
        raise LookupError(
            f"expected a quantity that {self.study.name} measures of {row}, received {quantity}"
        )


def of_model(study: Study, measurement: Mapping) -> dict[Quantity, float]:
    """Returns the numbers of the model in one measurement, and when it reached the level."""
    found = by_quantity(measurement["numbers"].get(MODEL, {}))
    if study.level is not None:
        for epoch, loss in enumerate(measurement["curves"].get("val_loss", ()), start=1):
            if loss <= study.level:
                return found | {LEVEL: epoch}
    return found


def of_references(measurement: Mapping) -> dict[Reference, dict[Quantity, float]]:
    """Returns the numbers of the references in one measurement.

    A model whose latents are a map has about as many as an image has pixels: PCA with so many
    components changes nothing, and is left out.
    """
    latent_dim = measurement["recipe"]["arguments"].get("latent_dim")
    return {
        Reference(name, latent_dim if has_dimension(name) else None): by_quantity(numbers)
        for name, numbers in measurement["numbers"].items()
        if name != MODEL and (latent_dim is not None or not has_dimension(name))
    }
