"""The run directory: the one place that knows the names of its files."""

import contextlib
import csv
import fcntl
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from keras_ae import files, recipes
from keras_ae.errors import BadRequest
from keras_ae.recipe import Recipe, check_names, check_values

RUNS = Path("saved_models")
# Shipped models lie inside an installed package, and beside it in a checkout.
_PRETRAINED = (
    Path(__file__).parent / "pretrained",
    Path(__file__).parents[1] / RUNS / "pretrained",
)

# Of all figures; it names their format, too.
FIGURE_SUFFIX = ".png"
# Versions of the package, by their first two numbers, whose runs this one reads.
READABLE_VERSIONS = ("0.1", "0.2")

# How a recipe is trained, by name, with the value that holds where nothing is asked for.
SETTINGS = {
    "archives": None,
    "plot": None,
    "tensorboard": False,
    "device": "auto",
    "strategy": "single",
}


class Run:
    """A directory with everything that a training run leaves."""

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)
        self.config = self.directory / "config.json"
        self.history = self.directory / "history.csv"
        self.metrics = self.directory / "metrics.json"
        self.model = self.directory / "model.keras"
        self.encoder = self.directory / "encoder.keras"
        self.decoder = self.directory / "decoder.keras"
        self.saved_model = self.directory / "saved_model"
        self.litert = self.directory / "model.tflite"
        self.litert_quantized = self.directory / "model_dynamic_range.tflite"
        self.export = self.directory / "export.json"
        self.card = self.directory / "README.md"
        self.loss_plot = self.directory / f"loss{FIGURE_SUFFIX}"
        self.figures = self.directory / "figures"
        epoch = f"_epoch_{{epoch:04d}}{FIGURE_SUFFIX}"
        self.reconstruction_figures = self.figures / f"reconstructions{epoch}"
        self.sample_figures = self.figures / f"samples{epoch}"
        self.tensorboard = self.directory / "tensorboard"
        self.evaluation = self.directory / "evaluation"
        self.evaluation_metrics = self.evaluation / "metrics.json"
        self.evaluation_report = self.evaluation / "report.html"
        self.scores = self.evaluation / "scores.csv"
        # These two are there while a run is not finished.
        self.checkpoints = self.directory / "backup"
        self.lock = self.directory / "lock"

    def check_free(self, overwrite: bool) -> None:
        """Checks that a new run may be written here; `overwrite` lets it replace an earlier one."""
        files.check_writable(self.directory)
        self._check_vacant(overwrite)
        self._check_unlocked()

    def _check_vacant(self, overwrite: bool) -> None:
        directory = self.directory
        if not directory.is_dir() or not any(
            path != self.lock and not files.is_unfinished(path) for path in directory.iterdir()
        ):
            return
        if not self.config.is_file():
            raise BadRequest(
                f"expected a new directory or an earlier run, received {directory}, "
                "which holds other files"
            )
        if not overwrite:
            kind, way = "a run", "choose another with `save_dir`"
            if not self.metrics.is_file():
                kind, way = "an unfinished run", "continue it with `resume`"
            raise BadRequest(
                f"expected a new directory, received {directory}, which holds {kind}: "
                f"{way}, or replace it with `overwrite`"
            )

    def _check_unlocked(self) -> None:
        with contextlib.suppress(FileNotFoundError), self.lock.open() as file:
            self._claim(file, fcntl.LOCK_SH)

    def _claim(self, file, kind: int) -> None:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadRequest(
                f"expected a directory that nobody trains in, received {self.directory}, "
                f"which process {self.lock.read_text().strip()} is writing to"
            ) from error
        if kind == fcntl.LOCK_EX and os.fstat(file.fileno()).st_nlink == 0:
            # Its holder removed the file between our opening and locking it.
            raise BadRequest(f"another process has just finished in {self.directory}: try again")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other trainers out of the directory, which is made if need be.

        The operating system takes the lock back when the process ends, in whatever way. Then the
        next one also clears up what was left half written.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.lock.open("a+") as file:
            self._claim(file, fcntl.LOCK_EX)
            file.truncate(0)
            print(os.getpid(), file=file, flush=True)
            files.clear_up(self.directory)
            try:
                yield
            finally:
                self.lock.unlink(missing_ok=True)

    def begin(self, config: dict, overwrite: bool) -> None:
        """Empties the directory, if it may, and writes `config` to it. Call it under the lock."""
        self._check_vacant(overwrite)
        for path in self.directory.iterdir():
            # The earlier `config.json` stays up to the end: it tells that this is a run's place.
            if path not in (self.lock, self.config):
                files.remove(path)
        listed = {
            name: path.relative_to(self.directory).as_posix()
            for name, path in vars(self).items()
            if path not in (self.directory, self.config, self.checkpoints, self.lock)
        }
        files.write_json(self.config, {**config, "files": listed})

    def check_resumable(self) -> None:
        """Checks that an unfinished run lies here that this process may resume."""
        self.read_recipe()
        self.read_settings()
        if self.metrics.is_file() and not self.checkpoints.is_dir():
            raise BadRequest(
                f"expected an unfinished run, received {self.directory}, which is finished"
            )
        files.check_writable(self.directory)
        self._check_unlocked()

    def check_same(self, config: dict) -> None:
        """Checks that the run began with the dataset of `config`; other versions get a warning."""
        began = self.read_config()
        if began["dataset"] != config["dataset"]:
            raise BadRequest(
                f"expected the dataset that the run in {self.directory} began with, "
                f"{began['dataset']}, received {config['dataset']}"
            )
        if began.get("versions") != config["versions"]:
            print(
                f"warning: the run in {self.directory} began with other versions of the packages; "
                "it may not end as it would have without interruption",
                file=sys.stderr,
            )

    def read_config(self) -> dict:
        """Returns the contents of `config.json`."""
        if not self.config.is_file():
            raise BadRequest(
                f"expected a run directory with a config.json, received {self.directory}"
            )
        try:
            config = json.loads(self.config.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"expected JSON in {self.config}, received: {error}") from error
        for name in ("recipe", "settings", "dataset"):
            if not isinstance(config, dict) or not isinstance(config.get(name), dict):
                raise BadRequest(f"expected a JSON object {name!r} in {self.config}, received none")
        return config

    def read_recipe(self) -> Recipe:
        """Returns the recipe that was trained, overrides included."""
        try:
            return recipes.from_config(self.read_config()["recipe"])
        except BadRequest as error:
            raise BadRequest(f"in {self.config}: {error}") from error

    def read_settings(self) -> dict:
        """Returns how the recipe was trained: the values by the names in `SETTINGS`."""
        settings = self.read_config()["settings"]
        try:
            check_names(settings, SETTINGS)
            check_values(settings)
        except BadRequest as error:
            raise BadRequest(f"in {self.config}: {error}") from error
        return settings

    def read_trained(self) -> tuple[Recipe, dict]:
        """Returns the recipe of a trained run, and the description of its dataset."""
        recipe, config = self.read_recipe(), self.read_config()
        versions, dataset = config.get("versions"), config["dataset"]
        trained_with = versions.get("keras_ae") if isinstance(versions, dict) else None
        if ".".join(str(trained_with).split(".")[:2]) not in READABLE_VERSIONS:
            raise BadRequest(
                f"expected a run of keras_ae {' or '.join(READABLE_VERSIONS)} in {self.directory}, "
                f"received one of {trained_with or 'an unknown version'}"
            )
        if type(dataset.get("test")) is not int or "checksum" not in dataset:
            raise BadRequest(
                f"expected the dataset's number of test images and its checksum in {self.config}, "
                f"received {dataset}"
            )
        if not self.model.is_file():
            raise BadRequest(
                f"expected a finished run, received {self.directory}, which has no "
                f"{self.model.name}"
            )
        return recipe, dataset

    def write_history(self, history: dict[str, list[float]]) -> None:
        """Writes `history.csv`: a column for each name, a row for each epoch."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["epoch", *history])
        for epoch, values in enumerate(zip(*history.values(), strict=True), start=1):
            writer.writerow([epoch, *values])
        files.write_text(self.history, text.getvalue())


def pretrained() -> dict[str, Run]:
    """Returns the shipped models by name; only `model` and `card` are certain to be there."""
    directories = (path for root in _PRETRAINED if root.is_dir() for path in sorted(root.iterdir()))
    return {path.name: Run(path) for path in directories if Run(path).model.is_file()}
