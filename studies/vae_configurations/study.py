"""The study `vae-configurations`: claims of source 004 about a variational autoencoder."""

from keras_ae import recipes
from studies.claims import CLEAR, CONVERGED, DULL, at_least, ordered, percent, rule
from studies.found import LEVEL
from studies.study import Claim, Curves, Dots, Images, Study, Table, Variant
from studies.vocabulary import (
    DIGITS_BETWEEN,
    FRECHET,
    JUMP,
    MSE,
    NLL_IMAGES,
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

EPOCHS = 50  # The longest training of all studies: shorten it here.
LEVEL_NATS = 100  # Per image; the baseline ends 2 % below.
# Their recipes begin with `vae-`.
SEVEN = ("baseline", "deeper", "dropout", "deeper-dropout", "channels", "fast", "optimized")
DEEPER = {"baseline": "deeper", "dropout": "deeper-dropout"}
DROPOUTS = {"baseline": "dropout", "deeper": "deeper-dropout"}
HEAVY_DROPOUT = 0.75
REAL = Reference("real_test_images")

LOSS, TRAIN_LOSS = Quantity("loss"), Quantity("loss", "train")
RECONSTRUCTION, KL, NLL = Quantity("reconstruction_loss"), Quantity("kl_loss"), Quantity("nll")
EXCESS_BCE, ACTIVE_UNITS = Quantity("excess_bce"), Quantity("active_units")
DIVERSITY, BLANK = Quantity("diversity"), Quantity("blank")
SAMPLE_SHARPNESS = Quantity("sample_sharpness")
SETTLED, BCE_SETTLED = Quantity("epochs_to_settle"), Quantity("epochs_to_settle", "reconstruction")
FALL = Quantity("reconstruction_fall_by_epoch_20")
KL_CURVE = (Quantity("kl_first"), Quantity("kl_last"), Quantity("kl_rising"))
KL_FIRST, KL_LAST, KL_RISING = KL_CURVE
INSTABILITY = Quantity("instability", "validation")
TRAIN_INSTABILITY = Quantity("instability", "train")
GOOD = {NLL: "the likelihood", FRECHET: "the samples", MSE: "the reconstruction"}

VARIED = 0.9  # Variance of the features, as a share of the real images', of diverse samples.
NEAR = 0.01  # How far above its end a loss may be that has reached it.
GRADUAL = 0.8  # Share of the epochs in which what grows gradually has to rise.
COVERED = 0.05  # Share of the samples that the rarest digit has to have.


def _variant(name: str, recipe: str, **overrides) -> Variant:
    return Variant(
        name,
        recipes.get(recipe).override(epochs=EPOCHS, **overrides),
        ("summary", "curves", "quality", "recognised", "bounds", "samples", "interpolation"),
    )


def _rises(quantity: Quantity, pairs: dict[str, str]):
    return ordered(
        *((f"`{low}` to `{high}`", quantity, low, high) for low, high in pairs.items()), word="from"
    )


def _clear(variant: str):
    return at_least(("", RECOGNISED, variant, CLEAR), ("", SHARPNESS, variant, DULL))


CLAIMS = (
    Claim(
        "004.1",
        "The baseline's reconstruction loss is stable by epoch 20.",
        {FALL: ("baseline",), BCE_SETTLED: ("baseline",)},
        at_least(("", FALL, "baseline", CONVERGED)),
        f"As in 003.2, {percent(CONVERGED)} of the fall of the training cross-entropy from the "
        "first to the last epoch is done after epoch 20.",
        f"A stricter notion, such as {percent(NEAR)} above the end (reconstruction settled).",
    ),
    Claim(
        "004.2",
        "The KL divergence grows gradually.",
        dict.fromkeys(KL_CURVE, ("baseline",)),
        rule(
            ("", ("baseline", KL_FIRST), ("baseline", KL_LAST)),
            ("", GRADUAL, ("baseline", KL_RISING)),
        ),
        "On the validation images it is higher at the end than after the first epoch, and rises in "
        f"{percent(GRADUAL)} of the epochs or more.",
        "Steps within the first epoch, which are not recorded.",
    ),
    Claim(
        "004.3",
        "The baseline's reconstructions are clear.",
        {RECOGNISED: ("baseline",), SHARPNESS: ("baseline", Reference("pca", 32))},
        _clear("baseline"),
        f"{percent(CLEAR)} are recognised and the gradient energy is {percent(DULL)} of the "
        "originals' or more.",
        "Judgement by people.",
    ),
    Claim(
        "004.4",
        "The baseline's samples often lack detail or are blank.",
        {BLANK: ("baseline", "relu-mean"), SAMPLE_SHARPNESS: ("baseline",)},
        rule(("", ("baseline", SAMPLE_SHARPNESS), DULL)),
        f"Their gradient energy is less than {percent(DULL)} of that of real digits. One of the "
        "two is enough.",
        "Another measure of detail.",
    ),
    Claim(
        "004.5",
        "A deeper decoder makes the reconstructions sharper.",
        {SHARPNESS: ("baseline", "deeper", "deeper-dropout")},
        _rises(SHARPNESS, DEEPER),
        "They are sharper than those of the shallower one.",
        "A decoder that is deeper in another way.",
    ),
    Claim(
        "004.6",
        "A deeper decoder's samples remain repetitive.",
        {DIVERSITY: ("baseline", "deeper", "deeper-dropout")},
        rule(*((f"`{name}`", (name, DIVERSITY), VARIED) for name in DEEPER.values())),
        f"The variance of the classifier's features is below {percent(VARIED)} of that of real "
        "digits.",
        "Another measure of diversity.",
    ),
    Claim(
        "004.7",
        "A deeper decoder has a slightly higher KL divergence.",
        {KL: ("baseline", "deeper", "deeper-dropout")},
        _rises(KL, DEEPER),
        "It is higher than the shallower one's.",
        "More seeds.",
    ),
    Claim(
        "004.8",
        "Dropout makes the curve of the training loss unstable.",
        {TRAIN_INSTABILITY: ("baseline", "dropout"), INSTABILITY: ("dropout",)},
        _rises(TRAIN_INSTABILITY, DROPOUTS),
        "The training loss rises more, by 1 % of itself per epoch.",
        "A look within the epochs.",
    ),
    Claim(
        "004.9",
        "Dropout makes the samples incomplete or noisy.",
        {FRECHET: ("baseline", "dropout", "deeper-dropout")},
        _rises(FRECHET, DROPOUTS),
        "With dropout off, the Fréchet distance is higher.",
        "Samples that the source may have drawn with dropout on.",
    ),
    Claim(
        "004.10",
        "Dropout alone does not make the samples more diverse.",
        {DIVERSITY: ("baseline", "dropout", "deeper-dropout")},
        ordered(
            *(
                (f"`{dropped}`", DIVERSITY, dropped, without)
                for without, dropped in DROPOUTS.items()
            )
        ),
        "The variance of the features is lower with it.",
        "Another rate or place of dropout.",
    ),
    Claim(
        "004.11",
        "The optimized configuration's reconstructions are clear throughout.",
        {RECOGNISED: ("optimized",), SHARPNESS: ("optimized", "baseline")},
        _clear("optimized"),
        "As 004.3.",
        "Judgement by people.",
    ),
    Claim(
        "004.12",
        "The optimized configuration's samples cover the digits 0 to 9.",
        {RAREST_DIGIT: ("optimized", "baseline", REAL)},
        at_least(("", RAREST_DIGIT, "optimized", COVERED)),
        f"Of 10,000 samples each digit has {percent(COVERED)} or more.",
        "A classifier that disagrees about the samples of the rarest digit.",
    ),
    Claim(
        "004.13",
        "The optimized configuration converges faster.",
        {LEVEL: ("baseline", "optimized", "fast")},
        ordered(
            (f"{percent(NEAR)} above the end", SETTLED, "optimized", "baseline"),
            (f"{LEVEL_NATS} nats", LEVEL, "optimized", "baseline"),
            word="to",
        ),
        f"Its validation loss is within {percent(NEAR)} of its end, and at {LEVEL_NATS} nats, at "
        "an earlier epoch than the baseline's.",
        "Time in seconds instead of epochs.",
    ),
    Claim(
        "004.14",
        "Samples became better from the first to the last configuration.",
        {FRECHET: ("baseline", "optimized", REAL)},
        ordered(("", FRECHET, "optimized", "baseline")),
        "The optimized configuration has a lower Fréchet distance than the baseline.",
        "Features of another classifier.",
    ),
    Claim(
        "004.15",
        "An LSTM reads the rows better than a simple dense encoder.",
        {NLL: ("baseline", "dense-encoder"), MSE: ("dense-encoder",)},
        ordered(*((GOOD[low], low, "baseline", "dense-encoder") for low in (NLL, MSE))),
        "It is better than a dense encoder with as many parameters.",
        "A dense encoder with more layers, or a convolutional one.",
    ),
    Claim(
        "004.16",
        "The learning rate has much influence on speed and stability.",
        {LEVEL: ("baseline", "fast"), INSTABILITY: ("fast",)},
        ordered(
            ("speed", LEVEL, "fast", "baseline"),
            ("stability", INSTABILITY, "baseline", "fast"),
            word="as to",
        ),
        f"At a rate of 0.001 the validation loss is at {LEVEL_NATS} nats at an earlier epoch than "
        "at 0.0005, and rises more, by 1 % of itself per epoch.",
        "Rates further apart.",
    ),
    Claim(
        "004.17",
        "The KL divergence keeps the latent space regular and interpolation smooth.",
        {FRECHET: ("baseline", "no-kl"), JUMP: ("no-kl",)},
        ordered(
            ("samples", FRECHET, "baseline", "no-kl"),
            ("digits between digits", DIGITS_BETWEEN, "no-kl", "baseline"),
            ("steady paths", JUMP, "baseline", "no-kl"),
        ),
        "Without it the samples of the prior are worse, fewer middle images of paths are digits, "
        "the paths jump more.",
        "Weights of the divergence between 0 and 1.",
    ),
    Claim(
        "004.18",
        "Too much dropout lowers the quality.",
        {NLL: ("baseline", "dropout", "heavy-dropout")},
        ordered(
            *(
                (words, quantity, variant, "heavy-dropout")
                for quantity, words in GOOD.items()
                for variant in ("baseline", "dropout")
            )
        ),
        f"Dropout of {HEAVY_DROPOUT} is worse than of 0.3 and than none.",
        "More epochs, which dropout may need.",
    ),
    Claim(
        "004.19",
        "LSTM encoder and convolutional decoder together give diverse samples.",
        {DIVERSITY: ("baseline", "optimized"), RAREST_DIGIT: ("baseline",)},
        at_least(
            *(
                (f"`{variant}`", quantity, variant, bound)
                for variant in ("baseline", "optimized")
                for quantity, bound in ((DIVERSITY, VARIED), (RAREST_DIGIT, COVERED))
            )
        ),
        f"{percent(VARIED)} of the variance of real digits in the classifier's features, and "
        f"{percent(COVERED)} of each digit.",
        "Another measure of diversity.",
    ),
)

STUDY = Study(
    name="vae-configurations",
    question="Which of the seven configurations is the best, by likelihood and by samples?",
    protocol="The seven recipes, and four more variants that change the baseline in one thing: a "
    f"ReLU on the posterior mean, dropout of {HEAVY_DROPOUT}, no KL divergence in the loss, and a "
    f"dense encoder with as many parameters as the LSTM's. {EPOCHS} epochs each, batches of 100. "
    "Everything is measured with dropout off. Nats per image; the negative log-likelihood "
    f"(NLL) is that of the first {NLL_IMAGES} test images, the same for all: over images it has a "
    "standard error of 1 nat, which the differences between variants do not have.",
    variants=(
        *(_variant(name, f"vae-{name}") for name in SEVEN),
        _variant("relu-mean", "vae-baseline", code_activation="relu"),
        _variant("heavy-dropout", "vae-baseline", dropout=HEAVY_DROPOUT),
        _variant("no-kl", "vae-baseline", beta=0.0),
        # The encoder has 138,451 parameters, the LSTM's 138,560.
        _variant("dense-encoder", "vae-baseline", encoder_units=(163,)),
    ),
    tables=(
        Table(
            "Negative ELBO and its parts on the grey test images (one sample of the posterior "
            "each, beta 1 but for `no-kl`); how far the cross-entropy (BCE) is above that of a "
            "perfect reconstruction; negative log-likelihood of binarized images by importance "
            f"sampling, on the first {NLL_IMAGES} test images; active latent units.",
            (LOSS, TRAIN_LOSS, RECONSTRUCTION, EXCESS_BCE, KL, NLL, ACTIVE_UNITS),
        ),
        Table(f"Reconstruction from the posterior mean. {REFERENCE_ROWS}", QUALITY),
        Table(
            "10,000 samples of the prior. Fréchet distance in the features of a classifier, "
            "share of which it is 95 % sure, distance of the classes from equal shares, share "
            "of the rarest digit; share without a pixel above 0.5 (blank); variance of the "
            "features and gradient energy as shares of those of the real images.",
            (*SAMPLES, BLANK, DIVERSITY, SAMPLE_SHARPNESS),
        ),
        Table(
            "Training: epoch from which on the validation loss, and its reconstruction part, "
            f"stay within {percent(NEAR)} of their ends; epoch in which the former first is at "
            f"most the level of {LEVEL_NATS} nats, in the seeds that get there (for `no-kl` "
            "without the divergence); fall of the reconstruction part on the training images by "
            "epoch 20, as a share of its whole fall; instability, the mean relative rise of a loss "
            "from epoch to epoch; validation KL after the first and the last epoch, and the share "
            "of epochs in which it rose.",
            (SETTLED, BCE_SETTLED, LEVEL, FALL, TRAIN_INSTABILITY, INSTABILITY, *KL_CURVE),
        ),
        Table(
            "Paths between the latents of two digits: largest step over mean step, and share of "
            "the middle images, and of the ends, that the classifier is 95 % sure of.",
            PATHS,
        ),
    ),
    panels=(
        # The other variants are so far off that these would not be told apart.
        Curves("reconstruction loss (BCE), nats per image", "reconstruction_loss", SEVEN),
        Curves("KL divergence, nats per image", "kl_loss", SEVEN),
        Dots(
            "negative log-likelihood, binarized, nats per image",
            NLL,
            (*SEVEN, "dense-encoder"),
            from_zero=False,
        ),
        Dots("Fréchet distance of the samples", FRECHET),
        Dots("share of the rarest digit", RAREST_DIGIT),
        Images("samples, first seed", "samples"),
    ),
    claims=CLAIMS,
    level=LEVEL_NATS,
)
