"""Other images than digits of 28x28: errors beside PCA's, of four families on four sets.

`python -m benchmarks.shapes` makes the sets, trains on each as a user would, with `train.py
--images`, evaluates, and keeps the numbers. Every run takes five minutes at most on two cores.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from keras.utils import array_to_img
from sklearn.datasets import load_digits

from benchmarks import measuring, tables
from keras_ae import data
from keras_ae.runs import Run

PROJECT = Path(__file__).parents[1]
IMAGES = 10_000
PICTURES = 2_000
# Epochs by set and recipe: as many as the five minutes bear, or fewer where more do not help.
EPOCHS = {
    "8x8 grey": {"dense": 200, "conv": 100, "lstm": 100, "vae-baseline": 200},
    "32x32 colour": {"dense": 60, "conv": 15, "lstm": 15, "vae-baseline": 30},
    "45x60 grey": {"dense": 60, "conv": 15, "lstm": 15, "vae-baseline": 20},
    "2,000 PNGs": {"dense": 100, "conv": 40, "lstm": 60, "vae-baseline": 100},
}
# The recipes' own rates are for the many steps of 55,000 images.
FLAGS = ("--optimizer", "muon", "--learning-rate", "0.01", "--schedule", "cosine")
# Muon's cost grows with the kernels, and the first of `dense` has a row for each pixel. With ReLU
# it ends above PCA on colours.
LARGE_DENSE = ("--learning-rate", "0.003", "--schedule", "cosine", "--activation", "gelu")
# With many latents PCA is hard to beat in minutes; with as many as pixels it loses nothing.
FEWER = {"conv": 32, "lstm": 16, "vae-baseline": 16}
LATENTS = {
    "8x8 grey": {"conv": 8, "lstm": 8, "vae-baseline": 8},
    "32x32 colour": FEWER,
    "45x60 grey": FEWER,
    "2,000 PNGs": {"lstm": 16},
}


def main() -> None:
    """Makes the sets, trains, and writes `shapes.json` and the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", action="append", choices=EPOCHS, help="default: all")
    parser.add_argument("--recipe", action="append", help="default: all four")
    chosen = parser.parse_args()
    environment = measuring.environment()
    with tempfile.TemporaryDirectory() as directory:
        for name in chosen.set or EPOCHS:
            path = _SETS[name](Path(directory))
            for recipe in chosen.recipe or EPOCHS[name]:
                row = _train(name, recipe, path, Path(directory) / "run" / recipe)
                rows = measuring.load("shapes").get(name, {}).get("rows", {})
                rows = {**rows, recipe: row}
                measuring.save("shapes", {name: {**environment, "rows": rows}})
    tables.main()


def _train(name: str, recipe: str, path: Path, directory: Path) -> dict:
    epochs = EPOCHS[name][recipe]
    latents = LATENTS.get(name, {}).get(recipe)
    is_large = recipe == "dense" and LATENTS[name] is FEWER
    flags = [*(LARGE_DENSE if is_large else FLAGS), *(["--latent-dim", latents] if latents else [])]

    def run(program: str, *arguments) -> float:
        started = time.perf_counter()
        command = [sys.executable, program, *map(str, arguments)]
        subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started

    # Figures cost more than the training where the sets are small.
    trained = run("train.py", recipe, *flags, "--images", path, "-e", epochs, "-s", directory,
                  "--overwrite", "--figures-every", epochs)  # fmt: skip
    evaluated = run("evaluate.py", directory)
    numbers = json.loads(Run(directory).metrics.read_text("utf-8"))["test"]
    row = {
        "epochs": epochs,
        "seconds": trained,
        "evaluation_seconds": evaluated,
        **{name: numbers[name] for name in ("latent_dim", "mse", "pca_mse", "mean_image_mse")},
    }
    print(name, recipe, row, flush=True)
    return row


def _small_digits(directory: Path) -> Path:
    """scikit-learn's digits: 1,797 of 8x8 with 17 levels of grey."""
    digits = load_digits()
    return _saved(directory / "small.npz", digits.images / 16, digits.target)


def _coloured(directory: Path) -> Path:
    return _saved(directory / "coloured.npz", *coloured_digits())


def coloured_digits() -> tuple[np.ndarray, np.ndarray]:
    """Returns images in [0, 1] and labels: a digit in a colour, on stripes of two others."""
    split = data.load(train_images=IMAGES).train
    rng = np.random.default_rng(0)
    ink, light, dark = rng.uniform(0, 1, (3, IMAGES, 1, 1, 3))
    waves = rng.uniform(-1, 1, (2, IMAGES, 1, 1)) * 2 * np.pi * 1.5 / 32
    phase = rng.uniform(0, 2 * np.pi, (IMAGES, 1, 1))
    y, x = np.mgrid[:32, :32]
    stripes = (1 + np.sin(waves[0] * y + waves[1] * x + phase))[..., None] / 2
    digit = np.pad(data.to_float(split.images), ((0, 0), (2, 2), (2, 2), (0, 0)))
    images = digit * ink + (1 - digit) * (stripes * light + (1 - stripes) * dark)
    return images, split.labels


def _odd_sides(directory: Path) -> Path:
    """MNIST's digits stretched to 45x60: neither side can be halved twice."""
    import tensorflow as tf

    split = data.load(train_images=IMAGES).train
    images = tf.image.resize(data.to_float(split.images), (45, 60)).numpy()
    return _saved(directory / "stretched.npz", images, split.labels)


def _folder(directory: Path) -> Path:
    """A folder of 2,000 digits as PNG files, one folder a class."""
    split = data.load(train_images=PICTURES).train
    root = directory / "pictures"
    for number, (image, label) in enumerate(zip(split.images, split.labels, strict=True)):
        path = root / str(label) / f"{number:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        array_to_img(image, scale=False).save(path)
    return root


def _saved(path: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    np.savez(path, images=np.rint(255 * images).astype("uint8"), labels=labels)
    return path


_SETS = dict(zip(EPOCHS, (_small_digits, _coloured, _odd_sides, _folder), strict=True))


if __name__ == "__main__":
    main()
