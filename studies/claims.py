"""How numbers decide about claims, and the claims that no number can decide about."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from studies.found import Found, NotMeasured
from studies.study import Claim, Row
from studies.vocabulary import Quantity

HOLDS = "holds"
FAILS = "does not hold"
NOT_YET = "not yet measured"
CLEAR = 0.95  # Share of the reconstructions that the classifier has to recognise.


def judge(claim: Claim, found: Found) -> str:
    """Returns the verdict: `holds`, `does not hold`, `holds only …` or `not yet measured`."""
    try:
        return claim.rule(found)
    except NotMeasured:
        return NOT_YET


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


def ordered(*cases: tuple[str, Quantity, Row, Row], word: str = "for") -> Callable[[Found], str]:
    """Returns the rule that one row is below another in every seed.

    Args:
        *cases: Words, what is compared, the lower and the higher row. Where several have the same
            words, all of them have to be so.
        word: What stands before the cases in the verdict.
    """

    def is_so(found: Found, quantity: Quantity, low: Row, high: Row) -> bool:
        return below(found(low, quantity), found(high, quantity))

    return _rule(cases, is_so, word)


def at_least(*cases: tuple[str, Quantity, Row, float], word: str = "for") -> Callable[[Found], str]:
    """Returns the rule that every seed of a row has a bound or more.

    Args:
        *cases: Words, what is compared, the row and the bound, as for `ordered`.
        word: What stands before the cases in the verdict.
    """

    def is_so(found: Found, quantity: Quantity, row: Row, bound: float) -> bool:
        return min(found(row, quantity)) >= bound

    return _rule(cases, is_so, word)


def _rule(cases: Sequence[tuple], is_so: Callable[..., bool], word: str) -> Callable[[Found], str]:
    def rule(found: Found) -> str:
        holds: dict[str, bool] = {}
        for words, *case in cases:
            holds[words] = holds.get(words, True) and is_so(found, *case)
        return only_for(holds, word)

    return rule


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
        "It does not say which states saturate how far. The effects are in 000.1, 000.5, 000.6.",
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
