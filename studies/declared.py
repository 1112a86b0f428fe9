"""The studies that put claims of the sources to the test: pure data, without TensorFlow."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from keras_ae import recipes
from keras_ae.errors import check_known
from keras_ae.recipes import Recipe
from studies.study import SEEDS, Curves, Dots, Images, Lines, Study, Table, Trial

# The longest training of all studies: shorten it here.
VAE_EPOCHS = 50
# Nats per image; the baseline ends 2 % below.
VAE_LEVEL = 100
BOTTLENECK_EPOCHS = 20
# Arms of `vae-configurations`; their recipes begin with `vae-`.
SEVEN = ("baseline", "deeper", "dropout", "deeper-dropout", "channels", "fast", "optimized")
# Of `bottleneck`: units of the code, noise in training and in the test, and images beside digits.
SIZES = (2, 4, 8, 16, 32, 64)
NOISE = 0.2
STRENGTHS = (0.1, 0.2, 0.3, 0.4, 0.5)
STRANGE = ("inverted", "upside_down", "shuffled", "noise", "blank")
# Importance sampling takes longer than all else that is measured of a variational model.
NLL_IMAGES = 500


def _arms(
    arms: Mapping[str, tuple[str, dict]],
    measures: Sequence[str],
    more: Callable[[str], Iterable[str]] = lambda arm: (),
    **overrides,
) -> tuple[Trial, ...]:
    """Returns the trials of all arms, one seed of every arm after the other.

    Args:
        arms: Name of a recipe and its overrides by arm.
        measures: What is measured of all of them.
        more: From the name of an arm to what else is measured of it.
        **overrides: Overrides of all of them.
    """
    return tuple(
        Trial(
            arm,
            _seeded(recipes.get(name).override(**overrides, **own), seed),
            (*measures, *more(arm)),
        )
        for seed in SEEDS
        for arm, (name, own) in arms.items()
    )


def _seeded(recipe: Recipe, seed: int) -> Recipe:
    # Variational models have the seed of their samples among their arguments, which is this one.
    return recipe.override(seed=seed, figures_every=recipe.epochs)


_MSE = "test MSE"
_QUALITY = {
    "mse": _MSE,
    "validation_mse": "validation MSE",
    "sharpness": "sharpness",
    "ssim": "SSIM",
    "recognised": "recognised",
    "live_units": "live units",
}
_SAMPLES = {
    "frechet": "Fréchet distance",
    "confident": "sure",
    "distance_to_uniform": "distance to uniform",
    "rarest_digit": "rarest digit",
}
_YARDSTICKS = (
    "The yardsticks below the line of arms need no training: PCA with as many components as the "
    "code has units, fitted to the training images, and the mean training image."
)


def _batchnorm_rate() -> Study:
    rates = (0.05, 0.01, 0.003, 0.001)
    arms = {f"rate-{rate}": ("batchnorm", {"learning_rate": rate}) for rate in rates}
    for rate in rates:
        overrides = {"learning_rate": rate, "batch_normalization": False}
        arms[f"plain-rate-{rate}"] = ("batchnorm", overrides)
    return Study(
        name="batchnorm-rate",
        question="Is the source's learning rate of 0.05 a good one, and what does batch "
        "normalization do for it?",
        protocol="The recipe `batchnorm` (784-256-128-32, batches of 1,024, Adam) at four rates, "
        "with and without batch normalization (`plain`): 25 epochs each, nothing else changed. "
        "Instability is the mean relative rise of the validation loss from one epoch to the next, "
        "where an epoch in which it falls counts as zero.",
        trials=_arms(arms, ("summary", "curves", "quality", "recognised")),
        tables=(
            Table(
                "Mean squared error per pixel by split, and how unstable the validation loss is. "
                + _YARDSTICKS,
                {
                    "mse": _MSE,
                    "validation_mse": "validation MSE",
                    "train_mse": "train MSE",
                    "instability": "instability",
                    "sharpness": "sharpness",
                    "recognised": "recognised",
                },
            ),
        ),
        panels=(
            Curves("mean squared error per pixel", arms="rate", logarithmic=True),
            Curves("the same without batch normalization", arms="plain", logarithmic=True),
            Dots("test MSE", "mse"),
            Dots("instability of the validation loss", "instability"),
        ),
    )


def _dense_vs_conv() -> Study:
    arms = {
        "dense-5": ("dense", {}),
        "conv-5": ("conv", {"latent_dim": 5}),
        "dense-64": ("dense", {"latent_dim": 64, "hidden_units": (118, 64)}),
        "conv-64": ("conv", {}),
    }
    return Study(
        name="dense-vs-conv",
        question="Are reconstructions of the convolutional autoencoder sharper, and is that due "
        "to the convolutions?",
        protocol="`dense-5` and `conv-64` are the source's pair, with codes of 5 and 64 numbers. "
        "`dense-64` (784-118-64-64) has the code of `conv-64` and within 1 % as many parameters; "
        "`conv-5` is `conv` with the code of `dense-5`. All have the source's training: 13 epochs, "
        "batches of 64, Adam at 0.001 with L2. Sharpness is the gradient energy of the "
        "reconstructions, the sum of squared differences of neighbouring pixels, as a share of "
        "that of the originals.",
        trials=_arms(arms, ("summary", "curves", "quality", "recognised"), epochs=13),
        tables=(
            Table(
                "Error, sharpness and structural similarity (SSIM, at most 1) on the test images. "
                "Recognised: share of the reconstructions that a classifier of digits gives the "
                "label of the original. " + _YARDSTICKS,
                {**_QUALITY, "parameters": "parameters"},
            ),
        ),
        panels=(
            Dots("test MSE", "mse"),
            Dots("sharpness, 1 is that of the originals", "sharpness"),
            Dots("structural similarity (SSIM), 1 is equality", "ssim"),
            Images("reconstructions, first seed", "reconstructions"),
        ),
    )


def _lstm_activations() -> Study:
    arms = {
        "tanh": ("lstm", {}),
        "relu": ("lstm-relu", {}),
        "linear": ("lstm-linear", {}),
        "tanh-sigmoid-head": ("lstm", {"output_activation": "sigmoid"}),
        "linear-sigmoid-head": ("lstm-linear", {"output_activation": "sigmoid"}),
        # 784-156-64 has 265,736 parameters, the LSTMs 265,244.
        "dense-64": (
            "dense",
            {"latent_dim": 64, "hidden_units": (156,), "batch_size": 128, "l2": 0.0},
        ),
    }
    return Study(
        name="lstm-activations",
        question="Does the LSTM autoencoder reconstruct better without activations inside it?",
        protocol="LSTMs 128-64-64-128 over the rows with tanh (Keras' default), ReLU or nothing in "
        "place of the activation of candidate and output; the gates keep their sigmoid. The output "
        "layer is linear as in the source, or a sigmoid (`sigmoid-head`). `dense-64` is a fully "
        "connected autoencoder with a code of 64 and as many parameters within 1 %. All: 10 epochs "
        "(the source names none), batches of 128, Adam at 0.001.",
        trials=_arms(arms, ("summary", "curves", "quality", "recognised", "linearity"), epochs=10),
        tables=(
            Table(
                "Error, sharpness and structural similarity on the test images, and share of the "
                "reconstructions that a classifier recognises. Nonlinearity: how far the output "
                "for a mean of two images is from the mean of their outputs, as a share of the "
                "squared distance between these; 0 is a linear model. " + _YARDSTICKS,
                {**_QUALITY, "nonlinearity": "nonlinearity"},
            ),
            Table(
                "Training: error on the training images, instability of the training loss (mean "
                "relative rise from epoch to epoch) and number of parameters.",
                {
                    "train_mse": "train MSE",
                    "train_instability": "instability",
                    "parameters": "parameters",
                },
            ),
        ),
        panels=(
            Curves("mean squared error per pixel", logarithmic=True),
            Dots("test MSE", "mse"),
            Dots("sharpness, 1 is that of the originals", "sharpness"),
            Images("reconstructions, first seed", "reconstructions"),
        ),
    )


def _bottleneck() -> Study:
    short = {"epochs": BOTTLENECK_EPOCHS}
    arms = {
        f"{code}-{training}-{size}": (
            "mlp",
            {"latent_dim": size, "code_activation": code, "train_noise_std": noise, **short},
        )
        for code in ("relu", "linear")
        for training, noise in (("clean", 0.0), ("noisy", NOISE))
        for size in SIZES
    }
    arms |= {
        f"long-{code}-clean-{size}": ("mlp", {"latent_dim": size, "code_activation": code})
        for code, size in (("relu", 8), ("relu", 32), ("linear", 8))
    }
    applications = ("codes", "interpolation", "outliers", "pretraining", "samples")

    def more(arm: str) -> tuple[str, ...]:
        return applications if arm in ("long-relu-clean-8", "long-linear-clean-8") else ()

    denoised = {f"denoised_{strength}": f"noise {strength}" for strength in STRENGTHS}
    groups = {
        "ReLU code, trained clean": "relu-clean",
        "ReLU code, trained on noise": "relu-noisy",
        "linear code, trained clean": "linear-clean",
        "linear code, trained on noise": "linear-noisy",
    }
    return Study(
        name="bottleneck",
        question="Which size of the code reconstructs and which denoises best?",
        protocol="The recipe `mlp` (784-392-N) with codes of 2 to 64 units, ReLU as in the source "
        "or linear, trained on clean inputs as in the source or on inputs with noise of "
        f"{NOISE:g} (`noisy`): {BOTTLENECK_EPOCHS} epochs each, nothing else changed. The arms "
        "`long` have the source's 50 epochs, to see whether that changes a verdict; what else can "
        "be done with an autoencoder is measured on them. Noise is Gaussian, added to the test "
        "images and clipped to [0, 1].",
        trials=_arms(arms, ("summary", "curves", "quality", "recognised", "denoising"), more),
        tables=(
            Table(
                "Reconstruction of the clean test images. " + _YARDSTICKS,
                {**_QUALITY, "neighbour_accuracy": "label from neighbours"},
            ),
            Table(
                "Denoising: mean squared error per pixel against the clean originals, by the "
                "strength of the noise. The noisy input is the error without any model; the Wiener "
                "filter is the best affine one for this noise, fitted to the training images; PCA "
                "projects on as many components.",
                denoised,
            ),
            Table(
                "What the loss did: its fall by epoch 10 as a share of its whole fall on the "
                "training images, and the epoch from which on the validation loss stays within "
                "1 % of its end. Codes rounded to a byte for each unit: the error then.",
                {
                    "fall_by_epoch_10": "fall by epoch 10",
                    "epochs_to_settle": "settled at epoch",
                    "mse": _MSE,
                    "mse_of_bytes": "test MSE, bytes",
                },
                arms="long",
            ),
            Table(
                "Paths between codes of two digits: largest step over mean step, and share of the "
                "middle images, and of the ends, that a classifier is 95 % sure of. Classifiers "
                "trained on 500 labelled images, from the encoder's weights and from new ones.",
                {
                    "jump": "jump",
                    "digits_between": "digits between",
                    "digits_at_ends": "digits at the ends",
                    "accuracy_from_encoder": "accuracy from encoder",
                    "accuracy_from_scratch": "from scratch",
                },
                arms="long",
            ),
            Table(
                "Strange images, told from test images by their error: AUROC, and how many times "
                "the median error of a test image theirs is. Inverted grey values; mirrored from "
                "top to bottom, which leaves some digits a digit; shuffled pixels; noise; blank.",
                {
                    f"{measure}_{kind}": f"{kind.replace('_', ' ')}, {words}"
                    for kind in STRANGE
                    for measure, words in (("auroc", "AUROC"), ("times", "times"))
                },
                arms="long",
            ),
            Table(
                "Samples: codes drawn from a mixture of ten Gaussians fitted to the codes of the "
                "training images, decoded. Fréchet distance in the features of a classifier, "
                "share of which it is 95 % sure, distance of the classes from equal shares, and "
                "the share of the rarest; the Fréchet distance with one Gaussian, as PCA has it.",
                {**_SAMPLES, "frechet_gaussian": "Fréchet distance, one Gaussian"},
                arms="long",
            ),
        ),
        panels=(
            Lines("reconstruction: test MSE", "mse", groups),
            *(
                Lines(f"denoising: test MSE at noise {strength}", f"denoised_{strength}", groups)
                for strength in (0.1, 0.2, 0.5)
            ),
            Lines("live units of the code", "live_units", groups),
            Images("reconstructions, first seed", "reconstructions", arms="relu-clean"),
        ),
    )


def _vae_configurations() -> Study:
    arms = {arm: (f"vae-{arm}", {}) for arm in SEVEN} | {
        "relu-mean": ("vae-baseline", {"code_activation": "relu"}),
        "heavy-dropout": ("vae-baseline", {"dropout": 0.75}),
        "no-kl": ("vae-baseline", {"beta": 0.0}),
        # The encoder has 138,451 parameters, the LSTM's 138,560.
        "dense-encoder": ("vae-baseline", {"encoder_units": (163,)}),
    }
    return Study(
        name="vae-configurations",
        question="Which of the seven configurations is the best, by likelihood and by samples?",
        protocol="The seven recipes, and four more arms that change the baseline in one thing: a "
        "ReLU on the posterior mean, dropout of 0.75, no KL divergence in the loss, and a dense "
        f"encoder with as many parameters as the LSTM's. {VAE_EPOCHS} epochs each, batches of 100. "
        "Everything is measured with dropout off. Nats per image; the negative log-likelihood "
        f"(NLL) is that of the first {NLL_IMAGES} test images.",
        trials=_arms(
            arms,
            ("summary", "curves", "quality", "recognised", "bounds", "samples", "interpolation"),
            epochs=VAE_EPOCHS,
        ),
        tables=(
            Table(
                "Negative ELBO and its parts on the grey test images (one sample of the posterior "
                "each, beta 1 but for `no-kl`); how far the cross-entropy (BCE) is above that of a "
                "perfect reconstruction; negative log-likelihood of binarized images by importance "
                f"sampling, on the first {NLL_IMAGES} test images; latent units in use.",
                {
                    "loss": "negative ELBO",
                    "train_loss": "the same, training images",
                    "reconstruction_loss": "BCE",
                    "excess_bce": "above the floor",
                    "kl_loss": "KL",
                    "nll": "NLL, binarized",
                    "active_units": "active units",
                },
            ),
            Table("Reconstruction from the posterior mean. " + _YARDSTICKS, _QUALITY),
            Table(
                "10,000 samples of the prior. Fréchet distance in the features of a classifier, "
                "share of which it is 95 % sure, distance of the classes from equal shares, share "
                "of the rarest digit; share without a pixel above 0.5 (blank); variance of the "
                "features and gradient energy as shares of those of the real images.",
                {
                    **_SAMPLES,
                    "blank": "blank",
                    "diversity": "diversity",
                    "sample_sharpness": "sharpness",
                },
            ),
            Table(
                "Training: epoch from which on the validation loss, and its reconstruction part, "
                "stay within 1 % of their ends; epoch in which the former first is at most "
                f"{VAE_LEVEL} nats, in the seeds that get there (for `no-kl` without the "
                "divergence); how far the reconstruction part was above its end at epoch 20; "
                "instability, the mean relative rise of a loss from epoch to epoch; validation KL "
                "after the first and the last epoch, and the share of epochs in which it rose.",
                {
                    "epochs_to_settle": "settled at epoch",
                    "reconstruction_epochs_to_settle": "reconstruction settled",
                    "epochs_to_level": f"at {VAE_LEVEL} nats",
                    "reconstruction_above_end_at_20": "above the end at 20",
                    "train_instability": "instability, training",
                    "instability": "instability, validation",
                    "kl_first": "KL, first epoch",
                    "kl_last": "KL, last epoch",
                    "kl_rising": "KL rose in",
                },
            ),
            Table(
                "Paths between codes of two digits: largest step over mean step, and share of the "
                "middle images, and of the ends, that the classifier is 95 % sure of.",
                {
                    "jump": "jump",
                    "digits_between": "digits between",
                    "digits_at_ends": "digits at the ends",
                },
            ),
        ),
        panels=(
            # The other arms are so far off that these would not be told apart.
            Curves("reconstruction loss (BCE), nats per image", "reconstruction_loss", SEVEN),
            Curves("KL divergence, nats per image", "kl_loss", SEVEN),
            Dots(
                "negative log-likelihood, binarized, nats per image",
                "nll",
                (*SEVEN, "dense-encoder"),
                from_zero=False,
            ),
            Dots("Fréchet distance of the samples", "frechet"),
            Dots("share of the rarest digit", "rarest_digit"),
            Images("samples, first seed", "samples"),
        ),
        level=VAE_LEVEL,
    )


# Of `scores.SCORES` and `scores.VARIATIONAL_SCORES`.
_SCORES = (
    "model",
    "pca",
    "reconstruction_probability",
    "relative_error",
    "rapp_sap",
    "rapp_nap",
    "latent_mahalanobis",
    "pixel_angle",
    "latent_angle",
    "hidden_angle",
)


def _anomaly() -> Study:
    # One digit is a tenth of the images, so it gets more epochs.
    epochs = {"batchnorm": (100, 15), "conv": (30, 8), "vae-baseline": (30, 8)}
    trials = []
    for seed in SEEDS:
        for name, (one_class, leave_one_out) in epochs.items():
            for digit in range(10):
                others = tuple(label for label in range(10) if label != digit)
                for protocol, classes, count in (
                    ("one-class", (digit,), one_class),
                    ("leave-one-out", others, leave_one_out),
                ):
                    recipe = recipes.get(name).override(train_classes=classes, epochs=count)
                    trials.append(
                        Trial(
                            f"{protocol}-{name}",
                            _seeded(recipe, seed),
                            ("summary", "anomaly"),
                            f"digit-{digit}",
                        )
                    )
    columns = {f"auroc_{score}": f"AUROC `{score}`" for score in _SCORES}
    worst = {f"auroc_{score}_worst": f"worst AUROC `{score}`" for score in _SCORES}
    lengths = ", ".join(f"`{name}` {one} and {most}" for name, (one, most) in epochs.items())
    return Study(
        name="anomaly",
        question="Does a digit that was not trained on have a higher reconstruction error?",
        protocol="One-class: trained on one digit of the training split, ten times; the other nine "
        "are the anomalies. Leave-one-out: trained on nine digits; the tenth is the anomaly. "
        "AUROC on the whole test split, mean over the ten digits, and the worst of them. Epochs, "
        f"one-class and leave-one-out: {lengths}; all else as in the recipes. `model` is the "
        "model's own score: mean squared error of the reconstruction, for the VAE the negative "
        "ELBO at the posterior mean. `pca` is the error of PCA with as many components as the code "
        "has units, fitted to the same images; `pixel_angle` does without the model, too. All are "
        "described in `keras_ae/scores.py`.",
        trials=tuple(trials),
        tables=tuple(
            Table(f"{protocol}, {digits}.", shown, arms=beginning)
            for protocol, beginning in (
                ("One-class", "one-class"),
                ("Leave-one-digit-out", "leave-one-out"),
            )
            for digits, shown in (("mean of the digits", columns), ("worst digit", worst))
        ),
        panels=tuple(
            Dots(
                f"{beginning}: AUROC, {words}",
                f"auroc_model{part}",
                beginning,
                label="the model's own score",
                beside={
                    "PCA": f"auroc_pca{part}",
                    "hidden angle": f"auroc_hidden_angle{part}",
                    "pixel angle, no model": f"auroc_pixel_angle{part}",
                },
                from_zero=False,
            )
            for part, words in (("", "mean of the digits"), ("_worst", "worst digit"))
            for beginning in ("one-class", "leave-one-out")
        ),
    )


STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        _batchnorm_rate(),
        _dense_vs_conv(),
        _lstm_activations(),
        _bottleneck(),
        _vae_configurations(),
        _anomaly(),
    )
}


def get(name: str) -> Study:
    """Returns the study called `name`.

    Raises:
        BadRequest: If there is none. The message names the nearest one.
    """
    check_known("study", name, STUDIES)
    return STUDIES[name]
