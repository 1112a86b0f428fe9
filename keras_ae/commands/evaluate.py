"""Evaluates a trained run: `python evaluate.py`, or `keras-ae-evaluate` where it is installed."""

import argparse
import contextlib
import io
import sys
from collections.abc import Sequence

from keras_ae.commands import program
from keras_ae.errors import BadRequest
from keras_ae.files import check_images
from keras_ae.options import STAGES, TEST_IMAGES, Options, is_path
from keras_ae.recipe import DEVICES
from keras_ae.runs import Run

SCRIPT = "evaluate.py"


def main(arguments: Sequence[str] | None = None, prog: str = SCRIPT) -> int:
    """Runs `evaluate.py`, or what `prog` calls it, and returns its exit status."""
    return program.run(_parser(prog), _evaluate, arguments)


def console() -> int:
    """Runs `keras-ae-evaluate` and returns its exit status."""
    return main(prog="keras-ae-evaluate")


def _parser(prog: str = SCRIPT) -> program.Parser:
    parser = program.Parser(
        prog=prog,
        description="Measure a trained autoencoder on test images, and write figures, numbers and "
        "a report to RUN/evaluation. Model, data and their settings come from the run itself.",
        epilog="Indices count the images of the test split, from 0. Stages: "
        + "; ".join(f"{name}, {stage.title.lower()}" for name, stage in STAGES.items())
        + ". With --only, the other stages of an earlier evaluation stay as they are.",
        argument_default=argparse.SUPPRESS,
    )

    def number(add, flag: str, kind: type, help: str) -> None:
        name = flag.lstrip("-").replace("-", "_")
        default = getattr(Options, name)
        if default is None:
            default = f"{TEST_IMAGES[name]}, less for few test images"
        metavar = "N" if kind is int else "X"
        add(flag, type=kind, metavar=metavar, help=f"{help} (default: {default})")

    add = parser.add_argument
    add("run", nargs="?", default=None, metavar="RUN", help="directory of a finished run")
    add("-l", "--load", default=None, metavar="RUN", help="the same, as a flag")
    add("-z", "--latent-dim", type=int, default=None, metavar="N",
        help="latent units that the run must have")  # fmt: skip
    add("--only", type=lambda names: tuple(names.split(",")), metavar="STAGE,STAGE",
        help="run these stages only (default: all)")  # fmt: skip
    add("--score", metavar="PATH",
        help="score pictures (a folder, .npz, .npy or picture) and run no stage")  # fmt: skip
    add("--device", choices=DEVICES, help="where to compute")
    number(add, "--seed", int, "seed of noise, samples, binarization and map")

    add = parser.add_argument_group("images").add_argument
    add("--images", metavar="PATH", help="the run's own pictures, if they have moved")
    number(add, "--clean-idx", int, "test image that leads the reconstructions")
    number(add, "--denoise-idx", int, "test image that leads the denoised images")
    number(add, "--noise-std", float, "standard deviation of the noise, before clipping to [0, 1]")
    number(add, "--interp-idx1", int, "test image at the start of the interpolation")
    number(add, "--interp-idx2", int, "test image at its end")
    number(add, "--steps", int, "images of the interpolation, both ends included")

    add = parser.add_argument_group("anomalies").add_argument
    number(add, "--percentile", float, "percentile of the validation scores for the threshold")
    add("--ood", metavar="NAME_OR_PATH",
        help="TFDS name of another dataset, or pictures, to tell from the run's own")  # fmt: skip
    add("--ood-archives", metavar="DIR", help="directory of that dataset's archives")

    add = parser.add_argument_group("likelihood of variational autoencoders").add_argument
    number(add, "--nll-samples", int, "importance samples for each image")
    number(add, "--nll-images", int, "how many test images get them, from the first on")
    return parser


def _evaluate(options: dict) -> None:
    device, latent_dim = options.pop("device", "auto"), options.pop("latent_dim")
    named = {options.pop(name) for name in ("run", "load")} - {None}
    if len(named) != 1:
        received = " and ".join(sorted(named)) or "none"
        raise BadRequest(f"expected one run directory, received {received}")
    chosen = Options(**options)
    run = Run(named.pop())
    # All that can be refused without TensorFlow is refused at once.
    recipe, dataset = run.read_trained()
    chosen.resolved(dataset)
    run.read_settings(chosen.images)
    ood = None if chosen.ood is None or not is_path(chosen.ood) else chosen.ood
    for argument, path in (("images", chosen.images), ("score", chosen.score), ("ood", ood)):
        if path is not None:
            check_images(path, argument)
    # Where latents are a map, the images say how many there are.
    trained_dim = recipe.arguments.get("latent_dim", "no number of")
    if latent_dim not in (None, trained_dim):
        raise BadRequest(
            f"`latent_dim` contradicts the run: expected {trained_dim} latent units, "
            f"received {latent_dim}"
        )

    with program.quiet_tensorflow():
        from keras_ae.evaluation import evaluate, report, scoring
        from keras_ae.training import devices
    devices.use_device(device)
    if chosen.score is not None:
        # Programs read the scores, so that they are alone on stdout.
        with contextlib.redirect_stdout(io.StringIO()) as notes:
            content = evaluate.evaluate(run, chosen)
        print("\n".join(map("\t".join, scoring.rows(content))))
        notes = f"{notes.getvalue()}{scoring.remark(content)}\nsaved to {run.scored}"
        print(notes, file=sys.stderr)
        return
    content = evaluate.evaluate(run, chosen)
    print(report.text(content, chosen.only))
    print(f"saved to {run.evaluation_report}")
