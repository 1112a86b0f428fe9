"""What `benchmarks.bounds` finds in a step, and makes of measurements. Nothing here is timed."""

import itertools

import numpy as np
import pytest

from benchmarks import bounds, tables, training

torch = pytest.importorskip("torch")


def flops(family: str, batch_size: int) -> int:
    found = bounds.operations(family, batch_size)
    return sum(count * operation.flops for operation, count in found.items())


@pytest.mark.parametrize("family", training.FAMILIES)
def test_operations_have_the_flops_that_pytorch_counts(family):
    assert flops(family, 10) == 10 * training._flops(family)


def test_dense_has_three_products_for_each_layer_but_the_first():
    sizes = [784, 128, 64, 12, 5, 12, 64, 128, 784]
    layers = [one * other for one, other in itertools.pairwise(sizes)]
    assert flops("dense", 64) == 2 * 64 * (3 * sum(layers) - layers[0])
    found = bounds.operations("dense", 50)
    assert sum(found.values()) == 3 * len(layers) - 1
    for one, other in itertools.pairwise(sizes):
        assert found[bounds.Product(50, one, other)] >= 1
    assert bounds.Product(50, 128, 784) in found  # Forward at the end, not the first's input.


def test_a_kernel_over_the_whole_map_is_a_product():
    found = bounds.operations("conv", 10)
    products = {one for one in found if isinstance(one, bounds.Product)}
    weights = 32 * 7 * 7
    forward, inputs = bounds.Product(10, weights, 64), bounds.Product(10, 64, weights)
    assert products == {forward, inputs, bounds.Product(weights, 10, 64)}
    # Each for the encoder and the transposed one.
    assert {found[one] for one in products} == {2}
    assert all(one.stride == 2 for one in found.keys() - products)


def test_gradients_of_recurrent_kernels_are_joined_over_the_timesteps():
    found = bounds.operations("lstm", 10)
    assert found[bounds.Product(512, 28 * 10, 128)] == 2
    assert found[bounds.Product(10, 128, 512)] == 2 * 28
    # With that of the kernel for the inputs, of the same shape, of one layer.
    assert found[bounds.Product(256, 28 * 10, 64)] == 3
    # The first state has no gradient.
    assert found[bounds.Product(10, 512, 128)] == 2 * 27


@pytest.mark.parametrize("part", ["forward", "inputs", "kernel"])
@pytest.mark.parametrize(("large", "small"), [(14, 7), (7, 7)])
def test_libraries_are_given_the_same_convolution(part, large, small):
    operation = bounds.Convolution(part, 3, large, 2, small, 4, 3)
    shapes = {"forward": (3, 4, small, small), "inputs": (3, 2, large, large)}
    results = {}
    for name, call in bounds._convolutions(operation):
        found = call()
        if name == "TensorFlow":
            results[name] = np.transpose(found, (3, 2, 0, 1) if part == "kernel" else (0, 3, 1, 2))
        else:  # Backward, PyTorch gives what is wanted and `None`.
            found = [found] if part == "forward" else [one for one in found if one is not None]
            (results[name],) = (one.numpy() for one in found)
    assert {result.shape for result in results.values()} == {shapes.get(part, (4, 2, 3, 3))}
    if large == small:  # Strided ones are padded at another side.
        expected = results.pop("TensorFlow")
        for result in results.values():
            np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("enough", "calls"), [(0.0, 10), (1.5e-6, 14)])
def test_a_product_is_repeated_until_it_took_long_enough(enough, calls, monkeypatch):
    monkeypatch.setattr(bounds.measuring, "seconds", lambda call: call())
    times = iter([3e-7, *[1e-7] * 5, 5e-8, *[1e-7] * 50])
    assert bounds._fastest(lambda: next(times), enough) == 5e-8
    assert len(list(times)) == 57 - calls


@pytest.mark.parametrize("kind", bounds.EPOCHS)
def test_epochs_do_what_they_are_called(kind, monkeypatch):
    import keras

    trained = []
    fit = keras.Model.fit
    monkeypatch.setattr(
        keras.Model, "fit", lambda self, *args, **kw: trained.append(self) or fit(self, *args, **kw)
    )
    epoch = bounds.epoch_function(kind, "dense", 130)
    if kind == "input":
        assert int(epoch()) == 130
        assert trained == []
        return
    history = epoch().history["loss"]
    (model,) = trained
    before = [weight.numpy() for weight in model.trainable_weights]
    assert (epoch().history["loss"] == history) == (kind in ("gradients", "dispatch"))
    changed = [
        not np.array_equal(*pair)
        for pair in zip(before, [w.numpy() for w in model.trainable_weights], strict=True)
    ]
    assert len(changed) == (0 if kind == "dispatch" else 16)
    assert set(changed) <= {kind in ("epoch", "step")}
    if kind == "gradients":
        assert float(model.optimizer.largest) > 0


def test_parts_of_a_step_add_up():
    result = {
        "batch_size": 10,
        "images": 1000,
        "operations": [{"count": 2, "seconds": 0.001}, {"count": 1, "seconds": 0.002}],
        "epoch_seconds": {
            "epoch": [1.0, 1.1, 0.9],
            "step": [0.9, 0.9, 2.0],
            "gradients": [0.7],
            "dispatch": [0.1],
            "input": [0.05],
        },
    }
    bound, parts = tables.parts_of_step(result)
    assert bound == pytest.approx(0.004)
    assert sum(parts.values()) == pytest.approx(0.01)
    assert parts == pytest.approx(
        {
            "products": 0.004,
            "other operations": 0.002,
            "optimizer": 0.002,
            "input": 0.001,
            "dispatch": 0.001,
        }
    )
    row = tables.bounds({"mlp": result}).splitlines()[-1]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    expected = ["`mlp`", "2,500", "1,000", "40%", "10.00", "40%", "20%", "20%", "10%", "10%", "5%"]
    assert cells == expected
