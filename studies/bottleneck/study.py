"""The study `bottleneck`: claims of sources 002 and 003 about the latent dimension."""

import itertools
from collections.abc import Callable
from statistics import fmean

from keras_ae import recipes
from keras_ae.options import NOISE_STD, NOISE_SWEEP
from keras_ae.recipe import Recipe
from studies.claims import CLEAR, CONVERGED, DULL, Verdict, at_least, ordered, percent, ratio, rule
from studies.found import Found
from studies.study import Claim, Images, Lines, Study, Table, Variant
from studies.vocabulary import (
    DIGITS_BETWEEN,
    FRECHET,
    JUMP,
    MSE,
    NON_CONSTANT_UNITS,
    OUTLIERS,
    PATHS,
    QUALITY,
    RAREST_DIGIT,
    RECOGNISED,
    REFERENCE_ROWS,
    SAMPLES,
    SHARPNESS,
    Quantity,
    Reference,
)

EPOCHS = 20
SIZES = (2, 4, 8, 16, 32, 64)
SMALL, LARGE = (4, 8), (32, 64)
SOURCE_SIZE = 8
ACTIVATIONS = ("relu", "linear")
TRAININGS = {"clean": 0.0, "noisy": NOISE_STD}
# Names of the variants by activation of the latents, training and latent dimension.
NAMES = {key: "-".join(map(str, key)) for key in itertools.product(ACTIVATIONS, TRAININGS, SIZES)}
GROUPS = {
    group: tuple(NAMES[*group, size] for size in SIZES)
    for group in itertools.product(ACTIVATIONS, TRAININGS)
}
# With all epochs of the source, by activation and latent dimension.
LONG = {
    (activation, size): f"long-{activation}-clean-{size}"
    for activation, size in (("relu", SOURCE_SIZE), ("relu", 32), ("linear", SOURCE_SIZE))
}
# The source's own model, and the same with linear latents.
OWN, LINEAR = LONG["relu", SOURCE_SIZE], LONG["linear", SOURCE_SIZE]
BOTH = {OWN: "ReLU latents", LINEAR: "linear latents"}
SOURCES = {size: NAMES["relu", "clean", size] for size in SIZES}
SMALLEST = SOURCES[SIZES[0]]

DENOISED = {strength: Quantity("denoised", f"{strength:g}") for strength in NOISE_SWEEP}
OUTLIER_AUROC = {kind: Quantity("outlier_auroc", kind) for kind in OUTLIERS}
FALL, SETTLED = Quantity("fall_by_epoch_10"), Quantity("epochs_to_settle")
BYTES, NEIGHBOURS = Quantity("mse_of_bytes"), Quantity("neighbour_accuracy")
FRECHET_GAUSSIAN = Quantity("frechet", "gaussian")
FROM_ENCODER, FROM_SCRATCH = Quantity("accuracy_from_encoder"), Quantity("accuracy_from_scratch")
PCA = {size: Reference("pca", size) for size in SIZES}
NOISY_INPUT, FILTER = Reference("noisy_input"), Reference("affine_filter")
FADED, PCA_SAMPLES = Reference("faded_pixels"), Reference("pca_gaussian")

RECOGNISABLE = 0.9  # Share of the reconstructions, with few latents, to be recognised.
BYTE_COST = 0.01  # Rise of the error by rounding to bytes.
NOISE_COST = 0.2  # Rise of the error by the noise.
EVEN_JUMP = 2.0  # Largest step of a path over its mean step.
TOLD_APART = 0.95  # AUROC of images that are no digits.
RARE = 0.02  # Share of the samples that the rarest digit has to have.


def _variants() -> tuple[Variant, ...]:
    measures = ("summary", "curves", "quality", "recognised", "denoising")
    applications = ("latents", "interpolation", "outliers", "pretraining", "samples")

    def mlp(activation: str, size: int, **overrides) -> Recipe:
        recipe = recipes.get("mlp")
        return recipe.override(latent_dim=size, code_activation=activation, **overrides)

    short = {
        name: mlp(activation, size, train_noise_std=TRAININGS[training], epochs=EPOCHS)
        for (activation, training, size), name in NAMES.items()
    }
    long = {name: mlp(activation, size) for (activation, size), name in LONG.items()}
    return tuple(
        Variant(name, recipe, (*measures, *applications) if name in BOTH else measures)
        for name, recipe in (short | long).items()
    )


def _with(*terms: Callable[[str], tuple]) -> Callable[[Found], Verdict]:
    """Returns the rule of these terms for the models with each kind of latents."""
    cases = ((words, *of(name)) for name, words in BOTH.items() for of in terms)
    return rule(*cases, word="with")


