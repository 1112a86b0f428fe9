"""The one optimizer that Keras lacks."""

import keras


@keras.saving.register_keras_serializable(package="keras_ae")
class AdamL2(keras.optimizers.Adam):
    """Adam with the weight decay coupled into the gradient.

    `gradient + l2 * weight` enters the moments, for every weight, biases too: what PyTorch's
    `Adam(weight_decay=l2)` does. Keras' own `weight_decay` argument is decoupled and scaled by
    the learning rate (Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101), which at
    the small gradients of a mean squared error over 784 pixels is another method altogether.

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
