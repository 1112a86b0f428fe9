"""Speed of reconstructing, encoding and scoring, one image at a time and 1,000 at once."""

import argparse
import contextlib
import itertools
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from benchmarks import measuring
from benchmarks.training import FAMILIES
from keras_ae.commands.program import quiet_tensorflow

BATCHES = (1, 1000)
OPERATIONS = ("reconstruct", "encode", "score")


# === Contenders: each returns a function of one batch for every operation ===


def _keras_ae(model, setup: dict) -> dict[str, Callable]:
    return {name: getattr(model, name) for name in OPERATIONS}


def _bare(model, setup: dict) -> dict[str, Callable]:
    import tensorflow as tf

    def run(step):
        return lambda images: step(tf.convert_to_tensor(images)).numpy()

    return {name: run(getattr(model, f"{name}_step")) for name in OPERATIONS}


def _keras_predict(model, setup: dict) -> dict[str, Callable]:
    # `predict` knows no score: who has only `predict` computes it outside the model.
    def score(images):
        return np.square(images - model.predict(images, verbose=0)).mean(axis=(1, 2, 3))

    return {
        "reconstruct": lambda images: model.predict(images, verbose=0),
        "encode": lambda images: model.encoder.predict(images, verbose=0),
        **({"score": score} if model.training_loss == "mse" else {}),
    }


def _saved_model(model, setup: dict) -> dict[str, Callable]:
    import tensorflow as tf

    signatures = tf.saved_model.load(setup["saved_model"]).signatures

    # By name: by position TensorFlow takes 2 ms more for a call.
    def run(signature):
        return lambda images: next(
            iter(signature(images=tf.convert_to_tensor(images)).values())
        ).numpy()

    return {name: run(signatures[name]) for name in OPERATIONS}


def _lite_rt(model, setup: dict) -> dict[str, Callable]:
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    def run(name):
        converter = tf.lite.TFLiteConverter.from_saved_model(setup["saved_model"], [name])
        interpreter = Interpreter(model_content=converter.convert(), num_threads=os.cpu_count())
        interpreter.allocate_tensors()
        source = interpreter.get_input_details()[0]["index"]
        target = interpreter.get_output_details()[0]["index"]

        def call(images):
            if interpreter.get_input_details()[0]["shape"][0] != len(images):
                interpreter.resize_tensor_input(source, images.shape)
                interpreter.allocate_tensors()
            interpreter.set_tensor(source, images)
            interpreter.invoke()
            return interpreter.get_tensor(target)

        return call

    return {name: run(name) for name in OPERATIONS}


def _pytorch(model, setup: dict) -> dict[str, Callable]:
    import torch

    from benchmarks import torch_models

    module = torch_models.MODELS[setup["family"]]().eval()
    torch_models.load_weights(module, setup["weights"])

    def run(function):
        def call(images):
            with torch.no_grad():
                return function(torch.from_numpy(images).reshape(-1, 1, 28, 28)).numpy()

        return call

    operations = {
        "reconstruct": module.reconstruct,
        "encode": module.encoder,
        "score": module.score,
    }
    return {name: run(function) for name, function in operations.items()}


CONTENDERS = {
    "keras_ae": _keras_ae,
    "tf.function": _bare,
    "Keras predict": _keras_predict,
    "SavedModel": _saved_model,
    "LiteRT": _lite_rt,
    "PyTorch eager": _pytorch,
}


def _serve(connection, contender: str, setup: dict) -> None:
    """Answers (operation, batch size, calls) with seconds a call. Runs in its own process."""
    model = None
    if contender in ("keras_ae", "tf.function", "Keras predict"):
        with quiet_tensorflow():
            from keras_ae import loading

        model = loading.load(setup["family"])
    operations = CONTENDERS[contender](model, setup)
    while True:
        operation, batch, seconds = connection.recv()
        if operation not in operations:
            connection.send(None)
            continue
        images = setup["images"][:batch]
        call = operations[operation]
        call(images)
        times = []
        while not times or sum(times) < seconds:
            times.append(measuring.seconds(lambda: call(images)))  # noqa: B023
        connection.send(float(np.median(times)))


def _setup(family: str, directory: str) -> dict:
    """Returns images and the shipped model, which the contenders share."""
    with quiet_tensorflow():
        from keras_ae import data, export, loading

    model = loading.load(family)
    export.export_saved_model(model, directory, threshold=float("inf"))
    return {
        "family": family,
        "images": data.to_float(data.load().validation.images[: max(BATCHES)]),
        "weights": model.get_weights(),
        "saved_model": directory,
    }


def _measure(
    family: str, seconds: float, rounds: int, contenders: Iterable[str] = CONTENDERS
) -> list[dict]:
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        setup = measuring.elsewhere(_setup, family, str(Path(directory) / "model"))
        workers = stack.enter_context(measuring.workers(_serve, contenders, setup))
        rows = []
        for batch, operation in itertools.product(BATCHES, OPERATIONS):
            times = {name: [] for name in workers}
            for _ in range(rounds):
                for name, worker in workers.items():
                    times[name].append(worker.ask((operation, batch, seconds)))
            rows.append(
                {
                    "operation": operation,
                    "batch": batch,
                    "seconds": {
                        name: None if None in values else float(np.median(values))
                        for name, values in times.items()
                    },
                }
            )
    return rows


def main() -> None:
    """Measures, prints, and writes `inference.json` after each family."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference", description=__doc__)
    add = parser.add_argument
    add("--families", nargs="+", choices=FAMILIES, default=FAMILIES, metavar="NAME")
    add("--rounds", type=int, default=3, help="turns of each contender")
    add("--seconds", type=float, default=0.3, help="of repeated calls in each turn")
    options = parser.parse_args()
    print(f"{'microseconds an image':34}" + "".join(f"{name:>15}" for name in CONTENDERS))
    for family in options.families:
        environment = measuring.environment()
        rows = _measure(family, options.seconds, options.rounds)
        for row in rows:
            cells = (
                "-" if value is None else f"{1e6 * value / row['batch']:,.1f}"
                for value in row["seconds"].values()
            )
            label = f"{family}, {row['operation']}, batch {row['batch']}"
            print(f"{label:34}" + "".join(f"{cell:>15}" for cell in cells), flush=True)
        measuring.save("inference", {family: {**environment, "rows": rows}})


if __name__ == "__main__":
    main()
