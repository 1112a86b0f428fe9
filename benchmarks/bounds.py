"""How far training is from the bound that its matrix products set, and where the rest goes.

`python -m benchmarks.bounds`. The bound of a step is the sum of the times of its products and
convolutions, forward and both backward, one after another, each in the fastest library at hand:
NumPy, PyTorch with one thread and with all, TensorFlow. Operands are contiguous and warm. An LSTM
has two products for every timestep; those that make the gradient of its recurrent kernel are joined
into one for each layer. A call costs a microsecond or more, which the bound of small products has,
too. A step that runs small products side by side can be beyond the bound.

XLA makes one operation of a step, in which no profiler sees the parts. So the parts of an epoch are
differences between epochs, each in a process of its own, which take turns:

- `epoch` is that of `train.py`;
- `step` has the same constant batch in each step, so that no input is prepared;
- `gradients` has an optimizer that reads the gradients and updates nothing;
- `dispatch` has a step that does nothing, in the same loop;
- `input` makes the batches of an epoch, and trains nothing.

Input is what `epoch` takes beyond `step`, the optimizer what `step` takes beyond `gradients`. What
`gradients` takes beyond `dispatch` is products, for which the bound is taken, and the rest:
element-wise operations, copies, and whatever the products take longer than the bound. XLA fuses
across these borders, and parts may run side by side. So a part can come out below zero.
"""

import argparse
import collections
import math
import os
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from benchmarks import measuring, tables
from benchmarks.training import FAMILIES
from keras_ae.commands.program import quiet_tensorflow

# Timesteps of an LSTM over digits.
ROWS = 28


# === Products ===


class Product(NamedTuple):
    """`[rows, inner] x [inner, columns]`."""

    rows: int
    inner: int
    columns: int

    @property
    def flops(self) -> int:
        """Floating-point operations."""
        return 2 * math.prod(self)


class Convolution(NamedTuple):
    """One of the three operations between a large map, a small one, and a square kernel.

    `forward` makes the small map, `inputs` the large one, and `kernel` the gradient of the kernel.
    A transposed convolution is `inputs`, and its gradients are the other two.
    """

    part: str
    batch: int
    large: int
    large_channels: int
    small: int
    small_channels: int
    kernel: int

    @property
    def flops(self) -> int:
        """Floating-point operations, those with the padding included."""
        channels = self.large_channels * self.small_channels
        return 2 * self.batch * channels * self.small**2 * self.kernel**2

    @property
    def stride(self) -> int:
        """Pixels of the large map to one of the small map."""
        return self.large // self.small

    def simplified(self) -> "Product | Convolution":
        """Returns a product where the kernel covers the whole map, as the models have it."""
        if self.kernel != self.large:
            return self
        weights = self.large_channels * self.kernel**2
        return {
            "forward": Product(self.batch, weights, self.small_channels),
            "inputs": Product(self.batch, self.small_channels, weights),
            "kernel": Product(weights, self.batch, self.small_channels),
        }[self.part]


