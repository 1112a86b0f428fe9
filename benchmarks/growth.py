"""Time and memory of training by the number of images, and by their shape.

`python -m benchmarks.growth`. The images are MNIST's digits, in colours for the larger shapes,
repeated as often as it takes: neither time nor memory depends on what they show. Each number of
images has a process of its own, which makes the array, and then trains as `train.py` does, one
epoch to compile and then the timed ones. Numbers whose memory would not fit are left out.
"""

import argparse

import numpy as np
import psutil

from benchmarks import measuring, tables
from keras_ae.commands.program import quiet_tensorflow

FAMILIES = ("mlp", "conv")
SIZES = {
    (28, 28, 1): (60_000, 240_000, 960_000),
    (32, 32, 3): (60_000, 240_000),
    (64, 64, 3): (60_000, 240_000),
}
# Of the images' own bytes, and what a process without images takes: more than is needed.
COPIES, FIXED = 3, 2**30


def make_images(count: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Returns uint8 `[count, height, width, channels]`."""
    from benchmarks import shapes
    from keras_ae import data

    height, width, channels = shape
    if channels == 1:
        some = data.load().train.images
    else:
        some, _ = shapes.coloured_digits()
        some = np.rint(255 * some).astype("uint8")
        some = some.repeat(height // 32, axis=1).repeat(width // 32, axis=2)
    images = np.empty((count, *shape), "uint8")
    for start in range(0, count, len(some)):
        part = images[start : start + len(some)]
        part[...] = some[: len(part)]
    return images


def measure(family: str, count: int, shape: tuple[int, int, int], epochs: int) -> dict:
    """Trains, and returns times and memory. For a process of its own."""
    with quiet_tensorflow():
        from keras_ae import recipes
        from keras_ae.training import devices, fit

    recipe = recipes.get(family)
    devices.use_threads(recipe)
    images = make_images(count, shape)
    made = measuring.peak_memory()
    model, shuffled = fit.prepare(recipe, images)

    def epoch():
        model.fit(shuffled.dataset, shuffle=False, callbacks=[shuffled], verbose=0)

    epoch()
    return {
        "shape": shape,
        "images": count,
        "image_bytes": images.nbytes,
        "epoch_seconds": [measuring.seconds(epoch) for _ in range(epochs)],
        "peak_memory_before_bytes": made,
        "peak_memory_bytes": measuring.peak_memory(),
    }


def main() -> None:
    """Measures, prints the table, and writes `growth.json` after each family."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--families", nargs="+", choices=FAMILIES, default=FAMILIES, metavar="NAME")
    add("--epochs", type=int, default=2, help="timed epochs of each number of images")
    add("--most", type=int, default=960_000, help="leave out larger numbers of images")
    options = parser.parse_args()

    for family in options.families:
        environment, rows = measuring.environment(), []
        for shape, counts in SIZES.items():
            for count in counts:
                needed = COPIES * count * int(np.prod(shape)) + FIXED
                if count > options.most or needed > psutil.virtual_memory().available:
                    print(f"{family}: {count:,} images of {shape} are left out", flush=True)
                    continue
                row = measuring.elsewhere(measure, family, count, shape, options.epochs)
                rows.append(row)
                print(f"{family}: {count:,} images of {shape} are measured", flush=True)
        results = measuring.save("growth", {family: {**environment, "rows": rows}})
    print(tables.growth(results))


if __name__ == "__main__":
    main()
