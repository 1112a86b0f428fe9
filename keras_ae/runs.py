"""The run directory: the one place that knows the names of its files."""

import contextlib
import csv
import io
import json
import shutil
import tempfile
from pathlib import Path

from keras_ae import __version__
from keras_ae.errors import BadRequest
from keras_ae.files import write_json, write_text
from keras_ae.recipes import Recipe

RUNS = Path("saved_models")


class Run:
    """A directory with everything that a training run leaves.

    Args:
        directory: Path of the run directory.
    """

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)
        self.config = self.directory / "config.json"
        self.history = self.directory / "history.csv"
        self.metrics = self.directory / "metrics.json"
        self.model = self.directory / "model.keras"
        self.encoder = self.directory / "encoder.keras"
        self.decoder = self.directory / "decoder.keras"
        self.loss_plot = self.directory / "loss.png"
        self.figures = self.directory / "figures"
        self.reconstruction_figures = self.figures / "reconstructions_epoch_{epoch:04d}.png"
        self.sample_figures = self.figures / "samples_epoch_{epoch:04d}.png"
        self.tensorboard = self.directory / "tensorboard"
        self.evaluation = self.directory / "evaluation"
        self.evaluation_metrics = self.evaluation / "metrics.json"
        self.evaluation_report = self.evaluation / "report.html"
        self.scores = self.evaluation / "scores.csv"

    def check_free(self, overwrite: bool) -> None:
        """Checks that a new run may be written here, and changes nothing.

        Args:
            overwrite: Whether an earlier run here may be replaced.

        Raises:
            BadRequest: If there is an earlier run and `overwrite` is false, something that is no
                run, or no permission to write.
        """
        directory = self.directory
        if directory.exists() and not directory.is_dir():
            raise BadRequest(f"expected a directory to save to, received the file {directory}")
        if directory.is_dir() and any(directory.iterdir()):
            if not self.config.is_file():
                raise BadRequest(
                    f"expected a new directory or an earlier run, received {directory}, "
                    "which holds other files"
                )
            if not overwrite:
                raise BadRequest(
                    f"expected a new directory, received {directory}, which holds a run: "
                    "choose another with --save-dir, or replace it with --overwrite"
                )
        existing = next(
            path for path in (directory, *directory.absolute().parents) if path.exists()
        )
        try:
            with tempfile.TemporaryFile(dir=existing):
                pass
        except OSError as error:
            raise BadRequest(
                f"expected a directory that can be written, received {directory}: {error.strerror}"
            ) from error

    def begin(self, config: dict) -> None:
        """Empties the directory, or makes it, and writes `config` to it."""
        if self.directory.is_dir():
            shutil.rmtree(self.directory)
        self.figures.mkdir(parents=True)
        files = {
            name: path.relative_to(self.directory).as_posix()
            for name, path in vars(self).items()
            if path not in (self.directory, self.config)
        }
        write_json(self.config, {**config, "files": files})

    def read_config(self) -> dict:
        """Returns the contents of `config.json`.

        Raises:
            BadRequest: If the directory holds no run.
        """
        with contextlib.suppress(OSError, json.JSONDecodeError):
            return json.loads(self.config.read_text(encoding="utf-8"))
        raise BadRequest(f"expected a run directory with a config.json, received {self.directory}")

    def read_recipe(self) -> Recipe:
        """Returns the recipe that was trained, overrides included.

        Raises:
            BadRequest: If the directory holds no run, or one of another version.
        """
        try:
            return Recipe(**self.read_config()["recipe"])
        except (KeyError, TypeError) as error:
            raise BadRequest(
                f"expected a recipe of this version of keras_ae in {self.config}, "
                f"received another: {error}"
            ) from error

    def read_trained(self) -> tuple[Recipe, dict]:
        """Returns what was trained, and the description of the dataset, of a finished run.

        Raises:
            BadRequest: If the directory holds no run, one of another version, or an unfinished one.
        """
        recipe, config = self.read_recipe(), self.read_config()
        trained_with = config.get("versions", {}).get("keras_ae", "an unknown version")
        # Versions with the same first two numbers read each other's runs.
        if trained_with.split(".")[:2] != __version__.split(".")[:2]:
            raise BadRequest(
                f"expected a run of keras_ae {__version__}, received {self.directory} "
                f"of {trained_with}"
            )
        if not self.model.is_file():
            raise BadRequest(
                f"expected a finished run, received {self.directory}, which has no "
                f"{self.model.name}"
            )
        return recipe, config["dataset"]

    def write_history(self, history: dict[str, list[float]]) -> None:
        """Writes `history.csv`: a column for each name, a row for each epoch."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["epoch", *history])
        for epoch, values in enumerate(zip(*history.values(), strict=True), start=1):
            writer.writerow([epoch, *values])
        write_text(self.history, text.getvalue())
