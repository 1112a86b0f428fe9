"""Claims of the sources 000 to 002: recurrent, convolutional and batch-normalized autoencoders."""

import itertools

from studies.claims.claim import CLEAR, Claim, Found, below, only_for, verdict
from studies.declared import SIZES

_LSTM = ("linear", "tanh", "relu")
_PCA_64 = "PCA, 64 components"
_RATES = (0.05, 0.01, 0.003, 0.001)
_ALL_RATES = tuple(f"{kind}rate-{rate}" for rate in _RATES for kind in ("", "plain-"))


def _removing_activations(found: Found) -> str:
    linear = found("linear", "mse")
    return only_for(
        {
            "ReLU": below(linear, found("relu", "mse")),
            "tanh": below(linear, found("tanh", "mse")),
        },
        "against",
    )


def _stays_linear(found: Found) -> str:
    like_pca = all(
        abs(error / found(_PCA_64, "mse")[0] - 1) < 0.1 for error in found("linear", "mse")
    )
    return verdict(like_pca and max(found("linear", "nonlinearity")) < 0.01)


def _nearly_linear(found: Found) -> str:
    best = min(max(found(arm, "mse")) for arm in ("tanh", "dense-64"))
    return verdict(found(_PCA_64, "mse")[0] < 1.1 * best)


def _sharper(found: Found) -> str:
    def sharper(conv, dense):
        return below(found(dense, "sharpness"), found(conv, "sharpness"))

    return only_for(
        {
            "the source's pair (codes of 64 and of 5 numbers)": sharper("conv-64", "dense-5"),
            "equal codes of 64 numbers": sharper("conv-64", "dense-64"),
            "equal codes of 5 numbers": sharper("conv-5", "dense-5"),
        }
    )


def _structure(found: Found) -> str:
    def better(conv, dense):
        return below(found(dense, "ssim"), found(conv, "ssim")) and below(
            found(conv, "mse"), found(dense, "mse")
        )

    return only_for(
        {
            "equal codes of 64 numbers": better("conv-64", "dense-64"),
            "equal codes of 5 numbers": better("conv-5", "dense-5"),
        }
    )


def _stabilizes(found: Found) -> str:
    def lowers(measure):
        return all(
            below(found(f"rate-{rate}", measure), found(f"plain-rate-{rate}", measure))
            for rate in _RATES
        )

    return only_for(
        {"the error": lowers("mse"), "the steadiness of the loss": lowers("instability")}, "as to"
    )


def _found_as_anomalies(found: Found) -> str:
    return only_for(
        {
            words: min(found(arm, "auroc_model")) >= 0.9
            and min(found(arm, "auroc_model_worst")) >= 0.8
            for words, arm in (
                ("one digit as the normal class", "one-class-batchnorm"),
                ("nine digits as the normal classes", "leave-one-out-batchnorm"),
            )
        },
        "with",
    )


