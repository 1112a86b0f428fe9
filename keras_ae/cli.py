"""Command lines: flags become a recipe with overrides. TensorFlow is imported last."""

import argparse
import errno
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from keras_ae import recipes, results, revision, studies, trials
from keras_ae.errors import BadRequest, Interrupted, RunFailed
from keras_ae.files import check_writable, write_text
from keras_ae.quiet import quiet_tensorflow
from keras_ae.recipes import RECIPES, Recipe
from keras_ae.runs import RUNS, SETTINGS, Run, StudyFiles
from keras_ae.settings import STAGES, Settings
from keras_ae.studies import STUDIES
from keras_ae.study import Study


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
    if (directory := options.pop("export_only", None)) is not None:
        _check_alone("--export-only", "the run has its own", options)
        _export(Run(directory))
        return
    if (name := options.pop("study", None)) is not None:
        keep_runs = options.pop("keep_runs", False)
        _check_alone("--study", "the study has its own", options)
        _train_study(studies.get(name), keep_runs)
        return
    overwrite, resume = options.pop("overwrite"), options.pop("resume")
    name = options.pop("recipe", None)
    run = Run(options.pop("save_dir", RUNS / (name or recipes.DEFAULT_RECIPE)))
    if resume:
        run.check_resumable()
        _check_same(run, {**options, **({"name": name} if name else {})})
        training = _import_training()
        summary = training.resume(run)
    else:
        settings = {key: options.pop(key) for key in SETTINGS if key in options}
        recipe = recipes.get(name or recipes.DEFAULT_RECIPE).override(**options)
        run.check_free(overwrite)
        training = _import_training()
        summary = training.train(recipe, run, overwrite=overwrite, **settings)
    print(_summary_lines(summary["test"], run))


def _check_alone(flag: str, reason: str, options: dict) -> None:
    given = [name for name, value in options.items() if value not in (False, None)]
    if given:
        raise BadRequest(
            f"{flag}: expected no other settings, {reason}; received {', '.join(given)}"
        )


def _train_study(study: Study, keep_runs: bool) -> None:
    files = StudyFiles(study.name)
    check_writable(files.directory)
    if study.missing(files.read()):
        revision.clean_commit()
        waiting = trials.train(study, files, keep_runs)
        if waiting:
            print(f"other processes are still at {', '.join(trial.name for trial in waiting)}")
            return
    print(
        f"all {len(study.trials)} trials of {study.name} are measured in {files.measurements}; "
        f"table and figure: python evaluate.py --study {study.name}"
    )


def _check_same(run: Run, options: dict) -> None:
    recipe = run.read_recipe()
    began = {**vars(recipe), **recipe.arguments, **run.read_settings()}
    for name, value in options.items():
        if name in ("archives", "plot"):
            value = str(Path(value).absolute())
        if name not in began or began[name] != value:
            raise BadRequest(
                f"--resume goes on with the run in {run.directory} as it began: expected {name} "
                f"{began.get(name)!r} or no word of it, received {value!r}"
            )


def _export(run: Run) -> None:
    run.read_recipe()
    with quiet_tensorflow():
        from keras_ae import export
    export.export_run(run)
    print(f"exported {run.directory}")


def evaluate(arguments: Sequence[str] | None = None) -> int:
    """Runs `evaluate.py` and returns its exit status."""
    return _report("evaluate.py", lambda: _evaluate(arguments))


def _evaluate(arguments: Sequence[str] | None) -> None:
    options = vars(_evaluate_parser().parse_args(arguments))
    if options.pop("results"):
        _check_alone("--results", "it reads what was measured", options)
        verdicts = results.write()
        print(f"saved {results.RESULTS} with {len(verdicts)} verdicts")
        return
    if (name := options.pop("study")) is not None:
        _check_alone("--study", "it reads what was measured", options)
        _evaluate_study(studies.get(name))
        return
    device, latent_dim = options.pop("device", "auto"), options.pop("latent_dim")
    named = {options.pop(name) for name in ("run", "load")} - {None}
    if len(named) != 1:
        received = " and ".join(sorted(named)) or "none"
        raise BadRequest(f"expected one run directory, received {received}")
    settings = Settings(**options)
    run = Run(named.pop())
    # All that can be refused without TensorFlow is refused at once.
    recipe, dataset = run.read_trained()
    settings.check_against(dataset)
    trained_dim = recipe.arguments["latent_dim"]
    if latent_dim not in (None, trained_dim):
        raise BadRequest(
            f"-z contradicts the run: expected {trained_dim} latent units, received {latent_dim}"
        )

    with quiet_tensorflow():
        from keras_ae import devices, evaluation, report
    devices.use_device(device)
    content = evaluation.evaluate(run, settings)
    print(report.text(content, settings.only))
    print(f"saved to {run.evaluation_report}")


