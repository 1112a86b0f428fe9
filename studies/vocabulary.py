"""The words of all studies: what is measured, under which conditions, and of which rows.

A measure, condition or row that is not declared here is an error wherever it is used.
"""

import dataclasses
import statistics
from collections.abc import Mapping

from keras_ae.errors import BadRequest, check_known
from keras_ae.options import NOISE_SWEEP

MODEL = "model"
# A value, or values by condition, by measure, by row. A row is the model or a reference.
Numbers = dict[str, dict[str, float | dict[str, float]]]

# How many test images get a negative log-likelihood: it takes longer than all else that is measured
# of a variational model.
NLL_IMAGES = 500
# Images that are out of distribution, made from the test images.
OUTLIERS = ("inverted", "upside_down", "shuffled", "noise", "blank")
# The functions in `keras_ae.evaluation.scores` that are compared; `measures` checks the names.
ANOMALY_SCORES = (
    "model_score",
    "pca_error",
    "reconstruction_probability",
    "relative_error",
    "rapp_sap",
    "rapp_nap",
    "latent_mahalanobis",
    "pixel_angle",
    "latent_angle",
    "hidden_angle",
    "blurred_angle",
    "detail_angle",
    "angle_and_error",
)
# Those that one digit is told from the others by best, with and without a model.
ANGLE_SCORES = ("model_score", "blurred_angle", "pixel_angle", "detail_angle", "angle_and_error")


def _by_split(heading: str) -> dict[str, str]:
    return {
        "": heading,
        "validation": f"{heading}, validation",
        "train": f"{heading}, training images",
    }


# Heading of a column by condition, by measure. No condition, "", is the test split.
MEASURES: dict[str, dict[str, str]] = {
    measure: {"": headings} if isinstance(headings, str) else headings
    for measure, headings in {
        # Of `summary`.
        "mse": {"": "test MSE", "validation": "validation MSE", "train": "train MSE"},
        "loss": _by_split("negative ELBO"),
        "reconstruction_loss": _by_split("BCE"),
        "kl_loss": _by_split("KL"),
        "latent_dim": _by_split("latent dimension"),
        "non_constant_units": _by_split("non-constant latent units"),
        "parameters": "parameters",
        # Of `curves`.
        "instability": {"validation": "instability, validation", "train": "instability, training"},
        "epochs_to_settle": {"": "settled at epoch", "reconstruction": "reconstruction settled"},
        "epochs_to_level": "level reached at epoch",
        "fall_by_epoch_10": "fall by epoch 10",
        "reconstruction_fall_by_epoch_20": "fall by epoch 20",
        "kl_first": "KL, first epoch",
        "kl_last": "KL, last epoch",
        "kl_rising": "KL rose in",
        # Of reconstructions and latents.
        "ssim": "SSIM",
        "sharpness": "sharpness",
        "recognised": "recognised",
        "nonlinearity": "nonlinearity",
        "denoised": {f"{noise:g}": f"noise {noise:g}" for noise in NOISE_SWEEP},
        "neighbour_accuracy": "label from neighbours",
        "mse_of_bytes": "test MSE, bytes",
        "jump": "jump",
        "digits_between": "digits between",
        "digits_at_ends": "digits at the ends",
        "accuracy_from_encoder": "accuracy from encoder",
        "accuracy_from_scratch": "accuracy from scratch",
        # Of variational models and of samples.
        "nll": "NLL, binarized",
        "excess_bce": "above the floor",
        "active_units": "active units",
        "frechet": {"": "Fréchet distance", "gaussian": "Fréchet distance, one Gaussian"},
        "confident": "sure",
        "distance_to_uniform": "distance to uniform",
        "rarest_digit": "rarest digit",
        "blank": "blank",
        "diversity": "diversity",
        "sample_sharpness": "sample sharpness",
        # Of images that the model was not trained for.
        "outlier_auroc": {kind: f"{kind.replace('_', ' ')}, AUROC" for kind in OUTLIERS},
        "outlier_ratio": {kind: f"{kind.replace('_', ' ')}, times" for kind in OUTLIERS},
        "anomaly_auroc": {score: f"AUROC `{score}`" for score in ANOMALY_SCORES},
        "misread_auroc": "misread, AUROC",
        "misread_of_highest": "misread of the highest 100",
        "validation_anomaly_auroc": {
            score: f"validation AUROC `{score}`" for score in ANOMALY_SCORES
        },
    }.items()
}

