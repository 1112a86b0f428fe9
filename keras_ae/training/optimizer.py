"""The optimizers, and how their learning rate changes."""

import keras

from keras_ae.recipe import Recipe


@keras.saving.register_keras_serializable(package="keras_ae")
class AdamL2(keras.optimizers.Adam):
    """Adam with the weight decay coupled into the gradient.

    `gradient + l2 * weight` enters the moments, for every weight, biases too: what PyTorch's
    `Adam(weight_decay=l2)` does. Keras' own `weight_decay` argument is decoupled and scaled by
    the learning rate (Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101), which at
    the small gradients of a mean squared error over 784 pixels is another method altogether.

    Example:

    ```python
    model = DenseAutoencoder(latent_dim=8, hidden_units=(392,))
    model.compile(optimizer=AdamL2(learning_rate=1e-3, l2=1e-5), loss=model.training_loss)
    ```

    Args:
        learning_rate: As in `keras.optimizers.Adam`.
        l2: Factor of the weight that is added to its gradient.
        **kwargs: Further arguments of `keras.optimizers.Adam`.
    """

    def __init__(self, learning_rate=0.001, l2: float = 0.0, name: str = "adam_l2", **kwargs):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        penalty = keras.ops.cast(variable, gradient.dtype) * self.l2
        super().update_step(gradient + penalty, variable, learning_rate)

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "l2": self.l2}


@keras.saving.register_keras_serializable(package="keras_ae")
class MuonL2(AdamL2):
    """Muon for the kernels of layers, and `AdamL2` for biases and all other vectors.

    Muon (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon) averages the gradients of
    a matrix and then makes all singular values of the average about one. So directions in which the
    loss is flat are followed as fast as steep ones, which is what deep and narrow autoencoders
    lack. A kernel is a matrix with the columns of its last axis, whatever else it is. Steps are as
    long as those of Adam at its usual rates: 0.2 times the learning rate, root mean square over the
    kernel (Liu et al., 2025, https://arxiv.org/abs/2502.16982). `keras.optimizers.Muon` leaves the
    kernels of convolutions to Adam; this one does not.

    Each step costs products of the kernels with themselves, whatever the number of images in a
    batch. Batches have to be large enough to make up for it.

    Example:

    ```python
    model = DenseAutoencoder(latent_dim=8, hidden_units=(392,))
    model.compile(optimizer=MuonL2(learning_rate=1e-2), loss=model.training_loss)
    ```

    Arguments are those of `AdamL2`.
    """

    def __init__(self, learning_rate=0.01, l2: float = 0.0, name: str = "muon_l2", **kwargs):
        super().__init__(learning_rate, l2, name, **kwargs)

    def update_step(self, gradient, variable, learning_rate):
        if len(variable.shape) < 2:
            super().update_step(gradient, variable, learning_rate)
            return
        average = self._momentums[self._get_variable_index(variable)]
        gradient = gradient + keras.ops.cast(variable, gradient.dtype) * self.l2
        self.assign(average, MOMENTUM * average + gradient)
        direction = keras.ops.reshape(gradient + MOMENTUM * average, (-1, variable.shape[-1]))
        length = 0.2 * max(direction.shape) ** 0.5
        step = keras.ops.reshape(length * _with_equal_singular_values(direction), variable.shape)
        self.assign_sub(variable, keras.ops.cast(learning_rate, variable.dtype) * step)


# Of Muon, as are the coefficients below, which the source has chosen for speed: singular values end
# between 0.7 and 1.2 after five iterations.
MOMENTUM = 0.95
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


def _with_equal_singular_values(matrix):
    # A Newton-Schulz iteration.
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = keras.ops.transpose(matrix) if is_tall else matrix
    x = x / (keras.ops.norm(x) + 1e-7)
    linear, cubic, quintic = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        square = x @ keras.ops.transpose(x)
        x = linear * x + (cubic * square + quintic * square @ square) @ x
    return keras.ops.transpose(x) if is_tall else x


def optimizer(recipe: Recipe, steps: int) -> AdamL2:
    """Returns a recipe's optimizer, for epochs of `steps` steps."""
    kind = {"adam": AdamL2, "muon": MuonL2}[recipe.optimizer]
    return kind(learning_rate(recipe, steps), l2=recipe.l2)


def learning_rate(
    recipe: Recipe, steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Returns the learning rate of a recipe, or its schedule over epochs of `steps` steps."""
    if recipe.schedule != "cosine":
        return recipe.learning_rate
    all_steps = recipe.epochs * steps
    rising = max(1, all_steps // 20)
    return keras.optimizers.schedules.CosineDecay(
        0.0, all_steps - rising, warmup_target=recipe.learning_rate, warmup_steps=rising
    )


class PlateauSchedule(keras.callbacks.ReduceLROnPlateau):
    """`ReduceLROnPlateau` whose memory can be saved, and outlives a call of `fit`."""

    def on_train_begin(self, logs=None):
        pass  # The base class forgets here, which would undo `set_state`.

    def get_state(self) -> dict:
        """Returns what decides about the next reduction, for a checkpoint."""
        return {name: getattr(self, name) for name in ("best", "wait", "cooldown_counter")}

    def set_state(self, state: dict) -> None:
        """Continues with the memory of an earlier run."""
        for name, value in state.items():
            setattr(self, name, value)


def schedule_callback(recipe: Recipe, monitor: str) -> PlateauSchedule | None:
    """Returns the callback that a recipe's schedule needs, if any; it watches `monitor`, a loss."""
    if recipe.schedule != "plateau":
        return None
    # PyTorch's defaults. Its threshold is relative; at these losses that is as good as none.
    return PlateauSchedule(monitor, factor=0.1, patience=10, min_delta=0.0)
