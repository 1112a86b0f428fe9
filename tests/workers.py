"""Trains with several workers on this machine, kills some, and compares with one process.

`python -m tests.workers --kills 10`
"""

import csv
import dataclasses
import json
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from keras_ae.runs import Run
from tests import kill_and_resume

COMMON = ("--train-images", "300", "-b", "60", "-e", "2")
# One recipe of each family, and what is drawn at random, with further arguments.
FAMILIES = {
    "dense": ("--train-noise-std", "0.2"),
    "mlp": (),
    "conv": (),
    "batchnorm": (),
    "denoiser": (),
    "conv-tuned": (),
    "lstm": (),
    "vae-baseline": (),
    "vae-dropout": (),
}


@dataclasses.dataclass
class Team:
    """Workers that run one command, each in a process and with a log of its own."""

    processes: list
    logs: list[Path]

    def join(self, seconds: float = 300) -> list[int]:
        """Returns the exit statuses. Who has not ended by then is killed."""
        end = time.monotonic() + seconds
        for process in self.processes:
            process.join(max(0, end - time.monotonic()))
            if process.exitcode is None:
                process.kill()
                process.join()
        return [process.exitcode for process in self.processes]

    def told(self) -> list[str]:
        """Returns what each has printed."""
        return [log.read_text() for log in self.logs]


def free_addresses(count: int) -> list[str]:
    """Returns addresses of this machine where nobody listens."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    addresses = [f"localhost:{probe.getsockname()[1]}" for probe in probes]
    for probe in probes:
        probe.close()
    return addresses


def config(addresses: Sequence[str], index: int) -> str:
    """Returns TF_CONFIG of a worker."""
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": list(addresses)}, "task": task})


def start(
    commands: Sequence[Sequence[str]],
    logs: Path,
    join_seconds: float = 300,
    indices: Sequence[int] | None = None,
) -> Team:
    """Starts workers, each with the arguments of its command, or only those of some numbers."""
    logs.mkdir(parents=True, exist_ok=True)
    addresses = free_addresses(len(commands))
    kill_and_resume._PROCESSES.set_forkserver_preload(kill_and_resume._IMPORTED)
    team = Team([], [])
    for index in range(len(commands)) if indices is None else indices:
        arguments = [*map(str, commands[index]), "--strategy", "multiworker"]
        log = logs / f"{index}.log"
        log.unlink(missing_ok=True)
        process = kill_and_resume._PROCESSES.Process(
            target=_work, args=(arguments, config(addresses, index), join_seconds, log)
        )
        process.start()
        team.processes.append(process)
        team.logs.append(log)
    return team


def _work(arguments, tf_config, join_seconds, log) -> None:
    os.environ["TF_CONFIG"] = tf_config
    from keras_ae import recipes
    from keras_ae.training import workers

    workers.JOIN_SECONDS = join_seconds
    quick(recipes)
    kill_and_resume._run(arguments, kill_and_resume.Conditions(), log)


def quick(recipes) -> None:
    """Makes recipes with LSTMs the same models with graphs that are traced ten times faster."""
    for name, recipe in recipes.RECIPES.items():
        if "unroll" in recipe.arguments:
            recipes.RECIPES[name] = recipe.override(unroll=False)


def train(directory: Path, *arguments, workers: int = 2) -> list[str]:
    """Trains with several workers; returns what they printed."""
    command = [*arguments, "-s", directory]
    team = start([command] * workers, directory.with_name(f"{directory.name}-logs"))
    statuses = team.join()
    assert statuses == [0] * workers, (statuses, team.told())
    return team.told()


def alone(directory: Path, *arguments) -> None:
    """Trains the same in one process with one device."""
    log = directory.with_name(f"{directory.name}.log")
    directory.parent.mkdir(parents=True, exist_ok=True)
    process = kill_and_resume._PROCESSES.Process(
        target=_alone, args=([*map(str, arguments), "-s", str(directory)], log)
    )
    process.start()
    process.join()
    assert process.exitcode == 0, log.read_text()


def _alone(arguments, log) -> None:
    from keras_ae import recipes

    quick(recipes)
    kill_and_resume._run(arguments, kill_and_resume.Conditions(), log)


def losses(directory: Path) -> dict[str, float]:
    """Returns the losses after the last epoch."""
    with Run(directory).history.open(newline="") as file:
        row = list(csv.DictReader(file))[-1]
    return {name: float(value) for name, value in row.items() if name != "epoch"}


def apart(directory: Path, other: Path) -> float:
    """Returns the largest relative difference between the losses of two runs."""
    one, two = losses(directory), losses(other)
    assert one.keys() == two.keys()
    return max(abs(one[name] / two[name] - 1) for name in one)