def _evaluate_study(study: Study) -> None:
    # matplotlib comes with them.
    from keras_ae import figures, study_figures, study_tables

    files = StudyFiles(study.name)
    check_writable(files.directory)
    measurements = files.read()
    if len(study.missing(measurements)) == len(study.trials):
        raise BadRequest(
            f"expected measurements of the study in {files.measurements}, received none: "
            f"python train.py --study {study.name}"
        )
    write_text(files.table, study_tables.markdown(study, measurements))
    write_text(files.rows, study_tables.rows_csv(study, measurements))
    figures.save(study_figures.draw(study, measurements), files.figure)
    if missing := study_tables.missing_by_arm(study, measurements):
        print(f"not measured yet: {missing}")
    print(f"saved {files.table}, {files.rows} and {files.figure}")


def _import_training():
    with quiet_tensorflow():
        from keras_ae import training

    return training


# What a machine can refuse to do whatever the program is: a full disk, missing permissions.
_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM,
            errno.EIO, errno.EMFILE, errno.ENOMEM)  # fmt: skip


def _report(program: str, command: Callable[[], None]) -> int:
    try:
        command()
    except BadRequest as error:
        message, status = error, 2
    except Interrupted as error:
        message, status = error, 128 + error.signal_number
    except RunFailed as error:
        message, status = error, 1
    except KeyboardInterrupt:
        message, status = "stopped by SIGINT", 128 + signal.SIGINT
    except OSError as error:
        if error.errno not in _MACHINE:
            raise
        message, status = error, 1
    else:
        return 0
    print(f"{program}: {message}", file=sys.stderr)
    return status


def _train_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="train.py",
        description="Train an autoencoder on MNIST and write a run directory.",
        # A flag that is not given is absent: the recipe has its value.
        argument_default=argparse.SUPPRESS,
    )
    add = parser.add_argument
    add("recipe", nargs="?", metavar="RECIPE",
        help=f"name of a recipe, see --list (default: {recipes.DEFAULT_RECIPE})")  # fmt: skip
    add("--list", action="store_true", default=False, help="list the recipes and exit")
    add("--export-only", metavar="RUN",
        help="write the exports of a finished run anew, without training")  # fmt: skip

    add("--study", metavar="NAME",
        help=f"train what a study still lacks, one of {', '.join(STUDIES)}")  # fmt: skip
    add("--keep-runs", action="store_true", help="keep the runs of a study when they are measured")

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
    add("--schedule", choices=recipes.SCHEDULES, help="what becomes of the learning rate")
    add("--train-noise-std", type=float, metavar="X", help="noise on the training inputs")
    add("--jit-compile", action=argparse.BooleanOptionalAction,
        help="compile the training step with XLA, or not")  # fmt: skip
    add("--precision", choices=recipes.PRECISIONS, help="type in which the layers compute")
    add("--seed", type=int, metavar="N", help="seed of everything random")
    add("--device", choices=recipes.DEVICES, help="where to compute")
    add("--strategy", choices=recipes.STRATEGIES,
        help="mirrored: split each batch over all devices of this machine")  # fmt: skip

    dataset = parser.add_argument_group("data")
    add = dataset.add_argument
    add("--dataset", metavar="NAME", help="TFDS name of 28x28 grey images")
    add("--archives", metavar="DIR", help="directory of the dataset's archives")
    add("--train-images", type=int, metavar="N", help="use the first N training images only")
    add("--full-train", action="store_true", help="train on the validation images, too")

    output = parser.add_argument_group("output")
    add = output.add_argument
    add("-s", "--save-dir", metavar="DIR",
        help=f"run directory (default: {RUNS}/RECIPE)")  # fmt: skip
    add("-p", "--plot", metavar="FILE",
        help="plot of the loss, redrawn during training (default: DIR/loss.png)")  # fmt: skip
    add("--figures-every", type=int, metavar="N", help="epochs between figures")
    add("--tensorboard", action="store_true", help="write TensorBoard logs")
    earlier = output.add_mutually_exclusive_group()
    add = earlier.add_argument
    add("--overwrite", action="store_true", default=False, help="replace an earlier run")
    add("--resume", action="store_true", default=False, help="go on with an interrupted run")
    return parser


