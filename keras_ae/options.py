"""The stages of an evaluation, and its options: pure data, without TensorFlow."""

import dataclasses
import re
from pathlib import Path

from keras_ae.errors import BadRequest, check_known
from keras_ae.recipe import is_count, is_dataset_name, is_number, plain_dataset

# Standard deviations of the noise: that of source 003, and those that are compared.
NOISE_STD = 0.2
NOISE_SWEEP = (0.1, 0.2, 0.3, 0.4, 0.5)
# One image in a hundred of those that the model was meant for counts as an anomaly.
PERCENTILE = 99.0


@dataclasses.dataclass(frozen=True)
class Stage:
    """One part of an evaluation. `evaluation/stages` has a module of its name."""

    title: str
    introduction: str  # What it is about, for somebody who sees such a report first.
    options: tuple[str, ...] = ()  # Fields of `Options` that it depends on.


STAGES: dict[str, Stage] = {
    "history": Stage("Training", "How the loss fell while the model was trained."),
    "reconstruct": Stage(
        "Reconstruction",
        "Each test image is encoded into a few numbers, its latents, and decoded again. How near "
        "is the reconstruction to the original?",
        ("clean_idx",),
    ),
    "denoise": Stage(
        "Denoising",
        "Gaussian noise is added to the test images. Latents that are too few for noise may keep "
        "what is shown alone. Noisy pixels are clipped to [0, 1], the range of the images.",
        ("denoise_idx", "noise_std", "seed"),
    ),
    "interpolate": Stage(
        "Interpolation",
        "Latents between those of two test images, decoded.",
        ("interp_idx1", "interp_idx2", "steps"),
    ),
    "anomaly": Stage(
        "Anomaly detection",
        "An image that is badly reconstructed is unlike the images of training. Its score is the "
        "higher, the worse it fits.",
        ("percentile", "ood"),
    ),
    "generate": Stage(
        "Generation", "Latents drawn at random and decoded into new images.", ("seed",)
    ),
    "elbo": Stage(
        "Variational bound",
        "What a variational autoencoder optimizes: the evidence lower bound (ELBO) on the "
        "logarithm of an image's probability, split into reconstruction and Kullback-Leibler "
        "(KL) divergence.",
        ("nll_samples", "nll_images", "seed"),
    ),
    "latent": Stage(
        "Latent map",
        "Where the test images lie in the latent space. The model never saw a label.",
        ("seed",),
    ),
}


# Where the test split has as many images. `Options.resolved` says what holds for others.
TEST_IMAGES = {"interp_idx1": 12, "interp_idx2": 3456, "nll_images": 1000}


def is_path(value: str) -> bool:
    """Returns whether `ood` means own pictures, and not the TFDS name of a dataset.

    A path is what exists, what begins with a dot, a slash or a tilde, and what ends with a suffix.
    """
    try:
        found = Path(value).exists()
    except OSError:  # No file can have such a name.
        found = False
    return found or re.search(r"^[./~]|\.[A-Za-z]\w*$", value) is not None


