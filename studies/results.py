"""The measured parts of RESULTS.md and of the studies' pages, without TensorFlow."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from keras_ae.errors import BadRequest
from keras_ae.files import write_text
from studies.catalogue import CLAIMS, STUDIES
from studies.claims import (
    CHANCE,
    FAILS,
    HOLDS,
    IN_PART,
    MARGIN,
    NOT_YET,
    UNDECIDED,
    UNTESTED,
    Verdict,
    judge,
    percent,
)
from studies.found import Found, NotMeasured
from studies.pages import markdown_table, with_parts
from studies.store import ROOT, StudyFiles
from studies.study import Claim, Study
from studies.tables import spread

RESULTS = Path("RESULTS.md")
COMMAND = "python -m studies results"
NOTION = (
    f"Lower means lower by {percent(MARGIN)} or more in Welch's t-test over the seeds, at "
    f"{percent(CHANCE)}; a bound has to be kept in the same test. "
    "[RESULTS.md](../../RESULTS.md) says what effect and undecided mean."
)


def write(project: Path = Path()) -> dict[str, Verdict]:
    """Writes the measured parts of all pages anew; the words around them stay.

    Args:
        project: Directory that holds RESULTS.md and `studies/`.

    Returns:
        The verdict by the name of the claim.

    Raises:
        BadRequest: If a page is not there, or lacks the place of a part. Nothing is written then.
    """
    files = {name: StudyFiles(name, project / ROOT) for name in STUDIES}
    found = {name: Found(study, files[name].read()) for name, study in STUDIES.items()}
    verdicts = {name: judge(claim, found[study.name]) for name, (study, claim) in CLAIMS.items()}
    pages = {
        project / RESULTS: {
            "studies": _studies(verdicts),
            "verdicts": _overview(verdicts),
            "untested claims": _untested(),
        }
    }
    for name, study in STUDIES.items():
        pages[files[name].page] = {
            "study": _introduction(study, files[name]),
            "claims": _claims(study, found[name], verdicts),
        }
    texts = {path: with_parts(_read(path), parts, COMMAND) for path, parts in pages.items()}
    for path, text in texts.items():
        write_text(path, text)
    return verdicts


def _read(path: Path) -> str:
    if not path.is_file():
        raise BadRequest(f"expected {path} in this directory, received none")
    return path.read_text(encoding="utf-8")


def _link(study: Study, claim: str = "") -> str:
    anchor = "#" + claim.replace(".", "") if claim else ""
    return f"[{study.name}]({StudyFiles(study.name).page.as_posix()}{anchor})"


def _counts(verdicts: Iterable[Verdict]) -> str:
    one_and_more = {
        HOLDS: (HOLDS, "hold"),
        FAILS: (FAILS, "do not hold"),
        IN_PART: (IN_PART, "hold only in part"),
        UNDECIDED: ("is undecided", "are undecided"),
        NOT_YET: ("is not yet measured", "are not yet measured"),
    }
    kinds = Counter(verdict.kind for verdict in verdicts)
    counts = (f"{count} {one_and_more[kind][count > 1]}" for kind, count in kinds.most_common())
    return ", ".join(counts) or "none"


def _studies(verdicts: dict[str, Verdict]) -> str:
    rows = [
        [_link(study), study.question, _counts(verdicts[claim.name] for claim in study.claims)]
        for study in STUDIES.values()
    ]
    return markdown_table(["study", "question", "claims"], rows)


def _overview(verdicts: dict[str, Verdict]) -> str:
    rows = [
        [
            f"{name} {claim.words}",
            f"**{verdicts[name]}**",
            verdicts[name].effect,
            _link(study, name),
        ]
        for name, (study, claim) in CLAIMS.items()
    ]
    return (
        f"Of {len(CLAIMS)} claims, {_counts(verdicts.values())}. "
        f"{len(UNTESTED)} more cannot be tested.\n\n"
        + markdown_table(["claim", "verdict", "effect", "study"], rows)
    )


def _untested() -> str:
    rows = [[untested.source, untested.words, untested.reason] for untested in UNTESTED]
    return markdown_table(["source", "claim", "why it cannot be tested"], rows)


def _introduction(study: Study, files: StudyFiles) -> str:
    parts = [f"**{study.question}**", study.protocol]
    if files.figure.is_file():
        parts.append(f"![{study.question}]({files.figure.name})")
    parts.append(
        f"All numbers: [table]({files.table.name}); a row for each run: "
        f"[{files.rows.name}]({files.rows.name})."
    )
    return "\n\n".join(parts)


def _claims(study: Study, found: Found, verdicts: dict[str, Verdict]) -> str:
    if not study.claims:
        return "The sources claim nothing that this study decides about."
    parts = [NOTION]
    for claim in study.claims:
        verdict = str(verdicts[claim.name])
        parts.append(
            f"### {claim.name}\n\n"
            f"{claim.words} **{verdict[0].upper()}{verdict[1:]}.**\n\n"
            f"- Rule: {claim.test}\n"
            f"- Measured: {_numbers(claim, found)} Effect: {verdicts[claim.name].effect}.\n"
            f"- What would change it: {claim.change}"
        )
    return "\n\n".join(parts)


def _numbers(claim: Claim, found: Found) -> str:
    shown, seeds = [], set()
    for quantity, rows in claim.shown.items():
        cells = []
        for row in rows:
            try:
                numbers = found(row, quantity)
            except NotMeasured:
                return NOT_YET
            if isinstance(row, str):
                seeds.add(len(numbers))
            words = f"`{row}`" if isinstance(row, str) else row.words
            cells.append(f"{words} {spread(numbers)}")
        shown.append(f"{quantity.heading}: {', '.join(cells)}")
    fewest_to_most = " to ".join(map(str, sorted({min(seeds), max(seeds)})))
    return f"{'; '.join(shown)} (n = {fewest_to_most})."
