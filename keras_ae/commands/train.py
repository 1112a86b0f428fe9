"""Trains a recipe: `python train.py` in a clone, `keras-ae-train` where it is installed."""

import argparse
import functools
import shlex
from collections.abc import Sequence

from keras_ae import checks, cluster
from keras_ae.commands import program
from keras_ae.errors import BadRequest
from keras_ae.recipe import COLORS, DEVICES, OPTIMIZERS, PRECISIONS, SCHEDULES, STRATEGIES
from keras_ae.recipes import DEFAULT_RECIPE, RECIPES
from keras_ae.runs import RUNS, Run

# How it is called, in words of a shell.
SCRIPT = ("python", "train.py")


def main(arguments: Sequence[str] | None = None, call: Sequence[str] = SCRIPT) -> int:
    """Runs `train.py`, or whatever `call` says, and returns its exit status."""
    train = functools.partial(_train, call=call)
    return program.run(_parser(call[-1]), train, arguments)


def console() -> int:
    """Runs `keras-ae-train` and returns its exit status."""
    return main(call=("keras-ae-train",))


def _parser(prog: str = SCRIPT[-1]) -> program.Parser:
    parser = program.Parser(
        prog=prog,
        description="Train an autoencoder on MNIST and write a run directory.",
        # A flag that is not given is absent: the recipe has its value.
        argument_default=argparse.SUPPRESS,
    )
    add = parser.add_argument
    add("recipe", nargs="?", metavar="RECIPE",
        help=f"name of a recipe, see --list (default: {DEFAULT_RECIPE})")  # fmt: skip
    add("--list", action="store_true", default=False, help="list the recipes and exit")
    add("--export-only", metavar="RUN",
        help="write the exports of a finished run anew, without training")  # fmt: skip

    model = parser.add_argument_group("model, where the recipe has it")
    add = model.add_argument
    add("-z", "--latent-dim", type=int, metavar="N", help="number of latent units")
    add("--activation", metavar="NAME", help="activation of the hidden layers")
    add("--code-activation", metavar="NAME", help="activation of the latents")
    add("--beta", type=float, metavar="X", help="weight of the KL divergence")

    training = parser.add_argument_group("training")
    add = training.add_argument
    add("-e", "--epochs", type=int, metavar="N", help="passes over the training images")
    add("-b", "--batch-size", type=int, metavar="N", help="images in a step")
    add("--optimizer", choices=OPTIMIZERS, help="what changes the weights")
    add("--learning-rate", type=float, metavar="X", help="learning rate, at its highest")
    add("--schedule", choices=SCHEDULES, help="how the learning rate changes")
    add("--train-noise-std", type=float, metavar="X", help="noise on the training inputs")
    add("--any-train-noise", action="store_true", help="noise of any strength up to that")
    add("--train-shift-std", type=float, metavar="X",
        help="pixels by which training images are moved")  # fmt: skip
    add("--jit-compile", action=argparse.BooleanOptionalAction,
        help="compile the training step with XLA, or not")  # fmt: skip
    add("--precision", choices=PRECISIONS, help="type in which the layers compute")
    add("--seed", type=int, metavar="N", help="seed of everything random")
    add("--device", choices=DEVICES, help="where to compute")
    add("--strategy", choices=STRATEGIES,
        help="mirrored: split each batch over all devices of this machine; multiworker: over all "
        "processes in TF_CONFIG")  # fmt: skip

    dataset = parser.add_argument_group("data")
    add = dataset.add_argument
    add("--dataset", metavar="NAME", help="TFDS name of a dataset whose images have one shape")
    add("--archives", metavar="DIR", help="directory of the dataset's archives")
    add("--images", metavar="PATH",
        help="pictures of your own: a folder of files, a .npz or a .npy")  # fmt: skip
    add("--image-size", type=_size, metavar="HEIGHTxWIDTH", help="resize these pictures")
    add("--color", choices=COLORS, help="convert these pictures")
    add("--train-images", type=int, metavar="N", help="use the first N training images only")
    add("--full-train", action="store_true", help="train on the validation images, too")

    output = parser.add_argument_group("output")
    add = output.add_argument
    add("-s", "--save-dir", dest="directory", metavar="DIR",
        help=f"run directory (default: {RUNS}/RECIPE)")  # fmt: skip
    add("-p", "--plot", metavar="FILE",
        help="plot of the loss, redrawn in training (default: in the run directory)")  # fmt: skip
    add("--figures-every", type=int, metavar="N", help="epochs between figures")
    add("--tensorboard", action="store_true", help="write TensorBoard logs")
    earlier = output.add_mutually_exclusive_group()
    add = earlier.add_argument
    add("--overwrite", action="store_true", default=False, help="replace an earlier run")
    add("--resume", action="store_true", default=False, help="resume an interrupted run")
    return parser


