"""Claims of source 003: what the size of the code does."""

from statistics import fmean

from studies.claims.claim import Claim, Found, below, only_for, verdict
from studies.declared import SIZES, STRANGE, STRENGTHS

RECOGNISABLE = 0.9  # Share of reconstructions, for small codes, that the classifier recognises.
GROUPS = {
    "relu-clean": "the source's model",
    "linear-clean": "a linear code",
    "relu-noisy": "training on noise",
    "linear-noisy": "a linear code trained on noise",
}
# The source's own model: 8 units, ReLU, clean inputs, 50 epochs; and with a linear code.
OWN, LINEAR = "long-relu-clean-8", "long-linear-clean-8"
_CODES = {OWN: "a ReLU on the code", LINEAR: "a linear code"}
_SOURCES = tuple(f"relu-clean-{size}" for size in SIZES)


def _by_code(holds) -> str:
    return only_for({words: holds(arm) for arm, words in _CODES.items()}, "with")


def _large(found: Found) -> str:
    large = ("relu-clean-32", "relu-clean-64")
    reconstructs = all(below(found(arm, "mse"), found("relu-clean-8", "mse")) for arm in large)
    denoises_worse = all(
        below(found("relu-clean-8", "denoised_0.2"), found(arm, "denoised_0.2")) for arm in large
    )
    return only_for({"reconstruction": reconstructs, "denoising": denoises_worse}, "as to")


def _beats_wiener(found: Found, size: int) -> dict[str, bool]:
    return {
        f"{strength}": below(
            found(f"relu-clean-{size}", f"denoised_{strength}"),
            found("Wiener filter", f"denoised_{strength}"),
        )
        for strength in STRENGTHS
    }


def _small(found: Found) -> str:
    four, eight = (_beats_wiener(found, size) for size in (4, 8))
    return only_for({key: four[key] and eight[key] for key in four}, "at noise of")


def _very_small(found: Found) -> str:
    blurry = all(
        below(found("relu-clean-2", "sharpness"), found(f"relu-clean-{size}", "sharpness"))
        for size in SIZES[1:]
    )
    denoises = all(_beats_wiener(found, 2).values())
    return only_for({"the blur": blurry, "denoising": denoises}, "as to")


def _best_size(found: Found) -> str:
    cases = {}
    for group, words in GROUPS.items():
        for strength in STRENGTHS:
            errors = {
                size: fmean(found(f"{group}-{size}", f"denoised_{strength}")) for size in SIZES
            }
            cases[f"{words} at {strength}"] = min(errors, key=errors.get) in (4, 8)
    return only_for(cases)


def _meaningful(found: Found) -> str:
    def meaningful(arm):
        labels = below(
            found("PCA, 8 components", "neighbour_accuracy"), found(arm, "neighbour_accuracy")
        )
        return labels and below(
            found("faded pixels", "digits_between"), found(arm, "digits_between")
        )

    return _by_code(meaningful)


def _outliers(found: Found) -> str:
    return only_for(
        {kind.replace("_", " "): min(found(OWN, f"auroc_{kind}")) >= 0.95 for kind in STRANGE}
    )


def _generates(found: Found) -> str:
    def generates(arm):
        return below(found(arm, "frechet_gaussian"), found("PCA with a Gaussian", "frechet")) and (
            min(found(arm, "rarest_digit")) >= 0.02
        )

    return _by_code(generates)