def _evaluate_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="evaluate.py",
        description="Measure a trained autoencoder on test images, and write figures, numbers and "
        "a report to RUN/evaluation. Model, data and their settings come from the run itself.",
        epilog="Indices count the images of the test split in the order of TFDS, from 0. Stages: "
        + "; ".join(f"{name}, {stage.title.lower()}" for name, stage in STAGES.items())
        + ". With --only, the other stages of an earlier evaluation stay as they are.",
        argument_default=argparse.SUPPRESS,
    )

    def number(add, flag: str, kind: type, help: str) -> None:
        default = getattr(Settings, flag.lstrip("-").replace("-", "_"))
        metavar = "N" if kind is int else "X"
        add(flag, type=kind, metavar=metavar, help=f"{help} (default: {default})")

    add = parser.add_argument
    add("run", nargs="?", default=None, metavar="RUN", help="directory of a finished run")
    add("-l", "--load", default=None, metavar="RUN", help="the same, as a flag")
    add("--study", default=None, metavar="NAME",
        help=f"write table and figure of a study, one of {', '.join(STUDIES)}")  # fmt: skip
    add("--results", action="store_true", default=False,
        help=f"write the measured parts of {results.RESULTS} anew, with the verdicts")  # fmt: skip
    add("-z", "--latent-dim", type=int, default=None, metavar="N",
        help="latent units that the run must have")  # fmt: skip
    add("--only", type=lambda names: tuple(names.split(",")), metavar="STAGE,STAGE",
        help="run these stages only (default: all)")  # fmt: skip
    add("--device", choices=recipes.DEVICES, help="where to compute")
    number(add, "--seed", int, "seed of noise, samples, binarization and map")

    add = parser.add_argument_group("images").add_argument
    number(add, "--clean-idx", int, "test image that leads the reconstructions")
    number(add, "--denoise-idx", int, "test image that leads the denoised images")
    number(add, "--noise-std", float, "standard deviation of the noise, before clipping to [0, 1]")
    number(add, "--interp-idx1", int, "test image at the start of the interpolation")
    number(add, "--interp-idx2", int, "test image at its end")
    number(add, "--steps", int, "images of the interpolation, both ends included")

    add = parser.add_argument_group("anomalies").add_argument
    number(add, "--percentile", float, "percentile of the validation scores for the threshold")
    add("--ood", metavar="NAME", help="TFDS name of another dataset to tell from the run's own")
    add("--ood-archives", metavar="DIR", help="directory of that dataset's archives")

    add = parser.add_argument_group("likelihood of variational autoencoders").add_argument
    number(add, "--nll-samples", int, "importance samples for each image")
    number(add, "--nll-images", int, "how many test images get them, from the first on")
    return parser


def _recipe_table() -> str:
    def line(name: str, parameters: str, source: str, description: str) -> str:
        return f"{name:20}{parameters:>12}  {source:8}{description}"

    def row(recipe: Recipe) -> str:
        return line(recipe.name, f"{recipe.parameters:,}", recipe.source, recipe.description)

    return "\n".join(
        [
            line("recipe", "parameters", "source", "description"),
            *map(row, RECIPES.values()),
            "",
            f"{'study':20}{'trainings':>12}  question",
            *(
                f"{study.name:20}{len(study.trials):>12}  {study.question}"
                for study in STUDIES.values()
            ),
        ]
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
