"""How numbers decide about claims, and the claims that no number can decide about."""

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence

from scipy import stats

from studies.found import Found, NotMeasured
from studies.study import Claim, Row
from studies.vocabulary import Quantity

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
IN_PART = "holds only in part"
NOT_YET = "not yet measured"
MARGIN = 0.01  # Share by which one row has to be below another.
CHANCE, POWER = 0.05, 0.8  # Of the t-test: of an error, and of finding the effect that was seen.
MOST_SEEDS = 1000  # Nobody would train more.
CLEAR = 0.95  # Share of the reconstructions that the classifier has to recognise.
DULL = 0.7  # Gradient energy, as a share of the real images', below which detail is lacking.
CONVERGED = 0.9  # Share of the whole fall of a loss that is done when it has converged.

# A bound of ours, what was measured of a row, or what a function makes of it.
Term = float | tuple[Row, Quantity] | Callable[[Found], Sequence[float]]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Whether one row is below another.

    Attributes:
        holds: Whether it is, or nothing if the seeds do not say.
        effect: How far it is, as a share of the other: the relative difference of the means.
        seeds: How many of each would say, up to `MOST_SEEDS`, if these do not.
    """

    holds: bool | None
    effect: float
    seeds: int = 0


def below(low: Sequence[float], high: Sequence[float], margin: float = 0.0) -> Outcome:
    """Returns whether `low` is below `high`, by Welch's t-test.

    It is if the mean of `low` is below the mean of `high` less the margin, and is not if it is
    above that, each with p < `CHANCE`, two-sided. Otherwise the outcome says with how many seeds
    the test would have a power of `POWER`, if means and deviations are those that were measured.

    Args:
        low: A value for each seed, or one number without a spread.
        high: The same.
        margin: A share of `high`.
    """
    mean, bound = statistics.fmean(low), (1 - margin) * statistics.fmean(high)
    effect = 1 - (1 - margin) * mean / bound if bound else -math.inf
    samples = [values for values in (low, [(1 - margin) * value for value in high]) if values[1:]]
    variances = [statistics.variance(values) for values in samples]
    if not any(variances):
        return Outcome(mean <= bound, effect)

    def statistic(counts: Sequence[int]) -> tuple[float, float]:
        """Returns t and the degrees of freedom."""
        squares = [variance / count for variance, count in zip(variances, counts, strict=True)]
        freedom = sum(squares) ** 2 / sum(
            square**2 / (count - 1) for square, count in zip(squares, counts, strict=True)
        )
        return abs(bound - mean) / math.sqrt(sum(squares)), freedom

    counts = [len(values) for values in samples]
    t, freedom = statistic(counts)
    if 2 * stats.t.sf(t, freedom) < CHANCE:
        return Outcome(mean < bound, effect)
    for seeds in range(max(counts) + 1, MOST_SEEDS):
        t, freedom = statistic([seeds] * len(samples))
        if stats.nct.sf(stats.t.isf(CHANCE / 2, freedom), freedom, t) >= POWER:
            return Outcome(None, effect, seeds)
    return Outcome(None, effect, MOST_SEEDS)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the outcomes say about a claim that may hold in some cases and not in others.

    Attributes:
        cases: The outcomes by the words for the case; all of them have to hold. None are there if
            it is not measured.
        word: What stands before the cases.
    """

    cases: Mapping[str, Sequence[Outcome]]
    word: str = "for"

    def _of(self, wanted: bool | None) -> dict[str, Sequence[Outcome]]:
        """Returns the cases that hold, that do not, or that are undecided."""

        def of(outcomes: Sequence[Outcome]) -> bool | None:
            found = {outcome.holds for outcome in outcomes}
            return False if False in found else None if None in found else True

        return {case: outcomes for case, outcomes in self.cases.items() if of(outcomes) is wanted}

    @property
    def kind(self) -> str:
        """The verdict without the cases."""
        if not self.cases:
            return NOT_YET
        if self._of(True):
            return HOLDS if len(self._of(True)) == len(self.cases) else IN_PART
        return UNDECIDED if self._of(None) else FAILS

    def __str__(self):
        parts = []
        if self.kind == IN_PART:
            parts.append(f"holds only {self.word} {_and([*self._of(True)])}")
        if undecided := self._of(None):
            only = "" if parts or len(undecided) == len(self.cases) else " only"
            named = [f"{case} {_seeds(outcomes)}".strip() for case, outcomes in undecided.items()]
            word = "" if "" in undecided else f" {self.word}"
            parts.append(f"undecided{only}{word} {_and(named)}")
        return ", ".join(parts) or self.kind

    @property
    def effect(self) -> str:
        """The smallest and the largest effect of the cases that hold, do not and are undecided."""
        words = {True: "where it holds", False: "where it does not", None: "where undecided"}
        parts = {}
        for wanted, where in words.items():
            effects = [
                outcome.effect
                for outcomes in self._of(wanted).values()
                for outcome in outcomes
                if outcome.holds is wanted
            ]
            if effects:
                ends = (float(f"{100 * end:.2g}") for end in (min(effects), max(effects)))
                parts[where] = f"{' to '.join(dict.fromkeys(f'{end:,g}' for end in ends))} %"
        if len(parts) == 1:
            return parts.popitem()[1]
        return ", ".join(f"{share} {where}" for where, share in parts.items())


