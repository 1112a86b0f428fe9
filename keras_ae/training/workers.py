"""Who trains one model together: one process with one device or several, or several processes.

`fit` of Keras 3 refuses `tf.distribute.MultiWorkerMirroredStrategy`. `Several.adapt` is what makes
it work; `tests/test_workers.py` fails when a newer Keras does without one of its parts.
"""

import contextlib
import json
import signal
import threading
from collections.abc import Callable, Iterator, Sequence

import keras
import tensorflow as tf
from tensorflow.python.eager import context

from keras_ae.cluster import Cluster
from keras_ae.errors import BadRequest, RunFailed

# How long the first worker waits for the last, and after how long without a sign of life a worker
# is given up.
JOIN_SECONDS = 300
SILENT_SECONDS = 20
# How long a worker waits for another that lives, one that exports a model for instance.
WAIT_SECONDS = 24 * 3600
# What TensorFlow raises in a worker when another one is gone.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
)


class Workers:
    """One process, which trains on the devices of a strategy, by default on one device.

    Attributes:
        strategy: The strategy of TensorFlow.
        count: Number of processes.
        index: The number of this one; the chief has 0.
        devices: Devices of all processes together, among which each batch is split.
        local_devices: Those of this process.
    """

    count, index = 1, 0

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        self.strategy = strategy or tf.distribute.get_strategy()
        self.devices = self.strategy.num_replicas_in_sync
        self.local_devices = self.devices
        # Else TensorFlow asks all workers before each step whether all have data left.
        self.strategy.extended.experimental_enable_get_next_as_optional = False

    @property
    def is_chief(self) -> bool:
        """Whether this process checks, begins and writes the run."""
        return self.index == 0

    def adapt(self, model: keras.Model) -> None:
        """Makes `fit` of a compiled model right on these devices. Its configuration stays."""
        if self.devices > 1:
            for layer in model._flatten_layers():
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.synchronized = True  # Moments of the whole batch.

    def distribute(self, batches: tf.data.Dataset):
        """Returns batches as `fit` takes them: each device gets its rows of each batch.

        What is drawn for a batch, such as noise, is drawn for the whole batch before. So it does
        not depend on the number of devices.
        """
        if self.devices == self.count == 1:
            return batches
        mine = self.local_devices
        first = self.index * mine

        def parts(*batch):
            size = tf.shape(batch[0], tf.int64)[0]

            def part(number):
                begin, end = (size * one // self.devices for one in (number, number + 1))
                return tuple(tensor[begin:end] for tensor in batch)

            return tf.data.Dataset.range(first, first + mine).map(part)

        distributed = self.strategy.distribute_datasets_from_function(
            lambda _: batches.flat_map(parts).prefetch(2 * mine)
        )
        # Of parts it cannot be known. Keras asks for that of steps.
        distributed._cardinality = int(batches.cardinality())
        return distributed

    def each(self, variables: Sequence[tf.Variable]) -> tuple[Callable, Callable]:
        """Returns how to read scalar variables, and how to assign to them, on each device.

        The first returns float32 `[devices, variables]`, if all workers call it; the second takes
        it.
        """
        compiled = tf.function if self.devices > 1 or self.count > 1 else lambda function: function

        @compiled
        def read():
            rows = self.strategy.run(lambda: tf.stack(list(map(tf.identity, variables)))[None])
            return self.strategy.gather(rows, axis=0)

        @compiled
        def assign(values):
            def on_device():
                row = values[tf.distribute.get_replica_context().replica_id_in_sync_group]
                for position, variable in enumerate(variables):
                    variable.assign(row[position])

            self.strategy.run(on_device)

        return read, assign

    def exchange(self, value) -> list:
        """Returns what each worker gives, which JSON can hold; waits for all of them."""
        return [value]

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Lets no worker leave the block before all have, and ends all where one fails."""
        failed = None
        try:
            yield
        except (BadRequest, RunFailed) as error:
            failed = error
        try:
            failures = self.exchange(failed and [isinstance(failed, BadRequest), str(failed)])
        except _LOST:
            if failed is None:
                raise
        if failed is not None:
            raise failed
        for index, failure in enumerate(failures):
            if failure is not None:
                is_refused, message = failure
                raise (BadRequest if is_refused else RunFailed)(f"worker {index}: {message}")

    def agree(self, wishes: Sequence[bool]) -> Sequence[bool]:
        """Returns which of the wishes any worker has; the same on all of them."""
        return wishes

    @contextlib.contextmanager
    def losing_none(self, error: type[Exception], hint: str) -> Iterator[None]:
        """Raises `error` when another worker is lost; the hint says what to do then."""
        yield


class Several(Workers):
    """One of several processes, one on each machine, as TF_CONFIG names them.

    Raises:
        BadRequest: If not all of them have come after `JOIN_SECONDS`.
    """

    def __init__(self, cluster: Cluster):
        addresses = cluster.addresses
        jobs = tf.compat.v1.ConfigProto().experimental.coordination_config.coordinated_job_list
        for job, of_job in cluster.jobs.items():
            jobs.add(name=job, num_tasks=len(of_job))
        leader = "chief" if cluster.jobs.get("chief") else "worker"
        # As the strategy would do it, with limits of time.
        context.context().configure_coordination_service(
            "standalone",
            f"/job:{leader}/replica:0/task:0",
            cluster_register_timeout_in_ms=1000 * JOIN_SECONDS,
            heartbeat_timeout_in_ms=1000 * SILENT_SECONDS,
            coordinated_jobs=list(jobs),
        )
        try:
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
        except (tf.errors.OpError, RuntimeError) as error:
            raise BadRequest(
                f"expected all {len(addresses)} workers within {JOIN_SECONDS} s, {addresses}, "
                f"received not all of them in worker {cluster.index}: "
                f"{str(error).splitlines()[0][:200]}"
            ) from error
        if threading.current_thread() is threading.main_thread():
            # TensorFlow has taken it, and would only note it.
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        super().__init__(strategy)
        self.count, self.index = len(addresses), cluster.index
        self.local_devices = self.devices // self.count
        self._exchanges = 0
        # Plain variables of this process.
        self._wishes = tf.Variable(tf.zeros(3), trainable=False)
        self._agreed = tf.zeros(3)

    def adapt(self, model: keras.Model) -> None:
        super().adapt(model)
        # Collectives inside a loop of several steps fail, since Keras wraps it into optionals.
        model.steps_per_execution = 1
        # It would hand a pair of inputs and targets to `strategy.reduce`, which takes a tensor.
        # The models here are built.
        model._maybe_symbolic_build = lambda **_: None
        # It calls `reduce("MEAN", value, axis=0)` for the logs of a step, which are scalars without
        # an axis. One row of all of them has one, and is one collective.
        make = model._make_function

        def make_function(step):
            names = []

            def step_with_row(data):
                logs = step(data)
                names[:] = logs
                return tf.concat([tf.stack(list(logs.values())), self._wishes], axis=0)[None]

            function = make(step_with_row)

            def run(iterator):
                # Keras takes no mean where there is but one worker.
                row = tf.reshape(function(iterator), [-1])
                self._agreed = row[len(names) :]
                return dict(zip(names, tf.unstack(row[: len(names)]), strict=True))

            return run

        model._make_function = make_function

    def agree(self, wishes: Sequence[bool]) -> Sequence[bool]:
        # Workers have to save at the same step, since reading a metric is a collective. So wishes
        # travel with the logs of the next step, which all receive alike.
        self._wishes.assign([float(wish) for wish in wishes])
        return (self._agreed.numpy() > 0).tolist()

    def exchange(self, value) -> list:
        self._exchanges += 1
        name = f"keras_ae/{self._exchanges}"
        ours = context.context()
        ours.set_config_key_value(f"{name}/{self.index}", json.dumps(value))
        # Fails when a worker is lost, as a wait for its value would not.
        ours.wait_at_barrier(name, 1000 * WAIT_SECONDS)
        answers = [ours.get_config_key_value(f"{name}/{one}") for one in range(self.count)]
        # The chief has what all ask for. So it waits until all have read, and may end after that,
        # before the others hear that they may, too.
        with contextlib.suppress(*(() if self.is_chief else _LOST)):
            ours.wait_at_barrier(f"{name}/read", 1000 * WAIT_SECONDS)
        return [json.loads(answer) for answer in answers]

    @contextlib.contextmanager
    def losing_none(self, error: type[Exception], hint: str) -> Iterator[None]:
        try:
            yield
        except _LOST as lost:
            raise error(f"another worker has ended or cannot be reached; {hint}") from lost
