"""Kills commands with SIGKILL, gives the command that goes on, and compares with one left alone.

`python -m tests.kill_and_resume --kills 100 --seed 3`
"""

import argparse
import collections
import contextlib
import dataclasses
import io
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import tensorflow as tf

from keras_ae.runs import Run

# One recipe of each family, with few images and epochs.
FAMILIES = {
    "dense": ("-e", "3", "-b", "50", "--train-noise-std", "0.2"),
    "mlp": ("-e", "3", "-b", "50"),
    "conv": ("-e", "3", "-b", "50"),
    "batchnorm": ("-e", "3", "-b", "50"),
    "lstm": ("-e", "2", "-b", "50"),
    "vae-dropout": ("-e", "2", "-b", "50", "--schedule", "cosine"),
}
IMAGES = 300
# What TensorFlow calls the graph in a checkpoint of its own.
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
STAGES = "history,interpolate,anomaly"

# Programs are forked from a process that has imported everything, so that they start at once.
_PROCESSES = multiprocessing.get_context("forkserver")
_IMPORTED = [
    "keras_ae.commands.evaluate",
    "keras_ae.commands.train",
    "keras_ae.evaluation.evaluate",
    "keras_ae.training.run",
    "tensorflow_datasets",
]


@dataclasses.dataclass(frozen=True)
class Conditions:
    """How a program runs here, unlike on a command line.

    Attributes:
        exports: Whether a training exports its model; what it exports comes from `model.keras`.
        deadly_step: Kill the process right after so many renames and removals, counted from 1.
        dies_before_exports: Kill the process when it would begin with its exports.
        tfds: Directory of prepared datasets; `None` for that of this machine.
    """

    exports: bool = False
    deadly_step: int | None = None
    dies_before_exports: bool = False
    tfds: str | None = None


def start(*arguments: str, conditions: Conditions = Conditions(), log: Path | None = None):
    """Starts a program, `train.py` by default, in a process of its own, and returns the process.

    There is a checkpoint after every call of TensorFlow, so that kills meet many half written ones.
    Output goes to the file `log`.
    """
    _PROCESSES.set_forkserver_preload(_IMPORTED)
    arguments = [str(argument) for argument in arguments]
    process = _PROCESSES.Process(target=_run, args=(arguments, conditions, log))
    process.start()
    return process


def _run(arguments: Sequence[str], conditions: Conditions, log: Path | None) -> None:
    if log is not None:
        output = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow_datasets as tfds

    from keras_ae.commands import evaluate, train
    from keras_ae.training import checkpoints
    from keras_ae.training import run as training

    checkpoints.SECONDS_BETWEEN, checkpoints.SHARE = 0, float("inf")
    if conditions.dies_before_exports:
        training.export.export_run = lambda run, dataset: os.kill(os.getpid(), signal.SIGKILL)
    elif not conditions.exports:
        training.export.export_run = lambda run, dataset: None
    if conditions.tfds is not None:
        os.environ["TFDS_DATA_DIR"] = tfds.core.constants.DATA_DIR = conditions.tfds
    steps = _count_steps(conditions.deadly_step)
    program = train.main
    if arguments[0] == "evaluate.py":
        program, arguments = evaluate.main, arguments[1:]
    status = program(arguments)
    if log is not None:
        log.with_suffix(".steps").write_text(str(len(steps)))
    sys.exit(status)


def _count_steps(deadly: int | None) -> list:
    """Notes every rename and removal of this process, and kills it right after the deadly one."""
    steps = []

    def counting(function):
        def step(*arguments, **keywords):
            result = function(*arguments, **keywords)
            steps.append(arguments)
            if len(steps) == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return step

    for name in ("rename", "replace", "unlink", "remove", "rmdir"):
        setattr(os, name, counting(getattr(os, name)))
    return steps


