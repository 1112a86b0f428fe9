"""The optimizer against its definition, and the precision of a model's parts."""

import keras
import numpy as np
import pytest

from keras_ae.training.optimizer import AdamL2


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_adam_l2_is_adam_on_the_gradient_of_the_penalized_loss(l2):
    # Kingma and Ba, 2015, algorithm 1, with PyTorch's order: the penalty first, then the moments.
    generator = np.random.default_rng(0)
    shapes = [(3, 4), (4,)]
    expected = [generator.normal(size=shape) for shape in shapes]
    variables = [keras.Variable(value.astype("float32")) for value in expected]
    optimizer = AdamL2(0.01, l2=l2)
    first, second = ([np.zeros(shape) for shape in shapes] for _ in range(2))
    for step in range(1, 6):
        gradients = [generator.normal(size=shape) for shape in shapes]
        optimizer.apply(
            [keras.ops.convert_to_tensor(gradient, "float32") for gradient in gradients], variables
        )
        for index, gradient in enumerate(gradients):
            gradient = gradient + l2 * expected[index]
            first[index] = 0.9 * first[index] + 0.1 * gradient
            second[index] = 0.999 * second[index] + 0.001 * gradient**2
            mean = first[index] / (1 - 0.9**step)
            variance = second[index] / (1 - 0.999**step)
            expected[index] = expected[index] - 0.01 * mean / (np.sqrt(variance) + 1e-7)
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, rtol=1e-5, atol=1e-6)


def test_adam_l2_comes_back_from_its_config():
    assert AdamL2.from_config(AdamL2(0.01, l2=0.5).get_config()).l2 == 0.5
