"""What a claim is, and how numbers decide about it."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

from keras_ae import study_tables
from studies.study import Study

HOLDS = "holds"
FAILS = "does not hold"
NOT_YET = "not yet measured"
CLEAR = 0.95  # Share of reconstructions that the classifier has to recognise.


class NotMeasured(LookupError):
    """A number that a verdict needs is not there yet."""


class Found:
    """The numbers of a study, a value for each seed.

    Args:
        study: What was measured.
        measurements: Measurements by the name of the trial, see `StudyFiles.read`.
    """

    def __init__(self, study: Study, measurements: Mapping[str, dict]):
        self._values = study_tables.values(study, measurements)
        self._yardsticks = study_tables.yardsticks(study, measurements)
        self._missing = {trial.arm for trial in study.missing(measurements)}

    def __call__(self, row: str, measure: str) -> list[float]:
        """Returns the values of an arm, one for each seed, or that of a yardstick.

        Raises:
            NotMeasured: If a training of the arm is missing, or none came to an end.
        """
        try:
            if row in self._values:
                if row in self._missing:
                    raise NotMeasured(row)
                return self._values[row][measure]
            return [self._yardsticks[row][measure]]
        except KeyError as error:
            raise NotMeasured(f"{row}, {measure}") from error


def below(first: Sequence[float], second: Sequence[float]) -> bool:
    """Returns whether every value of `first` is below every one of `second`.

    With three seeds each this happens by chance in one of twenty cases.
    """
    return max(first) < min(second)


def verdict(holds: bool) -> str:
    """Returns `holds` or `does not hold`."""
    return HOLDS if holds else FAILS


def only_for(cases: Mapping[str, bool], word: str = "for") -> str:
    """Returns the verdict on a claim that may hold in some cases and not in others.

    Args:
        cases: Whether it holds, by the words for the case.
        word: What stands before the cases.
    """
    good = [case for case, holds in cases.items() if holds]
    if len(good) in (0, len(cases)):
        return verdict(bool(good))
    return f"holds only {word} {_and(good)}"


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim of a source that a study decides about.

    Attributes:
        name: Number of the source and of the claim in it.
        words: The claim in our words.
        study: Name of the study.
        shown: The rows, arms and yardsticks, whose numbers are shown, by measure.
        rule: From the numbers to the verdict.
        test: The rule in words.
        change: What would change our mind.
    """

    name: str
    words: str
    study: str
    shown: Mapping[str, Iterable[str]]
    rule: Callable[[Found], str]
    test: str
    change: str

    @property
    def source(self) -> str:
        """Number of the source."""
        return self.name.split(".")[0]

    def judge(self, found: Found) -> str:
        """Returns the verdict: `holds`, `does not hold`, `holds only …` or `not yet measured`."""
        try:
            return self.rule(found)
        except NotMeasured:
            return NOT_YET


@dataclasses.dataclass(frozen=True)
class Untested:
    """A claim of a source that cannot be put to the test.

    Attributes:
        source: Number of the source.
        words: The claim in our words.
        reason: Why it cannot.
    """

    source: str
    words: str
    reason: str
