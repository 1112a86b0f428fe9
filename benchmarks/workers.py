"""Several workers on this machine: time of a step, bytes exchanged, and what follows on paper.

`python -m benchmarks.workers`. A step of n machines that share a batch takes, on paper,

    T(n) = a + b / n + 2 (n - 1) / n * G / R + 2 (n - 1) * L

with a step's time on one machine a + b, of which b shrinks with its part of the batch (from the
times of a whole and of half a batch), G bytes of gradients, 4 for each trained parameter, which
travel around a ring, R bytes per second and L seconds for a message. T(n) is least at

    n = sqrt((b - 2 G / R) / (2 L)),

and at one machine where b is less than 2 G / R. Adding more does not help beyond that.
"""

import argparse
import itertools
import os
import statistics
import time

import psutil

from benchmarks import measuring
from keras_ae import recipes

FAMILIES = ("dense", "conv", "vae-baseline")
OTHERS = ("mlp", "batchnorm", "lstm", "denoiser")
STEPS = 40
EPOCHS = 3
# A message between two machines of a data centre.
LATENCY = 1e-4
GIGABIT = 1e9 / 8


def _serve(connection, tf_config: str | None) -> None:
    """Answers (family, size of a batch, whether as several workers do) with seconds and bytes."""
    if tf_config:
        os.environ["TF_CONFIG"] = tf_config
    import keras

    from keras_ae import data
    from keras_ae.training import devices, fit

    workers = devices.join("multiworker" if tf_config else "single")
    images = data.load().train.images
    while (question := connection.recv()) is not None:
        family, batch_size, alike = question
        keras.utils.clear_session()
        recipe = recipes.get(family).override(batch_size=batch_size)
        if alike:
            recipe = recipe.override(jit_compile=False)
        model, shuffled = fit.prepare(recipe, images[: STEPS * batch_size], workers)
        if alike:
            model.steps_per_execution = 1
        clock = _Clock(keras)
        batches = workers.distribute(shuffled.dataset)
        model.fit(
            batches, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[shuffled, clock.callback]
        )
        # The first epoch traces.
        seconds = statistics.median(clock.seconds[1:]) / STEPS
        exchanged = statistics.median(clock.bytes[1:]) / STEPS
        parameters = sum(weight.value.shape.num_elements() for weight in model.trainable_weights)
        connection.send((seconds, exchanged, 4 * parameters))


class _Clock:
    """Seconds, and bytes over the loopback device, of each epoch."""

    def __init__(self, keras):
        self.seconds, self.bytes = [], []
        self.callback = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: self._begin(),
            on_epoch_end=lambda epoch, logs: self._end(),
        )

    def _begin(self) -> None:
        self._begun = time.perf_counter(), _sent()

    def _end(self) -> None:
        self.seconds.append(time.perf_counter() - self._begun[0])
        self.bytes.append(_sent() - self._begun[1])


def _sent() -> int:
    counters = psutil.net_io_counters(pernic=True)
    return next(count.bytes_sent for name, count in counters.items() if name.startswith("lo"))


def _batch(family: str) -> int:
    """Returns the recipe's batch size, made divisible by 2 and by 3."""
    return -(-recipes.get(family).batch_size // 6) * 6


def machines(a: float, b: float, gradients: int, rate: float, latency: float = LATENCY) -> int:
    """Returns the number of machines whose step is shortest, by the formula above."""

    def step(n: int) -> float:
        return a + b / n + 2 * (n - 1) / n * gradients / rate + 2 * (n - 1) * latency

    return next(n for n in itertools.count(1) if step(n + 1) >= step(n))


def _several(count: int) -> dict[str, tuple[float, float, int]]:
    """Returns what the families take with several processes."""
    from tests.workers import config, free_addresses

    addresses = free_addresses(count)
    team = [measuring.Worker(_serve, config(addresses, index)) for index in range(count)]
    taken = {}
    for family in FAMILIES:
        for worker in team:
            worker.connection.send((family, _batch(family), True))
        (taken[family], *_) = [worker.connection.recv() for worker in team]
    for worker in team:
        worker.connection.send(None)
        worker.process.join()
    return taken


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.parse_args()
    print(f"load of the machine {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores", flush=True)
    paper = {}
    with measuring.Worker(_serve, None) as alone:
        usual = {family: alone.ask((family, _batch(family), False)) for family in FAMILIES}
        for family in (*FAMILIES, *OTHERS):
            whole, _, gradients = alone.ask((family, _batch(family), True))
            half, *_ = alone.ask((family, _batch(family) // 2, True))
            paper[family] = (whole, half, gradients)
    several = {count: _several(count) for count in (2, 3)}
    print("ms per step: as train.py does alone; alone, but like workers; 2 and 3 workers;")
    print("bytes per step of 2 and 3 workers over the loopback device; of gradients")
    for family in FAMILIES:
        times = [usual[family][0], paper[family][0], *(several[n][family][0] for n in several)]
        sent = [several[n][family][1] for n in several]
        print(
            f"{family:14} batch {_batch(family):4} ",
            *(f"{1000 * one:8.2f}" for one in times),
            *(f"{one:12,.0f}" for one in sent),
            f"{paper[family][2]:12,}",
        )
    print(f"machines beyond which adding more does not help, {1000 * LATENCY:g} ms a message")
    print(f"{'':14}    a ms     b ms   1 Gbit/s  10 Gbit/s")
    for family, (whole, half, gradients) in paper.items():
        b = max(0.0, 2 * (whole - half))
        a = whole - b
        counts = [machines(a, b, gradients, rate * GIGABIT) for rate in (1, 10)]
        print(f"{family:14}{1000 * a:8.2f} {1000 * b:8.2f} {counts[0]:10} {counts[1]:10}")
    print(f"load of the machine {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
