"""Training speed of every family beside PyTorch and plain Keras, on the same data.

Every contender lives in a process of its own, so that its memory is its own. The processes take
turns, epoch by epoch, so that whatever else the machine does falls on all of them alike.
"""

import argparse
import contextlib
from collections.abc import Callable

import numpy as np

from benchmarks import measuring

FAMILIES = ("dense", "mlp", "batchnorm", "conv", "lstm", "vae-baseline")
SIZES = (15_000, 30_000, 60_000)
LOSS_TOLERANCE = 0.10
VALIDATION_IMAGES = 5_000


# === Contenders: each returns a function that trains one epoch, and one that measures ===


def _keras_ae(family: str, setup: dict) -> tuple[Callable, Callable]:
    from keras_ae import recipes, training

    model, shuffled = training.prepare(recipes.get(family), setup["images"])
    epochs = iter(range(1_000_000))

    def epoch():
        number = next(epochs)
        model.fit(
            shuffled.dataset,
            initial_epoch=number,
            epochs=number + 1,
            shuffle=False,
            callbacks=[shuffled],
            verbose=0,
        )

    return epoch, lambda: _keras_loss(model, setup)


def _keras_fit(family: str, setup: dict) -> tuple[Callable, Callable]:
    import tensorflow as tf

    from benchmarks import keras_models
    from keras_ae import data, recipes
    from keras_ae.optimizers import AdamL2

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
    return lambda: model.fit(batches, shuffle=False, verbose=0), lambda: _keras_loss(model, setup)


def _keras_loss(model, setup: dict) -> float:
    from keras_ae import data

    return float(model.score(data.to_float(setup["validation"])).mean())


def _pytorch(family: str, setup: dict, compiled: bool = False) -> tuple[Callable, Callable]:
    import torch

    from benchmarks import torch_models
    from keras_ae import recipes

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
    validation = torch_models.to_tensor(setup["validation"])

    def epoch():
        module.train()
        total = 0.0
        order = torch.randperm(len(images))
        for start in range(0, len(images), recipe.batch_size):
            batch = images[order[start : start + recipe.batch_size]]
            optimizer.zero_grad()
            loss = loss_function(forward(batch), batch)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        return total / len(images)

    def measure():
        module.eval()
        with torch.no_grad():
            return float(loss_function(module(validation), validation))

    return epoch, measure


CONTENDERS = {
    "keras_ae": _keras_ae,
    "pytorch": _pytorch,
    "torch.compile": lambda family, setup: _pytorch(family, setup, compiled=True),
    "keras_fit": _keras_fit,
}
LABELS = {
    "keras_ae": "keras_ae",
    "pytorch": "PyTorch eager",
    "torch.compile": "PyTorch torch.compile",
    "keras_fit": "plain Keras fit",
}


def _serve(connection, contender: str, family: str, setup: dict) -> None:
    """Trains one epoch whenever asked to. Runs in the contender's process."""
    epoch, measure = CONTENDERS[contender](family, setup)
    while (want := connection.recv()) is not None:
        if want == "epoch":
            connection.send(measuring.seconds(epoch))
        elif want == "loss":
            connection.send(measure())
        else:
            connection.send(measuring.peak_memory())


# === Measurements ===


def _setup(family: str, images: int | None) -> dict:
    """Returns images and initial weights, which all contenders share. Runs in its own process."""
    from keras_ae import data, recipes, training

    dataset = data.load(full_train=True)
    train, validation = (
        dataset.train.images[:-VALIDATION_IMAGES],
        dataset.train.images[-VALIDATION_IMAGES:],
    )
    return {
        "all_images": dataset.train.images,
        "images": train[:images],
        "validation": validation,
        "weights": training.build(recipes.get(family)).get_weights(),
    }