CLAIMS = (
    Claim(
        "000.1",
        "Removing the activations inside the LSTM stack clearly improves the reconstruction.",
        "lstm-activations",
        {"mse": _LSTM, "ssim": _LSTM},
        _removing_activations,
        "Every seed of `linear` has a lower error than every seed of `tanh`, and of `relu`.",
        "A training longer than ours, or a rate chosen for each activation, that turns the order "
        "around.",
    ),
    Claim(
        "000.2",
        "Without activations the model is linear and behaves like PCA.",
        "lstm-activations",
        {"nonlinearity": _LSTM, "mse": ("linear", _PCA_64)},
        _stays_linear,
        "In every seed a nonlinearity of `linear` below 0.01, and an error within 10 % of PCA's "
        "with 64.",
        "An LSTM without its sigmoid gates, which are what is nonlinear here.",
    ),
    Claim(
        "000.3",
        "MNIST is almost linear, so a linear autoencoder is well suited to it.",
        "lstm-activations",
        {"mse": (_PCA_64, "dense-64", "tanh")},
        _nearly_linear,
        "PCA, the best linear autoencoder, is within 10 % of the better of two nonlinear models "
        "with a code of 64.",
        "A size of the code at which no nonlinear model is better than PCA (see the bottleneck "
        "study for 2 to 64).",
    ),
    Claim(
        "000.4",
        "Nonlinear activations such as ReLU leave dead units.",
        "lstm-activations",
        {"live_units": _LSTM},
        lambda found: only_for(
            {arm: max(found(arm, "live_units")) < 64 for arm in ("relu", "tanh")}
        ),
        "Fewer than 64 live units of the code in every seed.",
        "Dead units inside the stack that the code does not show.",
    ),
    Claim(
        "000.5",
        "Nonlinear activations such as ReLU make the outputs blurry.",
        "lstm-activations",
        {"sharpness": (*_LSTM, _PCA_64)},
        lambda found: only_for(
            {
                arm: below(found(arm, "sharpness"), found("linear", "sharpness"))
                for arm in ("relu", "tanh")
            }
        ),
        "Every seed is less sharp than every seed of `linear`.",
        "Another measure of sharpness that disagrees with the gradient energy.",
    ),
    Claim(
        "000.6",
        "Nonlinear activations such as ReLU make the optimization harder.",
        "lstm-activations",
        {"train_mse": _LSTM, "train_instability": _LSTM},
        lambda found: only_for(
            {
                arm: below(found("linear", "train_mse"), found(arm, "train_mse"))
                for arm in ("relu", "tanh")
            }
        ),
        "After equal epochs every seed has a higher training error than every seed of `linear`.",
        "Rates chosen for each activation by the validation loss.",
    ),
    Claim(
        "000.7",
        "The LSTM autoencoder soon makes smooth and recognisable reconstructions.",
        "lstm-activations",
        {"recognised": (*_LSTM, _PCA_64, "originals"), "sharpness": _LSTM},
        lambda found: only_for(
            {
                arm: min(found(arm, "recognised")) >= CLEAR and max(found(arm, "sharpness")) < 1
                for arm in _LSTM
            }
        ),
        f"After 10 epochs a classifier gives {100 * CLEAR:.0f} % of the reconstructions their "
        "label, and they have less gradient energy than the originals, in every seed.",
        "A classifier that was trained on blurred digits.",
    ),
    Claim(
        "000.8",
        "A linear layer is the right output layer.",
        "lstm-activations",
        {"mse": ("tanh", "tanh-sigmoid-head", "linear", "linear-sigmoid-head")},
        lambda found: only_for(
            {
                arm: not below(found(f"{arm}-sigmoid-head", "mse"), found(arm, "mse"))
                for arm in ("tanh", "linear")
            }
        ),
        "A sigmoid at the output does not lower the error in all seeds.",
        "More epochs, after which the order changes.",
    ),
    Claim(
        "001.1",
        "Reconstructions of the convolutional autoencoder are sharper than the dense one's.",
        "dense-vs-conv",
        {
            "sharpness": ("dense-5", "conv-5", "dense-64", "conv-64"),
            "mse": ("dense-5", "conv-5", "dense-64", "conv-64"),
        },
        _sharper,
        "Every seed is sharper than every seed of the dense one.",
        "Another pair of equal code and parameters, or longer training, with another order.",
    ),
    Claim(
        "001.2",
        "Preserving the spatial layout, the convolutional autoencoder captures structure better.",
        "dense-vs-conv",
        {
            "ssim": ("dense-5", "conv-5", "dense-64", "conv-64"),
            "mse": ("dense-5", "conv-5", "dense-64", "conv-64"),
            "recognised": ("dense-5", "conv-5", "dense-64", "conv-64"),
        },
        _structure,
        "At an equal code, every seed has a higher SSIM and a lower error than every seed of the "
        "dense one.",
        "A deeper convolutional model with an equal number of parameters at a code of 5.",
    ),
    Claim(
        "001.3",
        "Both models learn to compress digits and to bring them back.",
        "dense-vs-conv",
        {"mse": ("dense-5", "PCA, 5 components", "conv-64", _PCA_64, "mean image")},
        lambda found: only_for(
            {
                "dense": below(found("dense-5", "mse"), found("PCA, 5 components", "mse")),
                "conv": below(found("conv-64", "mse"), found(_PCA_64, "mse")),
            }
        ),
        "Every seed has a lower error than PCA with as many numbers.",
        "Nothing short of an error in the measurement.",
    ),
    Claim(
        "002.1",
        "The batch-normalized autoencoder reconstructs digits with high fidelity.",
        "batchnorm-rate",
        {
            measure: (*(f"rate-{rate}" for rate in _RATES), "PCA, 32 components")
            for measure in ("mse", "recognised")
        },
        lambda found: only_for(
            {
                f"a rate of {rate}": min(found(f"rate-{rate}", "recognised")) >= CLEAR
                and below(found(f"rate-{rate}", "mse"), found("PCA, 32 components", "mse"))
                for rate in _RATES
            },
            "with",
        ),
        f"Every seed has a lower error than PCA with 32, and {100 * CLEAR:.0f} % of its "
        "reconstructions are recognised, at the source's rate of 0.05 and at lower ones.",
        "A decay of the rate, or another moment to stop.",
    ),
    Claim(
        "002.2",
        "Batch normalization stabilizes the training.",
        "batchnorm-rate",
        {
            "mse": (*_ALL_RATES, "mean image"),
            "instability": _ALL_RATES,
        },
        _stabilizes,
        "At each rate, with it every seed has a lower error, and a validation loss that rises less "
        "from epoch to epoch.",
        "Rates between those tested at which the order changes.",
    ),
    Claim(
        "002.3",
        "It is the simplicity of the architecture that limits the model.",
        "batchnorm-rate",
        {"mse": tuple(f"rate-{rate}" for rate in _RATES)},
        lambda found: verdict(
            not any(
                below(found(f"rate-{rate}", "mse"), found("rate-0.05", "mse"))
                for rate in _RATES[1:]
            )
        ),
        "No lower rate gives the same architecture a lower error in every seed. This only says "
        "what limits the source's own run; for the architecture see 002.4.",
        "Longer training, or a decay of the rate, after which a lower rate is no better.",
    ),
    Claim(
        "002.4",
        "Convolutional models would improve on dense ones.",
        "dense-vs-conv",
        {"mse": ("dense-64", "conv-64", "dense-5", "conv-5")},
        lambda found: only_for(
            {
                f"a code of {size}": below(
                    found(f"conv-{size}", "mse"), found(f"dense-{size}", "mse")
                )
                for size in (64, 5)
            },
            "with",
        ),
        "At an equal code every seed has a lower error than every seed of the dense model.",
        "Convolutional models with more layers.",
    ),
    Claim(
        "002.5",
        "By the reconstruction loss the model finds digits that deviate from what it knows.",
        "anomaly",
        {
            measure: tuple(
                f"{protocol}-{model}"
                for protocol in ("one-class", "leave-one-out")
                for model in ("batchnorm", "conv", "vae-baseline")
            )
            for measure in ("auroc_model", "auroc_model_worst", "auroc_pca")
        },
        _found_as_anomalies,
        "With `batchnorm`, the source's model, in every seed a mean AUROC of 0.9 or more, and 0.8 "
        "or more for the worst digit. The source shows the images with the highest error, which no "
        "number could contradict; classes that were not trained on can.",
        "A kind of anomaly that is not another digit (see 003.12).",
    ),
    Claim(
        "002.6",
        "There is a balance between compression and fidelity.",
        "bottleneck",
        {"mse": tuple(f"linear-clean-{size}" for size in SIZES)},
        lambda found: verdict(
            all(
                below(found(f"linear-clean-{more}", "mse"), found(f"linear-clean-{less}", "mse"))
                for less, more in itertools.pairwise(SIZES)
            )
        ),
        "Each doubling of the code lowers the error in every seed (linear code of `mlp`).",
        "A size from which on more units do not help.",
    ),
)