CLAIMS = (
    Claim(
        "003.1",
        "A code of 8 compresses 98 to 1 (784 numbers to 8).",
        "bottleneck",
        {"mse": (OWN,), "mse_of_bytes": (OWN,), "live_units": (OWN,)},
        lambda found: verdict(
            all(
                rounded <= 1.01 * error
                for rounded, error in zip(
                    found(OWN, "mse_of_bytes"), found(OWN, "mse"), strict=True
                )
            )
        ),
        "Pixels are bytes, so the code has to fit into 8 bytes: rounding each unit to one raises "
        "the error by less than 1 %.",
        "A count in bits after entropy coding, on both sides.",
    ),
    Claim(
        "003.2",
        "The loss falls fast in the first 10 of 50 epochs, and slowly after them.",
        "bottleneck",
        {"fall_by_epoch_10": (OWN, LINEAR), "epochs_to_settle": (OWN, LINEAR)},
        lambda found: verdict(min(found(OWN, "fall_by_epoch_10")) >= 0.9),
        "In every seed with the source's ReLU, 90 % of the fall of the training loss from the "
        "first to the last epoch is done after epoch 10.",
        "Another training set or batch size.",
    ),
    Claim(
        "003.3",
        "At 98 to 1, digits come back with high fidelity and clearly recognisable.",
        "bottleneck",
        {
            "recognised": (OWN, LINEAR, "PCA, 8 components", "originals"),
            "mse": (OWN, LINEAR, "PCA, 8 components"),
        },
        lambda found: _by_code(lambda arm: min(found(arm, "recognised")) >= RECOGNISABLE),
        f"A classifier gives {100 * RECOGNISABLE:.0f} % of the reconstructions their label, in "
        "every seed.",
        "Judgement by people instead of a classifier.",
    ),
    Claim(
        "003.4",
        "A plainly trained autoencoder removes noise of 0.2.",
        "bottleneck",
        {"denoised_0.2": (OWN, LINEAR, "noisy input", "Wiener filter", "PCA, 8 components")},
        lambda found: _by_code(
            lambda arm: below(found(arm, "denoised_0.2"), found("noisy input", "denoised_0.2"))
        ),
        "In every seed the output is nearer to the clean image than the noisy input is.",
        "Another error than the squared one.",
    ),
    Claim(
        "003.5",
        "The bottleneck keeps the digit and discards the noise.",
        "bottleneck",
        {"mse": (OWN, LINEAR), "denoised_0.2": (OWN, LINEAR)},
        lambda found: _by_code(
            lambda arm: all(
                noisy <= 1.2 * clean
                for noisy, clean in zip(found(arm, "denoised_0.2"), found(arm, "mse"), strict=True)
            )
        ),
        "Noise of 0.2 raises the error by less than a fifth of what it is without noise.",
        "A count of how much of the error is the noise's and how much the digit's.",
    ),
    Claim(
        "003.6",
        "A large code (32 and more) reconstructs better and denoises worse than a small one.",
        "bottleneck",
        {"mse": _SOURCES, "denoised_0.2": (*_SOURCES, "noisy input", "Wiener filter")},
        _large,
        "Against a code of 8 the errors of 32 and 64 are lower without noise and higher at noise "
        "of 0.2, in every seed.",
        "Longer training (arms `long`) that turns the order around.",
    ),
    Claim(
        "003.7",
        "A small code (4 to 8) denoises excellently.",
        "bottleneck",
        {
            f"denoised_{strength}": ("relu-clean-4", "relu-clean-8", "Wiener filter")
            for strength in STRENGTHS
        },
        _small,
        "Codes of 4 and of 8 have a lower error than the best affine filter, in every seed, at "
        "each strength of the noise.",
        "A code of 4 to 8 with a better training, say without dead units.",
    ),
    Claim(
        "003.8",
        "A very small code (2) is blurry and denoises excellently.",
        "bottleneck",
        {
            "sharpness": _SOURCES,
            **{f"denoised_{strength}": ("relu-clean-2", "Wiener filter") for strength in STRENGTHS},
        },
        _very_small,
        "It is less sharp than all other sizes, and has a lower error than the best affine filter "
        "at every strength, in every seed.",
        "As for 003.7.",
    ),
    Claim(
        "003.9",
        "A code of 4 to 8 denoises best, and is the best balance.",
        "bottleneck",
        {
            f"denoised_{strength}": tuple(f"{group}-{size}" for group in GROUPS for size in (8, 64))
            for strength in (0.2, 0.5)
        },
        _best_size,
        "The size with the lowest mean error on noisy inputs is 4 or 8, for each way of training "
        "and each strength of the noise. All sizes and strengths are in the table.",
        "Sizes between those tested.",
    ),
    Claim(
        "003.10",
        "Between two codes the images change smoothly.",
        "bottleneck",
        {"jump": (OWN, LINEAR, "faded pixels")},
        lambda found: _by_code(lambda arm: max(found(arm, "jump")) < 2),
        "The largest of 7 steps is below twice the mean step, in every seed, on average over the "
        "paths between different digits among 1,000 pairs of images. Fading pixels has 1.",
        "Shorter steps, which could show jumps that these step over.",
    ),
    Claim(
        "003.11",
        "The space of codes is meaningful: neighbours are similar digits.",
        "bottleneck",
        {
            "neighbour_accuracy": (OWN, LINEAR, "PCA, 8 components"),
            "digits_between": (OWN, LINEAR, "faded pixels"),
        },
        _meaningful,
        "In every seed the nearest neighbours give the label more often than with PCA of 8, and "
        "more middle images of paths are digits than with faded pixels.",
        "Neighbours by another distance.",
    ),
    Claim(
        "003.12",
        "The error spikes on what is no digit.",
        "bottleneck",
        {
            f"{measure}_{kind}": (OWN, "PCA, 8 components")
            for kind in STRANGE
            for measure in ("auroc", "times")
        },
        _outliers,
        "AUROC of 0.95 or more against the test images in every seed, for each kind.",
        "Other kinds of images, such as `--ood fashion_mnist`.",
    ),
    Claim(
        "003.13",
        "The decoder makes new digits from codes.",
        "bottleneck",
        {
            "frechet_gaussian": (OWN, LINEAR),
            "frechet": (OWN, LINEAR, "PCA with a Gaussian", "real test images"),
            "confident": (OWN, LINEAR, "PCA with a Gaussian", "real test images"),
            "rarest_digit": (OWN, LINEAR),
        },
        _generates,
        "Samples from a Gaussian fitted to the codes are nearer to real digits than those of PCA, "
        "and among samples from a mixture of ten no digit has a share below 2 %, in every seed.",
        "Another density for the codes.",
    ),
    Claim(
        "003.14",
        "The encoder's weights are a good start for a classifier.",
        "bottleneck",
        {
            "accuracy_from_encoder": (OWN, LINEAR),
            "accuracy_from_scratch": (OWN, LINEAR),
        },
        lambda found: _by_code(
            lambda arm: below(
                found(arm, "accuracy_from_scratch"), found(arm, "accuracy_from_encoder")
            )
        ),
        "With 500 labelled images every seed is more accurate than every seed of new weights.",
        "Many more labelled images, or a better training from new weights.",
    ),
    Claim(
        "003.15",
        "Autoencoders learn a compact representation without features made by hand.",
        "bottleneck",
        {"mse": (*_SOURCES, *(f"PCA, {size} components" for size in SIZES))},
        lambda found: only_for(
            {
                f"a code of {size}": below(
                    found(f"relu-clean-{size}", "mse"), found(f"PCA, {size} components", "mse")
                )
                for size in SIZES
            },
            "with",
        ),
        "Every seed has a lower error than PCA with as many numbers, at every size.",
        "Nothing short of an error in the measurement.",
    ),
    Claim(
        "003.16",
        "A code of 4 to 8 reconstructs well.",
        "bottleneck",
        {"recognised": ("relu-clean-4", "relu-clean-8", OWN, "originals")},
        lambda found: only_for(
            {
                words: min(found(arm, "recognised")) >= RECOGNISABLE
                for words, arm in (("4", "relu-clean-4"), ("8", OWN))
            }
        ),
        f"A classifier gives {100 * RECOGNISABLE:.0f} % of the reconstructions their label, in "
        "every seed, with 8 units after 50 epochs.",
        "Judgement by people instead of a classifier; longer training of a code of 4.",
    ),
)
