"""The optimizer, and how its learning rate changes."""

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
