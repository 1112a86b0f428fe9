"""The study `lstm-activations`: claims of source 000 about an LSTM autoencoder."""

from keras_ae import recipes
from studies.claims import CLEAR, ordered, percent, rule
from studies.study import Claim, Curves, Dots, Images, Study, Table, Variant
from studies.vocabulary import (
    MSE,
    NON_CONSTANT_UNITS,
    QUALITY,
    RECOGNISED,
    REFERENCE_ROWS,
    SHARPNESS,
    Quantity,
    Reference,
)

EPOCHS = 10
LATENT_DIM = 64
NONLINEARITY = Quantity("nonlinearity")
TRAIN_MSE = Quantity("mse", "train")
PCA = Reference("pca", LATENT_DIM)
LINEAR = 0.01  # Nonlinearity below which a model counts as linear.
ALIKE = 0.1  # Share by which an error may be above another that counts as no better.


def _variant(name: str, recipe: str, **overrides) -> Variant:
    return Variant(
        name,
        recipes.get(recipe).override(epochs=EPOCHS, **overrides),
        ("summary", "curves", "quality", "recognised", "linearity"),
    )


STUDY = Study(
    name="lstm-activations",
    question="Does the LSTM autoencoder reconstruct better without activations inside it?",
    protocol="LSTMs 128-64-64-128 over the rows with tanh (Keras' default), ReLU or nothing in "
    "place of the activation of candidate and output; the gates keep their sigmoid. The output "
    "layer is linear as in the source, or a sigmoid (`sigmoid-head`). `dense-64` is a fully "
    f"connected autoencoder with {LATENT_DIM} latents, too, and as many parameters within 1 %. "
    f"All: {EPOCHS} epochs (the source names none), batches of 128, Adam at 0.001.",
    variants=(
        _variant("tanh", "lstm"),
        _variant("relu", "lstm-relu"),
        _variant("linear", "lstm-linear"),
        _variant("tanh-sigmoid-head", "lstm", output_activation="sigmoid"),
        _variant("linear-sigmoid-head", "lstm-linear", output_activation="sigmoid"),
        # 784-156-64 has 265,736 parameters, the LSTMs 265,244.
        _variant(
            "dense-64", "dense", latent_dim=LATENT_DIM, hidden_units=(156,), batch_size=128, l2=0.0
        ),
    ),
    tables=(
        Table(
            "Error, sharpness and structural similarity on the test images, and share of the "
            "reconstructions that a classifier recognises. Nonlinearity: how far the output "
            "for a mean of two images is from the mean of their outputs, as a share of the "
            "squared distance between these; 0 is a linear model. " + REFERENCE_ROWS,
            (*QUALITY, NONLINEARITY),
        ),
        Table(
            "Training: error on the training images, instability of the training loss (mean "
            "relative rise from epoch to epoch) and number of parameters.",
            (TRAIN_MSE, Quantity("instability", "train"), Quantity("parameters")),
        ),
    ),
    panels=(
        Curves("mean squared error per pixel", logarithmic=True),
        Dots("test MSE", MSE),
        Dots("sharpness, 1 is that of the originals", SHARPNESS),
        Images("reconstructions, first seed", "reconstructions"),
    ),
    claims=(
        Claim(
            "000.1",
            "Removing the activations inside the LSTM stack clearly improves the reconstruction.",
            {MSE: ("linear", "tanh", "relu")},
            ordered(
                ("ReLU", MSE, "linear", "relu"), ("tanh", MSE, "linear", "tanh"), word="against"
            ),
            f"After {EPOCHS} epochs at one rate `linear` has a lower error than `tanh` and `relu`.",
            "Longer training, or a rate chosen for each activation, that turns the order around.",
        ),
        Claim(
            "000.2",
            "Without activations the model is linear and behaves like PCA.",
            {NONLINEARITY: ("linear",), MSE: ("linear", PCA)},
            rule(("", ("linear", NONLINEARITY), LINEAR)),
            f"`linear` has a nonlinearity below {LINEAR}. (PCA is the best linear autoencoder.)",
            "An LSTM without its sigmoid gates, which are what is nonlinear here.",
        ),
        Claim(
            "000.3",
            "MNIST is almost linear, so a linear autoencoder is well suited to it.",
            {MSE: (PCA, "dense-64", "tanh")},
            rule(("", (PCA, MSE), lambda found: [(1 + ALIKE) * e for e in found("dense-64", MSE)])),
            "The error of PCA, the best linear autoencoder, is less than "
            f"{percent(ALIKE)} above that of `dense-64`, which has as many latents.",
            "A latent dimension at which no nonlinear model is better than PCA (the study "
            "bottleneck has 2 to 64).",
        ),
        Claim(
            "000.4",
            "Nonlinear activations such as ReLU can leave dead units.",
            {NON_CONSTANT_UNITS: ("linear", "tanh", "relu")},
            ordered(("", NON_CONSTANT_UNITS, "relu", "linear")),
            "`relu` has fewer latent units that are not constant than `linear`. One activation "
            "that does is enough.",
            "A lower rate, at which no unit of `relu` dies.",
        ),
        Claim(
            "000.5",
            "Nonlinear activations such as ReLU can make the outputs blurry.",
            {SHARPNESS: ("linear", "tanh", "relu")},
            ordered(("", SHARPNESS, "relu", "linear")),
            "`relu` is less sharp than `linear`. One activation is enough, as for 000.4.",
            "Another measure of sharpness that disagrees with the gradient energy.",
        ),
        Claim(
            "000.7",
            "The LSTM autoencoder soon makes smooth and recognisable reconstructions.",
            {RECOGNISED: ("relu", "linear"), SHARPNESS: ("linear",)},
            rule(
                *((name, CLEAR, (name, RECOGNISED)) for name in ("linear", "tanh", "relu")),
                *((name, (name, SHARPNESS), 1.0) for name in ("linear", "tanh", "relu")),
            ),
            f"After {EPOCHS} epochs a classifier gives {percent(CLEAR)} of the reconstructions "
            "their label, and they have less gradient energy than the originals.",
            "A classifier that was trained on blurred digits.",
        ),
    ),
)
