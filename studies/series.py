"""Trains what a study still lacks, a process for each run: here, or on a Dask cluster.

TensorFlow keeps something of every graph and dataset, tens of megabytes a run, and a process gives
it back. The processes are forked from one that has imported everything and computed nothing. So
they start at once, and have the code of the beginning, even if the files change.

The tasks that joblib hands out only wait for such processes, in threads of this process or of Dask
workers. So a process that dies takes nothing with it. Nor does doing a run twice: it has a lock,
and is not begun where it is measured.
"""

import contextlib
import dataclasses
import io
import multiprocessing
import os
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection, wait

import joblib

from keras_ae import revision
from keras_ae.errors import BadRequest, Interrupted, RunFailed
from keras_ae.files import locked
from keras_ae.interrupts import Interrupts
from studies.store import CODE, StudyFiles
from studies.study import PlannedRun, Study

# Seconds in which the lock of a machine that died is given back, 90 with NFS.
PATIENCE = 120
CONNECTING = 30  # Seconds for a scheduler to answer and to have a worker.

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["studies.run"])


def train(
    study: Study,
    files: StudyFiles,
    keep_runs: bool = False,
    workers: int = 1,
    scheduler: str | None = None,
) -> list[PlannedRun]:
    """Trains and measures every run that has no measurement, and adds the measurements.

    Several commands may do this for the same study at once: each takes the runs that no other has
    begun. A run that was interrupted resumes from its checkpoint if the code is still the same, and
    begins anew otherwise; one whose process or worker died is taken up again once others are
    measured. A loss that stops being a number is a measurement, too.

    Args:
        study: What to train.
        files: Where measurements and runs are.
        keep_runs: Whether the run directories stay when they are measured.
        workers: How many runs are trained at once on this machine.
        scheduler: Address of a Dask scheduler, whose workers train instead. They see the same
            files under the same path and have the same commit.

    Returns:
        The runs that other commands still worked on when nothing else was left.

    Raises:
        BadRequest: If there are no such workers.
        RunFailed: If a run could not be written.
        Interrupted: If SIGINT or SIGTERM came; the same call resumes.
    """
    if workers < 1:
        raise BadRequest(f"expected 1 or more workers, received {workers}")
    hint = f"resume with: python -m studies train {study.name}"
    commit = revision.commit(paths=CODE)
    began = latest = time.monotonic()
    before = files.read()
    with Interrupts(hint) as interrupts, _backend(workers, scheduler, hint) as slots:
        here = None if scheduler else interrupts
        while True:
            waiting, failures, progress = [], [], False
            tasks = [
                Task(run, files, study.draws_images_of(run), keep_runs, commit, hint, slots() > 1)
                for run in study.missing(files.read())
            ]
            # Workers that come later get something to do, too, and no task waits for another.
            options = {"pre_dispatch": "all", "batch_size": 1, "return_as": "generator_unordered"}
            calls = (joblib.delayed(work)(task, here) for task in tasks)
            for run, answer in joblib.Parallel(**options)(calls):
                if answer is True:
                    progress, latest = True, time.monotonic()
                    _tell(study, run, before, files.read(), slots(), latest - began)
                elif answer is None or answer is False:
                    waiting.append(run)
                else:
                    failures.append(answer)
            interrupts.check()
            if failures and not progress:
                raise failures[0]
            if not waiting and not failures:
                files.clear_up()
                return []
            if not progress:
                if scheduler is None or time.monotonic() - latest > PATIENCE:
                    return waiting
                time.sleep(1)


@dataclasses.dataclass(frozen=True)
class Task:
    """A run to train and to measure, for any process that sees the files and has the commit.

    Rules of claims are functions, which no other process can be sent. All this is small: Dask would
    keep one copy of what is large, and lose it with its worker.
    """

    run: PlannedRun
    files: StudyFiles
    with_images: bool
    keep_runs: bool
    commit: str | None
    hint: str
    quiet: bool


@contextlib.contextmanager
def _backend(workers: int, scheduler: str | None, hint: str) -> Iterator[Callable[[], int]]:
    """Has joblib hand out tasks to threads or to Dask, and gives how many it does at once."""
    if scheduler is None:
        with joblib.parallel_config(backend="threading", n_jobs=workers):
            yield lambda: workers
        return

    def stop(number: int, _) -> None:
        # What the workers have begun, they finish and measure.
        raise Interrupted(f"stopped by {signal.Signals(number).name}; {hint}", number)

    with contextlib.ExitStack() as stack:
        try:
            import distributed

            client = distributed.Client(scheduler, timeout=CONNECTING, set_as_default=False)
            stack.enter_context(client)
            client.wait_for_workers(1, timeout=CONNECTING)
        except (ImportError, OSError, ValueError, TypeError) as error:
            raise BadRequest(
                "expected Dask (pip install -r studies/requirements.txt) and the address of a "
                f"scheduler with workers, received {scheduler}: {error}"
            ) from error
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        try:
            with joblib.parallel_config(backend=_dask_backend(client)):
                yield lambda: max(1, sum(client.ncores().values()))
        except (BadRequest, RunFailed):
            raise
        except Exception as error:  # Whatever Dask says when it gives up, or is gone.
            told = f"{type(error).__name__}: {error}"
            raise RunFailed(f"{' '.join(told.split())}; {hint}") from error


