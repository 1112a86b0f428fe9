"""Everything that an interrupted run needs to be resumed bit for bit."""

import json
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import keras
import tensorflow as tf

from keras_ae.errors import BadRequest
from keras_ae.files import replacing
from keras_ae.interrupts import Interrupts

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
    """

    def __init__(
        self,
        directory: str | Path,
        model: keras.Model,
        stateful: Mapping[str, keras.callbacks.Callback],
        steps: int,
        interrupts: Interrupts,
        run: str,
    ):
        super().__init__()
        self.directory = Path(directory)
        self.run = run
        self.stateful = stateful
        self.steps = steps
        self.interrupts = interrupts
        self._metrics = [variable.value for variable in model.metrics_variables]
        # `variables`, unlike `weights`, has the states of the random generators.
        variables = [*model.variables, *model.optimizer.variables]
        self._progress = _Json()
        self._checkpoint = tf.train.Checkpoint(
            variables=[variable.value for variable in variables],
            metrics=self._metrics,
            progress=self._progress,
        )
        self._first = (0, 0)
        self._saved_at = self._due = time.monotonic()

    def save(self, epoch: int, step: int) -> None:
        """Writes a checkpoint to resume from in `epoch`, counted from 0, after `step` steps."""
        started = time.monotonic()
        self._progress.content = {
            "run": self.run,
            "epoch": epoch,
            "step": step,
            "callbacks": {name: one.get_state() for name, one in self.stateful.items()},
        }
        with replacing(self.directory / f"epoch_{epoch:06d}_step_{step:09d}") as draft:
            self._checkpoint.write(str(draft / "state"))
        for old in self._generations()[:-GENERATIONS]:
            shutil.rmtree(old)
        self._saved_at = time.monotonic()
        self._due = self._saved_at + (self._saved_at - started) / SHARE

    def restore(self) -> tuple[int, int]:
        """Brings model, optimizer and callbacks to the newest checkpoint that is whole.

        Returns epoch and step to resume from; without any checkpoint the beginning.
        """
        generations = self._generations()
        for path in reversed(generations):
            try:
                self._check_belongs(path)
                self._checkpoint.read(str(path / "state")).assert_consumed()
            except BadRequest:
                raise
            except (tf.errors.OpError, AssertionError, ValueError):
                print(
                    f"warning: the checkpoint {path} is damaged; trying the one before",
                    file=sys.stderr,
                )
                continue
            progress = self._progress.content
            for name, one in self.stateful.items():
                one.set_state(progress["callbacks"][name])
            self._first = (progress["epoch"], progress["step"])
            # `fit` resets the metrics when it begins an epoch.
            self._metric_values = [variable.numpy() for variable in self._metrics]
            return self._first
        if generations:
            raise BadRequest(
                f"expected a checkpoint that can be read, received only damaged ones in "
                f"{self.directory}: start again with `overwrite`"
            )
        return self._first

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
            for variable, value in zip(self._metrics, self._metric_values, strict=True):
                variable.assign(value)

    def on_train_batch_end(self, batch, logs=None):
        step = self._first_step + batch + 1
        if step >= self.steps:
            return  # The end of the epoch follows, with its own checkpoint.
        late = time.monotonic() - self._saved_at > SECONDS_BETWEEN
        if late or self.interrupts.received:
            self.save(self._epoch, step)
            self.interrupts.check()

    def on_epoch_end(self, epoch, logs=None):
        if self.model.stop_training:
            # A callback has ended the training: nothing is left to be resumed.
            self.save(self.params["epochs"], 0)
        elif self.interrupts.received or time.monotonic() >= self._due:
            self.save(epoch + 1, 0)
        else:
            return
        self.interrupts.check()


class _Json(tf.train.experimental.PythonState):
    """Plain values inside a TensorFlow checkpoint."""

    def __init__(self):
        self.content: dict = {}

    def serialize(self) -> str:
        return json.dumps(self.content)

    def deserialize(self, string_value: bytes) -> None:
        self.content = json.loads(string_value)
