"""Training speed of every family beside PyTorch and plain Keras, on the same data.

Every contender lives in a process of its own, so that its memory is its own. The processes take
turns, epoch by epoch, so that whatever else the machine does falls on all of them alike.
"""

import argparse
import functools
import itertools
import sys
import time
from collections.abc import Callable, Iterable

import numpy as np

from benchmarks import measuring
from benchmarks.tables import ONE_THREAD, fastest_peer, images_per_second
from keras_ae.commands.program import quiet_tensorflow
from keras_ae.runs import FIGURE_SUFFIX

FAMILIES = ("dense", "mlp", "batchnorm", "conv", "lstm", "vae-baseline")
LOSS_TOLERANCE = 0.10


# === Contenders ===
# Each returns a function that trains one epoch and returns its mean loss, a function that returns
# the number of updates so far, and the number of trained parameters.
Contender = tuple[Callable[[], float], Callable[[], int], int]


def _keras_ae(family: str, setup: dict, **overrides) -> Contender:
    with quiet_tensorflow():
        from keras_ae import data, recipes
        from keras_ae.training import devices, fit

    recipe = recipes.get(family).override(**overrides)
    devices.use_threads(recipe)
    # Its own copy, as `train.py` has it: one sent by another process would be in memory twice.
    images = data.load(full_train=True, train_images=len(setup["images"])).train.images
    model, shuffled = fit.prepare(recipe, images)
    numbers = itertools.count()

    def epoch():
        number = next(numbers)
        history = model.fit(
            shuffled.dataset,
            initial_epoch=number,
            epochs=number + 1,
            shuffle=False,
            callbacks=[shuffled],
            verbose=0,
        )
        return history.history["loss"][-1]

    return epoch, lambda: int(model.optimizer.iterations), _trained_parameters(model)


def _trained_parameters(model) -> int:
    return sum(weight.value.shape.num_elements() for weight in model.trainable_weights)