def operations(family: str, batch_size: int) -> dict[Product | Convolution, int]:
    """Returns the products and convolutions of a training step, and how often each occurs.

    It leaves PyTorch without oneDNN, whose LSTM is one opaque operation, in this process.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    from benchmarks import torch_models

    found = collections.Counter()

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
            result = function(*arguments, **(keywords or {}))
            found.update(_read(function.overloadpacket.__name__, arguments, result))
            return result

    images = torch.rand(batch_size, 1, 28, 28)
    torch.backends.mkldnn.set_flags(_enabled=False)
    with Recorder():
        module = torch_models.MODELS[family]()
        torch_models.loss_function(module)(module(images), images).backward()
    joined = collections.Counter()
    for operation, count in found.items():
        operation, count = _joined(operation, count)
        joined[operation] += count
    return dict(joined)


def _read(name: str, arguments, result) -> Iterator[Product | Convolution]:
    """Yields what a call in PyTorch consists of."""
    if name in ("mm", "addmm"):
        left, right = arguments[-2:]
        yield Product(*left.shape, right.shape[1])
    elif name == "convolution":
        inputs, kernel, *_ = arguments
        part = "inputs" if arguments[6] else "forward"
        yield _convolution(part, inputs, result, kernel)
    elif name == "convolution_backward":
        outputs, inputs, kernel, *_ = arguments
        wants_inputs, wants_kernel, _ = arguments[-1]
        if wants_inputs:
            part = "forward" if arguments[7] else "inputs"
            yield _convolution(part, inputs, outputs, kernel)
        if wants_kernel:
            yield _convolution("kernel", inputs, outputs, kernel)


def _convolution(part: str, one_map, other_map, kernel) -> Product | Convolution:
    small, large = sorted((one_map.shape, other_map.shape), key=lambda shape: shape[2])
    small_channels, large_channels, side, _ = kernel.shape
    return Convolution(
        part, large[0], large[2], large_channels, small[2], small_channels, side
    ).simplified()


def _joined(operation: Product | Convolution, count: int) -> tuple[Product | Convolution, int]:
    """Makes one product of those at all timesteps that are added up."""
    # Forward, and for the gradient of the states, each has to wait for the one before.
    if isinstance(operation, Product) and count % ROWS == 0 and operation.rows > operation.columns:
        return operation._replace(inner=ROWS * operation.inner), count // ROWS
    return operation, count


def measure_operation(operation: Product | Convolution, seconds: float) -> tuple[str, float]:
    """Returns the library that is fastest, and its time in seconds."""
    contenders = _product if isinstance(operation, Product) else _convolutions
    times = {name: _fastest(call, seconds) for name, call in contenders(operation)}
    return min(times.items(), key=lambda item: item[1])


def _fastest(call: Callable, seconds: float) -> float:
    """Returns the shortest of as many calls as take some time, at least ten."""
    fastest, spent, calls = math.inf, 0.0, 0
    while calls < 10 or spent < seconds:  # The first ones are slow.
        taken = measuring.seconds(call)
        fastest, spent, calls = min(fastest, taken), spent + taken, calls + 1
    return fastest


def _random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype="float32")


def _torch_contenders(call: Callable) -> Iterator[tuple[str, Callable]]:
    import torch

    for name, threads in (("one thread", 1), ("all threads", os.cpu_count())):
        torch.set_num_threads(threads)
        yield f"PyTorch, {name}", call


def _product(operation: Product) -> Iterator[tuple[str, Callable]]:
    import tensorflow as tf
    import torch

    pair = _random(operation.rows, operation.inner), _random(operation.inner, operation.columns)
    yield "NumPy", lambda: pair[0] @ pair[1]
    tensors = [torch.from_numpy(one) for one in pair]
    yield from _torch_contenders(lambda: torch.mm(*tensors))
    constants = [tf.constant(one) for one in pair]
    yield "TensorFlow", lambda: tf.linalg.matmul(*constants)


def _convolutions(operation: Convolution) -> Iterator[tuple[str, Callable]]:
    import tensorflow as tf
    import torch

    part, batch, large, large_channels, small, small_channels, kernel = operation
    maps = _random(batch, large_channels, large, large)
    outputs = _random(batch, small_channels, small, small)
    weights = _random(small_channels, large_channels, kernel, kernel)
    x, y, w = map(torch.from_numpy, (maps, outputs, weights))
    how = ([operation.stride] * 2, [kernel // 2] * 2, [1, 1], False, [0, 0], 1)
    if part == "forward":
        yield from _torch_contenders(lambda: torch.ops.aten.convolution(x, w, None, *how))
    else:
        wanted = [part == "inputs", part == "kernel", False]
        yield from _torch_contenders(
            lambda: torch.ops.aten.convolution_backward(y, x, w, None, *how, wanted)
        )
    maps, outputs = (tf.constant(one.transpose(0, 2, 3, 1)) for one in (maps, outputs))
    weights = tf.constant(weights.transpose(2, 3, 1, 0))
    same = {"strides": [1, operation.stride, operation.stride, 1], "padding": "SAME"}
    raw = tf.raw_ops
    if part == "forward":
        yield "TensorFlow", lambda: raw.Conv2D(input=maps, filter=weights, **same)
    elif part == "inputs":
        same["input_sizes"] = maps.shape
        yield (
            "TensorFlow",
            lambda: raw.Conv2DBackpropInput(filter=weights, out_backprop=outputs, **same),
        )
    else:
        same["filter_sizes"] = weights.shape
        yield (
            "TensorFlow",
            lambda: raw.Conv2DBackpropFilter(input=maps, out_backprop=outputs, **same),
        )


def _measure_operations(found: Mapping[Product | Convolution, int], seconds: float) -> list[dict]:
    """Returns a row for each distinct operation."""
    with quiet_tensorflow():
        import tensorflow  # noqa: F401

    rows = []
    for operation, count in found.items():
        library, fastest = measure_operation(operation, seconds)
        rows.append(
            {
                "operation": type(operation).__name__.lower(),
                **operation._asdict(),
                "count": count,
                "flops": operation.flops,
                "library": library,
                "seconds": fastest,
            }
        )
    return rows


# === Epochs ===

EPOCHS = ("epoch", "step", "gradients", "dispatch", "input")


def epoch_function(kind: str, family: str, count: int) -> Callable:
    """Returns a function that runs an epoch of one of the kinds above, on the first images."""
    with quiet_tensorflow():
        import keras
        import tensorflow as tf

        from keras_ae import data, recipes
        from keras_ae.training import devices, fit

    class Reader(keras.optimizers.SGD):
        def build(self, variables):
            super().build(variables)
            self.largest = self.add_variable((), name="largest")

        def update_step(self, gradient, variable, learning_rate):
            # Else XLA would leave out what nobody reads.
            self.assign(self.largest, keras.ops.maximum(self.largest, keras.ops.max(gradient)))

    class Idle(keras.Model):
        def train_step(self, data):
            return {"loss": 0.0}

    recipe = recipes.get(family)
    devices.use_threads(recipe)
    model, shuffled = fit.prepare(recipe, data.load().train.images[:count])
    how = {"jit_compile": model.jit_compile, "steps_per_execution": model.steps_per_execution}
    if kind == "input":
        # In TensorFlow's own loop, which is that of `fit`, too.
        return tf.function(
            lambda: shuffled.dataset.reduce(0, lambda n, batch: n + tf.shape(batch[0])[0])
        )
    if kind == "gradients":
        model.compile(Reader(), loss=model.training_loss, **how)
        model.optimizer.build(model.trainable_variables)
    elif kind == "dispatch":
        model = Idle()
        model.compile(**how)
    batches = shuffled.dataset
    if kind != "epoch":
        batch = next(iter(shuffled.dataset))
        batches = tf.data.Dataset.from_tensors(batch).repeat(shuffled.steps)
        batches = batches.with_options(shuffled.dataset.options())
    return lambda: model.fit(batches, shuffle=False, callbacks=[shuffled], verbose=0)


def _serve(connection, kind: str, family: str, count: int) -> None:
    epoch = epoch_function(kind, family, count)
    while True:
        connection.recv()
        connection.send(measuring.seconds(epoch))


def _measure_epochs(family: str, options) -> dict[str, list[float]]:
    with measuring.workers(_serve, EPOCHS, family, options.images) as workers:
        for worker in workers.values():
            worker.ask("epoch")  # It compiles, and is not timed.
        turns = [
            {kind: worker.ask("epoch") for kind, worker in workers.items()}
            for _ in range(options.epochs)
        ]
    return {kind: [turn[kind] for turn in turns] for kind in EPOCHS}


def main() -> None:
    """Measures, prints the table, and writes `bounds.json` after each family."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bounds", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--families", nargs="+", choices=FAMILIES, default=FAMILIES, metavar="NAME")
    add("--epochs", type=int, default=5, help="timed epochs of each kind")
    add("--seconds", type=float, default=0.5, help="for each library and operation, at least")
    add("--images", type=int, default=tables.TRAIN_IMAGES, help="use the first N training images")
    options = parser.parse_args()

    from keras_ae import recipes

    for family in options.families:
        batch_size = recipes.get(family).batch_size
        found = measuring.elsewhere(operations, family, batch_size)
        result = {
            **measuring.environment(),
            "batch_size": batch_size,
            "images": options.images,
            "operations": measuring.elsewhere(_measure_operations, found, options.seconds),
            "epoch_seconds": _measure_epochs(family, options),
        }
        measured = measuring.save("bounds", {family: result})
        print(f"{family} is measured", flush=True)
    print(tables.bounds(measured))


if __name__ == "__main__":
    main()
