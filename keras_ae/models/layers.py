"""The one layer that Keras lacks, and how convolutions fit maps to images of any size."""

import keras
import tensorflow as tf
from keras import layers

# Classes are registered under the name of the package that this folder lies in.
PACKAGE = __name__.split(".")[0]


@keras.saving.register_keras_serializable(package=PACKAGE)
class GaussianSampling(keras.layers.Layer):
    """Draws from a diagonal Gaussian so that gradients reach its parameters.

    `mean + exp(log_variance / 2) * noise` with standard normal noise: the reparameterization of
    Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114. Like `keras.layers.GaussianNoise`
    it is random in training only; at inference it returns the mean.

    Example:

    ```python
    sampling = GaussianSampling(seed=0)
    mean, log_variance = np.zeros((2, 4), "float32"), np.ones((2, 4), "float32")
    drawn = sampling((mean, log_variance), training=True)  # [2, 4], random
    same = sampling((mean, log_variance))  # the mean
    ```

    Args:
        seed: Integer seed of the noise, or `None` for a random one.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: A pair `(mean, log_variance)` of equal shape.
        training: Whether to draw (`True`) or to return the mean (`False`, the default).
    """

    def __init__(self, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        mean, log_variance = inputs
        if not training:
            return mean
        rows, units = keras.ops.shape(mean)
        # All replicas of a distribution strategy hold the same state of the generator. So each
        # draws the noise of the global batch, as one device would, and takes its own rows.
        replica = tf.distribute.get_replica_context()
        noise = keras.random.normal(
            (rows * replica.num_replicas_in_sync, units), dtype=mean.dtype, seed=self.seed_generator
        )
        start = rows * replica.replica_id_in_sync_group
        return mean + keras.ops.exp(log_variance / 2) * noise[start : start + rows]

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "seed": self.seed}


def quartered(image_shape: tuple[int, int, int]) -> tuple[int, int]:
    """Returns height and width after two strides of two with padding `same`, which round up."""
    height, width, _ = image_shape
    return -(-height // 4), -(-width // 4)


def crop(images, image_shape: tuple[int, int, int], dtype=None):
    """Cuts off the rows below and the columns at the right that `image_shape` does not have."""
    height, width, _ = image_shape
    below, right = images.shape[1] - height, images.shape[2] - width
    if below == right == 0:
        return images
    return layers.Cropping2D(((0, below), (0, right)), dtype=dtype)(images)
