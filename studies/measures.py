"""What studies measure of a trained model: functions from a run to numbers.

Each returns numbers by row and measure, in the words of `vocabulary`; a measure with conditions has
a number for each of them. Everything is of the test split unless the condition says otherwise.
"""

import base64
import json
import zlib
from collections.abc import Callable, Sequence

import keras
import numpy as np

from keras_ae import data, metrics
from keras_ae.errors import check_known
from keras_ae.evaluation import classifier, scores
from keras_ae.evaluation.context import Context
from keras_ae.evaluation.stages import denoise, elbo, generate, history, latent, reconstruct
from keras_ae.training.fit import build
from studies.vocabulary import ANGLE_SCORES, ANOMALY_SCORES, MODEL, OUTLIERS, Numbers

SAMPLES_KEPT = 20
PATHS = 1000
PATH_STEPS = 8
LABELLED_IMAGES = 500
LABELLED_EPOCHS = 30
LINEARITY_PAIRS = 2000
HIGHEST = 100


_SCORES = scores.SCORES | scores.VARIATIONAL_SCORES
for _name in ANOMALY_SCORES:
    check_known("anomaly score", _name, _SCORES)


def gradient_energy(images: np.ndarray) -> np.ndarray:
    """Returns the sum of squared differences of neighbouring pixels, float64 `[n]`.

    Neighbours are above and beside each other. Blurring an image lowers its energy, so the ratio
    of the energies of reconstructions and originals says how sharp the reconstructions are: 1 is as
    sharp as the originals. Noise raises it, so read it beside the error.

    Args:
        images: `[n, height, width, channels]`.
    """
    return sum(
        np.sum(np.square(np.diff(images, axis=axis)), axis=(1, 2, 3), dtype="float64")
        for axis in (1, 2)
    )


def instability(losses: Sequence[float]) -> float:
    """Returns how much a loss rises from epoch to epoch, relative to its value, on average.

    Epochs in which it falls count as zero: 0 is a loss that never rises, 0.1 one that gains 10 %
    in a mean epoch.

    Args:
        losses: Loss of every epoch, above zero, two or more.
    """
    losses = np.asarray(losses, "float64")
    return float(np.mean(np.maximum(losses[1:] / losses[:-1] - 1, 0)))


def epochs_to_settle(losses: Sequence[float], tolerance: float = 0.01) -> int:
    """Returns the epoch, from 1, from which on a loss stays within a share of its last value.

    Args:
        losses: Loss of every epoch, above zero.
        tolerance: The share, above which the loss may not be any more.
    """
    losses = np.asarray(losses)
    above = np.flatnonzero(losses > losses[-1] * (1 + tolerance))
    return int(above[-1]) + 2 if len(above) else 1


def summary(context: Context) -> Numbers:
    """What every run has in its `metrics.json`, see `keras_ae.summary`."""
    found = json.loads(context.run.metrics.read_text(encoding="utf-8"))
    numbers: Numbers = {MODEL: {"parameters": context.model.count_params()}}
    references = {"pca_mse": "pca", "mean_image_mse": "mean_image"}
    for split, values in found.items():
        for name, value in values.items():
            row, measure = (references[name], "mse") if name in references else (MODEL, name)
            by_split = numbers.setdefault(row, {}).setdefault(measure, {})
            by_split["" if split == "test" else split] = value
    return numbers


def curves(context: Context) -> Numbers:
    """What the losses of the epochs say about convergence."""
    found = history.read(context.run)
    loss, validation = found["loss"], found["val_loss"]
    numbers = {
        "instability": {"validation": instability(validation), "train": instability(loss)},
        "epochs_to_settle": {"": epochs_to_settle(validation)},
        "fall_by_epoch_10": _fall(loss, 10),
    }
    if context.is_variational:
        reconstruction, kl = found["val_reconstruction_loss"], found["val_kl_loss"]
        numbers["epochs_to_settle"]["reconstruction"] = epochs_to_settle(reconstruction)
        numbers |= {
            "reconstruction_fall_by_epoch_20": _fall(found["reconstruction_loss"], 20),
            "kl_first": kl[0],
            "kl_last": kl[-1],
            "kl_rising": float(np.mean(np.diff(kl) > 0)),
        }
    return {MODEL: numbers}