def _flops(family: str) -> float:
    """Returns the floating-point operations of one image in a training step: products only."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks import torch_models

    module = torch_models.MODELS[family]()
    images = torch.rand(10, 1, 28, 28)
    # oneDNN's LSTM is one opaque operation; without it, it is a chain of products.
    with torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as counter:
        torch_models.loss_function(module)(module(images), images).backward()
    return counter.get_total_flops() / len(images)


def _take_turns(workers: dict, epochs: int, seconds: float) -> dict[str, list[float]]:
    """Lets each worker train until it has `epochs` epochs or `seconds` behind it."""
    times = {name: [] for name in workers}
    while active := [
        name for name, past in times.items() if len(past) < epochs and sum(past) < seconds
    ]:
        for name in active:
            times[name].append(workers[name].ask("epoch"))
    return times


def _compare(family: str, options, setup: dict) -> dict:
    shared = {key: setup[key] for key in ("images", "validation", "weights")}
    count = len(shared["images"])
    with contextlib.ExitStack() as stack:
        workers = {
            name: stack.enter_context(measuring.Worker(_serve, name, family, shared))
            for name in CONTENDERS
        }
        losses = {}
        for name, worker in workers.items():
            # The first epoch compiles. It is not timed; what it has learned is compared.
            worker.ask("epoch")
            losses[name] = worker.ask("loss")
        times = _take_turns(workers, options.epochs, options.seconds)
        memory = {name: worker.ask("memory") for name, worker in workers.items()}
    for name, loss in losses.items():
        if abs(loss / losses["pytorch"] - 1) > LOSS_TOLERANCE:
            print(
                f"  NOT COMPARABLE: {LABELS[name]} has a loss of {loss:.4g} after one epoch, "
                f"expected {losses['pytorch']:.4g} within {LOSS_TOLERANCE:.0%}"
            )
    return {
        name: {
            "images_per_second": count / float(np.median(times[name])),
            "epoch_seconds": times[name],
            "peak_memory_bytes": memory[name],
            "loss_after_one_epoch": losses[name],
        }
        for name in workers
    }


def _scale(family: str, options, setup: dict) -> list[dict]:
    with contextlib.ExitStack() as stack:
        workers = {
            size: stack.enter_context(
                measuring.Worker(
                    _serve, "keras_ae", family, {"images": setup["all_images"][:size]}
                )
            )
            for size in SIZES
        }
        for worker in workers.values():
            worker.ask("epoch")
        times = _take_turns(workers, options.epochs, options.seconds)
        return [
            {
                "images": size,
                "epoch_seconds": times[size],
                "microseconds_per_image": 1e6 * float(np.median(times[size])) / size,
                "peak_memory_bytes": worker.ask("memory"),
            }
            for size, worker in workers.items()
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
            f"  {LABELS[name]:22}{speed:10,.0f} images/s   keras_ae is {ours / speed:4.2f} x"
            f"{values['peak_memory_bytes'] / 2**20:8,.0f} MiB   {share:4.0%} of GEMM peak   "
            f"loss after one epoch {values['loss_after_one_epoch']:.4g}"
        )
    print(f"  keras_ae / the faster PyTorch: {_ratio(result):.2f}")
    for row in result.get("scaling", []):
        print(
            f"  {row['images']:7,} images: {row['microseconds_per_image']:7.1f} us an image, "
            f"{row['peak_memory_bytes'] / 2**20:6,.0f} MiB"
        )


def _ratio(result: dict) -> float:
    speeds = {name: row["images_per_second"] for name, row in result["contenders"].items()}
    return speeds["keras_ae"] / max(speeds["pytorch"], speeds["torch.compile"])


def _plot(results: dict) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    families = [family for family in FAMILIES if family in results]
    width = 0.8 / len(CONTENDERS)
    for position, name in enumerate(CONTENDERS):
        speeds = [results[family]["contenders"][name]["images_per_second"] for family in families]
        best = [speed * _ratio(results[f]) / results[f]["contenders"]["keras_ae"]
                ["images_per_second"] for f, speed in zip(families, speeds, strict=True)]  # fmt: skip
        bars = axes.bar(
            np.arange(len(families)) + (position - 1.5) * width, best, width, label=LABELS[name]
        )
        axes.bar_label(bars, [f"{speed / 1000:.1f}k" for speed in speeds], fontsize=7, padding=2)
    axes.axhline(1, color="gray", linewidth=0.8)
    axes.set_xticks(
        range(len(families)),
        [f"{family}\nbatch {results[family]['batch_size']}" for family in families],
    )
    axes.set(
        ylabel="speed, the faster PyTorch = 1",
        title="Training speed on a CPU (labels: thousand images per second)",
    )
    axes.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.15), frameon=False)
    figure.savefig(measuring.RESULTS / "training.png", dpi=150)


def main() -> None:
    """Measures, prints, and writes `results/training.json` and `.png` after each family."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    add = parser.add_argument
    add("--families", nargs="+", choices=FAMILIES, default=FAMILIES, metavar="NAME")
    add("--epochs", type=int, default=5, help="timed epochs of each contender, at most")
    add("--seconds", type=float, default=30, help="timed seconds of each contender, at most")
    add("--images", type=int, default=None, help="use the first N training images only")
    add("--no-scaling", action="store_true", help="leave out the three sizes of training set")
    options = parser.parse_args()

    from keras_ae import recipes

    for family in options.families:
        setup = measuring.elsewhere(_setup, family, options.images)
        result = {
            **measuring.environment(),
            "batch_size": recipes.get(family).batch_size,
            "parameters": recipes.get(family).parameters,
            "images": len(setup["images"]),
            "gemm_flops_per_second": measuring.gemm_flops_per_second(),
            "flops_per_image": measuring.elsewhere(_flops, family),
            "contenders": _compare(family, options, setup),
        }
        if not options.no_scaling:
            result["scaling"] = _scale(family, options, setup)
        _print(family, result)
        _plot(measuring.save("training", {family: result}))


if __name__ == "__main__":
    main()
