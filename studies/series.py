"""Trains what a study still lacks, a process for each run.

TensorFlow keeps something of every graph and dataset, tens of megabytes a run, and a process gives
it back. The processes are forked from one that has imported everything and computed nothing. So
they start at once, and have the code of the beginning, even if the files change.
"""

import multiprocessing
import os

from keras_ae.errors import BadRequest, Interrupted, RunFailed
from keras_ae.files import locked
from keras_ae.interrupts import Interrupts
from studies.store import StudyFiles
from studies.study import PlannedRun, Study

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["studies.run"])


def train(study: Study, files: StudyFiles, keep_runs: bool = False) -> list[PlannedRun]:
    """Trains and measures every run that has no measurement, and adds the measurements.

    Several processes may do this for the same study at once: each takes the runs that no other has
    begun. A run that was interrupted resumes from its checkpoint if the code is still the same, and
    begins anew otherwise. A loss that stops being a number is a measurement, too.

    Args:
        study: What to train.
        files: Where measurements and runs are.
        keep_runs: Whether the run directories stay when they are measured.

    Returns:
        The runs that other processes still worked on when nothing else was left.

    Raises:
        RunFailed: If a run could not be written.
        Interrupted: If SIGINT or SIGTERM came; the same call resumes.
    """
    # Rules of claims are functions, which no other process can be sent.
    planned = study.runs
    with Interrupts(f"resume with: python -m studies train {study.name}") as interrupts:
        progress = True
        while progress:
            progress, waiting = False, []
            for run in study.missing(files.read()):
                interrupts.check()
                arguments = (run, planned, files, study.draws_images_of(run), keep_runs)
                if _in_a_process(arguments, interrupts):
                    progress = True
                else:
                    waiting.append(run)
    if not waiting:
        files.clear_up()
    return waiting


def _in_a_process(arguments: tuple, interrupts: Interrupts) -> bool:
    """Returns whether the run is measured now; if not, another process works on it."""
    receiver, sender = _processes.Pipe(duplex=False)
    process = _processes.Process(target=_answer, args=(sender, interrupts.hint, *arguments))
    process.start()
    sender.close()
    told = False
    while process.is_alive():
        process.join(0.1)
        if interrupts.received is not None and not told:
            os.kill(process.pid, interrupts.received)
            told = True
    interrupts.check()
    try:
        answer = receiver.recv()
    except EOFError:
        raise RunFailed(
            f"{arguments[0].name}: expected its process to end by itself, received exit status "
            f"{process.exitcode}; {interrupts.hint}"
        ) from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _answer(
    sender,
    hint: str,
    run: PlannedRun,
    planned: list[PlannedRun],
    files: StudyFiles,
    with_images: bool,
    keep_runs: bool,
) -> None:
    from studies.run import train_and_measure

    # Signals of the terminal go to the first process, which passes them on.
    os.setsid()
    try:
        with Interrupts(hint) as interrupts, locked(files.lock_of(run.name), wait=False):
            # Another process may have measured it since.
            if not run.is_measured(files.read()):
                train_and_measure(run, planned, files, with_images, keep_runs, interrupts)
            sender.send(True)
    except BlockingIOError:
        sender.send(False)
    except Interrupted:
        pass  # The first process knows.
    except (BadRequest, RunFailed, OSError) as error:
        sender.send(error)
