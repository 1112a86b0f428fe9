"""Writes the measured tables of README.md: `python -m benchmarks.readme`, from `results/`.

The other benchmarks leave their numbers there. `benchmarks.pretrained` fills its own parts.
"""

import json
import re
from pathlib import Path

from keras_ae.files import write_text
from studies.results import with_parts
from studies.tables import lines

README = Path(__file__).parents[1] / "README.md"
RESULTS = Path(__file__).parent / "results"


def _read(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))


def _training() -> str:
    rows = []
    for family, result in _read("training").items():
        speeds = {
            name: values["images_per_second"] for name, values in result["contenders"].items()
        }
        ours, peer = speeds["keras_ae"], max(speeds["pytorch"], speeds["torch.compile"])
        share = ours * result["flops_per_image"] / result["gemm_flops_per_second"]
        rows.append(
            [
                f"`{family}`",
                f"{result['batch_size']:,}",
                *(f"{speeds[name]:,.0f}" for name in speeds),
                f"{ours / peer:.2f}",
                f"{ours / speeds['keras_fit']:.2f}",
                f"{share:.0%}",
            ]
        )
    header = ["model", "batch", "keras_ae", "PyTorch eager", "torch.compile", "Keras `fit`"]
    return lines([*header, "to PyTorch", "to Keras", "of GEMM peak"], rows)


def _scaling() -> str:
    results = _read("training")
    sizes = [row["images"] for row in next(iter(results.values()))["scaling"]]
    rows = [
        [
            f"`{family}`",
            *(f"{row['microseconds_per_image']:.1f}" for row in result["scaling"]),
            *(f"{row['peak_memory_bytes'] / 2**20:,.0f}" for row in result["scaling"]),
        ]
        for family, result in results.items()
    ]
    columns = [f"{unit}, {size:,}" for unit in ("µs an image", "MiB") for size in sizes]
    return lines(["model", *columns], rows)


def _inference() -> str:
    results = _read("inference")
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
    return lines(["model", "operation", "batch", *names], rows)


def _startup() -> str:
    result = _read("startup")
    run = result["run"]
    rows = [[name, f"{seconds:.2f} s"] for name, seconds in result["seconds"].items()]
    rows.append(["`train.py mlp`, whole run after the imports", f"{run['seconds']:.1f} s"])
    rows += [
        [f"of it {label}", f"{seconds:.2f} s, {seconds / run['seconds']:.1%}"]
        for label, seconds in run["spent_seconds"].items()
    ]
    rows.append(["peak memory of it", f"{run['peak_memory_bytes'] / 2**20:,.0f} MiB"])
    return lines(["what", "measured"], rows)


def _machine() -> str:
    result = next(iter(_read("training").values()))
    versions = ", ".join(
        f"{label} {result[key]}"
        for key, label in (("tensorflow", "TensorFlow"), ("keras", "Keras"), ("torch", "PyTorch"))
    )
    cpu = re.sub(r"\s+", " ", result["cpu"])
    return f"Measured on {result['cores']} cores of an {cpu}, with {versions}.\n"


def filled(readme: str) -> str:
    """Returns the README's text with the tables of the benchmarks written anew."""
    parts = {
        "machine": _machine(),
        "training": _training(),
        "scaling": _scaling(),
        "inference": _inference(),
        "startup": _startup(),
    }
    return with_parts(readme, parts, "python -m benchmarks.readme")


if __name__ == "__main__":
    write_text(README, filled(README.read_text("utf-8")))
