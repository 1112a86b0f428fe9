"""The study `dense-vs-conv`: claims of sources 001 and 002 about convolutions."""

from keras_ae import recipes
from studies.claims import ordered
from studies.study import MORE_SEEDS, Claim, Dots, Images, Study, Table, Variant
from studies.vocabulary import MSE, QUALITY, REFERENCE_ROWS, SHARPNESS, SSIM, Quantity, Reference

EPOCHS = 13
PCA_5, PCA_64 = Reference("pca", 5), Reference("pca", 64)
EQUAL_64, EQUAL_5 = "64 latents in both", "5 latents in both"


def _variant(name: str, recipe: str, **overrides) -> Variant:
    return Variant(
        name,
        recipes.get(recipe).override(epochs=EPOCHS, **overrides),
        ("summary", "curves", "quality", "recognised"),
    )


STUDY = Study(
    name="dense-vs-conv",
    question="Are reconstructions of the convolutional autoencoder sharper, and is that due "
    "to the convolutions?",
    protocol="`dense-5` and `conv-64` are the source's pair, with 5 and 64 latents. `dense-64` "
    "(784-118-64-64) has as many latents as `conv-64` and within 1 % as many parameters; `conv-5` "
    "is `conv` with as many latents as `dense-5`. All have the source's training: "
    f"{EPOCHS} epochs, batches of 64, Adam at 0.001 with L2. Sharpness is the gradient energy of "
    "the reconstructions, the sum of squared differences of neighbouring pixels, as a share of "
    "that of the originals.",
    variants=(
        _variant("dense-5", "dense"),
        _variant("conv-5", "conv", latent_dim=5),
        _variant("dense-64", "dense", latent_dim=64, hidden_units=(118, 64)),
        _variant("conv-64", "conv"),
    ),
    tables=(
        Table(
            "Error, sharpness and structural similarity (SSIM, at most 1) on the test images. "
            "Recognised: share of the reconstructions that a classifier of digits gives the "
            "label of the original. " + REFERENCE_ROWS,
            (*QUALITY, Quantity("parameters")),
        ),
    ),
    panels=(
        Dots("test MSE", MSE),
        Dots("sharpness, 1 is that of the originals", SHARPNESS),
        Dots("structural similarity (SSIM), 1 is equality", SSIM),
        Images("reconstructions, first seed", "reconstructions"),
    ),
    claims=(
        Claim(
            "001.1",
            "Reconstructions of the convolutional autoencoder are sharper than the dense one's.",
            {SHARPNESS: ("dense-5", "dense-64", "conv-64")},
            ordered(
                ("the source's pair (64 and 5 latents)", SHARPNESS, "dense-5", "conv-64"),
                (EQUAL_64, SHARPNESS, "dense-64", "conv-64"),
                (EQUAL_5, SHARPNESS, "dense-5", "conv-5"),
            ),
            "The convolutional one is sharper.",
            "Another pair of equal latents and parameters, or longer training, with another order.",
        ),
        Claim(
            "001.2",
            "Preserving the spatial layout, the convolutional autoencoder captures structure "
            "better.",
            {SSIM: ("dense-64", "conv-64", "conv-5")},
            ordered(
                (EQUAL_64, SSIM, "dense-64", "conv-64"),
                (EQUAL_64, MSE, "conv-64", "dense-64"),
                (EQUAL_5, SSIM, "dense-5", "conv-5"),
                (EQUAL_5, MSE, "conv-5", "dense-5"),
            ),
            "With equally many latents, its SSIM is higher and its error lower.",
            "A deeper convolutional model with 5 latents and an equal number of parameters.",
        ),
        Claim(
            "001.3",
            "Both models learn to compress digits and to bring them back.",
            {MSE: ("dense-5", PCA_5, "conv-64")},
            ordered(("dense", MSE, "dense-5", PCA_5), ("conv", MSE, "conv-64", PCA_64)),
            "The error is lower than that of PCA with as many numbers.",
            "Nothing short of an error in the measurement.",
        ),
        Claim(
            "002.4",
            "Convolutional models would improve on dense ones.",
            {MSE: ("dense-64", "conv-64", "conv-5")},
            ordered(
                ("64 latents", MSE, "conv-64", "dense-64"),
                ("5 latents", MSE, "conv-5", "dense-5"),
                word="with",
            ),
            "With equally many latents their error is lower.",
            "Convolutional models with more layers.",
        ),
    ),
    seeds=MORE_SEEDS,
)