def judge(claim: Claim, found: Found) -> Verdict:
    """Returns the verdict, which has no cases where something is not measured yet."""
    try:
        return claim.rule(found)
    except NotMeasured:
        return Verdict({})


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _seeds(outcomes: Sequence[Outcome]) -> str:
    seeds = max(outcome.seeds for outcome in outcomes)
    return f"({seeds:,} seeds{' or more' * (seeds == MOST_SEEDS)})"


def rule(*cases: tuple[str, Term, Term], word: str = "for") -> Callable[[Found], Verdict]:
    """Returns the rule that the first of two terms is below the second.

    Rows have to differ by `MARGIN`; a bound has no margin.

    Args:
        *cases: Words, the lower and the higher term. Where several have the same words, all of
            them have to be so.
        word: What stands before the cases in the verdict.
    """

    def judged(found: Found) -> Verdict:
        outcomes: dict[str, list[Outcome]] = {}
        for words, low, high in cases:
            margin = 0.0 if isinstance(low, float) or isinstance(high, float) else MARGIN
            outcome = below(_values(found, low), _values(found, high), margin)
            outcomes.setdefault(words, []).append(outcome)
        return Verdict(outcomes, word)

    return judged


def _values(found: Found, term: Term) -> Sequence[float]:
    if isinstance(term, float):
        return [term]
    if callable(term):
        return term(found)
    values = found(*term)
    # A rise by a few parts in 100,000 is nothing, even beside none: judged is the loss itself.
    return [1 + value for value in values] if term[1].measure == "instability" else values


def ordered(*cases: tuple[str, Quantity, Row, Row], word: str = "for") -> Callable:
    """Returns the `rule` with words, what is compared, the lower and the higher row."""
    terms = ((words, (low, of), (high, of)) for words, of, low, high in cases)
    return rule(*terms, word=word)


def at_least(*cases: tuple[str, Quantity, Row, float], word: str = "for") -> Callable:
    """Returns the `rule` with words, what is compared, the row and a bound that it is above."""
    return rule(*((words, bound, (row, of)) for words, of, row, bound in cases), word=word)


def ratio(row: Row, first: Quantity, second: Quantity) -> Callable[[Found], list[float]]:
    """Returns the term of the first quantity as a multiple of the second, seed by seed."""
    return lambda found: [
        one / other for one, other in zip(found(row, first), found(row, second), strict=True)
    ]


def percent(share: float) -> str:
    """Returns a share in words."""
    return f"{100 * share:g} %"


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


UNTESTED = (
    Untested(
        "000",
        "Read as a sequence of rows, an image shows dependencies that are its visual structure.",
        "No dependency is named. What reading rows is worth is in 000.3 and 004.15.",
    ),
    Untested(
        "000",
        "Each LSTM layer extracts more abstract temporal patterns than the one before.",
        "Neither abstraction nor pattern is defined.",
    ),
    Untested(
        "000",
        "Nonlinear activations saturate.",
        "It does not say which states saturate how far. The effects are in 000.1 and 000.5.",
    ),
    Untested(
        "000",
        "Nonlinear activations make the optimization harder.",
        "After ten epochs at one rate the training error says the same as the test error in 000.1. "
        "It would take rates chosen for each activation, and longer training.",
    ),
    Untested(
        "000",
        "Model complexity should be aligned with the complexity of the data.",
        "Advice without a measure of either complexity.",
    ),
    Untested(
        "003",
        "The bottleneck forces the network to learn only the most essential features.",
        "Essential is not defined. What the latents keep is in 003.3, 003.5 and 003.15.",
    ),
    Untested(
        "003",
        "The steep fall of the loss is the learning of basic structure, the plateau a fine-tuning "
        "of details.",
        "An interpretation of the curve in 003.2 that names no structure and no detail.",
    ),
    Untested(
        "003",
        "More latents store patterns of the noise, too.",
        "Which part of the latents is the noise's is not defined. See 003.6 and 003.9.",
    ),
    Untested(
        "004",
        "Plain autoencoders, unlike variational ones, do not model a distribution of latents.",
        "True by definition. Densities fitted to plain latents are in 003.13.",
    ),
    Untested(
        "004",
        "Three of the seven configurations.",
        "The source describes four of its seven. Ours fill the gap with steps of one factor.",
    ),
)
