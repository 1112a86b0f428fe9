"""The commit of the running code, for records of what was trained by it."""

import functools
import subprocess
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).parents[1]
# Follows the commit where the files are no longer those of the commit.
CHANGED = "+changes"


@functools.cache
def commit(project: Path = PROJECT, paths: Sequence[str] = ("keras_ae",)) -> str | None:
    """Returns the newest commit that changed some paths, as it was at the first call.

    Args:
        project: Directory that holds the paths.
        paths: Files, directories or patterns of git, which also match below a directory.

    Returns:
        The full hash, followed by `+changes` if files differ from the commit; `None` if this is
        no checkout.
    """
    try:
        newest = _git(project, "log", "-1", "--format=%H", "--", *paths)
        if newest == "":
            return None  # The package lies in some other project's checkout.
        return newest + (CHANGED if changes(project, paths) else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def changes(project: Path, paths: Sequence[str]) -> list[str]:
    """Returns the files among some paths of a checkout that differ from its commit."""
    options = ("--porcelain", "--untracked-files=all")
    status = _git(project, "--no-optional-locks", "status", *options, "--", *paths)
    return [line.split(maxsplit=1)[1] for line in status.splitlines()]


def _git(project: Path, *arguments: str) -> str:
    command = ["git", "-C", str(project), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
