"""The explorer: a page that runs trained models in the browser. Here, where it may be written."""

import re
from pathlib import Path

from keras_ae import files, runs
from keras_ae.errors import BadRequest

# One shipped model of each family.
SHIPPED = ("dense", "conv", "batchnorm", "mlp", "lstm", "vae-baseline")
FOLDER, FILE = "explorer", "explorer.html"

PAGE = Path(__file__).parent / "page"
# In the order in which the browser reads them.
SCRIPTS = ("runtime.js", "maths.js", "canvas.js", "drawing.js", "latents.js", "panels.js",
           "app.js")  # fmt: skip
# By this line of its head a page is known to be one.
MARK = '<meta name="generator" content="keras_ae explorer">'
_CONTENTS = re.compile(
    rf"index\.html|style\.css|{'|'.join(map(re.escape, SCRIPTS))}"
    r"|data(/((about|litert|images|model_\d+)\.js)?)?"
)


class Target:
    """Where a page is written: a folder, or one file.

    Args:
        path: The folder, or the file. It is new, an empty folder, or an earlier page.
        one_file: Whether it is a file.

    Attributes:
        path: The same, absolute.
        one_file: The same.
        index: The file to open.

    Raises:
        BadRequest: If something else lies there.
    """

    def __init__(self, path: str | Path, one_file: bool):
        if not str(path):
            raise BadRequest("`output`: expected a path, received ''")
        self.path, self.one_file = Path(path).absolute(), one_file
        self.index = self.path if one_file else self.path / "index.html"
        kind = "file" if one_file else "folder"
        expected = f"a new {kind} or an earlier page"
        with files.refusing(expected, path):
            files.check_writable(self.path.parent)
            owner = runs.owner_of(self.path)
            found = files.exists(self.path)
            foreign = self._foreign() if found else None
        if owner is not None:
            raise BadRequest(
                f"`output`: expected {expected}, received {path}, which lies in {owner}"
            )
        if foreign is not None:
            raise BadRequest(f"`output`: expected {expected}, received {path}, which {foreign}")

    def _foreign(self) -> str | None:
        """Returns what is in the way, in words."""
        if self.path.is_symlink():
            return "is a link"
        if self.one_file:
            if not self.path.is_file():
                return "is no file"
            return None if _is_page(self.path) else "is no page of the explorer"
        if not self.path.is_dir():
            return "is no folder"
        entries = sorted(self.path.rglob("*"))
        for entry in entries:
            name = entry.relative_to(self.path).as_posix()
            if entry.is_symlink() or _CONTENTS.fullmatch(name) is None:
                return f"holds other files, such as {name}"
            if entry.is_dir() != (name == "data"):
                return f"holds {name}, which is of another kind"
        if entries and not (self.index.is_file() and _is_page(self.index)):
            return "holds other files, and no page of the explorer"
        return None


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return MARK.encode() in file.read(1000)
