"""What the benchmarks share: processes, clocks, memory, results."""

import concurrent.futures
import contextlib
import importlib.metadata
import importlib.util
import json
import multiprocessing
import os
import platform
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import psutil

from benchmarks.tables import processor_directory
from keras_ae import __version__
from keras_ae.files import write_json
from studies.store import processor

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# A fresh interpreter for each: forking a process that has run TensorFlow or PyTorch is not safe.
_SPAWN = multiprocessing.get_context("spawn")


class Worker:
    """A process that answers one question after another.

    Args:
        serve: Function of this module's caller. It gets a connection, then `arguments`, and
            answers what it receives until that is `None`.
        *arguments: Whatever `serve` needs.
    """

    def __init__(self, serve: Callable, *arguments):
        self.connection, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=serve, args=(theirs, *arguments), daemon=True)
        self.process.start()
        # Without this copy, a worker that dies is seen as the end of the connection.
        theirs.close()

    def ask(self, question):
        """Returns the answer to a question, however long it takes."""
        self.connection.send(question)
        return self.connection.recv()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.join()


@contextlib.contextmanager
def workers(serve: Callable, names: Iterable, *arguments) -> Iterator[dict]:
    """Gives a `Worker` by name for each of `names`, which gets its name before `arguments`."""
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(Worker(serve, name, *arguments)) for name in names}


def elsewhere(function: Callable, *arguments):
    """Returns `function(*arguments)`, computed in a process of its own."""
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=_SPAWN) as pool:
        return pool.submit(function, *arguments).result()


def seconds(function: Callable) -> float:
    """Returns how long a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def peak_memory() -> int:
    """Returns the largest resident set of this process so far, in bytes."""
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def gemm_flops_per_second(size: int = 2048) -> float:
    """Returns the rate of the fastest of 20 float32 products of square matrices."""
    left, right = np.random.default_rng(0).standard_normal((2, size, size), dtype="float32")
    return 2 * size**3 / min(seconds(lambda: left @ right) for _ in range(20))


def environment() -> dict:
    """Returns what a reader needs to know of the machine. Warns if it is not quiet.

    PyTorch's threads wait for one another: beside other busy processes it slows down many times
    more than TensorFlow does, and a comparison says nothing.
    """
    busy = psutil.cpu_percent(interval=2) / 100
    if busy > 0.1:
        print(f"NOT A FAIR COMPARISON: other processes take {busy:.0%} of this machine")
    # PyTorch is there for what is compared with it.
    packages = [
        name for name in ("tensorflow", "keras", "torch", "numpy") if importlib.util.find_spec(name)
    ]
    return {
        **_processor(),
        "busy_before": busy,
        "keras_ae": __version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }


def _processor() -> dict:
    return {"cpu": processor(), "cores": os.cpu_count()}


def results_directory() -> Path:
    """Returns where the results from this processor lie."""
    return processor_directory(_processor())


def save(name: str, results: dict) -> dict:
    """Merges `results` into `<name>.json` of this processor and returns all that is there now."""
    merged = {**load(name), **results}
    write_json(results_directory() / f"{name}.json", merged)
    return merged


def load(name: str) -> dict:
    """Returns what `<name>.json` of this processor holds, or nothing."""
    path = results_directory() / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