def _best_size(found: Found) -> Verdict:
    words = {
        ("relu", "clean"): "the source's model",
        ("linear", "clean"): "linear latents",
        ("relu", "noisy"): "training on noise",
        ("linear", "noisy"): "linear latents trained on noise",
    }
    cases = []
    for group, case in words.items():
        for strength, quantity in DENOISED.items():
            errors = {size: fmean(found(NAMES[*group, size], quantity)) for size in SIZES}
            small = min(SMALL, key=errors.get)
            other = min(set(SIZES) - set(SMALL), key=errors.get)
            names = NAMES[*group, small], NAMES[*group, other]
            cases.append((f"{case} at {strength:g}", quantity, *names))
    return ordered(*cases)(found)


_SMALL = " and ".join(map(str, SMALL))
_LARGE = " and ".join(map(str, LARGE))

CLAIMS = (
    Claim(
        "002.6",
        "There is a balance between compression and fidelity.",
        {MSE: tuple(NAMES["linear", "clean", size] for size in (2, 8, 64))},
        ordered(
            *(("", MSE, more, less) for less, more in itertools.pairwise(GROUPS["linear", "clean"]))
        ),
        "Each doubling of the linear latents of `mlp` lowers the error.",
        "A size from which on more latents do not help.",
    ),
    Claim(
        "003.1",
        f"{SOURCE_SIZE} latents compress 98 to 1 (784 numbers to {SOURCE_SIZE}).",
        {MSE: (OWN,), BYTES: (OWN,), NON_CONSTANT_UNITS: (OWN,)},
        _with(lambda name: (ratio(name, BYTES, MSE), 1 + BYTE_COST)),
        f"Pixels are bytes, so the latents have to fit into {SOURCE_SIZE} bytes: rounding each to "
        f"one raises the error by at most {percent(BYTE_COST)}.",
        "A count in bits after entropy coding, on both sides.",
    ),
    Claim(
        "003.2",
        "The loss falls fast in the first 10 of 50 epochs, and slowly after them.",
        {FALL: (OWN, LINEAR), SETTLED: (OWN,)},
        _with(lambda name: (CONVERGED, (name, FALL))),
        f"{percent(CONVERGED)} of the fall of the training loss from the first to the last epoch "
        "is done after epoch 10.",
        "Another training set or batch size.",
    ),
    Claim(
        "003.3",
        "At 98 to 1, digits come back with high fidelity and clearly recognisable.",
        {RECOGNISED: (OWN, LINEAR, PCA[SOURCE_SIZE])},
        _with(lambda name: (RECOGNISABLE, (name, RECOGNISED))),
        f"A classifier gives {percent(RECOGNISABLE)} of the reconstructions their label.",
        "Judgement by people instead of a classifier.",
    ),
    Claim(
        "003.4",
        f"A plainly trained autoencoder removes noise of {NOISE_STD:g}.",
        {DENOISED[NOISE_STD]: (OWN, NOISY_INPUT, FILTER)},
        _with(lambda name: ((name, DENOISED[NOISE_STD]), (NOISY_INPUT, DENOISED[NOISE_STD]))),
        "The output is nearer to the clean image than the noisy input is.",
        "Another error than the squared one.",
    ),
    Claim(
        "003.5",
        "The bottleneck keeps the digit and discards the noise.",
        {MSE: (OWN,), DENOISED[NOISE_STD]: (OWN, LINEAR)},
        _with(lambda name: (ratio(name, DENOISED[NOISE_STD], MSE), 1 + NOISE_COST)),
        f"Noise of {NOISE_STD:g} raises the error by at most {percent(NOISE_COST)} of what it is "
        "without noise.",
        "A count of how much of the error is the noise's and how much the digit's.",
    ),
    Claim(
        "003.6",
        "Many latents (32 and more) reconstruct better and denoise worse than few.",
        {DENOISED[NOISE_STD]: tuple(SOURCES[size] for size in (SOURCE_SIZE, *LARGE))},
        ordered(
            *(("reconstruction", MSE, SOURCES[size], SOURCES[SOURCE_SIZE]) for size in LARGE),
            *(
                ("denoising", DENOISED[NOISE_STD], SOURCES[SOURCE_SIZE], SOURCES[size])
                for size in LARGE
            ),
            word="as to",
        ),
        f"Against {SOURCE_SIZE} latents the errors of {_LARGE} are lower without noise and higher "
        f"at noise of {NOISE_STD:g}.",
        "Longer training (variants `long`) that turns the order around.",
    ),
    Claim(
        "003.7",
        "Few latents (4 to 8) denoise excellently.",
        {DENOISED[NOISE_STD]: (*(SOURCES[size] for size in SMALL), FILTER)},
        ordered(
            *(
                (f"{strength:g}", quantity, SOURCES[size], FILTER)
                for strength, quantity in DENOISED.items()
                for size in SMALL
            ),
            word="at noise of",
        ),
        f"With {_SMALL} latents the error is lower than that of the best affine filter, at each "
        "strength of the noise.",
        f"Better training with {_SMALL} latents, say without dead units.",
    ),
    Claim(
        "003.8",
        f"Very few latents ({SIZES[0]}) are blurry and denoise excellently.",
        {SHARPNESS: (SMALLEST,), DENOISED[NOISE_STD]: (SMALLEST, FILTER)},
        ordered(
            *(("the blur", SHARPNESS, SMALLEST, SOURCES[size]) for size in SIZES[1:]),
            *(("denoising", quantity, SMALLEST, FILTER) for quantity in DENOISED.values()),
            word="as to",
        ),
        "It is less sharp than all other sizes, and has a lower error than the best affine filter "
        "at every strength.",
        "As for 003.7.",
    ),
    Claim(
        "003.9",
        "4 to 8 latents denoise best, and are the best balance.",
        {DENOISED[NOISE_STD]: (*(NAMES["linear", "noisy", size] for size in (8, 64)), SOURCES[64])},
        _best_size,
        f"The size with the lowest mean error on noisy inputs is one of {_SMALL}, for each way of "
        "training and each strength of the noise.",
        "Sizes between those tested.",
    ),
    Claim(
        "003.10",
        "Between the latents of two images the outputs change smoothly.",
        {JUMP: (OWN, LINEAR, FADED)},
        _with(lambda name: ((name, JUMP), EVEN_JUMP)),
        f"The largest of 7 steps is below {EVEN_JUMP:g} times the mean step, on average over the "
        "paths between different digits among 1,000 pairs of images. Fading pixels has 1.",
        "Shorter steps, which could show jumps that these step over.",
    ),
    Claim(
        "003.11",
        "The latent space is meaningful: neighbours are similar digits.",
        {NEIGHBOURS: (OWN, PCA[SOURCE_SIZE]), DIGITS_BETWEEN: (OWN,)},
        _with(
            lambda name: ((PCA[SOURCE_SIZE], NEIGHBOURS), (name, NEIGHBOURS)),
            lambda name: ((FADED, DIGITS_BETWEEN), (name, DIGITS_BETWEEN)),
        ),
        "The nearest neighbours give the label more often than with "
        f"{PCA[SOURCE_SIZE].words}, and more middle images of paths are digits than with faded "
        "pixels.",
        "Neighbours by another distance.",
    ),
    Claim(
        "003.12",
        "The error spikes on what is no digit.",
        {OUTLIER_AUROC[kind]: (OWN,) for kind in ("shuffled", "upside_down", "blank")},
        at_least(
            *(
                (kind.replace("_", " "), quantity, OWN, TOLD_APART)
                for kind, quantity in OUTLIER_AUROC.items()
            )
        ),
        f"AUROC of {TOLD_APART} or more against the test images, for each kind.",
        "Other kinds of images, such as `--ood fashion_mnist`.",
    ),
    Claim(
        "003.13",
        "The decoder makes new digits from latents.",
        {FRECHET_GAUSSIAN: (OWN,), FRECHET: (PCA_SAMPLES,), RAREST_DIGIT: (OWN,)},
        _with(
            lambda name: ((name, FRECHET_GAUSSIAN), (PCA_SAMPLES, FRECHET)),
            lambda name: (RARE, (name, RAREST_DIGIT)),
        ),
        "Samples from a Gaussian fitted to the latents are nearer to real digits than those of "
        f"PCA, and among samples from a mixture of ten no digit has a share below {percent(RARE)}.",
        "Another density for the latents.",
    ),
    Claim(
        "003.14",
        "The encoder's weights are a good start for a classifier.",
        {FROM_ENCODER: (OWN, LINEAR), FROM_SCRATCH: (OWN,)},
        _with(lambda name: ((name, FROM_SCRATCH), (name, FROM_ENCODER))),
        "With 500 labelled images it is more accurate than from new weights.",
        "Many more labelled images, or a better training from new weights.",
    ),
    Claim(
        "003.15",
        "Autoencoders learn a compact representation without features made by hand.",
        {MSE: (SMALLEST, PCA[2], SOURCES[64])},
        ordered(
            *((f"{size} latents", MSE, SOURCES[size], PCA[size]) for size in SIZES), word="with"
        ),
        "The error is lower than that of PCA with as many numbers, at every size.",
        "Nothing short of an error in the measurement.",
    ),
    Claim(
        "003.16",
        "4 to 8 latents reconstruct well.",
        {RECOGNISED: (SOURCES[4], NAMES["linear", "clean", 4], LINEAR)},
        at_least(
            ("4 ReLU latents", RECOGNISED, SOURCES[4], RECOGNISABLE),
            ("4 linear latents", RECOGNISED, NAMES["linear", "clean", 4], RECOGNISABLE),
            *((f"8 {words}", RECOGNISED, name, RECOGNISABLE) for name, words in BOTH.items()),
        ),
        f"A classifier gives {percent(RECOGNISABLE)} of the reconstructions their label, with 8 "
        "latents after 50 epochs.",
        "Judgement by people instead of a classifier; longer training of 4 latents.",
    ),
    Claim(
        "003.17",
        "Many latents (32 and more) reconstruct excellently.",
        {RECOGNISED: (LONG["relu", 32],), SHARPNESS: (LONG["relu", 32], SOURCES[64])},
        at_least(
            *(
                (words, quantity, name, bound)
                for words, name in (("32", LONG["relu", 32]), ("64", SOURCES[64]))
                for quantity, bound in ((RECOGNISED, CLEAR), (SHARPNESS, DULL))
            )
        ),
        f"{percent(CLEAR)} are recognised and the gradient energy is {percent(DULL)} of the "
        "originals' or more, with 32 latents after 50 epochs.",
        "Judgement by people; 50 epochs for 64 latents.",
    ),
)

