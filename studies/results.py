"""The parts of RESULTS.md that come from measurements, without TensorFlow."""

from collections import Counter
from pathlib import Path

from studies.claims import CLAIMS, FAILS, HOLDS, NOT_YET, UNTESTED, Claim, Found
from studies.claims.claim import NotMeasured
from keras_ae.errors import BadRequest
from keras_ae.files import write_text
from keras_ae.runs import RUNS, StudyFiles
from studies.declared import STUDIES, Study
from studies.tables import lines, spread

RESULTS = Path("RESULTS.md")
COMMAND = "python evaluate.py --results"


def write(path: Path = RESULTS, root: Path = RUNS / "studies") -> dict[str, str]:
    """Writes the measured parts of RESULTS.md anew; the words around them stay.

    Args:
        path: The file.
        root: Directory of all studies.

    Returns:
        The verdict by the name of the claim.

    Raises:
        BadRequest: If the file is not there, or lacks the place of a part.
    """
    if not path.is_file():
        raise BadRequest(f"expected {path} in this directory, received none")
    found = {name: Found(study, StudyFiles(name, root).read()) for name, study in STUDIES.items()}
    verdicts = {name: claim.judge(found[claim.study]) for name, claim in CLAIMS.items()}
    parts = {"verdicts": _overview(verdicts), "untested claims": _untested()}
    for name, study in STUDIES.items():
        parts[name] = _section(study, found[name], verdicts, root)
    write_text(path, with_parts(path.read_text(encoding="utf-8"), parts, COMMAND))
    return verdicts


def with_parts(text: str, parts: dict[str, str], command: str) -> str:
    """Returns `text` with each part replaced, which lies between two comments.

    Args:
        text: Markdown with the comments `name: written by command` and `end of name`.
        parts: New contents by name.
        command: What writes them.

    Raises:
        BadRequest: If a comment is missing.
    """
    for name, content in parts.items():
        begin = f"<!-- {name}: written by {command} -->\n"
        end = f"<!-- end of {name} -->\n"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise BadRequest(f"expected the lines {begin!r} and {end!r} once each, received others")
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = before + begin + content.rstrip("\n") + "\n" + end + after
    return text


def _overview(verdicts: dict[str, str]) -> str:
    plurals = {HOLDS: "hold", FAILS: "do not hold", NOT_YET: "are not yet measured"}
    kinds = Counter(plurals.get(verdict, "hold only in part") for verdict in verdicts.values())
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    rows = [
        [name, claim.words, f"[{claim.study}](#{claim.study})", f"**{verdicts[name]}**"]
        for name, claim in CLAIMS.items()
    ]
    return f"Of {len(CLAIMS)} claims, {counts}. {len(UNTESTED)} more cannot be tested.\n\n" + lines(
        ["claim", "in our words", "study", "verdict"], rows
    )


def _section(study: Study, found: Found, verdicts: dict[str, str], root: Path) -> str:
    directory = StudyFiles(study.name, root)
    parts = [study.protocol]
    if directory.figure.is_file():
        parts.append(f"![{study.question}]({directory.figure.as_posix()})")
    rows = [
        [
            name,
            claim.words,
            _numbers(claim, study, found),
            f"**{verdicts[name]}**",
            claim.test,
            claim.change,
        ]
        for name, claim in CLAIMS.items()
        if claim.study == study.name
    ]
    header = ["claim", "in our words", "measured", "verdict", "it holds if"]
    parts.append(lines([*header, "what would change our mind"], rows))
    parts.append(
        f"All numbers: [table]({directory.table.as_posix()}), a row for each training in "
        f"[table.csv]({directory.rows.as_posix()})."
    )
    return "\n\n".join(parts)


def _numbers(claim: Claim, study: Study, found: Found) -> str:
    headings = {
        measure: heading for table in study.tables for measure, heading in table.columns.items()
    }
    shown, seeds = [], set()
    for measure, rows in claim.shown.items():
        cells = []
        for row in rows:
            try:
                numbers = found(row, measure)
            except NotMeasured:
                return NOT_YET
            if row in study.arms:
                seeds.add(len(numbers))
                row = f"`{row}`"
            cells.append(f"{row} {spread(numbers)}")
        shown.append(f"{headings[measure]}: {'; '.join(cells)}")
    fewest_to_most = " to ".join(map(str, sorted({min(seeds), max(seeds)})))
    return "<br>".join([*shown, f"n = {fewest_to_most}"])


def _untested() -> str:
    rows = [[untested.source, untested.words, untested.reason] for untested in UNTESTED]
    return lines(["source", "claim in our words", "why it cannot be tested"], rows)
