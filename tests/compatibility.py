"""Tries other versions of Python, TensorFlow and Keras: `python -m tests.compatibility`.

Makes a fresh environment for each, with the oldest and the newest versions that `pyproject.toml`
admits, installs the wheel into it, and there:

- trains with `keras-ae-train`, exports included, and measures the run with `keras-ae-evaluate`,
- runs the tests of the contract: models, files of trained models, exports.

Each environment takes about two gigabytes, and needs a package index. Where there is no interpreter
of a version, its environment is skipped. Interpreters are found as `python3.12`, or named with
`--python`.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).parents[1]
# Versions of Python, and what they are tried with beyond what pip chooses, which is the newest.
ENVIRONMENTS = {
    "oldest": (
        "3.11",
        (
            "tensorflow==2.16.1",
            "keras==3.8.0",
            "numpy==1.26.4",
            "matplotlib==3.8.4",
            "scipy==1.11.4",
            "scikit-learn==1.4.2",
        ),
    ),
    "old TensorFlow, newest Keras": ("3.11", ("tensorflow==2.16.1",)),
    "newest": ("3.11", ()),
    "newest, Python 3.12": ("3.12", ()),
    "newest, Python 3.13": ("3.13", ()),
}
CONTRACT = ("tests/test_models.py", "tests/test_export.py", "tests/test_loading.py")
TEST_PACKAGES = ("ai-edge-litert", "hypothesis>=6", "pytest>=8", "pytest-xdist>=3", "scikit-image")


def main() -> int:
    """Tries all environments and returns how many failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.compatibility", description=__doc__)
    parser.add_argument("--directory", type=Path, help="where to make the environments")
    parser.add_argument("--only", choices=ENVIRONMENTS, action="append", help="one of them")
    parser.add_argument("--python", type=Path, action="append", default=[], metavar="FILE",
        help="an interpreter that is not on the path")  # fmt: skip
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as temporary:
        _run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", temporary, PROJECT)
        (wheel,) = Path(temporary).glob("*.whl")
        for name in options.only or ENVIRONMENTS:
            version, pins = ENVIRONMENTS[name]
            interpreter = _interpreter(version, options.python)
            if interpreter is None:
                results[name] = f"skipped: no Python {version}"
                continue
            directory = Path(options.directory or temporary).absolute() / name.replace(" ", "_")
            try:
                results[name] = f"passed with {_try(interpreter, pins, wheel, directory)}"
            except subprocess.CalledProcessError as error:
                results[name] = f"FAILED: {' '.join(map(str, error.cmd))}"
            shutil.rmtree(directory / "environment", ignore_errors=True)
    for name, result in results.items():
        print(f"{name}: {result}")
    return sum("FAILED" in result for result in results.values())


def _interpreter(version: str, named: list[Path]) -> Path | None:
    found = shutil.which(f"python{version}")
    for path in [*named, *([found] if found else [])]:
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([path, "-c", code], capture_output=True, text=True)
        if done.stdout.strip() == version:
            return path
    return None


def _try(interpreter: Path, pins: tuple[str, ...], wheel: Path, directory: Path) -> str:
    """Returns the versions that the contract holds with."""
    _run(interpreter, "-m", "venv", "--clear", directory / "environment")
    bin = directory / "environment" / "bin"
    _run(bin / "pip", "install", "-q", wheel, *pins, *TEST_PACKAGES)
    small = ("--train-images", "500", "-e", "1", "--overwrite", "-s", "run")
    _run(bin / "keras-ae-train", "vae-fast", *small, cwd=directory)
    stages = "reconstruct,anomaly,interpolate"
    _run(bin / "keras-ae-evaluate", "run", "--only", stages, cwd=directory)
    # Each in a process of its own; warnings of other versions are none of ours.
    options = ("-n0", "-q", "-p", "no:cacheprovider", "-W", "default")
    for tests in CONTRACT:
        _run(bin / "python", "-m", "pytest", *options, tests, cwd=PROJECT)
    listed = subprocess.run(
        [bin / "pip", "list", "--format=freeze"], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    names = ("tensorflow", "keras", "numpy", "scipy", "scikit-learn", "matplotlib", "protobuf")
    return ", ".join(line for line in listed if line.split("==")[0] in names)


def _run(*command, **options) -> None:
    print("$", *command, flush=True)
    subprocess.run(list(map(str, command)), check=True, **options)


if __name__ == "__main__":
    sys.exit(main())
