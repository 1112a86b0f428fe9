"""The study `batchnorm-rate`: claims of source 002 about a batch-normalized autoencoder."""

from keras_ae import recipes
from studies.claims import CLEAR, at_least, ordered, percent, rule
from studies.study import MORE_SEEDS, Claim, Curves, Dots, Study, Table, Variant
from studies.vocabulary import MSE, RECOGNISED, REFERENCE_ROWS, SHARPNESS, Quantity, Reference

SOURCE_RATE = 0.05
LOWER_RATES = (0.01, 0.003, 0.001)
RATES = (SOURCE_RATE, *LOWER_RATES)
# Names of the variants by rate: with batch normalization and without.
NORMALIZED = {rate: f"rate-{rate}" for rate in RATES}
PLAIN = {rate: f"plain-rate-{rate}" for rate in RATES}
STEADY_RATES = (0.003, 0.001)
# Larger models, at the source's rate and at the one with the lowest error.
BEST_RATE = 0.003
WIDE = {rate: f"wide-rate-{rate}" for rate in (SOURCE_RATE, BEST_RATE)}
DEEP = {rate: f"deep-rate-{rate}" for rate in WIDE}
INSTABILITY = Quantity("instability", "validation")
MISREAD = Quantity("misread_auroc")
PCA = Reference("pca", 32)
TOLD_APART = 0.8  # AUROC of digits that are hard to read.


def _variant(name: str, **overrides) -> Variant:
    recipe = recipes.get("batchnorm").override(**overrides)
    of_source = ("misread",) if name == NORMALIZED[SOURCE_RATE] else ()
    return Variant(name, recipe, ("summary", "curves", "quality", "recognised", *of_source))


STUDY = Study(
    name="batchnorm-rate",
    question="Is the source's learning rate of 0.05 a good one, and what does batch "
    "normalization do for it?",
    protocol="The recipe `batchnorm` (784-256-128-32, batches of 1,024, Adam) at four rates, "
    "with and without batch normalization (`plain`): 25 epochs each, nothing else changed. At "
    f"{SOURCE_RATE} and {BEST_RATE} there are two larger models, too: 784-512-256-32 (`wide`) and "
    "784-256-128-64-32 (`deep`). "
    "Instability is the mean relative rise of the validation loss from one epoch to the next, "
    "where an epoch in which it falls counts as zero.",
    variants=(
        *(_variant(name, learning_rate=rate) for rate, name in NORMALIZED.items()),
        *(
            _variant(name, learning_rate=rate, batch_normalization=False)
            for rate, name in PLAIN.items()
        ),
        *(
            _variant(names[rate], learning_rate=rate, hidden_units=units)
            for names, units in ((WIDE, (512, 256)), (DEEP, (256, 128, 64)))
            for rate in names
        ),
    ),
    tables=(
        Table(
            "Mean squared error per pixel by split, and how unstable the validation loss is. "
            + REFERENCE_ROWS,
            (
                MSE,
                Quantity("mse", "validation"),
                Quantity("mse", "train"),
                INSTABILITY,
                SHARPNESS,
                RECOGNISED,
            ),
        ),
        Table(
            "Test digits that a classifier misreads: AUROC of the error for them, and their share "
            "of the 100 digits with the highest error and of all.",
            (MISREAD, Quantity("misread_of_highest")),
            (NORMALIZED[SOURCE_RATE],),
        ),
    ),
    panels=(
        Curves(
            "mean squared error per pixel", variants=tuple(NORMALIZED.values()), logarithmic=True
        ),
        Curves(
            "the same without batch normalization", variants=tuple(PLAIN.values()), logarithmic=True
        ),
        Dots("test MSE", MSE),
        Dots("instability of the validation loss", INSTABILITY),
    ),
    claims=(
        Claim(
            "002.1",
            "The batch-normalized autoencoder reconstructs digits with high fidelity.",
            {MSE: (NORMALIZED[SOURCE_RATE], PCA), RECOGNISED: (NORMALIZED[SOURCE_RATE],)},
            rule(
                *((f"{rate}", (name, MSE), (PCA, MSE)) for rate, name in NORMALIZED.items()),
                *((f"{rate}", CLEAR, (name, RECOGNISED)) for rate, name in NORMALIZED.items()),
                word="at rates of",
            ),
            f"At the source's rate of {SOURCE_RATE} and at lower ones, the error is lower than "
            f"that of {PCA.words}, and a classifier recognises {percent(CLEAR)} of the "
            "reconstructions.",
            "A decay of the rate, or another moment to stop.",
        ),
        Claim(
            "002.2",
            "Batch normalization stabilizes the training.",
            {INSTABILITY: (NORMALIZED[0.003], PLAIN[0.003]), MSE: (PLAIN[SOURCE_RATE],)},
            ordered(
                *((f"the error at {rate}", MSE, NORMALIZED[rate], PLAIN[rate]) for rate in RATES),
                *(
                    (f"the steadiness at {rate}", INSTABILITY, NORMALIZED[rate], PLAIN[rate])
                    for rate in STEADY_RATES
                ),
                word="as to",
            ),
            "At each rate batch normalization gives a lower error. At "
            f"{' and '.join(map(str, STEADY_RATES))}, where the plain models do not fail, it gives "
            "a validation loss that rises less, by 1 % of itself per epoch.",
            "Rates between those tested at which the order changes.",
        ),
        Claim(
            "002.3",
            "It is the simplicity of the architecture that limits the model.",
            {MSE: tuple(of[BEST_RATE] for of in (NORMALIZED, WIDE, DEEP))},
            ordered(
                *(
                    (f"{words} at {rate}", MSE, names[rate], NORMALIZED[rate])
                    for words, names in (("twice the units", WIDE), ("another layer", DEEP))
                    for rate in names
                ),
                word="with",
            ),
            f"With twice the units in every hidden layer, and with another layer, the error is "
            f"lower, at the source's rate of {SOURCE_RATE} and at {BEST_RATE}. For convolutions "
            "see 002.4.",
            "Longer training, which a larger model may need.",
        ),
        Claim(
            "002.7",
            "Digits with a high reconstruction error deviate from typical patterns.",
            {
                MISREAD: (NORMALIZED[SOURCE_RATE], PCA),
                Quantity("misread_of_highest"): (NORMALIZED[SOURCE_RATE],),
            },
            at_least(("", MISREAD, NORMALIZED[SOURCE_RATE], TOLD_APART)),
            f"The error tells the test digits that a classifier misreads from the others, with an "
            f"AUROC of {TOLD_APART} or more.",
            "Judgement by people of which digits are odd.",
        ),
    ),
    seeds=MORE_SEEDS,
)
