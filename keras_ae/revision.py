"""The commit of the running code, for records of what was trained by it."""

import functools
import subprocess
from pathlib import Path

from keras_ae.errors import BadRequest

PROJECT = Path(__file__).parents[1]
# Follows the commit where the files are no longer those of the commit.
CHANGED = "+changes"


@functools.cache
def commit(project: Path = PROJECT) -> str | None:
    """Returns the newest commit that changed `keras_ae/`, as it was at the first call.

    Args:
        project: Directory that holds `keras_ae/`.

    Returns:
        The full hash, followed by `+changes` if files differ from the commit; `None` if this is
        no checkout.
    """
    try:
        newest = _git(project, "log", "-1", "--format=%H", "--", "keras_ae")
        if newest == "":
            return None  # The package lies in some other project's checkout.
        return newest + (CHANGED if _changes(project) else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def clean_commit(project: Path = PROJECT) -> str:
    """Returns `commit`, for what must be trained by committed code.

    Raises:
        BadRequest: If this is no checkout, or `keras_ae/` has changes that are not committed.
    """
    found = commit(project)
    if found is None:
        raise BadRequest(
            f"expected a git checkout, since the records name the commit, received {project}"
        )
    if found.endswith(CHANGED):
        raise BadRequest(
            "expected a checkout whose keras_ae/ is committed, since the records name the commit, "
            f"received changes in {', '.join(_changes(project))}"
        )
    return found


def _changes(project: Path) -> list[str]:
    status = _git(project, "--no-optional-locks", "status", "--porcelain", "--", "keras_ae")
    return [line.split(maxsplit=1)[1] for line in status.splitlines()]


def _git(project: Path, *arguments: str) -> str:
    command = ["git", "-C", str(project), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