@dataclasses.dataclass(frozen=True)
class Options:
    """What to evaluate, and how.

    Indices count the test images from 0.

    Attributes:
        images: Path of the run's own pictures, if they have moved since training.
        score: Path of new pictures. They are scored, and no stage is run.
        only: Names of the stages to run; by default all.
        clean_idx: Test image that leads the figure of reconstructions.
        denoise_idx: Test image that leads the figure of denoised images.
        noise_std: Standard deviation of the Gaussian noise, before clipping to [0, 1].
        interp_idx1: Test image at the start of the interpolation; `None` for number 12, or the
            first where there are too few.
        interp_idx2: Test image at its end; `None` for number 3456, or the last.
        steps: Images of the interpolation, both ends included.
        percentile: Of the validation images' scores: the threshold of an anomaly.
        ood: TFDS name of another dataset, or a path of pictures, see `is_path`, to be told from the
            run's own; `None` for none.
        ood_archives: Directory of that dataset's archives, see `data.load`.
        nll_samples: Importance samples for each image.
        nll_images: How many test images, from the first on, get importance samples; `None` for
            1,000, or all if there are fewer.
        seed: Of noise, sampling, binarization and map.

    Raises:
        BadRequest: If a value is out of range.
    """

    images: str | None = None
    score: str | None = None
    only: tuple[str, ...] = tuple(STAGES)
    clean_idx: int = 0
    denoise_idx: int = 0
    noise_std: float = NOISE_STD
    interp_idx1: int | None = None
    interp_idx2: int | None = None
    steps: int = 8
    percentile: float = PERCENTILE
    ood: str | None = None
    ood_archives: str | None = None
    nll_samples: int = 100
    nll_images: int | None = None
    seed: int = 0

    def __post_init__(self):
        for name in self.only:
            check_known("stage", name, STAGES, "some of")
        noise, percentile = self.noise_std, self.percentile
        for name, good, expected in (
            ("noise_std", is_number(noise) and noise > 0, "a finite number above zero"),
            ("steps", is_count(self.steps) and 2 <= self.steps <= 50, "an integer from 2 to 50"),
            ("percentile", is_number(percentile, 100) and percentile > 0,
             "a number between 0 and 100"),
            ("nll_samples", is_count(self.nll_samples), "an integer below 2**31, at least 1"),
            ("nll_images", self.nll_images is None or is_count(self.nll_images),
             "an integer below 2**31, at least 1"),
            ("seed", type(self.seed) is int and 0 <= self.seed < 2**31,
             "an integer of at least 0 and below 2**31"),
            *((name, path is None or (isinstance(path, str) and path != ""), "a path")
              for name, path in (("images", self.images), ("score", self.score))),
            ("ood", self.ood is None or is_dataset_name(self.ood)
             or (isinstance(self.ood, str) and is_path(self.ood)),
             "name[/config][:version] of a TFDS dataset, or a path of pictures"),
        ):  # fmt: skip
            if not good:
                raise BadRequest(f"{name} must be {expected}, received {getattr(self, name)!r}")
        if self.ood_archives is not None and (self.ood is None or is_path(self.ood)):
            raise BadRequest(
                "`ood_archives` needs the name of the dataset: expected it as `ood`, received "
                f"{self.ood}"
            )
        if self.score is not None:
            for field in dataclasses.fields(self):
                value = getattr(self, field.name)
                if field.name not in ("images", "score", "percentile") and value != field.default:
                    raise BadRequest(
                        "`score` runs no stage: expected no option of theirs but `percentile`, "
                        f"received {field.name} {value!r}"
                    )

    def resolved(self, dataset: dict) -> "Options":
        """Returns the options with all that is `None` by default, for a run.

        Args:
            dataset: Description of the run's dataset in its `config.json`.

        Raises:
            BadRequest: If an index, a number of images or the other dataset is not for this run.
        """
        if self.score is not None:
            return self  # No stage is run.
        own = None if dataset.get("images") else plain_dataset(dataset["name"])
        if self.ood is not None and not is_path(self.ood) and plain_dataset(self.ood) == own:
            raise BadRequest(f"ood must be another dataset than the run's own, received {self.ood}")
        test_images = dataset["test"]
        first, last = TEST_IMAGES["interp_idx1"], test_images - 1
        defaults = {
            "interp_idx1": first if first < last else 0,
            "interp_idx2": min(TEST_IMAGES["interp_idx2"], last),
            "nll_images": min(TEST_IMAGES["nll_images"], test_images),
        }
        missing = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        options = dataclasses.replace(self, **missing)
        for name in ("clean_idx", "denoise_idx", "interp_idx1", "interp_idx2"):
            value = getattr(options, name)
            if type(value) is not int or not 0 <= value < test_images:
                raise BadRequest(
                    f"{name} must be the index of a test image, 0 to {test_images - 1}, "
                    f"received {value!r}"
                )
        if options.nll_images > test_images:
            raise BadRequest(
                f"nll_images must be at most {test_images}, the number of test images, "
                f"received {self.nll_images}"
            )
        if options.interp_idx1 == options.interp_idx2 and test_images > 1:
            raise BadRequest(
                "interp_idx1 and interp_idx2 must be two different images, "
                f"received {options.interp_idx1} twice"
            )
        return options
