"""The files of a study, and the commit and the processor that its measurements name."""

import contextlib
import json
import math
import platform
import re
from collections.abc import Iterator
from pathlib import Path

from keras_ae import files, revision
from keras_ae.errors import BadRequest
from keras_ae.runs import FIGURE_SUFFIX, Run

# In the directory where the command is called, as run directories are.
ROOT = Path("studies")
# What a measurement depends on; measurements, tables and pages in `studies/` are not among it.
CODE = ("keras_ae", "studies/*.py")


class StudyFiles:
    """The folder of a study.

    Args:
        name: Name of the study.
        root: Folder of all studies.
        again: Whether it is about runs that were measured elsewhere, and are measured again here.
    """

    def __init__(self, name: str, root: str | Path = ROOT, again: bool = False):
        self.directory = Path(root) / name.replace("-", "_")
        self.measurements = self.directory / ("again.json" if again else "measurements.json")
        self.table = self.directory / "table.md"
        self.rows = self.directory / "table.csv"
        self.figure = self.directory / f"figure{FIGURE_SUFFIX}"
        self.page = self.directory / "README.md"
        # These are there while the study is not finished.
        self.runs = self.directory / ("runs_again" if again else "runs")
        self.lock = self.runs / "measurements.lock"

    def run(self, name: str) -> Run:
        """Returns the run directory of the planned run called `name`."""
        return Run(self.runs / name)

    def lock_of(self, name: str) -> Path:
        """Returns the file whose lock a process holds while it works on the run called `name`."""
        return self.runs / f"{name}.lock"

    def clear_up(self) -> None:
        """Removes what a finished study does not need, except runs that were to be kept."""
        for path in self.runs.glob("*.lock"):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.runs.rmdir()

    def read(self) -> dict[str, dict]:
        """Returns the measurements by the name of the run, none if there is no file yet.

        Raises:
            BadRequest: If the file is damaged.
        """
        try:
            measurements = json.loads(self.measurements.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise BadRequest(f"expected JSON in {self.measurements}, received: {error}") from error
        if not isinstance(measurements, dict):
            raise BadRequest(
                f"expected an object with measurements in {self.measurements}, received "
                f"{type(measurements).__name__}"
            )
        for name, measurement in measurements.items():
            if problem := _problem(measurement):
                raise BadRequest(f"in {self.measurements}, {name}: {problem}")
        return measurements

    def add(self, name: str, measurement: dict) -> None:
        """Adds a measurement to those of this and other processes."""
        with files.locked(self.lock):
            measurements = {**self.read(), name: measurement}
            # A line for each, so that git shows what came.
            lines = ",\n".join(
                f"{json.dumps(key)}: {json.dumps(value)}"
                for key, value in sorted(measurements.items())
            )
            files.write_text(self.measurements, f"{{\n{lines}\n}}\n")


_FIELDS = {
    **dict.fromkeys(("variant", "part", "commit"), str),
    **dict.fromkeys(("recipe", "numbers", "curves"), dict),
    **dict.fromkeys(("seconds", "measuring_seconds"), float),
    "measures": list,
}


def _problem(measurement) -> str | None:
    """Returns what is wrong with a measurement: the expected and the received, in words."""
    if not isinstance(measurement, dict):
        return f"expected an object, received {measurement!r}"
    for name, kind in _FIELDS.items():
        if not isinstance(measurement.get(name), kind):
            return f"expected {name} to be a {kind.__name__}, received {measurement.get(name)!r}"
    for name in ("numbers", "curves"):
        for number in _leaves(measurement[name]):
            if type(number) not in (int, float) or not math.isfinite(number):
                return f"expected finite numbers in {name}, received {number!r}"
    return None


def _leaves(value) -> Iterator[object]:
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _leaves(one)
    else:
        yield value


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Returns the name of the processor, as far as the system tells it.

    Rented machines often tell no more than the maker. Processors of one name are as far apart as
    those of two makers, so family and model follow where the name has no number.
    """
    try:
        text = cpuinfo.read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    first = dict(re.findall(r"^(\w.*?)\s*: (.*)$", text.partition("\n\n")[0], re.MULTILINE))
    name = " ".join(first.get("model name", platform.processor()).split())
    if "cpu family" in first and not re.search(r"\d", name):
        name += f" (family {first['cpu family']}, model {first['model']})"
    return name


def clean_commit(project: Path = revision.PROJECT) -> str:
    """Returns the newest commit of the code that measurements depend on.

    Raises:
        BadRequest: If this is no checkout, or the code has changes that are not committed.
    """
    found = revision.commit(project, CODE)
    if found is None:
        raise BadRequest(
            f"expected a git checkout, since measurements name the commit, received {project}"
        )
    if found.endswith(revision.CHANGED):
        raise BadRequest(
            "expected a checkout whose code is committed, since measurements name the commit, "
            f"received changes in {', '.join(revision.changes(project, CODE))}"
        )
    return found