def _keras_fit(family: str, setup: dict) -> Contender:
    with quiet_tensorflow():
        import tensorflow as tf

        from benchmarks import keras_models
        from keras_ae import data, recipes
        from keras_ae.training.optimizer import AdamL2

    recipe = recipes.get(family)
    model = keras_models.build(recipe)
    model.set_weights(setup["weights"])
    model.compile(optimizer=AdamL2(recipe.learning_rate, l2=recipe.l2), loss=model.training_loss)
    images = data.to_float(setup["images"])
    batches = (
        tf.data.Dataset.from_tensor_slices((images, images))
        .shuffle(len(images))
        .batch(recipe.batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )
    return (
        lambda: model.fit(batches, shuffle=False, verbose=0).history["loss"][-1],
        lambda: int(model.optimizer.iterations),
        _trained_parameters(model),
    )


def _pytorch(
    family: str, setup: dict, compiled: bool = False, threads: int | None = None
) -> Contender:
    import torch

    from benchmarks import torch_models
    from keras_ae import recipes

    if threads:
        torch.set_num_threads(threads)
    recipe = recipes.get(family)
    torch.manual_seed(recipe.seed)
    module = torch_models.MODELS[family]()
    torch_models.load_weights(module, setup["weights"])
    loss_function = torch_models.loss_function(module)
    # The compiled contender gets the fused optimizer, too: all that PyTorch has.
    optimizer = torch.optim.Adam(
        module.parameters(), lr=recipe.learning_rate, weight_decay=recipe.l2, fused=compiled
    )
    forward = torch.compile(module) if compiled else module
    images = torch_models.to_tensor(setup["images"])
    updates = 0

    def epoch():
        nonlocal updates
        total = 0.0
        order = torch.randperm(len(images))
        for start in range(0, len(images), recipe.batch_size):
            batch = images[order[start : start + recipe.batch_size]]
            optimizer.zero_grad()
            loss = loss_function(forward(batch), batch)
            loss.backward()
            optimizer.step()
            updates += 1
            total += loss.item() * len(batch)
        return total / len(images)

    return epoch, lambda: updates, torch_models.trained_parameters(module)


CONTENDERS = {
    "keras_ae": _keras_ae,
    "pytorch": _pytorch,
    f"pytorch{ONE_THREAD}": functools.partial(_pytorch, threads=1),
    "torch.compile": functools.partial(_pytorch, compiled=True),
    f"torch.compile{ONE_THREAD}": functools.partial(_pytorch, compiled=True, threads=1),
    "keras_fit": _keras_fit,
}
# What a recipe chooses between for the sake of speed.
VARIANTS = {
    f"{'XLA' if jit_compile else 'no XLA'}, {precision}": {
        "jit_compile": jit_compile,
        "precision": precision,
        "threads_per_operation": 0,
    }
    for jit_compile in (False, True)
    for precision in ("float32", "mixed_bfloat16")
}
VARIANTS["no XLA, float32, one thread an operation"] = {
    **VARIANTS["no XLA, float32"],
    "threads_per_operation": 1,
}
LABELS = {
    "keras_ae": "keras_ae",
    "pytorch": "PyTorch eager",
    "torch.compile": "PyTorch torch.compile",
    "keras_fit": "plain Keras fit",
}


def _label(contender: str) -> str:
    base = contender.removesuffix(ONE_THREAD)
    return LABELS[base] + contender.removeprefix(base)


def _serve(connection, contender: str, family: str, setup: dict) -> None:
    """Trains one epoch whenever asked to. Runs in the contender's process."""
    if contender in VARIANTS:
        epoch, updates, parameters = _keras_ae(family, setup, **VARIANTS[contender])
    else:
        epoch, updates, parameters = CONTENDERS[contender](family, setup)
    while True:
        connection.recv()
        before = updates()
        started = time.perf_counter()
        loss = epoch()
        seconds = time.perf_counter() - started
        connection.send((seconds, loss, updates() - before, parameters, measuring.peak_memory()))


# === Measurements ===


def _setup(family: str) -> dict:
    """Returns all training images and the initial weights, which all contenders share."""
    with quiet_tensorflow():
        from keras_ae import data, recipes
        from keras_ae.training import fit

    return {
        "images": data.load(full_train=True).train.images,
        "weights": fit.build(recipes.get(family)).get_weights(),
    }


def _flops(family: str) -> float:
    """Returns the floating-point operations of one image in a training step: products only."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks import torch_models

    # oneDNN's LSTM is one opaque operation; without it, it is a chain of products.
    torch.backends.mkldnn.set_flags(_enabled=False)
    module = torch_models.MODELS[family]()
    images = torch.rand(10, 1, 28, 28)
    with FlopCounterMode(display=False) as counter:
        torch_models.loss_function(module)(module(images), images).backward()
    return counter.get_total_flops() / len(images)


def _take_turns(workers: dict, options) -> dict[object, dict]:
    """Lets the workers train epoch by epoch, each until it has enough of them."""
    for worker in workers.values():
        worker.ask("epoch")  # It compiles, and is not timed.
    rows = {name: {"epoch_seconds": [], "epoch_losses": []} for name in workers}
    while active := [
        name
        for name, row in rows.items()
        if len(row["epoch_seconds"]) < options.epochs
        and sum(row["epoch_seconds"]) < options.seconds
    ]:
        for name in active:
            seconds, loss, *counts, memory = workers[name].ask("epoch")
            rows[name]["epoch_seconds"].append(seconds)
            rows[name]["epoch_losses"].append(loss)
            rows[name]["updates_per_epoch"], rows[name]["trained_parameters"] = counts
            rows[name]["peak_memory_bytes"] = memory
    return rows


def _compare(contenders: Iterable[str], family: str, options, setup: dict) -> dict[str, dict]:
    images = setup["images"][: options.images]
    setup = {**setup, "images": images}
    with measuring.workers(_serve, contenders, family, setup) as workers:
        rows = _take_turns(workers, options)
    for row in rows.values():
        row["images_per_second"] = len(images) / float(np.median(row["epoch_seconds"]))
        row["loss_after_one_epoch"] = row["epoch_losses"][0]
    return rows


def _unfair(family: str, result: dict) -> list[str]:
    """Returns a complaint about each contender that has not done what the others have."""
    rows = result["contenders"]
    peer = rows["pytorch"]
    expected = peer["loss_after_one_epoch"]
    complaints = [
        f"{family}: expected a loss of {expected:.4g} within {LOSS_TOLERANCE:.0%} after one epoch, "
        f"received {row['loss_after_one_epoch']:.4g} from {_label(name)}"
        for name, row in rows.items()
        if not abs(row["loss_after_one_epoch"] / expected - 1) <= LOSS_TOLERANCE
    ]
    return complaints + [
        f"{family}: expected {peer[key]:,} {key}, received {row[key]:,} from {_label(name)}"
        for key in ("updates_per_epoch", "trained_parameters")
        for name, row in rows.items()
        if row[key] != peer[key]
    ]


# === Report ===


def _print(family: str, result: dict) -> None:
    contenders = result["contenders"]
    ours = contenders["keras_ae"]["images_per_second"]
    print(f"{family}, batch {result['batch_size']}, {result['parameters']:,} parameters")
    for name, values in contenders.items():
        speed = values["images_per_second"]
        share = speed * result["flops_per_image"] / result["gemm_flops_per_second"]
        print(
            f"  {_label(name):33}{speed:10,.0f} images/s   keras_ae is {ours / speed:4.2f} x"
            f"{values['peak_memory_bytes'] / 2**20:8,.0f} MiB   {share:4.0%} of GEMM peak   "
            f"loss after one epoch {values['loss_after_one_epoch']:.4g}"
        )
    print(f"  keras_ae / the faster PyTorch: {ours / fastest_peer(result):.2f}")


def _plot(results: dict) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    families = [family for family in FAMILIES if family in results]
    width = 0.8 / len(LABELS)
    for position, name in enumerate(LABELS):
        speeds = np.array([images_per_second(results[family])[name] for family in families])
        peers = np.array([fastest_peer(results[family]) for family in families])
        places = np.arange(len(families)) + (position - (len(LABELS) - 1) / 2) * width
        bars = axes.bar(places, speeds / peers, width, label=LABELS[name])
        axes.bar_label(bars, [f"{speed / 1000:.1f}k" for speed in speeds], fontsize=6, padding=2)
    axes.margins(y=0.1)
    axes.axhline(1, color="gray", linewidth=0.8)
    axes.set_xticks(
        range(len(families)),
        [f"{family}\nbatch {results[family]['batch_size']}" for family in families],
    )
    axes.set(
        ylabel="speed, the faster PyTorch = 1",
        title="Training speed on a CPU (labels: thousand images per second)",
    )
    figure.legend(ncols=len(LABELS), loc="outside lower center", frameon=False)
    figure.savefig(measuring.results_directory() / f"training{FIGURE_SUFFIX}", dpi=150)


def main() -> None:
    """Measures, prints, and writes `training.json` and a figure after each family."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    add = parser.add_argument
    add("--families", nargs="+", choices=FAMILIES, default=FAMILIES, metavar="NAME")
    add("--epochs", type=int, default=5, help="timed epochs of each contender, at most")
    add("--seconds", type=float, default=30, help="timed seconds of each contender, at most")
    add("--images", type=int, default=55_000, help="use the first N training images")
    add("--variants", action="store_true", help="compare what a recipe can choose, not peers")
    options = parser.parse_args()

    from keras_ae import recipes

    complaints = []
    for family in options.families:
        setup = measuring.elsewhere(_setup, family)
        if options.variants:
            rows = _compare(VARIANTS, family, options, setup)
            for name, row in rows.items():
                print(
                    f"{family:14}{name:42}{row['images_per_second']:10,.0f} images/s   "
                    f"loss after one epoch {row['loss_after_one_epoch']:.4g}"
                )
            measuring.save("variants", {family: {**measuring.environment(), "variants": rows}})
            continue
        recipe = recipes.get(family)
        result = {
            **measuring.environment(),
            "batch_size": recipe.batch_size,
            "parameters": recipe.parameters,
            "gemm_flops_per_second": measuring.gemm_flops_per_second(),
            "flops_per_image": measuring.elsewhere(_flops, family),
            "contenders": _compare(CONTENDERS, family, options, setup),
        }
        _print(family, result)
        complaints += _unfair(family, result)
        _plot(measuring.save("training", {family: result}))
    if complaints:
        sys.exit("no fair comparison:\n" + "\n".join(complaints))


if __name__ == "__main__":
    main()