def _size(text: str) -> tuple[int, int]:
    height, width = text.split("x")
    return int(height), int(width)


_size.__name__ = "HEIGHTxWIDTH"  # So that argparse calls it in its errors.


def _train(options: dict, call: Sequence[str]) -> None:
    if options.pop("list"):
        print(_recipe_table())
        return
    if (directory := options.pop("export_only", None)) is not None:
        _export(Run(directory), options)
        return
    overwrite, resume = options.pop("overwrite"), options.pop("resume")
    name, directory = options.pop("recipe", None), options.pop("directory", None)
    run, recipe, settings = checks.training(name, directory, overwrite, resume, options)
    hint = f"resume with: {_resume_command(call, recipe.name, run)}"
    with program.quiet_tensorflow():
        from keras_ae.training import run as training
    if resume:
        summary = training.resume(run, images=settings["images"], resume_hint=hint)
    else:
        summary = training.train(recipe, run, overwrite=overwrite, resume_hint=hint, **settings)
    if settings.get("strategy") != "multiworker" or cluster.read().index == 0:
        print(_summary_lines(summary["test"], run))


def _export(run: Run, options: dict) -> None:
    images = options.pop("images", None)
    given = [name for name, value in options.items() if value]
    if given:
        raise BadRequest(
            "`export_only`: expected no other settings, since the run has its own; received "
            f"{', '.join(given)}"
        )
    run.read_trained()
    run.read_settings(images)
    run.check_open()
    with program.quiet_tensorflow():
        from keras_ae import export
    export.export_run(run, images=images)
    print(f"exported {run.directory}")


def _resume_command(call: Sequence[str], name: str, run: Run) -> str:
    command = [*call, name, "--resume"]
    if run.directory != RUNS / name:
        command += ["--save-dir", str(run.directory)]
    return shlex.join(command)


def _recipe_table() -> str:
    rows = [("recipe", "parameters", "source", "description")]
    rows += [
        (recipe.name, f"{recipe.parameters:,}", recipe.source, recipe.description)
        for recipe in RECIPES.values()
    ]
    return "\n".join(
        f"{name:20}{parameters:>12}  {source:8}{description}"
        for name, parameters, source, description in rows
    )


def _summary_lines(test: dict, run: Run) -> str:
    pca = ""
    if "pca_mse" in test:  # Large images do without it.
        pca = f"PCA with {test['latent_dim']} components {test['pca_mse']:.4f}, "
    lines = [
        f"test MSE per pixel {test['mse']:.4f}  ({pca}mean image {test['mean_image_mse']:.4f})",
        f"non-constant latent units {test['non_constant_units']} of {test['latent_dim']}",
    ]
    if "kl_loss" in test:
        lines.append(
            f"test negative ELBO {test['loss']:.2f} nats per image  "
            f"(reconstruction {test['reconstruction_loss']:.2f}, KL {test['kl_loss']:.2f})"
        )
    return "\n".join([*lines, f"saved to {run.directory}"])
