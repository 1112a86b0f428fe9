"""The study `anomaly`: a claim of source 002 about images unlike those of the training."""

from keras_ae import recipes
from studies.claims import at_least
from studies.study import Claim, Dots, Study, Table, Variant
from studies.vocabulary import ANGLE_SCORES, ANOMALY_SCORES, Quantity

DIGITS = range(10)
# Epochs with one digit and with nine. One digit is a tenth of the images, so it gets more.
EPOCHS = {"batchnorm": (100, 15), "conv": (30, 8), "vae-baseline": (30, 8), "mlp-12": (48, 12)}
RECIPES = {recipe: recipes.get(recipe) for recipe in EPOCHS if recipe != "mlp-12"} | {
    # Chosen for `angle_and_error` on validation images, see benchmarks/tuning.md.
    "mlp-12": recipes.get("mlp").override(
        latent_dim=12, code_activation="linear", learning_rate=4e-3, batch_size=128, l2=0.0,
        schedule="cosine",
    )
}  # fmt: skip
ONE_CLASS = {recipe: f"one-class-{recipe}" for recipe in EPOCHS}
LEAVE_ONE_OUT = {recipe: f"leave-one-out-{recipe}" for recipe in EPOCHS}
MEAN_BOUND, WORST_BOUND = 0.9, 0.8
MEAN = {score: Quantity("anomaly_auroc", score) for score in ANOMALY_SCORES}
WORST = {score: Quantity("anomaly_auroc", score, "worst") for score in ANOMALY_SCORES}
PROTOCOLS = (("one-class", ONE_CLASS), ("leave-one-out", LEAVE_ONE_OUT))
STATISTICS = (("mean of the digits", MEAN), ("worst digit", WORST))
# The scores of a table, and the recipes in it.
SHOWN = (
    ([*ANOMALY_SCORES][: ANOMALY_SCORES.index("hidden_angle") + 1], [*EPOCHS][:-1]),
    (ANGLE_SCORES, ["mlp-12"]),
)


def _variants() -> tuple[Variant, ...]:
    only = {f"digit-{digit}": {"train_classes": (digit,)} for digit in DIGITS}
    others = {
        f"digit-{digit}": {"train_classes": tuple(other for other in DIGITS if other != digit)}
        for digit in DIGITS
    }
    return tuple(
        Variant(
            names[recipe],
            RECIPES[recipe].override(epochs=epochs),
            ("summary", "angles" if recipe == "mlp-12" else "anomaly"),
            parts,
        )
        for recipe, of_protocols in EPOCHS.items()
        for (_, names), parts, epochs in zip(PROTOCOLS, (only, others), of_protocols, strict=True)
    )


STUDY = Study(
    name="anomaly",
    question="Does a digit that was not trained on have a higher reconstruction error?",
    protocol="One-class: trained on one digit of the training split, ten times; the other nine "
    "are the anomalies. Leave-one-out: trained on nine digits; the tenth is the anomaly. "
    "AUROC on the whole test split, mean over the ten digits, and the worst of them. Epochs, "
    "one-class and leave-one-out: "
    + ", ".join(f"`{recipe}` {one} and {nine}" for recipe, (one, nine) in EPOCHS.items())
    + "; all else as in the recipes. `model_score` is the model's own score: mean squared error of "
    "the reconstruction, for the VAE the negative ELBO at the posterior mean. `pca_error` is the "
    "error of PCA with as many components as there are latents, fitted to the same images; "
    "`pixel_angle`, `blurred_angle` and `detail_angle` do without the model, too; the last is "
    "`angle_and_error` without its model. `mlp-12` is `mlp` with 12 linear latents, Adam at 0.004 "
    "along a cosine, batches of 128, no L2. All are described in `keras_ae/evaluation/scores.py`.",
    variants=_variants(),
    tables=tuple(
        Table(
            f"{protocol.capitalize()}, {words}.",
            tuple(by_score[score] for score in names_of_scores),
            tuple(names[recipe] for recipe in names_of_recipes),
        )
        for names_of_scores, names_of_recipes in SHOWN
        for protocol, names in PROTOCOLS
        for words, by_score in STATISTICS
    ),
    panels=tuple(
        Dots(
            f"{protocol}: AUROC, {words}",
            by_score["model_score"],
            tuple(names.values()),
            label="the model's own score",
            beside={
                "PCA": by_score["pca_error"],
                "hidden angle": by_score["hidden_angle"],
                "pixel angle, no model": by_score["pixel_angle"],
                "angle and error": by_score["angle_and_error"],
            },
            from_zero=False,
        )
        for words, by_score in STATISTICS
        for protocol, names in PROTOCOLS
    ),
    claims=(
        Claim(
            "002.5",
            "By the reconstruction loss the model finds digits that deviate from what it knows.",
            {
                MEAN["model_score"]: (ONE_CLASS["batchnorm"], LEAVE_ONE_OUT["batchnorm"]),
                WORST["model_score"]: (LEAVE_ONE_OUT["batchnorm"],),
            },
            at_least(
                *(
                    (words, by_score["model_score"], names["batchnorm"], bound)
                    for words, names in (
                        ("one digit as the normal class", ONE_CLASS),
                        ("nine digits as the normal classes", LEAVE_ONE_OUT),
                    )
                    for by_score, bound in ((MEAN, MEAN_BOUND), (WORST, WORST_BOUND))
                ),
                word="with",
            ),
            f"`batchnorm`, the source's model, has a mean AUROC of {MEAN_BOUND} or more, and "
            f"{WORST_BOUND} or more for the worst digit, of classes that were not trained on. What "
            "the source shows, test images with a high error, is in 002.7.",
            "A kind of anomaly that is not another digit (see 003.12).",
        ),
    ),
)
