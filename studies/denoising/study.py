"""The study `denoising`: what takes noise out of images."""

from keras_ae import recipes
from keras_ae.options import NOISE_STD, NOISE_SWEEP
from keras_ae.recipe import Recipe
from studies.study import Dots, Study, Table, Variant
from studies.vocabulary import MSE, REFERENCE_ROWS, SHARPNESS, SSIM, Quantity

EPOCHS = 5
MLP_EPOCHS = 20
ANY = recipes.get("denoiser").train_noise_std
TRAININGS = {
    "clean": {"train_noise_std": 0.0, "any_train_noise": False},
    "noisy": {"train_noise_std": NOISE_STD, "any_train_noise": False},
    "any": {"train_noise_std": ANY, "any_train_noise": True},
}
DENOISED = {strength: Quantity("denoised", f"{strength:g}") for strength in NOISE_SWEEP}


def _variant(name: str, recipe: Recipe, epochs: int = EPOCHS, **overrides) -> Variant:
    training = TRAININGS[name.rsplit("-", 1)[1]]
    recipe = recipe.override(epochs=epochs, **training, **overrides)
    return Variant(name, recipe, ("summary", "curves", "quality", "denoising"))


def _conv(latent_dim: int) -> Recipe:
    like = recipes.get("denoiser")
    same = ("learning_rate", "batch_size", "optimizer", "schedule", "l2")
    training = {field: getattr(like, field) for field in same}
    return recipes.get("conv").override(latent_dim=latent_dim, **training)


STUDY = Study(
    name="denoising",
    question="What do latents, noise in training and spatial latents do for denoising?",
    protocol="`mlp` is the source's model (784-392-8), trained as there but for "
    f"{MLP_EPOCHS} epochs. `conv` encodes to a vector of 64, 128 or 256 latents, `spatial` to a "
    "map of 7x7x16, as the recipe `denoiser` does; all of these have the training of that recipe, "
    f"but for {EPOCHS} epochs. `clean` is training without noise, `noisy` with noise of "
    f"{NOISE_STD:g}, and `any` with a strength between 0 and {ANY:g} that is drawn for each image. "
    "Noise is Gaussian, added to the images and clipped to [0, 1]. No model is told the strength.",
    variants=(
        _variant("mlp-clean", recipes.get("mlp"), MLP_EPOCHS),
        _variant("mlp-noisy", recipes.get("mlp"), MLP_EPOCHS),
        _variant("conv-64-clean", _conv(64)),
        _variant("conv-64-noisy", _conv(64)),
        _variant("conv-128-noisy", _conv(128)),
        _variant("conv-256-noisy", _conv(256)),
        _variant("spatial-clean", recipes.get("denoiser")),
        _variant("spatial-noisy", recipes.get("denoiser")),
        _variant("spatial-any", recipes.get("denoiser")),
    ),
    tables=(
        Table(
            "Denoising: mean squared error per pixel against the clean originals of the test "
            "images, by the strength of the noise. The noisy input is the error without any "
            "model; the affine filter is the best one for this noise, fitted to the training "
            "images and told the strength; PCA projects on as many components.",
            tuple(DENOISED.values()),
        ),
        Table(f"Reconstruction of the clean test images. {REFERENCE_ROWS}", (MSE, SHARPNESS, SSIM)),
    ),
    panels=(
        *(
            Dots(f"denoising: test MSE at noise {strength:g}", DENOISED[strength])
            for strength in (0.1, 0.2, 0.5)
        ),
        Dots("reconstruction of clean images: test MSE", MSE),
    ),
    claims=(),
)
