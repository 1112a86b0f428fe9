"""The ways in which a command ends without its result, each told in one line.

A message names an argument in backticks, as `overwrite`. The commands show its flag instead.
"""

import difflib
from collections.abc import Collection


class BadRequest(ValueError):
    """What was asked for cannot be done: nothing was changed, exit status 2."""


class RunFailed(RuntimeError):
    """A run that had begun could not be finished: exit status 1."""


class Diverged(RunFailed):
    """A loss stopped being a finite number."""


class Interrupted(RunFailed):
    """A signal stopped a run that can be resumed: exit status 128 and the signal's number."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.signal_number = signal_number


def check_known(kind: str, name: str, known: Collection[str], expected: str = "one of") -> None:
    """Checks that something of a kind has that name. The error names the nearest one."""
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise BadRequest(
            f"unknown {kind}, did you mean {near!r}? Expected {expected} {', '.join(known)}, "
            f"received {name!r}"
        )
