"""The claims of the five sources, in our words, and the rules that decide about them."""

from studies.claims import bottleneck, deterministic, variational
from studies.claims.claim import FAILS, HOLDS, NOT_YET, Claim, Found, Untested

__all__ = ["CLAIMS", "FAILS", "HOLDS", "NOT_YET", "UNTESTED", "Claim", "Found"]

CLAIMS: dict[str, Claim] = {
    claim.name: claim for claim in (*deterministic.CLAIMS, *bottleneck.CLAIMS, *variational.CLAIMS)
}

UNTESTED = (
    Untested(
        "000",
        "Read as a sequence of rows, an image shows dependencies that are its visual structure.",
        "No dependency is named. What reading rows is worth for the error is in 000.3, where "
        "`dense-64` does without, and in 004.15.",
    ),
    Untested(
        "000",
        "Each LSTM layer extracts more abstract temporal patterns than the one before.",
        "Neither abstraction nor pattern is defined, so no measurement could contradict it.",
    ),
    Untested(
        "000",
        "Nonlinear activations saturate.",
        "It is given as a reason for 000.1, and says nothing on which states would have to "
        "saturate how far; the effects it is to explain are 000.1, 000.5 and 000.6.",
    ),
    Untested(
        "000",
        "Model complexity should be aligned with the complexity of the data.",
        "Advice without a measure of either complexity.",
    ),
    Untested(
        "003",
        "The bottleneck forces the network to learn only the most essential features.",
        "Essential is not defined; what the code keeps is measured in 003.3, 003.5 and 003.15.",
    ),
    Untested(
        "003",
        "The steep fall of the loss is the learning of basic structure, the plateau a fine-tuning "
        "of details.",
        "An interpretation of the curve in 003.2; no structure and no detail is named.",
    ),
    Untested(
        "003",
        "A larger code stores patterns of the noise, too.",
        "Which part of a code is the noise's is not defined; what would follow for denoising is in "
        "003.6 and 003.9.",
    ),
    Untested(
        "004",
        "Plain autoencoders, unlike variational ones, do not model a distribution of codes.",
        "True by definition; samples of densities fitted to plain codes are in 003.13.",
    ),
    Untested(
        "004",
        "Three of the seven configurations.",
        "The source counts seven and describes four; ours fill the gap with steps of one factor.",
    ),
)
