"""Variational autoencoder with an LSTM encoder and a transposed-convolution decoder."""

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from .autoencoder import IMAGE_SHAPE, IMAGES, Autoencoder, check_shape
from .layers import PACKAGE, GaussianSampling, crop, quartered
from .losses import bernoulli_negative_log_likelihood, gaussian_kl_divergence

# Standard deviations from 0.007 to 150. No trained posterior comes near either end; the limits
# keep the exponential finite in the first steps.
LOG_VARIANCE_RANGE = (-10.0, 10.0)


@keras.saving.register_keras_serializable(package=PACKAGE)
class VariationalAutoencoder(Autoencoder):
    """Autoencoder that maximizes the evidence lower bound (ELBO).

    Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114. The encoder reads the rows of
    the image with an LSTM and gives the mean and log-variance of a Gaussian posterior over the
    latents. The decoder gives Bernoulli pixels. The loss is the negative ELBO in nats per image:
    cross-entropy summed over the pixels, plus `beta` times the divergence summed over the latents,
    averaged over the images. Compile with an optimizer only; metrics are `loss`,
    `reconstruction_loss` and `kl_loss`, with the same meaning in training and validation: one
    sample of the posterior per image.

    `fit` takes images alone, or pairs of inputs and targets. At inference the model is
    deterministic: `call`, `encode`, `reconstruct` and `score` use the posterior mean.

    Example:

    ```python
    images = np.zeros((2, 28, 28, 1), "float32")
    model = VariationalAutoencoder(latent_dim=4, seed=0)
    model.compile(optimizer="adam")
    model.fit(images, verbose=0)
    samples = model.sample(3, seed=1)  # [3, 28, 28, 1] in [0, 1]
    ```

    Args:
        latent_dim: Number of latent units.
        lstm_units: Size of the encoder's LSTM. Its outputs at all rows are used.
        encoder_units: Widths of dense ReLU layers that read the pixels in place of the LSTM; none
            for the LSTM.
        dense_units: Widths of the decoder's dense layers before the one that makes the first map,
            whose sides are a quarter of the image's, 7x7 for a digit.
        base_filters: Channels of that map.
        filters: Channels of the transposed convolutions before the last, which has those of the
            image. The last two of these double the size of the map.
        code_activation: Activation of the posterior mean.
        dropout: Rate of dropout after the LSTM, or dense layers, and after the first map.
        beta: Weight of the divergence; 1 for the ELBO.
        unroll: Whether the LSTM's timesteps are laid out in the graph, see `LSTMAutoencoder`.
        seed: Integer seed of sampling and dropout, or `None` for random ones.
        image_shape: Height, width and channels of the images: sides from 8 up, 1 (grey) or 3
            (colour) channels.
        **kwargs: `name`, `dtype` and `trainable`, as in `keras.Model`. `dtype` is the policy of the
            layers, such as `"mixed_bfloat16"`; by default the global one.
    """

    training_loss = None  # The two terms of the bound are computed in `train_step`.
    score_unit = "nats per image"
    _arguments = (
        "latent_dim", "lstm_units", "encoder_units", "dense_units", "base_filters", "filters",
        "code_activation", "dropout", "beta", "unroll", "seed",
        "image_shape",
    )  # fmt: skip

    def __init__(
        self,
        latent_dim: int = 32,
        lstm_units: int = 64,
        encoder_units: Sequence[int] = (),
        dense_units: Sequence[int] = (),
        base_filters: int = 32,
        filters: Sequence[int] = (32, 16),
        code_activation: str = "linear",
        dropout: float = 0.0,
        beta: float = 1.0,
        unroll: bool = False,
        seed: int | None = None,
        image_shape: Sequence[int] = IMAGE_SHAPE,
        **kwargs,
    ):
        image_shape = check_shape(image_shape)
        rows, columns, colours = image_shape
        map_shape = (*quartered(image_shape), base_filters)
        dtype = kwargs.get("dtype")

        # === Functional models ===
        images = keras.Input(image_shape, name="images")
        if encoder_units:
            x = layers.Flatten(dtype=dtype)(images)
            for units in encoder_units:
                x = layers.Dense(units, activation="relu", dtype=dtype)(x)
        else:
            x = layers.Reshape((rows, columns * colours), dtype=dtype)(images)
            x = layers.LSTM(lstm_units, return_sequences=True, unroll=unroll, dtype=dtype)(x)
            x = layers.Flatten(dtype=dtype)(x)
        x = layers.Dropout(dropout, seed=seed, dtype=dtype)(x)
        mean = layers.Dense(
            latent_dim, activation=code_activation, dtype="float32", name="latents"
        )(x)
        log_variance = layers.Dense(latent_dim, dtype="float32", name="log_variance")(x)
        log_variance = ops.clip(log_variance, *LOG_VARIANCE_RANGE)
        encoder = keras.Model(images, (mean, log_variance), name="encoder")

        latents = keras.Input((latent_dim,), name="latents")
        x = latents
        for units in dense_units:
            x = layers.Dense(units, activation="relu", dtype=dtype)(x)
        x = layers.Dense(math.prod(map_shape), activation="relu", dtype=dtype)(x)
        x = layers.Dropout(dropout, seed=seed, dtype=dtype)(x)
        x = layers.Reshape(map_shape, dtype=dtype)(x)
        for position, channels in enumerate(filters, start=1):
            strides = 2 if position > len(filters) - 2 else 1
            x = layers.Conv2DTranspose(
                channels, 3, strides=strides, padding="same", activation="relu", dtype=dtype
            )(x)
        x = layers.Conv2DTranspose(colours, 3, padding="same", dtype="float32")(x)
        x = crop(x, image_shape, "float32")
        # The loss needs the logits, so they are a model of their own inside the decoder.
        logits = keras.Model(latents, x, name="logits")
        probabilities = layers.Activation("sigmoid", dtype="float32", name="images")(
            logits(latents)
        )
        decoder = keras.Model(latents, probabilities, name="decoder")

        sampling = GaussianSampling(seed=seed, dtype="float32", name="sampling")
        super().__init__(encoder, decoder, sampling, **kwargs)
        self.sampling = sampling
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.reconstruction_loss_tracker = keras.metrics.Mean(name="reconstruction_loss")
        self.kl_loss_tracker = keras.metrics.Mean(name="kl_loss")

        # === Config ===
        self.lstm_units = lstm_units
        self.encoder_units = tuple(encoder_units)
        self.dense_units = tuple(dense_units)
        self.base_filters = base_filters
        self.filters = tuple(filters)
        self.code_activation = code_activation
        self.dropout = dropout
        self.beta = beta
        self.unroll = unroll
        self.seed = seed

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The three running means, in nats per image."""
        return [self.loss_tracker, self.reconstruction_loss_tracker, self.kl_loss_tracker]

    def train_step(self, data) -> dict:
        """Takes one optimizer step on a batch of images, or of (inputs, targets)."""
        inputs, targets = self._unpack(data)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self._update_metrics(inputs, targets, training=True))
            # Gradients are summed over replicas, so each contributes its share of the mean.
            loss /= self.distribute_strategy.num_replicas_in_sync
            scaled_loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled_loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        return self.get_metrics_result()

    def test_step(self, data) -> dict:
        """Evaluates a batch of images, or of (inputs, targets)."""
        self._update_metrics(*self._unpack(data), training=False)
        return self.get_metrics_result()

    @staticmethod
    def _unpack(data):
        inputs, targets, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if sample_weight is not None:
            raise ValueError(
                "VariationalAutoencoder takes images or (inputs, targets). Received: sample weights"
            )
        return inputs, inputs if targets is None else targets

    def _update_metrics(self, inputs, targets, training: bool):
        mean, log_variance = self.encoder(inputs, training=training)
        latents = self.sampling((mean, log_variance), training=True)
        reconstruction_loss, kl_loss = self._negative_elbo_terms(
            targets, latents, mean, log_variance, training
        )
        loss = reconstruction_loss + self.beta * kl_loss
        # Means over images, not over batches: each update brings one value per image.
        self.loss_tracker.update_state(loss)
        self.reconstruction_loss_tracker.update_state(reconstruction_loss)
        self.kl_loss_tracker.update_state(kl_loss)
        return loss

    def _negative_elbo_terms(self, targets, latents, mean, log_variance, training: bool):
        logits = self.decoder.get_layer("logits")(latents, training=training)
        kl_loss = ops.sum(gaussian_kl_divergence(mean, log_variance), axis=-1)
        return bernoulli_negative_log_likelihood(targets, logits), kl_loss

    def sample(self, n: int, seed: int) -> np.ndarray:
        """Returns `n` generated images: latents drawn from the prior, decoded.

        Args:
            n: Number of images, 0 or more.
            seed: Integer of 64 bits: same seed, same images.

        Returns:
            float32 `[n, height, width, channels]` in [0, 1], the probabilities of the pixels.

        Raises:
            ValueError: If `n` or `seed` is something else.
        """
        for name, value, lowest, end in (("n", n, 0, 2**31), ("seed", seed, -(2**63), 2**63)):
            is_integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not is_integer or not lowest <= value < end:
                raise ValueError(
                    f"`{name}` must be an integer from {lowest} to {end - 1}. Received: {value!r}"
                )
        return self.decode(self.prior_step(n, seed).numpy())

    def score(self, images, batch_size: int = 1000) -> np.ndarray:
        """Returns how anomalous each image is: the negative ELBO at the posterior mean.

        With `beta` at 1 whatever the model was trained with. Arguments and errors are those of
        `encode`.

        Returns:
            float32 `[n]`, nats per image.
        """
        return super().score(images, batch_size)

    def prior_step(self, n, seed) -> tf.Tensor:
        """Draws `n` latents `[n, latent_dim]` from the prior."""
        return tf.random.stateless_normal((n, self.latent_dim), seed=(seed, 0))

    @tf.function(input_signature=[IMAGES])
    def posterior_step(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns mean and log-variance `[n, latent_dim]` of one batch, without checks."""
        images = tf.ensure_shape(images, (None, *self.image_shape))
        return self.encoder(images, training=False)

    @tf.function(input_signature=[IMAGES])
    def encode_step(self, images: tf.Tensor) -> tf.Tensor:
        """`encode` for one batch of tensors, without checks: the posterior mean."""
        return self.posterior_step(images)[0]

    @tf.function(input_signature=[IMAGES])
    def score_step(self, images: tf.Tensor) -> tf.Tensor:
        """`score` for one batch of tensors, without checks."""
        images = tf.ensure_shape(images, (None, *self.image_shape))
        mean, log_variance = self.posterior_step(images)
        return tf.add_n(self._negative_elbo_terms(images, mean, mean, log_variance, training=False))
