"""The optimizer against its definition, and the precision of a model's parts."""

import keras
import numpy as np
import pytest

from keras_ae.training.optimizer import AdamL2, MuonL2


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


@pytest.mark.parametrize("kind", [AdamL2, MuonL2])
def test_optimizers_come_back_from_their_config(kind):
    again = kind.from_config(kind(0.02, l2=0.5).get_config())
    assert (again.l2, float(again.learning_rate)) == (0.5, pytest.approx(0.02))


@pytest.mark.parametrize("shape", [(60, 9), (9, 60), (3, 3, 4, 24)])
def test_muon_goes_equally_far_along_all_singular_vectors_of_the_mean_gradient(shape):
    # Against NumPy's decomposition, where the directions differ in length by a factor of ten.
    generator = np.random.default_rng(1)
    columns = shape[-1]
    rows = np.prod(shape) // columns
    ranks = min(rows, columns)
    start = generator.normal(size=shape).astype("float32")
    variable, optimizer, average = keras.Variable(start), MuonL2(0.5, l2=0.25), 0
    for _ in range(2):
        left, _, right = np.linalg.svd(generator.normal(size=(rows, columns)), False)
        gradient = (left * np.geomspace(1, 10, ranks)) @ right
        before = variable.numpy().reshape(rows, columns).astype("float64")
        optimizer.apply(
            [keras.ops.convert_to_tensor(gradient.reshape(shape), "float32")], [variable]
        )
        gradient = gradient + 0.25 * before
        average = 0.95 * average + gradient
        left, _, right = np.linalg.svd(gradient + 0.95 * average, False)
        moved = before - variable.numpy().reshape(rows, columns)
        lengths = left.T @ moved @ right.T / (0.5 * 0.2 * np.sqrt(max(rows, columns)))
        assert np.all(np.abs(np.diag(lengths) - 0.95) < 0.3)
        np.testing.assert_allclose(lengths, np.diag(np.diag(lengths)), atol=1e-3)
    # As long a step as one of Adam at a fifth of the rate.
    assert np.sqrt(np.mean(moved**2)) == pytest.approx(0.2 * 0.5, rel=0.2)


def test_muon_is_adam_for_vectors():
    gradient = keras.ops.convert_to_tensor([1.0, -2.0, 0.5])
    vectors = [keras.Variable([1.0, 2.0, 3.0]) for _ in range(2)]
    for kind, vector in zip((AdamL2, MuonL2), vectors, strict=True):
        optimizer = kind(0.01, l2=0.5)
        for _ in range(3):
            optimizer.apply([gradient], [vector])
    np.testing.assert_array_equal(*vectors)
