"""Everything that an interrupted run needs to be resumed bit for bit."""

import json
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from keras_ae.errors import BadRequest, Interrupted
from keras_ae.files import replacing
from keras_ae.interrupts import Interrupts
from keras_ae.training.workers import Workers

GENERATIONS = 2
# Within an epoch.
SECONDS_BETWEEN = 120
# At the end of an epoch there is a checkpoint where they take no larger share of the time.
SHARE = 0.01


class Checkpoints(keras.callbacks.Callback):
    """Saves a run at the end of epochs, within long ones, and when a signal asks to stop.

    A checkpoint is a `tf.train.Checkpoint`, whose format has checksums. It holds the variables of
    model, optimizer and running metrics, the states of all random generators among them, the
    memory of the callbacks, and the position. The order of the data follows from the position.

    It has to be the last callback, so that whatever an epoch leaves is written before it.

    The optimizer of the model has to be built. The callbacks in `stateful` remember something:
    `get_state` returns what JSON can hold, and `set_state` takes it back.

    Each carries the `run` that it belongs to, see `Run.fingerprint`. Those of version 0.1 do not.

    Of several workers the chief writes. All of them save and restore at the same steps, since the
    running metrics of each are part of it.
    """

    def __init__(
        self,
        directory: str | Path,
        model: keras.Model,
        stateful: Mapping[str, keras.callbacks.Callback],
        steps: int,
        interrupts: Interrupts,
        run: str,
        workers: Workers,
    ):
        super().__init__()
        self.directory = Path(directory)
        self.run = run
        self.stateful = stateful
        self.steps = steps
        self.interrupts = interrupts
        self.workers = workers
        metrics = [variable.value for variable in model.metrics_variables]
        self._read_metrics, self._assign_metrics = workers.each(metrics)
        # Over all devices. In several processes only copies can be written by one alone.
        self._sums = [tf.Variable(tf.zeros((), one.dtype)) for one in metrics]
        # `variables`, unlike `weights`, has the states of the random generators.
        variables = [*model.variables, *model.optimizer.variables]
        self._progress = _Json()
        self._checkpoint = tf.train.Checkpoint(
            variables=[variable.value for variable in variables],
            metrics=self._sums,
            progress=self._progress,
        )
        self._first = (0, 0)
        self._saved_at = self._due = time.monotonic()

    def save(self, epoch: int, step: int) -> None:
        """Writes a checkpoint to resume from in `epoch`, counted from 0, after `step` steps."""
        started = time.monotonic()
        # The sums of another order could end in other bits.
        metrics = self._read_metrics().numpy().tolist()
        if self.workers.is_chief:
            for variable, values in zip(self._sums, zip(*metrics, strict=True), strict=True):
                variable.assign(sum(values))
            self._progress.content = {
                "run": self.run,
                "epoch": epoch,
                "step": step,
                "callbacks": {name: one.get_state() for name, one in self.stateful.items()},
                "metrics": metrics,
            }
            with replacing(self.directory / f"epoch_{epoch:06d}_step_{step:09d}") as draft:
                self._checkpoint.write(str(draft / "state"))
            for old in self._generations()[:-GENERATIONS]:
                shutil.rmtree(old)
        self._saved_at = time.monotonic()
        self._due = self._saved_at + (self._saved_at - started) / SHARE

    def restore(self) -> tuple[int, int]:
        """Brings model, optimizer and callbacks to the newest checkpoint that is whole.

        Returns epoch and step to resume from; without any checkpoint the beginning. Several workers
        read the one that the chief has found.
        """
        found = None
        with self.workers.together():
            if self.workers.is_chief:
                found = self._restore_newest()
        (found, *_) = self.workers.exchange(found)
        if found is not None and not self.workers.is_chief:
            self._restore(self.directory / found)
        return self._first

    def _restore_newest(self) -> str | None:
        """Returns the name of the checkpoint that was read."""
        generations = self._generations()
        for path in reversed(generations):
            try:
                self._check_belongs(path)
                self._restore(path)
                return path.name
            except BadRequest:
                raise
            except (tf.errors.OpError, AssertionError, ValueError):
                print(
                    f"warning: the checkpoint {path} is damaged; trying the one before",
                    file=sys.stderr,
                )
        if generations:
            raise BadRequest(
                f"expected a checkpoint that can be read, received only damaged ones in "
                f"{self.directory}: start again with `overwrite`"
            )
        return None

    def _restore(self, path: Path) -> None:
        self._checkpoint.read(str(path / "state")).assert_consumed()
        progress = self._progress.content
        for name, one in self.stateful.items():
            one.set_state(progress["callbacks"][name])
        self._first = (progress["epoch"], progress["step"])
        # `fit` resets the metrics when it begins an epoch. Other workers than those that saved, or
        # a version that did not tell them apart: each gets its share of the sum.
        devices = self.workers.devices
        self._metric_values = progress.get("metrics", [])
        if len(self._metric_values) != devices:
            self._metric_values = [[float(one) / devices for one in self._sums]] * devices

    def _check_belongs(self, path: Path) -> None:
        # Alone, since all else may have other shapes in another run.
        tf.train.Checkpoint(progress=self._progress).read(str(path / "state")).expect_partial()
        run = self._progress.content.get("run")
        if run is None:
            print(f"warning: the checkpoint {path} does not say of which run it is; going on",
                  file=sys.stderr)  # fmt: skip
        elif run != self.run:
            raise BadRequest(
                f"expected a checkpoint of the run that {self.directory.parent / 'config.json'} "
                f"describes, received one of another run in {path}"
            )

    def _generations(self) -> list[Path]:
        return sorted(self.directory.glob("epoch_*"))

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        first_epoch, first_step = self._first
        self._first_step = first_step if epoch == first_epoch else 0
        if self._first_step:
            self._assign_metrics(tf.constant(self._metric_values))

    def on_train_batch_end(self, batch, logs=None):
        step = self._first_step + batch + 1
        late, _, stop = self._agree()
        # After the last step follows the end of the epoch, with its own checkpoint.
        if step < self.steps and (late or stop):
            self.save(self._epoch, step)
            self._agree()
            self._stop_if(stop)

    def on_epoch_end(self, epoch, logs=None):
        _, due, stop = self._agree()
        if self.model.stop_training:
            # A callback has ended the training: nothing is left to be resumed.
            self.save(self.params["epochs"], 0)
        elif stop or due:
            self.save(epoch + 1, 0)
        else:
            return
        self._agree()
        self._stop_if(stop)

    def _agree(self) -> Sequence[bool]:
        """Returns whether it is late within an epoch or at its end, and whether to stop."""
        now = time.monotonic()
        late = now - self._saved_at > SECONDS_BETWEEN
        return self.workers.agree((late, now >= self._due, self.interrupts.received is not None))

    def _stop_if(self, stop: bool) -> None:
        if stop:
            self.interrupts.check()
            raise Interrupted(
                f"stopped, since another worker was; {self.interrupts.hint}", signal.SIGTERM
            )


class _Json(tf.train.experimental.PythonState):
    """Plain values inside a TensorFlow checkpoint."""

    def __init__(self):
        self.content: dict = {}

    def serialize(self) -> str:
        return json.dumps(self.content)

    def deserialize(self, string_value: bytes) -> None:
        self.content = json.loads(string_value)