def finish(*arguments: str, conditions: Conditions = Conditions(), expected=(0,)) -> int:
    """Runs a program to its end, and returns its exit status, which is one of the expected."""
    with tempfile.TemporaryDirectory() as temporary:
        log = Path(temporary, "log")
        process = start(*arguments, conditions=conditions, log=log)
        process.join()
        if process.exitcode not in expected:
            command = " ".join(map(str, arguments))
            raise RuntimeError(f"{command}: exit status {process.exitcode}\n{log.read_text()}")
    return process.exitcode


def kill(process, moment: Callable[[], bool]) -> bool:
    """Kills a process as soon as `moment` says so; returns whether it was alive until then."""
    while process.is_alive() and not moment():
        time.sleep(0.0005)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def after(run: Run, seconds: float) -> Callable[[], bool]:
    """The moment so many seconds from now."""
    begun = time.monotonic()
    return lambda: time.monotonic() - begun > seconds


def writing(run: Run, number: int) -> Callable[[], bool]:
    """A moment in which the checkpoint with this number, counted from 1, is half written."""
    seen = set()

    def moment() -> bool:
        with contextlib.suppress(FileNotFoundError):
            drafts = {path.name for path in run.checkpoints.glob(".*")}
            seen.update(drafts)
            return bool(drafts) and len(seen) >= number
        return False

    return moment


def step(run: Run, number: int) -> Callable[[], bool]:
    """The moment after a rename or removal. The process kills itself, see `Conditions`."""
    return lambda: False


def content(directory: Path) -> dict[str, bytes]:
    """Returns what a directory holds: files, and of models each array.

    Keras files have a date, and the graph and the size of a SavedModel differ between processes.
    """
    result = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                # Keras numbers shared objects by their address in memory.
                config = re.sub(rb'"shared_object_id": \d+', b"", archive.read("config.json"))
                result[f"{name}:config"] = config
                weights = h5py.File(io.BytesIO(archive.read("model.weights.h5")))

            def add(key, item, weights=weights, name=name):
                if isinstance(item, h5py.Dataset):
                    result[f"{name}:{key}"] = weights[key][()].tobytes()

            weights.visititems(add)
        elif path.name == "variables.index":
            variables = tf.train.load_checkpoint(str(path.with_suffix("")))
            for key in variables.get_variable_to_shape_map().keys() - {OBJECT_GRAPH}:
                result[f"{name}:{key}"] = variables.get_tensor(key).tobytes()
        elif path.parent.name == "saved_model" or path.parent.name == "variables":
            result[name] = b"some" if path.stat().st_size else b"nothing"
        elif path.name == "export.json":
            report = json.loads(path.read_text())
            del report["saved_model"]["bytes"]
            result[name] = json.dumps(report).encode()
        elif path.is_file() and not path.name.endswith(".lock"):
            result[name] = path.read_bytes()
    return result


def differences(directory: Path, reference: dict[str, bytes]) -> list[str]:
    """Returns the names of what differs between a directory and the content of another."""
    found = content(directory)
    return sorted(
        name for name in found.keys() | reference.keys() if found.get(name) != reference.get(name)
    )


@dataclasses.dataclass(frozen=True)
class Scene:
    """What is killed.

    Attributes:
        command: Arguments, with `RECIPE` and `DIR` to be replaced, and `ARGUMENTS` by several.
        begins_with: What the directory holds before: the outcome of a scene, `interrupted` or
            `unexported`; `None` for nothing.
        ends_like: Scene whose undisturbed outcome this one must have; by default its own.
        exports: Whether it exports the model.
    """

    command: str
    begins_with: str | None = None
    ends_like: str | None = None
    exports: bool = False


