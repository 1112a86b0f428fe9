"""Kills trainings with SIGKILL, resumes them, and compares with one that was left alone.

`python -m tests.kill_and_resume --kills 20`
"""

import argparse
import contextlib
import io
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py

from keras_ae.runs import Run

PROJECT = Path(__file__).parents[1]
RECIPES = {
    "mlp": ("--train-noise-std", "0.2", "-e", "5", "-b", "100"),
    "vae-dropout": ("-e", "3", "-b", "50"),
    "lstm": ("-e", "3", "-b", "50"),
}
IMAGES = 500
# As train.py, but with a checkpoint after every call of TensorFlow, so that kills meet many half
# written ones, and without the exports, which come from model.keras and take longer than the rest.
TRAIN = """
import sys
from keras_ae.commands.train import main
from keras_ae.training import checkpoints
from keras_ae.training import run as training
checkpoints.SECONDS_BETWEEN, checkpoints.SHARE = 0, float("inf")
training.export.export_run = lambda run, dataset: None
sys.exit(main())
"""


def start(*arguments: str) -> subprocess.Popen:
    """Starts a training in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", TRAIN, *arguments],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*arguments: str) -> None:
    """Trains to the end."""
    process = start(*arguments)
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{arguments}: exit status {process.returncode}\n{output}")


def kill(process: subprocess.Popen, moment: Callable[[], bool]) -> None:
    """Kills a process as soon as `moment` says so."""
    while process.poll() is None and not moment():
        time.sleep(0.0005)
    process.kill()
    process.communicate()


def after(run: Run, seconds: float) -> Callable[[], bool]:
    """The moment so many seconds after a run directory was begun."""
    begun = None

    def moment() -> bool:
        nonlocal begun
        if begun is None and run.config.exists():
            begun = time.monotonic()
        return begun is not None and time.monotonic() - begun > seconds

    return moment


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


def content(directory: Path) -> dict[str, bytes]:
    """Returns what a run directory holds: files, and in `.keras` files each array."""
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
        elif path.is_file():
            result[name] = path.read_bytes()
    return result


def differences(directory: Path, reference: dict[str, bytes]) -> list[str]:
    """Returns the names of what differs between a run directory and the content of another."""
    found = content(directory)
    return sorted(
        name for name in found.keys() | reference.keys() if found.get(name) != reference.get(name)
    )


def trial(directory: Path, recipe: str, arguments: Sequence[str], moment) -> str | None:
    """Kills a training at a moment and resumes it to the end.

    Args:
        directory: Run directory to make.
        recipe: Name of the recipe.
        arguments: Further arguments of `train.py`.
        moment: `after` or `writing`, with the number to call it with.

    Returns:
        The newest checkpoint at the kill, or `None` if the training ended before the moment.
    """
    run = Run(directory)
    call, number = moment
    process = start(recipe, *arguments, "--save-dir", str(directory))
    kill(process, call(run, number))
    if run.metrics.exists() and not run.checkpoints.exists():
        return None
    checkpoints = sorted(path.name for path in run.checkpoints.glob("epoch_*"))
    finish(recipe, "--resume", "--save-dir", str(directory))
    return checkpoints[-1] if checkpoints else "no checkpoint"


def main() -> int:
    """Runs the trials and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="trials, one kill each")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    references = {}
    good = 0
    with tempfile.TemporaryDirectory() as temporary:
        for number in range(options.kills):
            recipe = list(RECIPES)[number % len(RECIPES)]
            arguments = ("--train-images", str(IMAGES), *RECIPES[recipe])
            if recipe not in references:
                directory = Path(temporary, recipe)
                begun = time.monotonic()
                finish(recipe, *arguments, "--save-dir", str(directory))
                references[recipe] = content(directory), time.monotonic() - begun
            reference, seconds = references[recipe]
            found = None
            while found is None:
                # The machine may be faster by now than it was for the reference: then, again.
                directory = Path(temporary, f"{recipe}-{number}")
                shutil.rmtree(directory, ignore_errors=True)
                moment = moments.choice(
                    [(after, moments.uniform(0, seconds)), (writing, moments.randint(1, 30))]
                )
                found = trial(directory, recipe, arguments, moment)
            different = differences(directory, reference)
            good += not different
            print(
                f"{number + 1:2} {recipe:12} {moment[0].__name__:8}{moment[1]:6.2f}  {found:31}",
                f"differs in {', '.join(different)}" if different else "identical",
                flush=True,
            )
    print(f"{good} of {options.kills} bit-identical")
    return 0 if good == options.kills else 1


if __name__ == "__main__":
    sys.exit(main())
