"""The stages of an evaluation, and its options: pure data, without TensorFlow."""

import dataclasses

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
        "the digit alone. Noisy pixels are clipped to [0, 1], the range of the images.",
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
        "Where the digits lie in the latent space. The model never saw a label.",
        ("seed",),
    ),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """What to evaluate, and how.

    Indices count the test images in TFDS' order, from 0.

    Attributes:
        only: Names of the stages to run; by default all.
        clean_idx: Test image that leads the figure of reconstructions.
        denoise_idx: Test image that leads the figure of denoised images.
        noise_std: Standard deviation of the Gaussian noise, before clipping to [0, 1].
        interp_idx1: Test image at the start of the interpolation.
        interp_idx2: Test image at its end.
        steps: Images of the interpolation, both ends included.
        percentile: Of the validation images' scores: the threshold of an anomaly.
        ood: TFDS name of another dataset, to be told from the run's own; `None` for none.
        ood_archives: Directory of that dataset's archives, see `data.load`.
        nll_samples: Importance samples for each image.
        nll_images: How many test images, from the first on, get importance samples.
        seed: Of noise, sampling, binarization and map.

    Raises:
        BadRequest: If a value is out of range.
    """

    only: tuple[str, ...] = tuple(STAGES)
    clean_idx: int = 0
    denoise_idx: int = 0
    noise_std: float = NOISE_STD
    interp_idx1: int = 12
    interp_idx2: int = 3456
    steps: int = 8
    percentile: float = PERCENTILE
    ood: str | None = None
    ood_archives: str | None = None
    nll_samples: int = 100
    nll_images: int = 1000
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
            ("nll_images", is_count(self.nll_images), "an integer below 2**31, at least 1"),
            ("seed", type(self.seed) is int and 0 <= self.seed < 2**31,
             "an integer of at least 0 and below 2**31"),
            ("ood", self.ood is None or is_dataset_name(self.ood),
             "name[/config][:version] of a TFDS dataset"),
        ):  # fmt: skip
            if not good:
                raise BadRequest(f"{name} must be {expected}, received {getattr(self, name)!r}")
        if self.interp_idx1 == self.interp_idx2:
            raise BadRequest(
                "interp_idx1 and interp_idx2 must be two different images, "
                f"received {self.interp_idx1} twice"
            )
        if self.ood_archives is not None and self.ood is None:
            raise BadRequest("ood_archives needs the name of the dataset: expected ood, too")

    def check_against(self, dataset: dict) -> None:
        """Checks what depends on the run: indices, numbers of images, the other dataset's name."""
        if self.ood is not None and plain_dataset(self.ood) == plain_dataset(dataset["name"]):
            raise BadRequest(f"ood must be another dataset than the run's own, received {self.ood}")
        test_images = dataset["test"]
        for name in ("clean_idx", "denoise_idx", "interp_idx1", "interp_idx2"):
            value = getattr(self, name)
            if type(value) is not int or not 0 <= value < test_images:
                raise BadRequest(
                    f"{name} must be the index of a test image, 0 to {test_images - 1}, "
                    f"received {value!r}"
                )
        if self.nll_images > test_images:
            raise BadRequest(
                f"nll_images must be at most {test_images}, the number of test images, "
                f"received {self.nll_images}"
            )