def _fall(losses: Sequence[float], epochs: int) -> float:
    return (losses[0] - losses[:epochs][-1]) / (losses[0] - losses[-1])


def quality(context: Context) -> Numbers:
    """Errors that see more than single pixels, and sharpness."""
    outputs = reconstruct.outputs(context)
    energy = gradient_energy(context.images).sum()
    rows = {MODEL: "model", "pca": "pca", "mean_image": "mean_image"}
    return {
        row: {
            "ssim": float(metrics.structural_similarity(context.images, outputs[name]).mean()),
            "sharpness": float(gradient_energy(outputs[name]).sum() / energy),
        }
        for row, name in rows.items()
    }


def recognised(context: Context) -> Numbers:
    """Share of the reconstructions that a classifier gives the label of the original."""
    judge = classifier.load(data.load("mnist"))
    outputs = reconstruct.outputs(context)
    rows = {MODEL: outputs["model"], "pca": outputs["pca"], "originals": context.images}
    return {
        row: {"recognised": judge.accuracy_on(images, context.dataset.test.labels)}
        for row, images in rows.items()
    }


def denoising(context: Context) -> Numbers:
    """Error against the clean originals after noise of each strength was added."""
    rows = {MODEL: "model", "pca": "pca", "affine_filter": "affine", "noisy_input": "noisy"}
    sweep = denoise.measure(context).sweep
    return {
        row: {"denoised": {strength: found["mse"][name] for strength, found in sweep.items()}}
        for row, name in rows.items()
    }


def latents(context: Context) -> Numbers:
    """What the latents say about the labels, and whether a byte is enough for a unit."""
    lowest, highest = context.train_latents.min(axis=0), context.train_latents.max(axis=0)
    steps = np.maximum(highest - lowest, 1e-12) / 255
    levels = np.round((context.latents - lowest) / steps).clip(0, 255)
    outputs = context.model.decode((lowest + levels * steps).astype("float32"))
    labels = latent.measure(context)
    accuracy = "neighbour_accuracy"
    return {
        MODEL: {
            accuracy: labels["model"][accuracy],
            "mse_of_bytes": float(metrics.mean_squared_error(context.images, outputs).mean()),
        },
        "pca": {accuracy: labels["pca"][accuracy]},
    }


