"""Trains with several workers on this machine, kills some, and compares with one process.

`python -m tests.workers --kills 10`
"""

import argparse
import csv
import dataclasses
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
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
# Rounding that the learning rate of 0.05 makes large, and another mask for half of the images.
DIFFERENT = ("batchnorm", "vae-dropout")


@dataclasses.dataclass
class Team:
    """Workers that run one command, each in a process and with a log of its own."""

    processes: list
    logs: list[Path]

    def join(self, seconds: float = 1800) -> list[int]:
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


def compare(directory: Path, name: str) -> list[str]:
    """Trains a recipe with two workers and with one process; returns what is wrong."""
    arguments = (name, *COMMON, *FAMILIES[name])
    train(directory / name, *arguments)
    alone(directory / f"{name}-alone", *arguments)
    difference = apart(directory / name, directory / f"{name}-alone")
    print(f"{name:14} {difference:.1e} {'' if name in DIFFERENT else '(at most 1e-4)'}", flush=True)
    return [name] if difference > 1e-4 and name not in DIFFERENT else []


def stop_and_resume(directory: Path, name: str, numbers: Sequence[int]) -> list[str]:
    """Stops two workers in their first epoch, and resumes with other numbers of workers."""
    wrong = []
    for number in numbers:
        run = Run(directory / f"{name}-with-{number}")
        begin = [name, *COMMON, *FAMILIES[name], "-s", run.directory]
        team = start([begin] * 2, directory / f"{name}-stopped-{number}")
        while not list(run.checkpoints.glob("epoch_000000_step_00000000[1-9]")):
            time.sleep(0.001)
        os.kill(team.processes[1].pid, signal.SIGTERM)
        statuses = team.join()
        logs = directory / f"{name}-resumed-{number}"
        team = start([["--resume", "-s", run.directory]] * number, logs)
        statuses += team.join()
        difference = float("inf")
        if statuses == [128 + signal.SIGTERM] * 2 + [0] * number:
            difference = apart(run.directory, directory / name)
        print(f"{name:14} resumed with {number}: {difference:.1e}, {statuses}", flush=True)
        wrong += [run.directory.name] if difference > 1e-4 else []
    return wrong


def kill_and_go_on(directory: Path, name: str, draws: random.Random, seconds: float) -> list[str]:
    """Kills a worker at a moment drawn, resumes, and compares with the run that was left alone."""
    run = Run(directory / f"{name}-killed")
    begin = [name, *COMMON, *FAMILIES[name], "-s", run.directory]
    victim, moment = draws.randrange(2), draws.uniform(0.1, 0.9) * seconds
    team = start([begin] * 2, directory / "killed", join_seconds=45)
    time.sleep(moment)
    team.processes[victim].kill()
    killed = time.monotonic()
    statuses = team.join(120)
    took = time.monotonic() - killed
    told = team.told()[1 - victim]
    if statuses == [0, 0] or (victim == 0 and statuses[1] == 0):
        shutil.rmtree(run.directory)
        return ["ended before"]
    wrong = []
    if took > 60 or statuses[1 - victim] not in (1, 2) or statuses[victim] != -signal.SIGKILL:
        wrong.append(f"{took:.0f} s, {statuses}")
    if told.count("train.py: ") != 1 or "Traceback" in told:
        wrong.append(told[-500:])
    resume = ["--resume", "-s", run.directory] if run.is_run() else begin
    if run.checkpoints.exists() or not run.metrics.exists():
        again = start([resume] * 2, directory / "again")
        if again.join() != [0, 0]:
            wrong += again.told()
    wrong += kill_and_resume.differences(run.directory, kill_and_resume.content(directory / name))
    print(f"{name:14} worker {victim} after {moment:.1f} s, the other took {took:.0f} s: "
          f"{wrong or 'identical'}", flush=True)  # fmt: skip
    shutil.rmtree(run.directory)
    return wrong


def main() -> int:
    """Compares, resumes, kills, and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.workers", description=__doc__)
    parser.add_argument("--kills", type=int, default=10, help="how many kills")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    options = parser.parse_args()
    draws = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        wrong = []
        for name in FAMILIES:
            wrong += compare(directory, name)
        for name in ("dense", "vae-baseline"):
            wrong += stop_and_resume(directory, name, (1, 3))
        begun = time.monotonic()
        train(directory / "again", "dense", *COMMON, *FAMILIES["dense"])
        seconds = time.monotonic() - begun
        killed = 0
        while killed < options.kills:
            name = ("dense", "vae-baseline")[killed % 2]
            found = kill_and_go_on(directory, name, draws, seconds)
            if found == ["ended before"]:
                continue
            killed += 1
            wrong += found
    print(f"{killed} kills, wrong: {', '.join(wrong) or 'nothing'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
