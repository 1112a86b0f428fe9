"""Claims of source 004: seven configurations of a variational autoencoder."""

from collections.abc import Mapping

from studies.claims.claim import CLEAR, FAILS, HOLDS, Claim, Found, below, only_for, verdict
from studies.declared import SEVEN, VAE_LEVEL

BLANK = 0.05  # Share of blank samples from which on they count as frequent.
VARIED = 0.9  # Variance of the features, as a share of the real images', of diverse samples.
DULL = 0.7  # Gradient energy, as a share of the real images', below which detail is lacking.
_STEPS = {"baseline": "deeper", "dropout": "deeper-dropout"}
_DROPOUTS = {"baseline": "dropout", "deeper": "deeper-dropout"}
_REAL = "real test images"


def _lacks(found: Found, arm: str) -> bool:
    return min(found(arm, "blank")) >= BLANK or max(found(arm, "sample_sharpness")) <= DULL


def _blank(found: Found) -> str:
    if _lacks(found, "baseline"):
        return HOLDS
    return "holds only with a ReLU on the posterior mean" if _lacks(found, "relu-mean") else FAILS


def _rises(found: Found, measure: str, pairs: Mapping[str, str]) -> str:
    return only_for(
        {
            f"from `{before}` to `{after}`": below(found(before, measure), found(after, measure))
            for before, after in pairs.items()
        }
    )


def _no_more_diverse(found: Found) -> str:
    return only_for(
        {
            f"`{dropped}`": not below(found(without, "diversity"), found(dropped, "diversity"))
            and not below(found(without, "rarest_digit"), found(dropped, "rarest_digit"))
            for without, dropped in _DROPOUTS.items()
        }
    )


def _rate_matters(found: Found) -> str:
    def differ(measure):
        slow, fast = found("baseline", measure), found("fast", measure)
        return below(slow, fast) or below(fast, slow)

    return only_for(
        {
            f"the epochs to {VAE_LEVEL} nats": differ("epochs_to_level"),
            "the epochs to 1 % above the end": differ("epochs_to_settle"),
            "the stability of the validation loss": differ("instability"),
            "the reconstruction": differ("mse"),
        }
    )


def _faster(found: Found) -> str:
    measures = {"1 % above the end": "epochs_to_settle", f"{VAE_LEVEL} nats": "epochs_to_level"}
    return only_for(
        {
            words: below(found("optimized", measure), found("baseline", measure))
            for words, measure in measures.items()
        },
        "to",
    )


def _generalizes(found: Found) -> str:
    def gaps(arm):
        return [
            test - train
            for test, train in zip(found(arm, "loss"), found(arm, "train_loss"), strict=True)
        ]

    pairs = _DROPOUTS.items()
    return only_for(
        {
            "the gap to the training images": all(
                below(gaps(dropped), gaps(without)) for without, dropped in pairs
            ),
            "the loss of test images": all(
                below(found(dropped, "loss"), found(without, "loss")) for without, dropped in pairs
            ),
        },
        "as to",
    )


def _regular(found: Found) -> str:
    return only_for(
        {
            "samples": below(found("baseline", "frechet"), found("no-kl", "frechet")),
            "digits between digits": below(
                found("no-kl", "digits_between"), found("baseline", "digits_between")
            ),
            "steady paths": below(found("baseline", "jump"), found("no-kl", "jump")),
        }
    )


def _better_encoder(found: Found) -> str:
    return only_for(
        {
            "the likelihood": below(found("baseline", "nll"), found("dense-encoder", "nll")),
            "the reconstruction": below(found("baseline", "mse"), found("dense-encoder", "mse")),
        }
    )


def _excess(found: Found) -> str:
    measures = {"the likelihood": "nll", "the samples": "frechet", "the reconstruction": "mse"}
    return only_for(
        {
            words: all(
                below(found(arm, measure), found("heavy-dropout", measure))
                for arm in ("baseline", "dropout")
            )
            for words, measure in measures.items()
        }
    )


def _clear(found: Found, arm: str) -> str:
    return verdict(min(found(arm, "recognised")) >= CLEAR and min(found(arm, "sharpness")) >= DULL)