# Words of the references; PCA is told apart by its number of components.
REFERENCES = {
    "pca": "PCA with {latent_dim} components",
    "mean_image": "mean image",
    "originals": "originals",
    "noisy_input": "noisy input",
    "affine_filter": "affine filter",
    "faded_pixels": "faded pixels",
    "perfect_reconstruction": "perfect reconstruction",
    "real_test_images": "real test images",
    "pca_gaussian": "PCA with a Gaussian",
}

# How one number comes of the parts of a variant.
STATISTICS = {"mean": statistics.fmean, "worst": min}


@dataclasses.dataclass(frozen=True)
class Quantity:
    """What a column, a panel or a rule is about.

    Attributes:
        measure: Key of `MEASURES`.
        at: Condition under which it is measured.
        over_parts: Key of `STATISTICS`, where a variant has several parts.

    Raises:
        BadRequest: If one of them is not declared.
    """

    measure: str
    at: str = ""
    over_parts: str = "mean"

    def __post_init__(self):
        check_known("measure", self.measure, MEASURES)
        check_known(f"condition of {self.measure}", self.at, MEASURES[self.measure])
        check_known("statistic over parts", self.over_parts, STATISTICS)

    @property
    def heading(self) -> str:
        """What a column is called."""
        heading = MEASURES[self.measure][self.at]
        return heading if self.over_parts == "mean" else f"{self.over_parts} {heading}"

    @property
    def column(self) -> str:
        """What a column of `table.csv` is called."""
        return f"{self.measure}:{self.at}" if self.at else self.measure


@dataclasses.dataclass(frozen=True)
class Reference:
    """A row that is no model of the study: something computed, or images as they are.

    Attributes:
        name: Key of `REFERENCES`.
        latent_dim: Number of components of PCA; none for the others.

    Raises:
        BadRequest: If there is no such row.
    """

    name: str
    latent_dim: int | None = None

    def __post_init__(self):
        check_known("reference", self.name, REFERENCES)
        if has_dimension(self.name) != (self.latent_dim is not None):
            raise BadRequest(
                "expected a number of components for PCA and for no other reference, received "
                f"{self.latent_dim} for {self.name}"
            )

    @property
    def words(self) -> str:
        """What a row is called."""
        return REFERENCES[self.name].format(latent_dim=self.latent_dim)


def has_dimension(reference: str) -> bool:
    """Returns whether a reference depends on the latent dimension that it is measured beside."""
    return "{latent_dim}" in REFERENCES[reference]


def by_quantity(numbers: Mapping[str, float | Mapping[str, float]]) -> dict[Quantity, float]:
    """Returns the numbers of one row by quantity.

    Raises:
        BadRequest: If a measure or a condition is not declared.
    """
    return {
        Quantity(measure, at): number
        for measure, values in numbers.items()
        for at, number in (values if isinstance(values, Mapping) else {"": values}).items()
    }


def check_numbers(numbers: Numbers) -> None:
    """Checks that rows, measures and conditions are declared.

    Raises:
        BadRequest: If one is not.
    """
    for row, values in numbers.items():
        check_known("row", row, (MODEL, *REFERENCES))
        by_quantity(values)


# What most studies look at.
MSE = Quantity("mse")
SSIM = Quantity("ssim")
SHARPNESS = Quantity("sharpness")
RECOGNISED = Quantity("recognised")
NON_CONSTANT_UNITS = Quantity("non_constant_units")
QUALITY = (MSE, Quantity("mse", "validation"), SHARPNESS, SSIM, RECOGNISED, NON_CONSTANT_UNITS)
FRECHET = Quantity("frechet")
CONFIDENT = Quantity("confident")
RAREST_DIGIT = Quantity("rarest_digit")
SAMPLES = (FRECHET, CONFIDENT, Quantity("distance_to_uniform"), RAREST_DIGIT)
JUMP = Quantity("jump")
DIGITS_BETWEEN = Quantity("digits_between")
PATHS = (JUMP, DIGITS_BETWEEN, Quantity("digits_at_ends"))

REFERENCE_ROWS = (
    "The rows below the variants are references: PCA with as many components as there are "
    "latents and the mean image, both of the training images, and the original images."
)
