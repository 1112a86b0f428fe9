"""All studies: every folder beside this file that has a `study.py`, with its `STUDY`."""

import importlib
from pathlib import Path

from keras_ae.errors import check_known
from studies.study import Claim, Study

STUDIES: dict[str, Study] = {
    study.name: study
    for path in sorted(Path(__file__).parent.glob("*/study.py"))
    for study in (importlib.import_module(f"studies.{path.parent.name}.study").STUDY,)
}

# By number, with the study that decides about each.
CLAIMS: dict[str, tuple[Study, Claim]] = {
    claim.name: (study, claim)
    for study, claim in sorted(
        ((study, claim) for study in STUDIES.values() for claim in study.claims),
        key=lambda pair: [int(number) for number in pair[1].name.split(".")],
    )
}


def get(name: str) -> Study:
    """Returns the study called `name`.

    Raises:
        BadRequest: If there is none. The message names the nearest one.
    """
    check_known("study", name, STUDIES)
    return STUDIES[name]
