"""Writes the tables of the benchmarks: `python -m benchmarks.tables`, from `results/`.

The other benchmarks leave their numbers there, in a directory for each processor. The tables go
into the README.md of this folder, and a sentence on the time of training into that of the project.
"""

import json
import re
import statistics
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from keras_ae.files import write_text
from keras_ae.runs import FIGURE_SUFFIX
from studies.pages import markdown_table, with_parts

COMMAND = "python -m benchmarks.tables"
RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).with_name("README.md")
PROJECT_PAGE = Path(__file__).parents[1] / "README.md"
# The processor whose times the project's page has.
SHOWN = "amd-epyc-2-cores"
# Of MNIST, without the validation images.
TRAIN_IMAGES = 55_000
# Ends the name of a contender in training that has no other.
ONE_THREAD = ", one thread"


def processor_directory(environment: dict) -> Path:
    """Returns where the results from the machine that `measuring.environment` describes lie."""
    words = f"{environment['cpu']} {environment['cores']} cores"
    return RESULTS / re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def filled(page: str) -> str:
    """Returns the text of the benchmarks' page with its tables written anew."""
    parts = {
        "training": _by_processor("training", _training, picture=f"training{FIGURE_SUFFIX}"),
        "inference": _by_processor("inference", _inference),
        "startup": _by_processor("startup", _startup),
        "variants": _by_processor("variants", _variants),
        "shapes": _by_processor("shapes", _shapes),
        "bounds": _by_processor("bounds", bounds),
        "growth": _by_processor("growth", growth),
    }
    return with_parts(page, parts, COMMAND)


def filled_project_page(page: str) -> str:
    """Returns the text of the project's page with its sentence on the time of training."""
    return with_parts(page, {"times": _times()}, COMMAND)


def _by_processor(name: str, table: Callable[[dict], str], picture: str = "") -> str:
    """Returns a table for each processor that has results of this name, each under its own line.

    Args:
        name: Which results.
        table: From the results to a table.
        picture: File among the results to show below the table, if any.
    """
    parts = []
    for path in sorted(RESULTS.glob(f"*/{name}.json")):
        results = json.loads(path.read_text("utf-8"))
        if not (text := table(results)):
            continue
        parts += [_environment(results), text]
        if picture and path.with_name(picture).exists():
            file = path.with_name(picture).relative_to(PAGE.parent).as_posix()
            parts.append(f"![Training speed of every model]({file})")
    return "\n\n".join(parts)


def _environment(results: dict) -> str:
    # By family, or one for all.
    environment = results if "cpu" in results else next(iter(results.values()))
    # Results without a version of the package are from its first one.
    version = environment.get("keras_ae", "0.1.0")
    if "commit" in environment:
        version += f" at {environment['commit']}"
    packages = [f"keras_ae {version}"] + [
        f"{title} {environment[name]}"
        for title, name in (("TensorFlow", "tensorflow"), ("Keras", "keras"), ("PyTorch", "torch"))
        if name in environment
    ]
    return f"{_processor(environment)}; {', '.join(packages)}:"


def _processor(environment: dict) -> str:
    return f"{environment['cores']} cores of an {' '.join(environment['cpu'].split())}"


def _training(results: dict) -> str:
    rows = []
    for family, result in results.items():
        speeds = images_per_second(result)
        ours, peer = speeds["keras_ae"], fastest_peer(result)
        # Of some results the printed share is all that was kept.
        share = result["contenders"]["keras_ae"].get("share_of_gemm_peak")
        if share is None:
            share = ours * result["flops_per_image"] / result["gemm_flops_per_second"]
        rows.append(
            [
                f"`{family}`",
                f"{result['batch_size']:,}",
                *(f"{speed:,.0f}" for speed in speeds.values()),
                f"{ours / peer:.2f}",
                f"{ours / speeds['keras_fit']:.2f}",
                f"{share:.0%}",
            ]
        )
    header = ["model", "batch", "keras_ae", "PyTorch eager", "torch.compile", "Keras `fit`"]
    return markdown_table([*header, "to PyTorch", "to Keras", "of GEMM peak"], rows)


def images_per_second(result: dict) -> dict[str, float]:
    """Returns the speeds of a family's contenders in training.

    PyTorch's is that with one thread or with all, whichever is faster.
    """
    speeds = {}
    for name, row in result["contenders"].items():
        name = name.removesuffix(ONE_THREAD)
        speeds[name] = max(row["images_per_second"], speeds.get(name, 0.0))
    return speeds


def fastest_peer(result: dict) -> float:
    """Returns the images per second of the faster PyTorch, eager or compiled."""
    speeds = images_per_second(result)
    return max(speeds["pytorch"], speeds["torch.compile"])


def bounds(results: dict) -> str:
    """Returns the table of what `benchmarks.bounds` has measured."""
    rows = []
    for family, result in results.items():
        bound, parts = parts_of_step(result)
        step = sum(parts.values())
        rows.append(
            [
                f"`{family}`",
                f"{result['batch_size'] / bound:,.0f}",
                f"{result['batch_size'] / step:,.0f}",
                f"{bound / step:.0%}",
                f"{1e3 * step:.2f}",
                *(f"{seconds / step:.0%}" for seconds in parts.values()),
                f"{_per_step(result, 'input') / step:.0%}",
            ]
        )
    header = ["model", "bound", "keras_ae", "of the bound", "ms a step", *parts, "input alone"]
    return markdown_table(header, rows)


