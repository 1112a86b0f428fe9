"""The explorer: a page that runs trained models in the browser. Here, where it may be written."""

import re
from pathlib import Path

from keras_ae import files, runs

# Shipped models on a page for which no run is named: one of each family, and one trained on noise.
MODELS = ("dense", "conv", "batchnorm", "mlp", "lstm", "vae-baseline", "denoiser")
FOLDER, FILE = "explorer", "explorer.html"
# By this line of its head a page is known to be one.
MARK = '<meta name="generator" content="keras_ae explorer">'
_CONTENTS = re.compile(r"index\.html|(litert|images|model_\d+)\.js")


def check_target(path: str, one_file: bool) -> Path:
    """Returns the file to open of a page that may be written: a folder, or one file.

    Raises:
        BadRequest: If something other than an earlier page lies there, or the place is taken.
    """
    target = Path(path).absolute()
    index = target if one_file else target / "index.html"
    kind = "file" if one_file else "folder"
    with files.refusing(f"a new {kind} or an earlier page as `output`", path):
        if not path:
            raise ValueError("no path")
        files.check_writable(target.parent)
        if owner := runs.owner_of(target):
            raise ValueError(f"it lies in {owner}")
        if files.exists(target):
            _check_replaceable(target, index, kind)
    return index


def _check_replaceable(target: Path, index: Path, kind: str) -> None:
    is_kind = target.is_file() if kind == "file" else target.is_dir()
    if target.is_symlink() or not is_kind:
        raise ValueError(f"it is no {kind}")
    entries = sorted(target.iterdir()) if target.is_dir() else []
    for entry in entries:
        if entry.is_symlink() or not entry.is_file() or not _CONTENTS.fullmatch(entry.name):
            raise ValueError(f"it holds other files, such as {entry.name}")
    is_empty = target.is_dir() and not entries
    if not (is_empty or (index.is_file() and MARK.encode() in index.read_bytes()[:1000])):
        raise ValueError("it is no page of the explorer")