def _dask_backend(client) -> joblib.parallel.ParallelBackendBase:
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):
        def effective_n_jobs(self, n_jobs: int) -> int:
            return 2  # For one worker, joblib would train here instead.

        def submit(self, func, callback=None):
            # Of a task that Dask gave up joblib tells nobody, and would wait for ever.
            future = super().submit(func, callback)
            future.add_done_callback(
                lambda done: callback(done.exception()) if done.exception() else None
            )
            return future

        def retrieve_result_callback(self, out):
            if isinstance(out, BaseException):
                raise out
            return super().retrieve_result_callback(out)

    return Backend(client=client)


def work(task: Task, interrupts: Interrupts | None) -> tuple[PlannedRun, bool | Exception | None]:
    """Waits for a process that trains and measures a run.

    Returns:
        The run, and whether it is measured now: if not, another process works on it. Or the error
        of the process, or nothing if it was interrupted.
    """
    interrupts = interrupts or Interrupts(task.hint)  # A Dask worker has its own handlers.
    if interrupts.received is not None:
        return task.run, None
    if multiprocessing.current_process().daemon:
        return task.run, BadRequest(
            "expected a Dask worker that may start processes, received a daemon: start workers "
            "with DASK_DISTRIBUTED__WORKER__DAEMON=False"
        )
    ours, its = _processes.Pipe()
    process = _processes.Process(target=_answer, args=(its, task))
    process.start()
    its.close()
    told = False
    while process.is_alive():
        process.join(0.1)
        if interrupts.received is not None and not told:
            ours.send("stop")
            told = True
    try:
        return task.run, ours.recv()
    except EOFError:
        return task.run, RunFailed(
            f"{task.run.name}: expected its process to end by itself, received exit status "
            f"{process.exitcode}; {task.hint}"
        )


def _answer(parent: Connection, task: Task) -> None:
    from studies.run import COMMIT, train_and_measure

    # Signals of the terminal go to the first process, which tells the others.
    os.setsid()
    run, files = task.run, task.files
    answer: bool | Exception | None = True
    try:
        if task.commit != COMMIT:
            raise BadRequest(
                f"expected commit {task.commit} on {os.uname().nodename}, received {COMMIT}"
            )
        with Interrupts(task.hint) as interrupts, locked(files.lock_of(run.name), wait=False):
            arguments = (parent, interrupts)
            threading.Thread(target=_stop_with_parent, args=arguments, daemon=True).start()
            # Another process may have measured it since.
            if not run.is_measured(files.read()):
                print(f"run {run.name}", flush=True)
                # Epochs of several runs would be mixed.
                with contextlib.redirect_stdout(io.StringIO() if task.quiet else sys.stdout):
                    train_and_measure(run, files, task.with_images, task.keep_runs, interrupts)
    except BlockingIOError:
        answer = False
    except Interrupted:
        answer = None  # The first process knows.
    except (BadRequest, RunFailed, OSError) as error:
        answer = error
    with contextlib.suppress(OSError):  # Nobody waits any more.
        parent.send(answer)


def _stop_with_parent(parent: Connection, interrupts: Interrupts) -> None:
    """Saves a checkpoint and stops when told to, or when nobody waits for this process any more."""
    wait([parent, multiprocessing.parent_process().sentinel])
    # A cluster may have sent its signal to all processes, and a second one would be too many.
    if interrupts.received is None:
        os.kill(os.getpid(), signal.SIGTERM)


def _tell(
    study: Study,
    run: PlannedRun,
    before: Mapping[str, dict],
    now: Mapping[str, dict],
    slots: int,
    elapsed: float,
) -> None:
    """Prints that a run is measured, and the time left for the work of all commands."""
    took = {name: one["seconds"] + one["measuring_seconds"] for name, one in now.items()}
    by_variant: dict[str, list[float]] = {}
    for name, seconds in took.items():
        by_variant.setdefault(now[name]["variant"], []).append(seconds)
    missing = study.missing(now)
    everything = list(took.values())
    work = sum(statistics.fmean(by_variant.get(one.variant, everything)) for one in missing)
    # Seconds of work in a second, also of other commands.
    pace = sum(seconds for name, seconds in took.items() if now[name] != before.get(name)) / elapsed
    left = time.strftime("%H:%M:%S", time.gmtime(work / max(slots, pace)))
    done = f"{len(study.runs) - len(missing)} of {len(study.runs)}"
    print(f"measured {run.name} in {took[run.name]:.0f} s, {done}, study left {left}", flush=True)
