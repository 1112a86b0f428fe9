"""The run directory: the one place that knows the names of its files."""

import contextlib
import csv
import fcntl
import hashlib
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from keras_ae import files, recipes
from keras_ae.errors import BadRequest
from keras_ae.options import STAGES
from keras_ae.recipe import SETTINGS, Recipe, check_names, check_source, check_values

RUNS = Path("saved_models")
# Shipped models lie inside an installed package, and beside it in a checkout.
_PRETRAINED = (
    Path(__file__).parent / "pretrained",
    Path(__file__).parents[1] / RUNS / "pretrained",
)

# Of all figures; it names their format, too.
FIGURE_SUFFIX = ".png"
# Versions of the package, by their first two numbers, whose runs this one reads.
READABLE_VERSIONS = ("0.1", "0.2", "0.3")

# What a run writes into its directories, by their names; names of directories end with a slash.
_SHARDS = r"(index|data-\d{5}-of-\d{5})"
_FIGURE = re.escape(FIGURE_SUFFIX)
_CONTENTS = {
    "figures": rf"(reconstructions|samples)_epoch_\d{{4,}}{_FIGURE}",
    "evaluation": rf"metrics\.json|report\.html|score[sd]\.csv|scored_worst{_FIGURE}|"
    rf"({'|'.join(STAGES)})_\w+{_FIGURE}",
    "backup": rf"epoch_\d{{6,}}_step_\d{{9,}}/(state\.{_SHARDS})?",
    "saved_model": rf"(saved_model|fingerprint)\.pb|assets/|variables/(variables\.{_SHARDS})?",
    "tensorboard": r"(train|validation)/(events\.out\.tfevents\.[^/]+)?",
}
# What has to be known of the dataset, by name, with the types in JSON.
_DATASET = {"name": str, "checksum": str, "archives": str | None, "test": int}
# What version 0.3 added, with the value that holds for the runs of earlier versions.
_ADDED = {"image_shape": [28, 28, 1], "images": None, "image_size": None, "color": None}
# In `config.json` while `overwrite` removes what an earlier run left.
_REPLACES = "replaces_an_earlier_run"


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
        self.scored = self.evaluation / "scored.csv"
        self.scored_worst = self.evaluation / f"scored_worst{FIGURE_SUFFIX}"
        # These two are there while a run is not finished.
        self.checkpoints = self.directory / "backup"
        self.lock = self.directory / "lock"

    def check_free(self, overwrite: bool) -> None:
        """Checks that a new run may be written here; `overwrite` lets it replace an earlier one."""
        files.check_writable(self.directory)
        self._check_place()
        self._check_vacant(overwrite)
        self.check_open()

    def check_open(self) -> None:
        """Checks that this process may write here: nobody else does, and no name is in its way."""
        files.check_writable(self.directory)
        with files.refusing("a run directory", self.directory):
            for path in _entries(self.directory):
                for mark, kind, fits in (
                    ("", "file", path.is_file),
                    ("/", "directory", path.is_dir),
                ):
                    if self._writes(path, mark) and not fits():
                        raise BadRequest(f"expected a {kind} or nothing, received {path}")
            if files.exists(self.lock):
                with self._open_lock("r") as file:
                    self._claim(file, fcntl.LOCK_SH)

    def _check_place(self) -> None:
        with files.refusing("a run directory", self.directory):
            place = Path(os.path.realpath(self.directory))
            below = (path for level in ("*", "*/*") for path in place.glob(f"{level}/config.json"))
            other = (
                next((root for root in _shipped() if root.is_relative_to(place)), None)
                or owner_of(place)
                or next((path.parent for path in below if Run(path.parent).is_run()), None)
            )
        if other is not None:
            raise BadRequest(
                "expected a directory apart from other runs, shipped models and the package, "
                f"received {self.directory}, which lies in {other}, or around it"
            )

    def _check_vacant(self, overwrite: bool) -> None:
        is_run = self.is_run()
        plot = self.read_config()["settings"].get("plot") if is_run else None
        with files.refusing("a run directory", self.directory):
            entries = [path for path in _entries(self.directory) if not _leads_to(path, plot)]
            foreign = [path for path in entries if not self._writes(path)]
        if not is_run:
            foreign += [path for path in entries if files.target(path) == path != self.lock]
            if foreign:
                raise BadRequest(
                    f"expected a new directory or an earlier run, received {self.directory}, "
                    f"which holds other files, such as {foreign[0].relative_to(self.directory)}"
                )
        elif not overwrite:
            kind, way = "a run", "choose another with `directory`"
            if not self._is_finished():
                kind, way = "an unfinished run", "continue it with `resume`"
            raise BadRequest(
                f"expected a new directory, received {self.directory}, which holds {kind}: "
                f"{way}, or replace it with `overwrite`"
            )
        elif foreign:
            raise BadRequest(
                f"`overwrite`: expected a run and nothing else in {self.directory}, received "
                f"{foreign[0].relative_to(self.directory)}, which no run writes"
            )

    def _writes(self, path: Path, mark: str | None = None) -> bool:
        """Returns whether a run writes a file or directory of this name, and nobody else.

        `mark` is a slash for a directory, and empty for a file; by default as `path` is. Links are
        never a run's.
        """
        if mark is None:
            mark = "@" if path.is_symlink() else "/" if path.is_dir() else ""
        name = files.target(path).relative_to(self.directory).as_posix() + mark
        folder, _, rest = name.partition("/")
        if folder in _CONTENTS:
            return name == f"{folder}/" or re.fullmatch(_CONTENTS[folder], rest) is not None
        return self.directory / name in vars(self).values() and not mark

    def _open_lock(self, mode: str) -> io.TextIOWrapper:
        with contextlib.ExitStack() as opened, files.refusing("a lock of a run", self.lock):
            file = opened.enter_context(open(self.lock, mode, opener=files.no_link))
            file.seek(0)
            if not re.fullmatch(r"(\d+\n)?", file.read(99)):
                raise ValueError("it holds something else")
            opened.pop_all()
            return file

    def _claim(self, file: io.TextIOWrapper, kind: int) -> None:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise BadRequest(
                f"expected a directory that nobody trains in, received {self.directory}, "
                f"which process {file.read().strip()} is writing to"
            ) from error
        if kind == fcntl.LOCK_EX and os.fstat(file.fileno()).st_nlink == 0:
            # Its holder removed the file between our opening and locking it.
            raise BadRequest(f"another process has just finished in {self.directory}: try again")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other writers out of the directory, which is made if need be.

        The operating system takes the lock back when the process ends, in whatever way. Then the
        next one also clears up what was left half written or half removed.
        """
        with files.refusing("a directory that can be written", self.directory):
            files.make_directory(self.directory)
        with self._open_lock("a+") as file:
            self._claim(file, fcntl.LOCK_EX)
            try:
                file.truncate(0)
                print(os.getpid(), file=file, flush=True)
                files.clear_up(self.directory, self._writes)
                if self.is_run() and (config := self.read_config()).pop(_REPLACES, False):
                    self._replace_with(config)
                yield
            finally:
                self.lock.unlink(missing_ok=True)

    def begin(self, config: dict, overwrite: bool) -> None:
        """Empties the directory, if it may, and writes `config` to it. Call it under the lock."""
        self._check_vacant(overwrite)
        listed = {
            name: path.relative_to(self.directory).as_posix()
            for name, path in vars(self).items()
            if path not in (self.directory, self.config, self.checkpoints, self.lock)
        }
        config = {**config, "files": listed}
        if self.is_run():
            # From here on the earlier one is gone, whatever is left of it: `locked` clears up.
            files.write_json(self.config, {**config, _REPLACES: True})
        self._replace_with(config)

    def _replace_with(self, config: dict) -> None:
        for path in reversed(list(_entries(self.directory))):
            if path in (self.lock, self.config) or not self._writes(path):
                continue
            if path.is_dir() and files.target(path) == path:
                with contextlib.suppress(OSError):  # Somebody has put something into it.
                    path.rmdir()
            else:
                files.remove(path)
        files.write_json(self.config, config)

    def is_run(self) -> bool:
        """Returns whether there is a `config.json` that a run wrote, of whatever version."""
        try:
            return bool(self.read_config())
        except BadRequest:
            return False

    def _is_finished(self) -> bool:
        being_replaced = _REPLACES in self.read_config()
        return self.metrics.is_file() and not self.checkpoints.is_dir() and not being_replaced

    def check_resumable(self) -> None:
        """Checks that an unfinished run lies here that this process may resume."""
        self.read_recipe()
        self.read_settings()
        if self._is_finished():
            raise BadRequest(
                f"expected an unfinished run, received {self.directory}, which is finished"
            )
        self._check_place()
        self.check_open()

    def check_same(self, config: dict) -> None:
        """Checks that the run began with the dataset of `config`; other versions get a warning.

        The new place of own pictures that have moved is written down.
        """
        began = self.read_config()
        self.check_dataset(config["dataset"])
        if began["dataset"].get("images") != config["dataset"]["images"]:
            for part in ("settings", "dataset"):
                began[part]["images"] = config["dataset"]["images"]
            files.write_json(self.config, began)
        if began.get("versions") != config["versions"]:
            print(
                f"warning: the run in {self.directory} began with other versions of the packages; "
                "it may not end as it would have without interruption",
                file=sys.stderr,
            )

    def check_dataset(self, received: dict) -> None:
        """Checks that a dataset, as `Dataset.describe` does it, is the one of the run."""
        began = self.read_config()["dataset"]
        began = {**_ADDED, "classes": received["classes"], **began}
        names = ["checksum", "image_shape", "classes", "train", "validation", "test"]
        if began["images"] is None:  # Own pictures may have moved.
            names.append("name")
        for name in names:
            if began.get(name) != received[name]:
                raise BadRequest(
                    f"expected the dataset that the run in {self.directory} began with, "
                    f"{began.get('name')}: expected {name} {began.get(name)}, "
                    f"received {received[name]}"
                )

    def read_config(self) -> dict:
        """Returns the contents of `config.json`."""
        with files.refusing("a run directory that can be read", self.directory):
            if not self.config.is_file():
                raise BadRequest(
                    f"expected a run directory with a config.json, received {self.directory}"
                )
            content = self.config.read_bytes()
        try:
            config = json.loads(content.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"expected JSON in {self.config}, received: {error}") from error
        for name in ("recipe", "settings", "dataset"):
            if not isinstance(config, dict) or not isinstance(config.get(name), dict):
                raise BadRequest(f"expected a JSON object {name!r} in {self.config}, received none")
        return config

    def fingerprint(self) -> str:
        """Returns what tells this run from others: a digest of its recipe and its dataset."""
        config = self.read_config()
        told = json.dumps([config["recipe"], config["dataset"].get("checksum")], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()

    def check_whole(self) -> None:
        """Checks that there is a model, and that it is not one which is being replaced."""
        if not self.model.is_file() or _REPLACES in self.read_config():
            raise BadRequest(
                f"expected a finished run, received {self.directory}, which has no "
                f"{self.model.name} of its own"
            )

    def read_recipe(self) -> Recipe:
        """Returns the recipe that was trained, overrides included."""
        try:
            return recipes.from_config(self.read_config()["recipe"])
        except BadRequest as error:
            raise BadRequest(f"in {self.config}: {error}") from error

    def read_settings(self, images: str | Path | None = None) -> dict:
        """Returns how the recipe was trained: the values by the names in `SETTINGS`.

        `images` is the place of own pictures that have moved.
        """
        config = self.read_config()
        settings = {**SETTINGS, **config["settings"]}
        try:
            check_names(settings, SETTINGS)
            check_values(settings)
            check_source(config["recipe"].get("dataset"), settings)
        except BadRequest as error:
            raise BadRequest(f"in {self.config}: {error}") from error
        if images is not None:
            if settings["images"] is None:
                raise BadRequest(
                    f"`images`: expected none, since the run in {self.directory} has those of "
                    f"{config['recipe']['dataset']}, received {images}"
                )
            settings["images"] = str(Path(images).absolute())
        return settings

    def read_trained(self) -> tuple[Recipe, dict]:
        """Returns the recipe of a trained run, and the description of its dataset."""
        recipe, config = self.read_recipe(), self.read_config()
        versions, dataset = config.get("versions"), {**_ADDED, **config["dataset"]}
        trained_with = versions.get("keras_ae") if isinstance(versions, dict) else None
        if ".".join(str(trained_with).split(".")[:2]) not in READABLE_VERSIONS:
            raise BadRequest(
                f"expected a run of keras_ae {' or '.join(READABLE_VERSIONS)} in {self.directory}, "
                f"received one of {trained_with or 'an unknown version'}"
            )
        for name, kind in _DATASET.items():
            if not isinstance(dataset.get(name), kind) or isinstance(dataset.get(name), bool):
                raise BadRequest(
                    f"in {self.config}: expected the dataset's name, checksum, archives and "
                    f"number of test images, received {name} {dataset.get(name)!r}"
                )
        self.check_whole()
        return recipe, dataset

    def write_history(self, history: dict[str, list[float]]) -> None:
        """Writes `history.csv`: a column for each name, a row for each epoch."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["epoch", *history])
        for epoch, values in enumerate(zip(*history.values(), strict=True), start=1):
            writer.writerow([epoch, *values])
        files.write_text(self.history, text.getvalue())


def owner_of(path: str | Path) -> Path | None:
    """Returns the run, or the directory of shipped models or of the package, that a path is in."""
    parents = Path(os.path.realpath(path)).parents
    return next((one for one in parents if one in _shipped() or Run(one).is_run()), None)


def _shipped() -> list[Path]:
    return [root.resolve() for root in (*_PRETRAINED, Path(__file__).parent)]


def _entries(directory: Path) -> Iterator[Path]:
    """Yields all that lies in a directory, at any depth: each path before what it holds."""
    for path in sorted(directory.iterdir()) if directory.exists() else ():
        yield path
        # A draft belongs to its target, with all that it holds.
        if path.is_dir() and not path.is_symlink() and files.target(path) == path:
            yield from _entries(path)


def _leads_to(path: Path, plot: str | None) -> bool:
    # Where it lies is the user's choice, so that it is let be.
    return isinstance(plot, str) and Path(plot).is_relative_to(path.absolute())


def pretrained() -> dict[str, Run]:
    """Returns the shipped models by name; only `model` and `card` are certain to be there."""
    directories = (path for root in _PRETRAINED for path in sorted(root.glob("[!.]*")))  # No draft.
    return {path.name: Run(path) for path in directories if Run(path).model.is_file()}