def interpolation(context: Context) -> Numbers:
    """How steady paths between images of two digits are, and whether they pass through digits.

    A jump is the largest step of a path over its mean step, as the root mean square difference of
    the pixels. Digits on the way: share of the two middle images of each path that the classifier
    is sure of.
    """
    rng = np.random.default_rng(context.options.seed)
    first, second = rng.permutation(len(context.images))[: 2 * PATHS].reshape(2, -1)
    labels = context.dataset.test.labels
    differ = labels[first] != labels[second]
    first, second = first[differ], second[differ]
    fractions = np.linspace(0, 1, PATH_STEPS, dtype="float32")

    def between(starts, ends):
        shape = (PATH_STEPS, *[1] * starts.ndim)
        return starts + fractions.reshape(shape) * (ends - starts)

    middle = slice(PATH_STEPS // 2 - 1, PATH_STEPS // 2 + 1)
    lines = between(context.latents[first], context.latents[second])
    decoded = context.model.decode(lines.reshape(-1, context.model.latent_dim))
    paths = {
        MODEL: decoded.reshape(*lines.shape[:2], *context.images.shape[1:]),
        "faded_pixels": between(context.images[first], context.images[second]),
    }
    judge = classifier.load(data.load("mnist"))
    numbers: Numbers = {}
    for name, path in paths.items():
        steps = np.sqrt(np.mean(np.square(np.diff(path, axis=0)), axis=(2, 3, 4)))
        _, probabilities = judge(path[middle].reshape(-1, *path.shape[2:]))
        numbers[name] = {
            "jump": float(np.mean(steps.max(axis=0) / np.maximum(steps.mean(axis=0), 1e-12))),
            "digits_between": float(np.mean(probabilities.max(axis=1) >= generate.CONFIDENT)),
        }
    _, probabilities = judge(context.reconstructions[np.concatenate([first, second])])
    sure = float(np.mean(probabilities.max(axis=1) >= generate.CONFIDENT))
    numbers[MODEL]["digits_at_ends"] = sure
    return numbers


def outliers(context: Context) -> Numbers:
    """Errors of images that are no digits, beside those of the test images.

    Of each kind, the AUROC, and the median error in multiples of that of the test images.
    """
    normal, images = context.train_images, context.images
    rng = np.random.default_rng(context.options.seed)
    order = rng.permutation(images[0].size)
    made = {
        "inverted": 1 - images,
        "upside_down": images[:, ::-1],
        "shuffled": images.reshape(len(images), -1)[:, order].reshape(images.shape),
        "noise": rng.random(images.shape, dtype="float32"),
        "blank": np.zeros_like(images),
    }
    numbers: Numbers = {}
    for row, score in ((MODEL, scores.model_score), ("pca", scores.pca_error)):
        own = score(context.model, normal, images)
        found = {kind: score(context.model, normal, made[kind]) for kind in OUTLIERS}
        numbers[row] = {
            "outlier_auroc": {kind: metrics.auroc(own, others) for kind, others in found.items()},
            "outlier_ratio": {
                kind: float(np.median(others) / np.median(own)) for kind, others in found.items()
            },
        }
    return numbers


def anomaly(context: Context) -> Numbers:
    """AUROC of every score for the classes that the model was not trained on, by split."""
    return _anomaly(context, ANOMALY_SCORES)


def angles(context: Context) -> Numbers:
    """As `anomaly`, of `ANGLE_SCORES`."""
    return _anomaly(context, ANGLE_SCORES)


def _anomaly(context: Context, names: Sequence[str]) -> Numbers:
    whole = data.load(context.recipe.dataset)
    splits = {"anomaly_auroc": whole.test, "validation_anomaly_auroc": whole.validation}
    # Both at once: most of the cost of some scores is to learn what is normal.
    images = data.to_float(np.concatenate([split.images for split in splits.values()]))
    normal = context.train_images
    applicable = scores.SCORES | (scores.VARIATIONAL_SCORES if context.is_variational else {})
    found: Numbers = {MODEL: {measure: {} for measure in splits}}
    for name in names:
        if name not in applicable:
            continue
        values = applicable[name](context.model, normal, images)
        of_splits = np.split(values, [len(whole.test)])
        for (measure, split), own in zip(splits.items(), of_splits, strict=True):
            unseen = ~np.isin(split.labels, context.recipe.train_classes)
            found[MODEL][measure][name] = metrics.auroc(own[~unseen], own[unseen])
    return found


def misread(context: Context) -> Numbers:
    """Whether the digits with a high error are those that a classifier gets wrong.

    AUROC of the error for the misread test images, and their share of the images with the highest
    errors.
    """
    _, probabilities = classifier.load(data.load("mnist"))(context.images)
    wrong = probabilities.argmax(axis=1) != context.dataset.test.labels
    normal = context.train_images
    found: Numbers = {}
    for row, score in ((MODEL, scores.model_score), ("pca", scores.pca_error)):
        errors = score(context.model, normal, context.images)
        found[row] = {
            "misread_auroc": metrics.auroc(errors[~wrong], errors[wrong]),
            "misread_of_highest": float(wrong[np.argsort(errors)[-HIGHEST:]].mean()),
        }
    found["originals"] = {"misread_of_highest": float(wrong.mean())}
    return found


def pretraining(context: Context) -> Numbers:
    """Accuracy of classifiers of digits that begin with the encoder's weights, or with new ones.

    Both get the same few labelled images, the first of the training split.
    """
    count = LABELLED_IMAGES
    images, labels = context.train_images[:count], context.dataset.train.labels[:count]
    encoders = {
        "accuracy_from_encoder": context.model.encoder,
        "accuracy_from_scratch": build(context.recipe).encoder,
    }
    found = {}
    for name, encoder in encoders.items():
        # The model itself must not change, since other measures follow.
        copy = keras.models.clone_model(encoder)
        copy.set_weights(encoder.get_weights())
        keras.utils.set_random_seed(context.recipe.seed)
        predict = keras.Sequential([copy, keras.layers.Dense(10)])
        predict.compile(
            keras.optimizers.Adam(1e-3),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        predict.fit(images, labels, batch_size=50, epochs=LABELLED_EPOCHS, verbose=0)
        _, accuracy = predict.evaluate(
            context.images, context.dataset.test.labels, batch_size=1000, verbose=0
        )
        found[name] = accuracy
    return {MODEL: found}


def linearity(context: Context) -> Numbers:
    """How far the model is from a linear one, without clipping.

    The output for the mean of two images is compared with the mean of the two outputs: the squared
    distance of the two, as a share of the squared distance of either output from their mean, summed
    over pairs. An affine map has 0.
    """
    count = LINEARITY_PAIRS
    first, second = context.images[:count], context.images[count : 2 * count]
    middle, one, other = (
        context.model.predict(images, batch_size=1000, verbose=0).astype("float64")
        for images in ((first + second) / 2, first, second)
    )
    deviation = np.sum(np.square(middle - (one + other) / 2))
    return {
        MODEL: {"nonlinearity": float(deviation / np.sum(np.square((one - other) / 2)))},
        "pca": {"nonlinearity": 0.0},
    }


def bounds(context: Context) -> Numbers:
    """Bounds on the likelihood, and the use of the latents, of a variational model."""
    measured = elbo.measure(context)
    floor = float(metrics.bernoulli_entropy(context.images).mean())
    return {
        MODEL: {
            "nll": measured.bounds["binarized_first"]["nll"],
            "active_units": int(measured.active.sum()),
            "excess_bce": measured.bounds["grey_all"]["reconstruction"] - floor,
        },
        "perfect_reconstruction": {"reconstruction_loss": floor, "excess_bce": 0.0},
    }


def samples(context: Context) -> Numbers:
    """What a classifier says of generated images, and how they look beside real ones.

    A plain autoencoder has no prior; a mixture of Gaussians fitted to the latents stands in for it.
    Blank: share of the images without a pixel above 0.5. Diversity: total variance of the
    classifier's features, as a share of that of the real images.
    """
    measured = generate.measure(context)
    quality = measured.quality
    own = "prior" if context.is_variational else "mixture"
    rows = {MODEL: own, "real_test_images": "real_test", "pca_gaussian": "pca_gaussian"}
    numbers: Numbers = {
        row: {**quality.rows[name], "rarest_digit": float(quality.shares[name].min())}
        for row, name in rows.items()
    }
    if context.is_variational:
        numbers[MODEL] |= _look(measured.samples["prior"], context.images)
        numbers["real_test_images"] |= _look(context.images, context.images)
    else:
        # The kind of density that the samples of PCA have.
        one_gaussian = quality.rows["gaussian"]["frechet"]
        numbers[MODEL]["frechet"] = {"": numbers[MODEL]["frechet"], "gaussian": one_gaussian}
    return numbers


def _look(images: np.ndarray, real: np.ndarray) -> dict[str, float]:
    judge = classifier.load(data.load("mnist"))
    variances = [judge(some)[0].var(axis=0, dtype="float64").sum() for some in (images, real)]
    energies = [gradient_energy(some).mean() for some in (images, real)]
    return {
        "blank": float(np.mean(images.max(axis=(1, 2, 3)) <= 0.5)),
        "diversity": float(variances[0] / variances[1]),
        "sample_sharpness": float(energies[0] / energies[1]),
    }


MEASURES: dict[str, Callable[[Context], Numbers]] = {
    function.__name__: function
    for function in (
        summary,
        curves,
        quality,
        recognised,
        denoising,
        latents,
        interpolation,
        outliers,
        anomaly,
        angles,
        misread,
        pretraining,
        linearity,
        bounds,
        samples,
    )
}


def pictures(context: Context) -> dict[str, str]:
    """Returns images to draw, packed: the first of each digit, reconstructions, and samples."""
    shown = context.first_of_classes
    found = {"originals": context.images[shown], "reconstructions": context.reconstructions[shown]}
    if context.is_variational:
        found["samples"] = context.model.sample(SAMPLES_KEPT, context.options.seed)
    return {name: pack(images) for name, images in found.items()}


def pack(images: np.ndarray) -> str:
    """Returns images in [0, 1] as text: bytes, compressed, in base 64."""
    raw = np.round(images * 255).astype("uint8").tobytes()
    return base64.b64encode(zlib.compress(raw, 9)).decode("ascii")
