"""On which devices, and with how many threads, TensorFlow computes."""

import contextlib
import os

import tensorflow as tf

from keras_ae.errors import BadRequest
from keras_ae.recipe import Recipe


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


def distribution(strategy: str) -> tf.distribute.Strategy:
    """Returns a strategy: `single`, or `mirrored` over all GPUs or else all logical CPU devices."""
    if strategy == "single":
        return tf.distribute.get_strategy()
    try:
        cluster = tf.distribute.cluster_resolver.TFConfigClusterResolver().cluster_spec()
        machines = sum(cluster.num_tasks(job) for job in cluster.jobs)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadRequest(
            f"expected JSON of a cluster in TF_CONFIG, received {os.environ['TF_CONFIG']!r} "
            f"({error})"
        ) from error
    if machines > 1:
        raise BadRequest(
            "`strategy` mirrored: expected one machine, since fit of Keras 3 does not support "
            f"more, received {machines} in TF_CONFIG"
        )
    devices = [device.name for device in tf.config.list_logical_devices("GPU")]
    if devices:
        return tf.distribute.MirroredStrategy(devices)
    # By default one CPU device would be taken, and collectives that work once in a process.
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    return tf.distribute.MirroredStrategy(devices, tf.distribute.ReductionToOneDevice())


def check_even(batch_size: int, images: int, replicas: int) -> None:
    """Checks that every batch of an epoch splits evenly over the devices."""
    # Each device averages over its part. The mean of these means is that of the batch where the
    # parts are equal; a device without any image would even bring in 0 / 0.
    for size in (min(batch_size, images), images % batch_size):
        if size % replicas:
            raise BadRequest(
                f"`strategy` mirrored: expected batches that split evenly over {replicas} devices, "
                f"received one of {size} images; change `batch_size` or `train_images`"
            )
