"""The study `batchnorm-rate`: claims of source 002 about a batch-normalized autoencoder."""

from keras_ae import recipes
from studies.claims import CLEAR, below, only_for, ordered, percent, verdict
from studies.found import Found
from studies.study import Claim, Curves, Dots, Study, Table, Variant
from studies.vocabulary import MSE, RECOGNISED, REFERENCE_ROWS, SHARPNESS, Quantity, Reference

SOURCE_RATE = 0.05
LOWER_RATES = (0.01, 0.003, 0.001)
RATES = (SOURCE_RATE, *LOWER_RATES)
# Names of the variants by rate: with batch normalization and without.
NORMALIZED = {rate: f"rate-{rate}" for rate in RATES}
PLAIN = {rate: f"plain-rate-{rate}" for rate in RATES}
# More layers and more units, at the source's rate and at one that the model bears better.
LARGER = {"deeper": (256, 256, 128, 128), "wider": (512, 256)}
LARGER_RATES = (SOURCE_RATE, 0.01)
INSTABILITY = Quantity("instability", "validation")
PCA = Reference("pca", 32)


def _variant(name: str, **overrides) -> Variant:
    recipe = recipes.get("batchnorm").override(**overrides)
    of_source = ("misread",) if name == NORMALIZED[SOURCE_RATE] else ()
    return Variant(name, recipe, ("summary", "curves", "quality", "recognised", *of_source))


def _high_fidelity(found: Found) -> str:
    return only_for(
        {
            f"a rate of {rate}": min(found(name, RECOGNISED)) >= CLEAR
            and below(found(name, MSE), found(PCA, MSE))
            for rate, name in NORMALIZED.items()
        },
        "with",
    )


def _architecture_limits(found: Found) -> str:
    source = found(NORMALIZED[SOURCE_RATE], MSE)
    return verdict(not any(below(found(NORMALIZED[rate], MSE), source) for rate in LOWER_RATES))


STUDY = Study(
    name="batchnorm-rate",
    question="Is the source's learning rate of 0.05 a good one, and what does batch "
    "normalization do for it?",
    protocol="The recipe `batchnorm` (784-256-128-32, batches of 1,024, Adam) at four rates, "
    "with and without batch normalization (`plain`): 25 epochs each, nothing else changed. "
    "Instability is the mean relative rise of the validation loss from one epoch to the next, "
    "where an epoch in which it falls counts as zero.",
    variants=(
        *(_variant(name, learning_rate=rate) for rate, name in NORMALIZED.items()),
        *(
            _variant(name, learning_rate=rate, batch_normalization=False)
            for rate, name in PLAIN.items()
        ),
        *(
            _variant(f"{name}-rate-{rate}", learning_rate=rate, hidden_units=units)
            for name, units in LARGER.items()
            for rate in LARGER_RATES
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
            _high_fidelity,
            f"At the source's rate of {SOURCE_RATE} and at lower ones, every seed has a lower "
            f"error than {PCA.words}, and a classifier recognises {percent(CLEAR)} of its "
            "reconstructions.",
            "A decay of the rate, or another moment to stop.",
        ),
        Claim(
            "002.2",
            "Batch normalization stabilizes the training.",
            {INSTABILITY: (NORMALIZED[0.003], PLAIN[0.003]), MSE: (PLAIN[SOURCE_RATE],)},
            ordered(
                *(("the error", MSE, NORMALIZED[rate], PLAIN[rate]) for rate in RATES),
                *(
                    ("the steadiness of the loss", INSTABILITY, NORMALIZED[rate], PLAIN[rate])
                    for rate in RATES
                ),
                word="as to",
            ),
            "At each rate batch normalization gives every seed a lower error, and a validation "
            "loss that rises less from epoch to epoch.",
            "Rates between those tested at which the order changes.",
        ),
        Claim(
            "002.3",
            "It is the simplicity of the architecture that limits the model.",
            {MSE: tuple(NORMALIZED[rate] for rate in (SOURCE_RATE, 0.01, 0.003))},
            _architecture_limits,
            "No lower rate gives the same architecture a lower error in every seed. This only says "
            "what limits the source's own run; for the architecture see 002.4.",
            "Longer training, or a decay of the rate, after which a lower rate is no better.",
        ),
    ),
)
