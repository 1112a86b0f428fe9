"""Files that are either whole or not there."""

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from keras_ae.errors import BadRequest

# What a machine lacks, whatever it is asked for, and what it does not allow in some places.
EXHAUSTED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENOMEM)
FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
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

    Missing directories above it are made. All is on the disk when the block is left.

    A file is replaced in one step. POSIX has no such step for directories: for a moment nothing
    is called `path`, but never half a directory, and `clear_up` mends it if the process dies then.
    """
    path = Path(path)
    make_directory(path.parent)
    draft, aside = (path.with_name(f".{os.getpid()}{kind}{path.name}") for kind in (_DRAFT, _ASIDE))
    remove(draft)  # Of a process that died and had the same number.
    try:
        yield draft
        for content in draft.rglob("*"):
            _sync(content)
        _sync(draft)
        if path.is_dir():
            path.rename(aside)
        draft.replace(path)
        _sync(path.parent)
    finally:
        remove(draft)
        _settle(aside, path)


def clear_up(directory: str | Path, is_ours: Callable[[Path], bool] = lambda path: True) -> None:
    """Removes what killed processes left half done in a directory, at any depth.

    This process must not be writing there now. What `is_ours` does not want is left alone.
    """
    for path in list(Path(directory).rglob(".*")):
        match = _UNFINISHED.fullmatch(path.name)
        if match is None or not is_ours(path) or _lives_elsewhere(int(match["process"])):
            continue
        if match["kind"] == _ASIDE:
            _settle(path, target(path))
        else:
            remove(path)


@contextlib.contextmanager
def locked(path: str | Path, wait: bool = True) -> Iterator[None]:
    """Keeps other processes out of the block. The lock goes with its process; its file stays.

    A lock that another process holds raises `BlockingIOError` if `wait` is false.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", opener=no_link) as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def no_link(path: str, flags: int) -> int:
    """Opens what is no symbolic link, and waits for nobody: an opener for `open`."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def make_directory(directory: str | Path) -> None:
    """Makes a directory, and what is missing above it, so that a power cut does not undo it."""
    directory = Path(directory)
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for path in missing:
        _sync(path.parent)


@contextlib.contextmanager
def refusing(expected: str, path: str | Path) -> Iterator[None]:
    """Tells in one line why a path is not what was `expected`, whatever the system says of it."""
    try:
        yield
    except BadRequest:
        raise
    except (OSError, ValueError) as error:
        received = str(path) if str(path).isprintable() else repr(str(path))
        reason = getattr(error, "strerror", None) or error
        raise BadRequest(f"expected {expected}, received {received}: {reason}") from error


def check_images(path: str | Path, argument: str = "images") -> None:
    """Checks that there is something which may be own pictures, named by an argument."""
    with refusing(f"a .npz, a .npy, a picture or a folder of pictures as `{argument}`", path):
        if path == "":
            raise ValueError("an empty name")
        Path(path).stat()


def check_writable(directory: str | Path) -> None:
    """Checks that files can be written to a directory, or to where it would be made."""
    wanted = refusing("a directory that can be written", directory)
    with wanted, tempfile.TemporaryFile(dir=nearest(directory)):
        pass


def nearest(path: str | Path) -> Path:
    """Returns the path, or what exists of those above it. Names that cannot be are errors."""
    path = Path(path).absolute()
    existing = next(one for one in (path, *path.parents) if exists(one))
    for name in path.relative_to(existing).parts:
        exists(existing / name)
    return existing


def exists(path: Path) -> bool:
    """Returns whether something has this name, be it a link to nothing.

    Names that cannot be are errors.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def target(path: Path) -> Path:
    """Returns the path that `replacing` has not finished, or else the path itself."""
    match = _UNFINISHED.fullmatch(path.name)
    return path.with_name(match["name"]) if match else path


def _lives_elsewhere(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):  # The number may be too big for any process.
        return False
    except PermissionError:
        return True
    return process != os.getpid()


def _sync(path: Path) -> None:
    """Waits until a file, or the list of names in a directory, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems cannot do it for directories.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


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
