"""The words and units of what an evaluation measures."""

from typing import NamedTuple


class Measure(NamedTuple):
    """How a number is shown."""

    label: str  # Name in the head of a column.
    unit: str  # Unit, or how to read a number without one.
    format: str  # Format specification.
    meaning: str  # One sentence for the glossary.


# By key in the tables. A key that is not here is an error.
# fmt: off
MEASURES: dict[str, Measure] = {
    "images": Measure("images", "count", ",d", "Number of images that the row is a mean of."),
    "mse": Measure("MSE", "per pixel", ".5f",
        "Mean squared error over pixels and their colours; both images are in [0, 1]."),
    "psnr": Measure("PSNR", "dB", ".2f",
        "Peak signal-to-noise ratio: 10 log10(1 / MSE), mean over images."),
    "ssim": Measure("SSIM", "1 is best", ".4f",
        "Structural similarity in windows of 11 pixels, fewer in smaller pictures (Wang, 2004)."),
    "bce": Measure("BCE", "nats/image", ".2f",
        "Binary cross-entropy, grey values taken as probabilities."),
    "bce_excess": Measure("BCE excess", "nats/image", ".2f",
        "What the cross-entropy has above its floor."),
    "path_length": Measure("length", "RMS of pixels", ".3f",
        "Sum of the differences of neighbours on the path."),
    "mean_step": Measure("mean step", "RMS of pixels", ".4f",
        "Mean difference of neighbours on the path."),
    "largest_step": Measure("largest step", "RMS of pixels", ".4f",
        "Largest difference of neighbours on the path."),
    "score_mean": Measure("mean", "of the score", ".4g", "Mean score of the images."),
    "score_median": Measure("median", "of the score", ".4g", "Median score of the images."),
    "threshold": Measure("threshold", "of the score", ".4g",
        "Score above which an image counts as an anomaly."),
    "above_threshold": Measure("above threshold", "share", ".2%",
        "Share of the images that count as anomalies."),
    "auroc": Measure("AUROC", "0.5 is chance", ".4f",
        "Area under the receiver operating characteristic: how often an image of the other "
        "dataset has a higher score than one of the run's own."),
    "average_precision": Measure("average precision", "1 is best", ".4f",
        "Area under the curve of precision over recall."),
    "frechet": Measure("Fréchet distance", "squared features", ".2f",
        "Distance of two Gaussians fitted to the features of a classifier; 0 is best."),
    "confident": Measure("confident", "share", ".1%",
        "Share of the images of which the classifier is sure."),
    "distance_to_uniform": Measure("distance to uniform", "0 to 1", ".3f",
        "Total variation distance of the classes from equal shares: the share of images that "
        "would have to change class."),
    "share": Measure("share", "of the images", ".3f", "Share of the images."),
    "negative_elbo": Measure("negative ELBO", "nats/image", ".1f",
        "Negative evidence lower bound; lower is better."),
    "reconstruction": Measure("reconstruction", "nats/image", ".1f",
        "Cross-entropy of images decoded from samples."),
    "kl": Measure("KL", "nats/image", ".3f", "Divergence of the posterior from the prior."),
    "nll": Measure("NLL", "nats/image", ".2f",
        "Negative log-likelihood, bounded from above by importance sampling (Burda, 2016)."),
    "nll_error": Measure("standard error", "nats/image", ".2f",
        "Standard error of the NLL."),
    "mean_variance": Measure("variance of the mean", "of latents", ".4f",
        "Variance of the posterior mean over images."),
    "active": Measure("active", "yes or no", "", "Whether that variance is above 0.01."),
    "neighbour_accuracy": Measure("neighbour accuracy", "share", ".2%",
        "Share of the labels that neighbours get right."),
    "active_units": Measure("active units", "count", "d",
        "Latent units whose posterior mean has a variance above 0.01."),
    "non_constant_units": Measure("non-constant units", "count", "d",
        "Latent units that vary at all."),
    "latent_dim": Measure("latent units", "count", "d", "Numbers that an image is encoded into."),
}
# fmt: on

# Words for keys of rows, and of what a number is of, that do not read well as they are.
NAMES = {
    "pca": "PCA",
    "pca_gaussian": "PCA with a Gaussian",
    "floor": "floor (perfect output)",
    "noisy": "noisy input",
    "affine": "affine filter",
    "model_without_noise": "model, input without noise",
    "linear": "linear in the latents",
    "spherical": "spherical in the latents",
    "pixels": "pixels faded",
    "brightness": "brightness alone",
    "real_test": "real test images (floor)",
    "gaussian": "samples, Gaussian",
    "mixture": "samples, mixture",
    "prior": "samples, prior",
    "grey_all": "as they are, all",
    "grey_first": "as they are, first",
    "binarized_all": "binarized, all",
    "binarized_first": "binarized, first",
}
