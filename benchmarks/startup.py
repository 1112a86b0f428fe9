"""Start-up: how long until something happens; time and memory of a whole run and its evaluation."""

import argparse
import ast
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import measuring

PROJECT = Path(__file__).parents[1]
# Ends the process after the first call of the training step, of a tenth of an epoch.
_UNTIL_FIRST_STEP = """
import os, sys
from keras_ae.commands import train
from keras_ae.training import checkpoints
checkpoints.Checkpoints.on_train_batch_end = lambda self, batch, logs=None: os._exit(0)
sys.exit(train.main(sys.argv[1:]) or "no training step")
"""
# Adds up what is spent on figures and on checkpoints while `fit` runs, and on syncs to the disk.
_WITH_SHARES = """
import os, sys, time, keras
from keras_ae.commands import train
from keras_ae.training import callbacks, checkpoints

spent = {}

def timed(owner, name, label):
    function = getattr(owner, name)
    def wrapper(*arguments, **keywords):
        started = time.perf_counter()
        try:
            return function(*arguments, **keywords)
        finally:
            spent[label] = spent.get(label, 0) + time.perf_counter() - started
    setattr(owner, name, wrapper)

timed(callbacks._FigureEveryEpochs, "on_epoch_end", "figures")
timed(callbacks.LossPlot, "on_epoch_end", "figures")
timed(callbacks.LossPlot, "on_train_end", "figures")
timed(checkpoints.Checkpoints, "save", "checkpoints")
timed(keras.Model, "fit", "fit")
timed(os, "fsync", "syncs")
started = time.perf_counter()
status = train.main(sys.argv[1:])
print("spent", time.perf_counter() - started, *spent.items(), sep="\t")
sys.exit(status)
"""
_READ = """
import time
from keras_ae import data
started = time.perf_counter()
data.load()
print(time.perf_counter() - started)
"""
_LOAD = """
import time, keras
started = time.perf_counter()
import keras_ae
keras_ae.load("mlp")
print(time.perf_counter() - started)
"""


def _run(*command: str, tfds: str | None = None) -> tuple[float, int, str]:
    """Returns seconds, peak memory in bytes and standard output of a Python process."""
    environment = {**os.environ, **({"TFDS_DATA_DIR": tfds} if tfds else {})}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"expected success of {command}, received {process.returncode}")
    return elapsed, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), output


def main() -> None:
    """Measures, prints, and writes `startup.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="the fastest counts")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        save = ("--save-dir", f"{scratch}/run", "--overwrite")
        first_step = ("-c", _UNTIL_FIRST_STEP, "mlp", *save)

        def fastest(*command):
            return min(_run(*command)[0] for _ in range(options.repeats))

        def least_printed(code):
            return min(float(_run("-c", code)[2]) for _ in range(options.repeats))

        unprepared = min(
            _run(*first_step, tfds=f"{scratch}/tfds{attempt}")[0]
            for attempt in range(options.repeats)
        )
        result = {
            "train.py --help": fastest("train.py", "--help"),
            "import keras_ae": fastest("-c", "import keras_ae"),
            "import tensorflow": fastest("-c", "import tensorflow"),
            "first training step of mlp, data not prepared": unprepared,
            "first training step of mlp, data prepared": fastest(*first_step),
            "reading prepared data": least_printed(_READ),
            'keras_ae.load("mlp") after import keras': least_printed(_LOAD),
        }
        _, peak, output = _run("-c", _WITH_SHARES, "mlp", *save)
        # Prepared above, and without a classifier.
        evaluate = ("evaluate.py", f"{scratch}/run")
        evaluations = [
            _run(*evaluate, tfds=f"{scratch}/tfds0")[:2] for _ in range(1 + options.repeats)
        ]
    _, seconds, *pairs = output.splitlines()[-1].split("\t")
    spent = {label: float(value) for label, value in map(ast.literal_eval, pairs)}
    run = {"seconds": float(seconds), "peak_memory_bytes": peak, "spent_seconds": spent}
    for name, value in result.items():
        print(f"{name:48}{value:8.2f} s")
    print(f"{'train.py mlp, whole run after the imports':48}{run['seconds']:8.2f} s")
    for label, value in spent.items():
        print(f"{f'  of it {label}':48}{value:8.2f} s{value / run['seconds']:8.1%}")
    print(f"{'  peak memory':48}{peak / 2**20:8,.0f} MiB")
    evaluation = {
        "first, with the classifier": evaluations[0],
        "later": min(evaluations[1:]),
    }
    for name, (seconds, peak) in evaluation.items():
        print(f"{f'evaluate.py of mlp, {name}':48}{seconds:8.2f} s{peak / 2**20:8,.0f} MiB")
    measuring.save(
        "startup",
        {**measuring.environment(), "seconds": result, "run": run, "evaluation": evaluation},
    )


if __name__ == "__main__":
    main()
