"""Kills the workers of a study with SIGKILL, and compares with a study that was left alone.

`python -m tests.kill_workers --kills 10` needs Dask (`pip install -r studies/requirements.txt`). It
starts a scheduler and two workers, lets them train tiny studies, and starts another worker for each
that it kills.
"""

import argparse
import contextlib
import dataclasses
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from studies import catalogue
from studies.store import StudyFiles
from studies.study import Study
from tests.conftest import PROJECT

PROGRAM = """
import sys
from studies import __main__, catalogue
from tests.kill_workers import tiny
if __name__ == "__main__":
    catalogue.STUDIES["tiny"] = tiny()
    # The test also has to pass while the code is being worked on.
    __main__.clean_commit = lambda: "c0ffee"
    sys.exit(__main__.main(["train", "tiny", *sys.argv[1:]]))
"""
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(PROJECT),
    "DASK_DISTRIBUTED__WORKER__DAEMON": "False",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


def tiny() -> Study:
    """Two runs, each a few seconds long, on 300 digits."""
    study = catalogue.get("dense-vs-conv")
    variants = tuple(
        dataclasses.replace(
            variant,
            recipe=variant.recipe.override(
                train_images=300, epochs=12, figures_every=12, jit_compile=False
            ),
            measures=("summary", "curves"),
        )
        for variant in study.variants
        if variant.name in ("dense-5", "dense-64")
    )
    return dataclasses.replace(study, name="tiny", variants=variants, seeds=(0,), claims=())


def start(directory: Path, *arguments: str) -> subprocess.Popen:
    """Starts `python -m studies train tiny` in a directory."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return _start(command, directory, "train.log")


def _start(command: list[str], directory: Path, log: str) -> subprocess.Popen:
    directory.mkdir(exist_ok=True, parents=True)
    with (directory / log).open("w") as output:
        return subprocess.Popen(
            command, cwd=directory, env=ENVIRONMENT, stdout=output, stderr=subprocess.STDOUT
        )


class Cluster:
    """A Dask scheduler and workers, as one starts them on machines."""

    def __init__(self, directory: Path):
        self.directory = directory
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{found.getsockname()[1]}"
        host, port = self.address.split(":")
        self.workers: list[subprocess.Popen] = []
        self.scheduler = self._dask("scheduler", "--host", host, "--port", port, "--no-dashboard")

    def add_worker(self) -> None:
        """Starts a worker without a nanny, which would start it anew by itself."""
        place = ("--local-directory", str(self.directory))
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", *place)
        self.workers.append(self._dask("worker", self.address, *options))

    def _dask(self, *arguments: str) -> subprocess.Popen:
        log = f"{arguments[0]}{len(list(self.directory.glob('*.log')))}.log"
        return _start([sys.executable, "-m", "dask", *arguments], self.directory, log)

    def stop(self) -> None:
        """Kills what is still there."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@contextlib.contextmanager
def cluster(directory: Path, workers: int = 2) -> Iterator[Cluster]:
    """Gives a cluster, which ends with the block."""
    directory.mkdir()
    found = Cluster(directory)
    try:
        for _ in range(workers):
            found.add_worker()
        yield found
    finally:
        found.stop()


def finish(command: subprocess.Popen, directory: Path) -> str:
    """Returns what a command printed when it has ended without an error."""
    status = command.wait(500)
    log = (directory / "train.log").read_text()
    assert status == 0, log
    return log


def results(files: StudyFiles) -> dict[str, tuple]:
    """Returns what does not depend on the time."""
    return {
        name: (measured["numbers"], measured["curves"]) for name, measured in files.read().items()
    }


def left_alone(directory: Path) -> dict[str, tuple]:
    """Returns the results of a study that is trained on this machine and left alone."""
    finish(start(directory), directory)
    return results(StudyFiles("tiny", directory / "studies"))


def train_and_kill(
    directory: Path, found: Cluster, kills: int, draws: random.Random
) -> tuple[int, dict[str, tuple]]:
    """Trains a study on a cluster, and kills workers while they train.

    Returns:
        How many were killed, and the results. Raises `AssertionError` if a run was measured twice.
    """
    command = start(directory, "--scheduler", found.address)
    files = StudyFiles("tiny", directory / "studies")
    seen: dict[str, dict] = {}
    killed, pause = 0, None
    while command.poll() is None:
        for name, measured in files.read().items():
            assert seen.setdefault(name, measured) == measured, f"{name} was measured twice"
        at_work = any(path.is_dir() for path in files.runs.glob("*"))
        if pause is None and at_work and killed < kills:
            pause = time.monotonic() + draws.uniform(0, 12)
        if pause is not None and time.monotonic() > pause:
            worker = found.workers.pop(draws.randrange(len(found.workers)))
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            found.add_worker()
            killed, pause = killed + 1, None
        time.sleep(0.05)
    log = finish(command, directory)
    assert "epoch 1/" not in log, "the command trained by itself"
    for run in tiny().runs:
        assert log.count(f"measured {run.name} in") == 1, log
    assert not files.runs.exists()
    return killed, results(files)


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.kill_workers", description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draws = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        expected = left_alone(place / "whole")
        print(f"{len(expected)} runs on this machine, left alone", flush=True)
        with cluster(place / "cluster") as found:
            killed = 0
            for number in range(options.kills):
                if killed >= options.kills:
                    break
                directory = place / f"study{number}"
                more, received = train_and_kill(
                    directory, found, min(3, options.kills - killed), draws
                )
                killed += more
                assert received == expected, f"{directory} has other results"
                print(f"{killed} workers killed: each run measured once, same bits", flush=True)
    print(f"1 passed, 0 failed: {killed} kills")


if __name__ == "__main__":
    main()
