"""Carries out what a study still lacks, a process for each trial.

TensorFlow keeps something of every graph and dataset, tens of megabytes a trial, and a process
gives it back. The processes are forked from one that has imported everything and computed nothing.
So they start at once, and have the code of the beginning, whatever becomes of the files.
"""

import multiprocessing
import os

from keras_ae.errors import BadRequest, Interrupted, RunFailed
from keras_ae.files import locked
from keras_ae.interrupts import Interrupts
from keras_ae.runs import StudyFiles
from studies.study import Study, Trial

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["keras_ae.trial"])


def train(study: Study, files: StudyFiles, keep_runs: bool = False) -> list[Trial]:
    """Trains and measures every trial that has no measurement, and adds the measurements.

    Several processes may do this for the same study at once: each takes the trials that no other
    has begun. A trial that was interrupted goes on from its checkpoint if the code is still the
    same, and begins anew otherwise. A loss that stops being a number is a measurement, too.

    Args:
        study: What to train.
        files: Where measurements and runs are.
        keep_runs: Whether the run directories stay when they are measured.

    Returns:
        The trials that other processes were still at when nothing else was left.

    Raises:
        RunFailed: If a trial could not be written.
        Interrupted: If SIGINT or SIGTERM came; the same call goes on.
    """
    hint = f"go on with: python train.py --study {study.name}"
    with Interrupts(hint) as interrupts:
        progress = True
        while progress:
            progress, waiting = False, []
            for trial in study.missing(files.read()):
                interrupts.check()
                if _in_a_process(trial, study, files, keep_runs, interrupts):
                    progress = True
                else:
                    waiting.append(trial)
    if not waiting:
        files.clear_up()
    return waiting


def _in_a_process(
    trial: Trial, study: Study, files: StudyFiles, keep_runs: bool, interrupts: Interrupts
) -> bool:
    """Returns whether the trial is measured now; if not, another process is at it."""
    receiver, sender = _processes.Pipe(duplex=False)
    arguments = (sender, trial, study, files, keep_runs)
    process = _processes.Process(target=_answer, args=arguments)
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
            f"{trial.name}: expected its process to end by itself, received exit status "
            f"{process.exitcode}; {interrupts.hint}"
        ) from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _answer(sender, trial: Trial, study: Study, files: StudyFiles, keep_runs: bool) -> None:
    from keras_ae import trial as carried_out

    # Signals of the terminal go to the first process, which passes them on.
    os.setsid()
    hint = f"go on with: python train.py --study {study.name}"
    try:
        with (
            Interrupts(hint) as interrupts,
            locked(files.lock_of(trial.name), wait=False),
        ):
            # Another process may have measured it since.
            if not trial.is_measured(files.read()):
                carried_out.carry_out(trial, study, files, keep_runs, interrupts)
            sender.send(True)
    except BlockingIOError:
        sender.send(False)
    except Interrupted:
        pass  # The first process knows.
    except (BadRequest, RunFailed, OSError) as error:
        sender.send(error)