def parts_of_step(result: dict) -> tuple[float, dict[str, float]]:
    """Returns the bound of a step, and what its parts take, which add up to a step, in seconds."""
    bound = sum(row["count"] * row["seconds"] for row in result["operations"])
    names = ("epoch", "step", "gradients", "dispatch")
    epoch, step, gradients, dispatch = (_per_step(result, name) for name in names)
    return bound, {
        "products": bound,
        "other operations": gradients - dispatch - bound,
        "optimizer": step - gradients,
        "input": epoch - step,
        "dispatch": dispatch,
    }


def _per_step(result: dict, kind: str) -> float:
    epoch = statistics.median(result["epoch_seconds"][kind])
    return epoch * result["batch_size"] / result["images"]


def growth(results: dict) -> str:
    """Returns the table of what `benchmarks.growth` has measured, and lines through its memory."""
    rows, lines = [], []
    for family, result in results.items():
        for row in result["rows"]:
            seconds = statistics.median(row["epoch_seconds"])
            rows.append(
                [
                    f"`{family}`",
                    "x".join(map(str, row["shape"])),
                    f"{row['images']:,}",
                    f"{1e6 * seconds / row['images']:.1f}",
                    f"{row['image_bytes'] / 2**20:,.0f}",
                    f"{row['peak_memory_bytes'] / 2**20:,.0f}",
                ]
            )
        if len(result["rows"]) > 1:
            copies, fixed = memory_line(result["rows"])
            lines.append(
                f"`{family}`: {fixed / 2**20:,.0f} MiB + {copies:.2f} x the bytes of the images"
            )
    header = ["model", "shape", "images", "µs an image", "MiB of images", "peak MiB"]
    table = markdown_table(header, rows)
    return f"{table}\n\nPeak memory, fitted: {'; '.join(lines)}." if lines else table


def memory_line(rows: Sequence[dict]) -> tuple[float, float]:
    """Returns how peak memory grows with the images' bytes, and what it is without any."""
    sizes, peaks = ([row[key] for row in rows] for key in ("image_bytes", "peak_memory_bytes"))
    return statistics.linear_regression(sizes, peaks)


def _variants(results: dict) -> str:
    names = list(next(iter(results.values()))["variants"])
    rows = [
        [
            f"`{family}`",
            *(f"{result['variants'][name]['images_per_second']:,.0f}" for name in names),
        ]
        for family, result in results.items()
    ]
    return markdown_table(["model", *names], rows)


def _inference(results: dict) -> str:
    names = list(next(iter(results.values()))["rows"][0]["seconds"])
    rows = [
        [f"`{family}`", row["operation"], f"{row['batch']:,}"]
        + [
            "" if seconds is None else f"{1e6 * seconds / row['batch']:,.1f}"
            for seconds in row["seconds"].values()
        ]
        for family, result in results.items()
        for row in result["rows"]
        if row["operation"] == "reconstruct"
    ]
    return markdown_table(["model", "operation", "batch", *names], rows)


def _shapes(results: dict) -> str:
    rows = [
        [
            name,
            f"`{recipe}`",
            f"{row['latent_dim']}",
            *(f"{row[measure]:.5f}" for measure in ("mse", "pca_mse", "mean_image_mse")),
            f"{row['epochs']}",
            f"{row['seconds']:.0f} s",
            f"{row['evaluation_seconds']:.0f} s",
        ]
        for name, result in results.items()
        for recipe, row in result["rows"].items()
    ]
    header = ["images", "recipe", "latents", "test MSE", "PCA", "mean image", "epochs"]
    return markdown_table([*header, "`train.py`", "`evaluate.py`"], rows)


def _startup(result: dict) -> str:
    run = result["run"]
    rows = [[name, f"{seconds:.2f} s"] for name, seconds in result["seconds"].items()]
    rows.append(["`train.py mlp`, whole run after the imports", f"{run['seconds']:.1f} s"])
    rows += [
        [f"of it {label}", f"{seconds:.2f} s, {seconds / run['seconds']:.1%}"]
        for label, seconds in run["spent_seconds"].items()
    ]
    rows.append(["peak memory of it", f"{run['peak_memory_bytes'] / 2**20:,.0f} MiB"])
    rows += [
        [f"`evaluate.py` of it, {name}", f"{seconds:.1f} s, {peak / 2**20:,.0f} MiB at the peak"]
        for name, (seconds, peak) in result.get("evaluation", {}).items()
    ]
    return markdown_table(["what", "measured"], rows)


def _times() -> str:
    training, startup = (
        json.loads((RESULTS / SHOWN / f"{name}.json").read_text("utf-8"))
        for name in ("training", "startup")
    )
    seconds = {
        family: TRAIN_IMAGES / images_per_second(result)["keras_ae"]
        for family, result in training.items()
    }
    epochs = ", ".join(
        f"{seconds[family]:.1f} s for `{family}`" for family in sorted(seconds, key=seconds.get)
    )
    return textwrap.fill(
        f"On {_processor(startup)} an epoch takes {epochs}. A whole run of `mlp` takes "
        f"{startup['run']['seconds']:.0f} s after the imports, with its exports and measurements.",
        width=105,
        break_on_hyphens=False,
    )


def main() -> None:
    """Writes the tables into both pages."""
    for path, fill in ((PAGE, filled), (PROJECT_PAGE, filled_project_page)):
        write_text(path, fill(path.read_text("utf-8")))


if __name__ == "__main__":
    main()
