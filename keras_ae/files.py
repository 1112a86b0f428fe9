"""Files that are either whole or not there."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a path to write to, whose file or directory replaces `path` at the end.

    The path lies in the same directory and has the same suffix, since some writers choose the
    format by it. When the block raises, `path` stays as it was and nothing else is left behind.

    Args:
        path: File or directory to be written.
    """
    path = Path(path)
    draft = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield draft
        if path.is_dir():
            shutil.rmtree(path)
        draft.replace(path)
    finally:
        if draft.is_dir():
            shutil.rmtree(draft)
        else:
            draft.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Writes `text` to `path` at once."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content) -> None:
    """Writes `content` to `path` at once, as JSON that a person can read."""
    write_text(path, json.dumps(content, indent=2) + "\n")
