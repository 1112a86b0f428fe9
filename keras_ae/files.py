"""Files that are either whole or not there."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from keras_ae.errors import BadRequest

# A draft is written beside its target, and a directory that makes room for its successor is put
# aside there. Both names carry the process that will see to them.
_DRAFT = "-"
_ASIDE = "~"
_UNFINISHED = re.compile(rf"\.(?P<process>\d+)(?P<kind>[{_DRAFT}{_ASIDE}])(?P<name>.+)")


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a path to write to, whose file or directory replaces `path` at the end.

    The path lies in the same directory and has the same suffix, since some writers choose the
    format by it. When the block raises, `path` stays as it was and nothing else is left behind.

    A file is replaced in one step. POSIX has no such step for directories: for a moment nothing
    is called `path`, but never half a directory, and `clear_up` mends it if the process dies then.
    """
    path = Path(path)
    draft, aside = (path.with_name(f".{os.getpid()}{kind}{path.name}") for kind in (_DRAFT, _ASIDE))
    remove(draft)  # Of a process that died and had the same number.
    try:
        yield draft
        if path.is_dir():
            path.rename(aside)
        draft.replace(path)
    finally:
        remove(draft)
        _settle(aside, path)


def clear_up(directory: str | Path) -> None:
    """Removes what killed processes left half done in a directory, at any depth.

    This process must not be writing there now.
    """
    for path in list(Path(directory).rglob(".*")):
        match = _UNFINISHED.fullmatch(path.name)
        if match is None or _lives_elsewhere(int(match["process"])):
            continue
        if match["kind"] == _ASIDE:
            _settle(path, path.with_name(match["name"]))
        else:
            remove(path)


@contextlib.contextmanager
def locked(path: str | Path, wait: bool = True) -> Iterator[None]:
    """Keeps other processes out of the block. The lock goes with its process; its file stays.

    A lock that another process holds raises `BlockingIOError` if `wait` is false.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def check_writable(directory: str | Path) -> None:
    """Checks that files can be written to a directory, or to where it would be made."""
    directory = Path(directory)
    try:
        existing = next(
            path for path in (directory, *directory.absolute().parents) if path.exists()
        )
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise BadRequest(
            f"expected a directory that can be written, received {directory}: {error.strerror}"
        ) from error


def is_unfinished(path: Path) -> bool:
    """Returns whether a path is what `replacing` has not finished, by its name."""
    return _UNFINISHED.fullmatch(path.name) is not None


def _lives_elsewhere(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):  # The number may be too big for any process.
        return False
    except PermissionError:
        return True
    return process != os.getpid()


def _settle(aside: Path, path: Path) -> None:
    # Its successor did not come: the old directory is still the valid one.
    if aside.exists() and not path.exists():
        aside.rename(path)
    else:
        remove(aside)


def remove(path: Path) -> None:
    """Removes a file, a directory with all that is in it, or nothing if there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Writes `text` to `path` at once."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content) -> None:
    """Writes `content` to `path` at once, as JSON that a person can read."""
    write_text(path, json.dumps(content, indent=2) + "\n")
