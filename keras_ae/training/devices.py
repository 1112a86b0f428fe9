"""On which devices, and with how many threads, TensorFlow computes."""

import contextlib
import functools

import tensorflow as tf

from keras_ae import cluster
from keras_ae.data import Dataset
from keras_ae.errors import BadRequest
from keras_ae.recipe import Recipe
from keras_ae.training.workers import Several, Workers


def use_device(device: str) -> None:
    """Restricts TensorFlow to a kind of device: `auto`, `cpu` or `gpu`."""
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    elif device == "gpu" and not tf.config.list_physical_devices("GPU"):
        raise BadRequest("`device` gpu: expected a GPU that TensorFlow can use, received none")


def use_threads(recipe: Recipe) -> None:
    """Sets how many threads TensorFlow gives to one operation, if it has not begun to compute.

    Later it cannot be changed any more, which costs speed and nothing else.
    """
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(recipe.threads_per_operation)


def join(strategy: str) -> Workers:
    """Returns who trains by a strategy.

    `single` is one device, `mirrored` all GPUs or else all logical CPU devices of this process, and
    `multiworker` those of all processes in TF_CONFIG, which this call waits for.
    """
    if strategy == "multiworker":
        return _several()
    if strategy == "single":
        return Workers()
    machines = len(found.addresses) if (found := cluster.read()) else 1
    if machines > 1:
        raise BadRequest(
            "`strategy` mirrored: expected one machine, or `strategy` multiworker for several, "
            f"received {machines} in TF_CONFIG"
        )
    devices = [device.name for device in tf.config.list_logical_devices("GPU")]
    if devices:
        return Workers(tf.distribute.MirroredStrategy(devices))
    # By default one CPU device would be taken, and collectives that work once in a process.
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    one_device = tf.distribute.ReductionToOneDevice()
    return Workers(tf.distribute.MirroredStrategy(devices, one_device))


@functools.cache
def _several() -> Several:
    # TensorFlow joins a cluster once in a process.
    return Several(cluster.of_workers())


def check_even(batch_size: int, dataset: Dataset, replicas: int) -> None:
    """Checks that every batch of an epoch splits evenly over the devices."""
    images = len(dataset.train)
    # Each device averages over its part. The mean of these means is that of the batch where the
    # parts are equal; a device without any image would even bring in 0 / 0.
    for size in (min(batch_size, images), images % batch_size):
        if size % replicas:
            raise BadRequest(
                f"`strategy`: expected batches that split evenly over {replicas} devices, "
                f"received one of {size} images; change `batch_size` or `train_images`"
            )
    if 0 < len(dataset.validation) < replicas:
        raise BadRequest(
            f"`strategy`: expected a validation image for each of {replicas} devices, "
            f"received {len(dataset.validation)}"
        )