TRAIN = "RECIPE ARGUMENTS --save-dir DIR"
RESUME = "RECIPE --resume --save-dir DIR"
SCENES = {
    "train": Scene(TRAIN),
    "resume": Scene(RESUME, "interrupted", "train"),
    "whole": Scene(TRAIN, exports=True),
    "export": Scene(RESUME, "unexported", "whole", exports=True),
    "export-only": Scene("--export-only DIR", "whole", exports=True),
    "evaluate": Scene(f"evaluate.py DIR --only {STAGES}", "train"),
    "overwrite": Scene(f"{TRAIN} --overwrite", "another", "train"),
    "prepare": Scene(TRAIN),
}
# What is killed, in this order over and over, and how: `step` is between two renames or removals.
# The length and the number of families have no common divisor, so that all of them meet.
ORDER = (
    "train:writing", "overwrite:step", "export:after", "resume:after", "evaluate:step",
    "train:after", "export-only:after", "overwrite:after", "train:step", "evaluate:after",
    "resume:writing", "overwrite:step", "prepare:after", "export:step", "train:writing",
    "evaluate:after", "overwrite:step", "resume:step", "export-only:step", "train:after",
    "evaluate:step", "overwrite:after", "export:after", "resume:after", "train:step",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a scene left undisturbed leaves, how long it takes, and its renames and removals."""

    directory: Path
    content: dict[str, bytes]
    seconds: float
    steps: int


class Stage:
    """Plays scenes in a directory, and remembers what those leave that nobody disturbs."""

    def __init__(self, directory: Path):
        self.directory = directory
        self._outcomes = {}
        self._number = 0

    def undisturbed(self, name: str, family: str) -> Outcome:
        """Returns the outcome of a scene."""
        key = name, family
        if key not in self._outcomes:
            place = self._set(name, family)
            log = place.with_suffix(".log")
            begun = time.monotonic()
            conditions = self._conditions(name, place)
            process = start(*self._command(name, family, place), conditions=conditions, log=log)
            process.join()
            seconds = time.monotonic() - begun
            if process.exitcode:
                raise RuntimeError(f"{name} of {family}, undisturbed:\n{log.read_text()}")
            steps = int(log.with_suffix(".steps").read_text())
            self._outcomes[key] = Outcome(place, self._content(place), seconds, steps)
        return self._outcomes[key]

    def play(self, name: str, family: str, moment: Callable, number: float) -> list[str] | None:
        """Kills a scene, goes on as the documentation says, and compares.

        Args:
            name: Of the scene.
            family: Name of a recipe.
            moment: `after`, `writing` or `step`.
            number: What to call it with.

        Returns:
            What differs from the scene that nobody disturbed, or `None` if it ended too early.
        """
        scene = SCENES[name]
        place = self._set(name, family)
        conditions = self._conditions(name, place)
        deadly = int(number) if moment is step else None
        command = self._command(name, family, place)
        process = start(
            *command,
            conditions=dataclasses.replace(conditions, deadly_step=deadly),
            log=place.with_suffix(".log"),
        )
        if not kill(process, moment(Run(place), number)):
            self._clear(place)
            return None
        try:
            found = self._go_on(name, family, place, command, conditions)
        except RuntimeError as error:
            found = [str(error)]
        expected = self.undisturbed(scene.ends_like or name, family).content
        found += differences(place, {key: expected[key] for key in expected if key[:5] != "tfds:"})
        if name == "prepare":
            expected = {key[5:]: expected[key] for key in expected if key[:5] == "tfds:"}
            found += differences(_tfds(place), expected)
        if not found:
            self._clear(place)
        return found

    def _go_on(self, name, family, place, command, conditions) -> list[str]:
        """Gives the documented command until the work is done; returns what was not whole."""
        resume = [word.replace("DIR", str(place)) for word in RESUME.split()]
        resume = [family if word == "RECIPE" else word for word in resume]
        if name == "overwrite":
            # The next command finds the old run, which is finished, or the new one.
            if finish(*resume, conditions=conditions, expected=(0, 2)):
                old = self._other(family).content
                left = [name for name in differences(place, old) if not _is_passing(name)]
                finish(*command, conditions=conditions)
                return [f"neither old nor new: {name}" for name in left]
        elif name in ("train", "prepare", "resume", "export"):
            run = Run(place)
            if not run.metrics.exists() or run.checkpoints.exists():
                finish(*(resume if run.config.exists() else command), conditions=conditions)
        else:
            finish(*command, conditions=conditions)
        return []

    def _other(self, family: str) -> Outcome:
        return self.undisturbed("whole", "dense" if family != "dense" else "mlp")

    def _set(self, name: str, family: str) -> Path:
        """Makes what a scene begins with, and returns its directory."""
        kind = SCENES[name].begins_with
        before = None
        if kind == "another":
            before = self._other(family).directory
        elif kind in SCENES:
            before = self.undisturbed(kind, family).directory
        elif kind is not None:
            before = self._killed(kind, family)
        self._number += 1
        place = self.directory / f"{name}_{family}_{self._number}" / "run"
        place.parent.mkdir(parents=True)
        if before is not None:
            shutil.copytree(before, place)
        return place

    def _killed(self, kind: str, family: str) -> Path:
        """Returns a training that died half way, or when it would begin with its exports."""
        place = self.directory / f"{kind}_{family}" / "run"
        if not place.parent.exists():
            place.parent.mkdir()
            conditions = Conditions(dies_before_exports=True)
            if kind == "interrupted":
                half = self.undisturbed("train", family).steps // 2
                conditions = Conditions(deadly_step=half)
            finish(
                *self._command("train", family, place),
                conditions=conditions,
                expected=(-signal.SIGKILL,),
            )
        return place

    def _clear(self, place: Path) -> None:
        shutil.rmtree(place.parent)

    @staticmethod
    def _command(name: str, family: str, place: Path) -> list[str]:
        words = {
            "RECIPE": [family],
            "ARGUMENTS": ["--train-images", str(IMAGES), *FAMILIES[family]],
            "DIR": [str(place)],
        }
        return [part for word in SCENES[name].command.split() for part in words.get(word, [word])]

    @staticmethod
    def _conditions(name: str, place: Path) -> Conditions:
        tfds = str(_tfds(place)) if name == "prepare" else None
        return Conditions(exports=SCENES[name].exports, tfds=tfds)

    @staticmethod
    def _content(place: Path) -> dict[str, bytes]:
        prepared = content(_tfds(place)) if _tfds(place).exists() else {}
        return content(place) | {f"tfds:{name}": value for name, value in prepared.items()}


def _tfds(place: Path) -> Path:
    return place.with_name("tfds")


def _is_passing(name: str) -> bool:
    """Returns whether a path is what killed processes leave and the next one clears up."""
    return name == "lock" or any(part.startswith(".") for part in name.split("/"))


def main() -> int:
    """Kills, and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="how many kills")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    good = collections.Counter()
    all_of = collections.Counter()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        stage = Stage(Path(temporary))
        for number in range(options.kills):
            kind = ORDER[number % len(ORDER)]
            name, _, way = kind.partition(":")
            # Preparing is the same for all of them.
            family = "dense" if name == "prepare" else list(FAMILIES)[number % len(FAMILIES)]
            found = None
            while found is None:
                undisturbed = stage.undisturbed(name, family)
                moment, drawn = {
                    "after": (after, moments.uniform(0.1, 1) * undisturbed.seconds),
                    "writing": (writing, moments.randint(1, 9)),
                    "step": (step, moments.randint(1, undisturbed.steps)),
                }[way]
                # The machine may be faster than it was for the reference: then, again.
                found = stage.play(name, family, moment, drawn)
            all_of[kind] += 1
            good[kind] += not found
            print(
                f"{number + 1:3} {name:11} {family:11} {way:7} {drawn:6.2f} ",
                f"differs: {', '.join(found)}" if found else "identical",
                flush=True,
            )
    for kind, count in sorted(all_of.items()):
        print(f"{kind:20} {good[kind]} of {count}")
    print(f"{time.monotonic() - begun:.0f} seconds")
    print(f"{good.total()} of {options.kills}")
    return 0 if good.total() == options.kills else 1


if __name__ == "__main__":
    sys.exit(main())
