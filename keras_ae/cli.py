"""Command lines: flags become a recipe with overrides. TensorFlow is imported last."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from keras_ae import recipes
from keras_ae.errors import BadRequest, RunFailed
from keras_ae.recipes import RECIPES, Recipe
from keras_ae.runs import RUNS, Run


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise BadRequest(message)


def train(arguments: Sequence[str] | None = None) -> int:
    """Runs `train.py` and returns its exit status."""
    return _report("train.py", lambda: _train(arguments))


def _train(arguments: Sequence[str] | None) -> None:
    options = vars(_train_parser().parse_args(arguments))
    if options.pop("list"):
        print(_recipe_table())
        return
    settings = {
        name: options.pop(name)
        for name in ("save_dir", "plot", "device", "archives", "overwrite", "tensorboard")
    }
    recipe = recipes.get(options.pop("recipe")).override(**options)
    run = Run(settings["save_dir"] or RUNS / recipe.name)
    run.check_free(settings["overwrite"])

    training = _import_training()
    training.use_device(settings["device"])
    summary = training.train(
        recipe,
        run,
        archives=settings["archives"],
        overwrite=settings["overwrite"],
        plot=settings["plot"],
        tensorboard=settings["tensorboard"],
    )
    print(_summary_lines(summary["test"], run))


def _import_training():
    # Only what matters of TensorFlow's start-up messages.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from keras_ae import training

    return training


def _report(program: str, command: Callable[[], None]) -> int:
    try:
        command()
    except BadRequest as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except RunFailed as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 1
    return 0


def _train_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="train.py",
        description="Train an autoencoder on MNIST and write a run directory.",
        # A flag that is not given is absent: the recipe has its value.
        argument_default=argparse.SUPPRESS,
    )
    add = parser.add_argument
    add("recipe", nargs="?", default=recipes.DEFAULT_RECIPE, metavar="RECIPE",
        help="name of a recipe, see --list (default: %(default)s)")  # fmt: skip
    add("--list", action="store_true", default=False, help="list the recipes and exit")

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
    add("--learning-rate", type=float, metavar="X", help="learning rate of Adam")
    add("--train-noise-std", type=float, metavar="X", help="noise on the training inputs")
    add("--jit-compile", action=argparse.BooleanOptionalAction,
        help="compile the training step with XLA, or not")  # fmt: skip
    add("--precision", choices=recipes.PRECISIONS, help="type in which the layers compute")
    add("--seed", type=int, metavar="N", help="seed of everything random")
    add("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute")

    dataset = parser.add_argument_group("data")
    add = dataset.add_argument
    add("--dataset", metavar="NAME", help="TFDS name of 28x28 grey images")
    add("--archives", metavar="DIR", default=None, help="directory of the dataset's archives")
    add("--train-images", type=int, metavar="N", help="use the first N training images only")
    add("--full-train", action="store_true", help="train on the validation images, too")

    output = parser.add_argument_group("output")
    add = output.add_argument
    add("-s", "--save-dir", metavar="DIR", default=None,
        help=f"run directory (default: {RUNS}/RECIPE)")  # fmt: skip
    add("-p", "--plot", metavar="FILE", default=None,
        help="plot of the loss, redrawn during training (default: DIR/loss.png)")  # fmt: skip
    add("--figures-every", type=int, metavar="N", help="epochs between figures")
    add("--overwrite", action="store_true", default=False, help="replace an earlier run")
    add("--tensorboard", action="store_true", default=False, help="write TensorBoard logs")
    return parser


def _recipe_table() -> str:
    def line(name: str, parameters: str, source: str, description: str) -> str:
        return f"{name:20}{parameters:>12}  {source:8}{description}"

    def row(recipe: Recipe) -> str:
        return line(recipe.name, f"{recipe.parameters:,}", recipe.source, recipe.description)

    return "\n".join(
        [line("recipe", "parameters", "source", "description"), *map(row, RECIPES.values())]
    )


def _summary_lines(test: dict, run: Run) -> str:
    lines = [
        f"test MSE per pixel {test['mse']:.4f}  "
        f"(PCA with {test['latent_dim']} components {test['pca_mse']:.4f}, "
        f"mean image {test['mean_image_mse']:.4f})",
        f"live code units {test['live_units']} of {test['latent_dim']}",
    ]
    if "kl_loss" in test:
        lines.append(
            f"test negative ELBO {test['loss']:.2f} nats per image  "
            f"(reconstruction {test['reconstruction_loss']:.2f}, KL {test['kl_loss']:.2f})"
        )
    return "\n".join([*lines, f"saved to {run.directory}"])