CLAIMS = (
    Claim(
        "004.1",
        "The baseline's reconstruction loss is stable by epoch 20.",
        "vae-configurations",
        {
            "reconstruction_above_end_at_20": ("baseline",),
            "reconstruction_epochs_to_settle": ("baseline",),
        },
        lambda found: verdict(max(found("baseline", "reconstruction_above_end_at_20")) <= 0.01),
        "At epoch 20 the cross-entropy of the validation images is at most 1 % above its end, in "
        "every seed.",
        "Another bound than 1 %.",
    ),
    Claim(
        "004.2",
        "The KL divergence grows gradually.",
        "vae-configurations",
        dict.fromkeys(("kl_first", "kl_last", "kl_rising"), ("baseline",)),
        lambda found: verdict(
            below(found("baseline", "kl_first"), found("baseline", "kl_last"))
            and min(found("baseline", "kl_rising")) >= 0.8
        ),
        "It is higher at the end than after the first epoch and rises in four of five epochs, on "
        "the validation images, in every seed.",
        "Steps within the first epoch, which are not recorded.",
    ),
    Claim(
        "004.3",
        "The baseline's reconstructions are clear.",
        "vae-configurations",
        {
            "recognised": ("baseline", "PCA, 32 components", "originals"),
            "sharpness": ("baseline", "PCA, 32 components"),
        },
        lambda found: _clear(found, "baseline"),
        f"{100 * CLEAR:.0f} % are recognised and the gradient energy is {100 * DULL:.0f} % of the "
        "originals' or more, in every seed.",
        "Judgement by people.",
    ),
    Claim(
        "004.4",
        "The baseline's samples often lack detail or are blank.",
        "vae-configurations",
        {
            "blank": ("baseline", "relu-mean", _REAL),
            "sample_sharpness": ("baseline", "relu-mean", _REAL),
            "frechet": ("baseline", "relu-mean", _REAL),
        },
        _blank,
        f"{100 * BLANK:.0f} % of the samples are blank, or their gradient energy is "
        f"{100 * DULL:.0f} % of that of real digits or less, in every seed. If only `relu-mean` "
        "has that, it holds only with a ReLU on the posterior mean.",
        "The source's code, if it has another fault than a ReLU on the posterior mean.",
    ),
    Claim(
        "004.5",
        "A deeper decoder makes the reconstructions sharper.",
        "vae-configurations",
        {"sharpness": SEVEN[:4], "mse": SEVEN[:4]},
        lambda found: _rises(found, "sharpness", _STEPS),
        "Every seed is sharper than every seed of the shallower one.",
        "A decoder that is deeper in another way.",
    ),
    Claim(
        "004.6",
        "A deeper decoder's samples remain repetitive.",
        "vae-configurations",
        {"diversity": (*SEVEN[:4], _REAL), "distance_to_uniform": SEVEN[:4]},
        lambda found: only_for(
            {f"`{arm}`": max(found(arm, "diversity")) < VARIED for arm in _STEPS.values()}
        ),
        f"The variance of the classifier's features is below {100 * VARIED:.0f} % of the real "
        "digits', in every seed.",
        "Another measure of diversity.",
    ),
    Claim(
        "004.7",
        "A deeper decoder has a slightly higher KL divergence.",
        "vae-configurations",
        {"kl_loss": SEVEN[:4]},
        lambda found: _rises(found, "kl_loss", _STEPS),
        "It is higher in every seed.",
        "More seeds.",
    ),
    Claim(
        "004.8",
        "Dropout makes the curve of the training loss unstable.",
        "vae-configurations",
        dict.fromkeys(("train_instability", "instability"), SEVEN[:4]),
        lambda found: _rises(found, "train_instability", _DROPOUTS),
        "The training loss rises more from epoch to epoch, on average, in every seed.",
        "A look within the epochs.",
    ),
    Claim(
        "004.9",
        "Dropout makes the samples incomplete or noisy.",
        "vae-configurations",
        {"frechet": (*SEVEN[:4], _REAL), "confident": (*SEVEN[:4], _REAL)},
        lambda found: _rises(found, "frechet", _DROPOUTS),
        "With dropout off, the Fréchet distance is higher in every seed.",
        "Samples that the source may have drawn with dropout on.",
    ),
    Claim(
        "004.10",
        "Dropout alone does not make the samples more diverse.",
        "vae-configurations",
        {"diversity": SEVEN[:4], "rarest_digit": SEVEN[:4]},
        _no_more_diverse,
        "Neither the variance of the features nor the share of the rarest digit is higher in "
        "every seed.",
        "Another rate or place of dropout.",
    ),
    Claim(
        "004.11",
        "The optimized configuration's reconstructions are clear throughout.",
        "vae-configurations",
        {"recognised": ("optimized", "baseline"), "sharpness": ("optimized", "baseline")},
        lambda found: _clear(found, "optimized"),
        "As 004.3.",
        "Judgement by people.",
    ),
    Claim(
        "004.12",
        "The optimized configuration's samples cover the digits 0 to 9.",
        "vae-configurations",
        {"rarest_digit": (*SEVEN, _REAL), "distance_to_uniform": ("optimized", "baseline", _REAL)},
        lambda found: verdict(min(found("optimized", "rarest_digit")) >= 0.05),
        "Of 10,000 samples the classifier gives each digit 5 % or more, in every seed.",
        "A classifier that disagrees about the samples of the rarest digit.",
    ),
    Claim(
        "004.13",
        "The optimized configuration converges faster.",
        "vae-configurations",
        dict.fromkeys(
            ("epochs_to_settle", "epochs_to_level"), ("baseline", "fast", "channels", "optimized")
        ),
        _faster,
        f"Its validation loss is within 1 % of its end, and at {VAE_LEVEL} nats, at an earlier "
        "epoch than the baseline's, in every seed. `fast` and `channels` show which of the two "
        "changes does it.",
        "Time in seconds instead of epochs.",
    ),
    Claim(
        "004.14",
        "Samples became better from the first to the last configuration.",
        "vae-configurations",
        {"frechet": (*SEVEN, _REAL), "confident": ("baseline", "optimized", _REAL)},
        lambda found: verdict(below(found("optimized", "frechet"), found("baseline", "frechet"))),
        "The optimized configuration has a lower Fréchet distance than the baseline in every seed.",
        "Features of another classifier.",
    ),
    Claim(
        "004.15",
        "An LSTM reads the rows better than a simple dense encoder.",
        "vae-configurations",
        {"nll": ("baseline", "dense-encoder"), "mse": ("baseline", "dense-encoder")},
        _better_encoder,
        "With as many parameters, and the same decoder and training, every seed is better than "
        "every seed of the dense encoder.",
        "A dense encoder with more layers, or a convolutional one.",
    ),
    Claim(
        "004.16",
        "The learning rate has much influence on speed and stability.",
        "vae-configurations",
        dict.fromkeys(
            ("epochs_to_level", "epochs_to_settle", "instability", "mse"), ("baseline", "fast")
        ),
        _rate_matters,
        "Between rates of 0.0005 and 0.001 all seeds differ in the same direction, in each of the "
        "four measures.",
        "Rates further apart.",
    ),
    Claim(
        "004.17",
        "The KL divergence keeps the space of codes regular and interpolation smooth.",
        "vae-configurations",
        dict.fromkeys(("frechet", "digits_between", "jump"), ("baseline", "no-kl")),
        _regular,
        "Without it, in every seed: the samples of the prior are worse, fewer middle images of "
        "paths are digits, the paths jump more.",
        "Weights of the divergence between 0 and 1.",
    ),
    Claim(
        "004.18",
        "Too much dropout lowers the quality.",
        "vae-configurations",
        dict.fromkeys(("nll", "frechet", "mse"), ("baseline", "dropout", "heavy-dropout")),
        _excess,
        "Dropout of 0.75 is worse than of 0.3 and than none, in every seed, with dropout off.",
        "More epochs, which dropout may need.",
    ),
    Claim(
        "004.19",
        "LSTM encoder and convolutional decoder together give diverse samples.",
        "vae-configurations",
        {
            "diversity": ("baseline", "optimized", _REAL),
            "rarest_digit": ("baseline", "optimized", _REAL),
        },
        lambda found: only_for(
            {
                f"`{arm}`": min(found(arm, "diversity")) >= VARIED
                and min(found(arm, "rarest_digit")) >= 0.05
                for arm in ("baseline", "optimized")
            }
        ),
        f"{100 * VARIED:.0f} % of the variance of real digits in the classifier's features, and "
        "5 % of each digit, in every seed.",
        "Another measure of diversity.",
    ),
    Claim(
        "004.20",
        "Trying configurations improved the accuracy of the reconstructions.",
        "vae-configurations",
        {"reconstruction_loss": SEVEN, "mse": SEVEN},
        lambda found: only_for(
            {
                f"`{arm}`": below(
                    found(arm, "reconstruction_loss"), found("baseline", "reconstruction_loss")
                )
                for arm in SEVEN[1:]
            }
        ),
        "Lower cross-entropy, the source's loss, than the baseline in every seed.",
        "A reason to count the squared error instead, by which none is better.",
    ),
    Claim(
        "004.21",
        "Dropout improves the generalization.",
        "vae-configurations",
        dict.fromkeys(("loss", "train_loss"), SEVEN[:4]),
        _generalizes,
        "In every seed the negative ELBO of test images is less above that of training images, "
        "dropout off for both, and it is lower.",
        "Fewer training images, which would be learned by heart sooner.",
    ),
)