_LABELS = {
    "relu": "ReLU latents",
    "linear": "linear latents",
    "clean": "clean images",
    "noisy": "noisy images",
}
_LINES = {
    f"{_LABELS[activation]}, trained on {_LABELS[training]}": names
    for (activation, training), names in GROUPS.items()
}

STUDY = Study(
    name="bottleneck",
    question="Which latent dimension reconstructs and which denoises best?",
    protocol="The recipe `mlp` (784-392-N) with 2 to 64 latents, ReLU as in the source or linear, "
    "trained on clean inputs as in the source or on inputs with noise of "
    f"{NOISE_STD:g} (`noisy`): {EPOCHS} epochs each, nothing else changed. The variants "
    "`long` have the source's 50 epochs, to see whether that changes a verdict; what else can "
    "be done with an autoencoder is measured on them. Noise is Gaussian, added to the test "
    "images and clipped to [0, 1].",
    variants=_variants(),
    tables=(
        Table(f"Reconstruction of the clean test images. {REFERENCE_ROWS}", (*QUALITY, NEIGHBOURS)),
        Table(
            "Denoising: mean squared error per pixel against the clean originals, by the "
            "strength of the noise. The noisy input is the error without any model; the affine "
            "filter is the best one for this noise, fitted to the training images; PCA "
            "projects on as many components.",
            tuple(DENOISED.values()),
        ),
        Table(
            "The loss: its fall by epoch 10 as a share of its whole fall on the "
            "training images, and the epoch from which on the validation loss stays within "
            "1 % of its end. The error after each latent was rounded to a byte.",
            (FALL, SETTLED, MSE, BYTES),
            tuple(LONG.values()),
        ),
        Table(
            "Paths between the latents of two digits: largest step over mean step, and share of "
            "the middle images, and of the ends, that a classifier is 95 % sure of. Classifiers "
            "trained on 500 labelled images, from the encoder's weights and from new ones.",
            (*PATHS, FROM_ENCODER, FROM_SCRATCH),
            tuple(LONG.values()),
        ),
        Table(
            "Images that are no digits, told from test images by their error: AUROC, and how many "
            "times the median error of a test image theirs is. Inverted grey values; mirrored from "
            "top to bottom, which leaves some digits a digit; shuffled pixels; noise; blank.",
            tuple(
                Quantity(measure, kind)
                for kind in OUTLIERS
                for measure in ("outlier_auroc", "outlier_ratio")
            ),
            tuple(LONG.values()),
        ),
        Table(
            "Samples: latents drawn from a mixture of ten Gaussians fitted to the latents of the "
            "training images, decoded. Fréchet distance in the features of a classifier, "
            "share of which it is 95 % sure, distance of the classes from equal shares, and "
            "the share of the rarest; the Fréchet distance with one Gaussian, as PCA has it.",
            (*SAMPLES, FRECHET_GAUSSIAN),
            tuple(LONG.values()),
        ),
    ),
    panels=(
        Lines("reconstruction: test MSE", MSE, _LINES),
        *(
            Lines(f"denoising: test MSE at noise {strength:g}", DENOISED[strength], _LINES)
            for strength in (0.1, 0.2, 0.5)
        ),
        Lines("non-constant latent units", NON_CONSTANT_UNITS, _LINES),
        Images("reconstructions, first seed", "reconstructions", GROUPS["relu", "clean"]),
    ),
    claims=CLAIMS,
)
