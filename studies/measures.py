"""What studies measure of a trained model: functions from a run to numbers.

Each returns numbers by measure, by row. The row `model` is the model; the others are yardsticks, in
the words of a table. Everything is measured on the test split unless the name says otherwise.
"""

import base64
import json
import zlib
from collections.abc import Callable

import keras
import numpy as np

from keras_ae import classifier, data, metrics, scores, training
from keras_ae.evaluation.context import Context, denoise, elbo, generate, history, latent, reconstruct
from studies.tables import MODEL, pca_name

Numbers = dict[str, dict[str, float]]

MEAN_IMAGE = "mean image"
SAMPLES_KEPT = 20
PATHS = 1000
PATH_STEPS = 8
LABELLED_IMAGES = 500
LABELLED_EPOCHS = 30
LINEARITY_PAIRS = 2000


def summary(context: Context) -> Numbers:
    """What every run has in its `metrics.json`, see `evaluation.summarize`."""
    found = json.loads(context.run.metrics.read_text(encoding="utf-8"))
    pca = pca_name(context.model.latent_dim)
    numbers: Numbers = {MODEL: {}, pca: {}, MEAN_IMAGE: {}}
    for split, values in found.items():
        prefix = "" if split == "test" else f"{split}_"
        for name, value in values.items():
            row = {"pca_mse": pca, "mean_image_mse": MEAN_IMAGE}.get(name, MODEL)
            numbers[row][prefix + (name if row == MODEL else "mse")] = value
    numbers[MODEL]["parameters"] = context.model.count_params()
    return numbers


def curves(context: Context) -> Numbers:
    """What the losses of the epochs say about convergence."""
    found = history.read(context.run)
    losses = found.get("val_loss", found["loss"])
    fall = found["loss"][0] - found["loss"][-1]
    numbers = {
        "instability": metrics.instability(losses),
        "train_instability": metrics.instability(found["loss"]),
        "epochs_to_settle": metrics.epochs_to_settle(losses),
        "fall_by_epoch_10": (found["loss"][0] - found["loss"][:10][-1]) / fall,
    }
    if context.is_variational:
        reconstruction, kl = found["val_reconstruction_loss"], found["val_kl_loss"]
        numbers |= {
            "reconstruction_epochs_to_settle": metrics.epochs_to_settle(reconstruction),
            "reconstruction_above_end_at_20": reconstruction[:20][-1] / reconstruction[-1] - 1,
            "kl_first": kl[0],
            "kl_last": kl[-1],
            "kl_rising": float(np.mean(np.diff(kl) > 0)),
        }
    return {MODEL: numbers}


def quality(context: Context) -> Numbers:
    """Errors that see more than single pixels, and sharpness."""
    outputs = reconstruct.outputs(context)
    energy = metrics.gradient_energy(context.images).sum()
    rows = {
        MODEL: "model",
        pca_name(context.model.latent_dim): "pca_clipped",
        MEAN_IMAGE: "mean_image",
    }
    return {
        row: {
            "ssim": float(metrics.structural_similarity(context.images, outputs[name]).mean()),
            "sharpness": float(metrics.gradient_energy(outputs[name]).sum() / energy),
        }
        for row, name in rows.items()
    }


def recognised(context: Context) -> Numbers:
    """Share of the reconstructions that a classifier gives the label of the original."""
    judge = classifier.load(data.load("mnist"))
    outputs = reconstruct.outputs(context)
    rows = {
        MODEL: outputs["model"],
        pca_name(context.model.latent_dim): outputs["pca_clipped"],
        "originals": context.images,
    }
    return {
        row: {"recognised": judge.accuracy_on(images, context.dataset.test.labels)}
        for row, images in rows.items()
    }


def denoising(context: Context) -> Numbers:
    """Error against the clean originals after noise of each strength was added."""
    rows = {
        MODEL: "model",
        pca_name(context.model.latent_dim): "pca",
        "Wiener filter": "wiener",
        "noisy input": "noisy",
    }
    _, sweep = denoise.run(context).tables["sweep"]
    return {
        row: {f"denoised_{strength}": found[f"{name}_mse"] for strength, found in sweep.items()}
        for row, name in rows.items()
    }


def codes(context: Context) -> Numbers:
    """What the codes say about the labels, and whether a byte is enough for a unit."""
    lowest, highest = context.train_codes.min(axis=0), context.train_codes.max(axis=0)
    steps = np.maximum(highest - lowest, 1e-12) / 255
    levels = np.round((context.codes - lowest) / steps).clip(0, 255)
    outputs = context.model.decode((lowest + levels * steps).astype("float32"))
    labels = latent.label_rows(context)
    accuracy = "neighbour_accuracy"
    return {
        MODEL: {
            accuracy: labels["model"][accuracy],
            "mse_of_bytes": float(metrics.mean_squared_error(context.images, outputs).mean()),
        },
        pca_name(context.model.latent_dim): {accuracy: labels["pca"][accuracy]},
    }


def interpolation(context: Context) -> Numbers:
    """How steady paths between images of two digits are, and whether they pass through digits.

    A jump is the largest step of a path over its mean step, as the root mean square difference of
    the pixels. Digits on the way: share of the two middle images of each path that the classifier
    is sure of.
    """
    rng = np.random.default_rng(context.settings.seed)
    first, second = rng.permutation(len(context.images))[: 2 * PATHS].reshape(2, -1)
    labels = context.dataset.test.labels
    differ = labels[first] != labels[second]
    first, second = first[differ], second[differ]
    fractions = np.linspace(0, 1, PATH_STEPS, dtype="float32")

    def between(starts, ends):
        shape = (PATH_STEPS, *[1] * starts.ndim)
        return starts + fractions.reshape(shape) * (ends - starts)

    middle = slice(PATH_STEPS // 2 - 1, PATH_STEPS // 2 + 1)
    ways = between(context.codes[first], context.codes[second])
    decoded = context.model.decode(ways.reshape(-1, context.model.latent_dim))
    paths = {
        MODEL: decoded.reshape(*ways.shape[:2], *context.images.shape[1:]),
        "faded pixels": between(context.images[first], context.images[second]),
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
    """Scores of images that are no digits, beside those of the test images.

    Of each kind, the AUROC and how many times the median score of the test images the median is.
    """
    images = context.images
    rng = np.random.default_rng(context.settings.seed)
    order = rng.permutation(images[0].size)
    strange = {
        "inverted": 1 - images,
        "upside_down": images[:, ::-1],
        "shuffled": images.reshape(len(images), -1)[:, order].reshape(images.shape),
        "noise": rng.random(images.shape, dtype="float32"),
        "blank": np.zeros_like(images),
    }
    numbers: Numbers = {}
    for row, score in ((MODEL, scores.model), (pca_name(context.model.latent_dim), scores.pca)):
        own = score(context.model, context.train_images, images)
        numbers[row] = {}
        for kind, others in strange.items():
            found = score(context.model, context.train_images, others)
            numbers[row][f"auroc_{kind}"] = metrics.auroc(own, found)
            numbers[row][f"times_{kind}"] = float(np.median(found) / np.median(own))
    return numbers


def anomaly(context: Context) -> Numbers:
    """AUROC of every score for the classes that the model was not trained on, by split.

    The measures are called `auroc_<score>` and `validation_auroc_<score>`.
    """
    whole = data.load(context.recipe.dataset)
    splits = {"": whole.test, "validation_": whole.validation}
    # Both at once: most of the cost of some scores is to learn what is normal.
    images = data.to_float(np.concatenate([split.images for split in splits.values()]))
    judges = scores.SCORES | (scores.VARIATIONAL_SCORES if context.is_variational else {})
    found = {}
    for name, score in judges.items():
        values = score(context.model, context.train_images, images)
        for prefix, split in splits.items():
            own, values = values[: len(split)], values[len(split) :]
            strange = ~np.isin(split.labels, context.recipe.train_classes)
            found[f"{prefix}auroc_{name}"] = metrics.auroc(own[~strange], own[strange])
    return {MODEL: found}


def pretraining(context: Context) -> Numbers:
    """Accuracy of classifiers of digits that begin with the encoder's weights, or with new ones.

    Both get the same few labelled images, the first of the training split.
    """
    count = LABELLED_IMAGES
    images, labels = context.train_images[:count], context.dataset.train.labels[:count]
    encoders = {
        "accuracy_from_encoder": context.model.encoder,
        "accuracy_from_scratch": training.build(context.recipe).encoder,
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
        pca_name(context.model.latent_dim): {"nonlinearity": 0.0},
    }


def bounds(context: Context) -> Numbers:
    """Bounds on the likelihood, and the use of the code, of a variational model."""
    tables = {name: rows for name, (_, rows) in elbo.run(context).tables.items()}
    floor = float(metrics.bernoulli_entropy(context.images).mean())
    return {
        MODEL: {
            "nll": tables["bounds"]["binarized_first"]["nll"],
            "active_units": tables["use"]["model"]["active_units"],
            "excess_bce": tables["bounds"]["grey_all"]["reconstruction"] - floor,
        },
        "perfect reconstruction": {"reconstruction_loss": floor, "excess_bce": 0.0},
    }


def samples(context: Context) -> Numbers:
    """What a classifier makes of generated images, and how they look beside real ones.

    A plain autoencoder has no prior; a mixture of Gaussians fitted to the codes stands in for it.
    Blank: share of the images without a pixel above 0.5. Diversity: total variance of the
    classifier's features, as a share of that of the real images.
    """
    tables = {name: rows for name, (_, rows) in generate.run(context).tables.items()}
    own = "prior" if context.is_variational else "mixture"
    rows = {MODEL: own, "real test images": "real_test", "PCA with a Gaussian": "pca_gaussian"}
    numbers: Numbers = {
        row: {
            **tables["quality"][name],
            "rarest_digit": min(shares[f"{name}_share"] for shares in tables["classes"].values()),
        }
        for row, name in rows.items()
    }
    if context.is_variational:
        drawn = context.model.sample(generate.SAMPLES, context.settings.seed)
        numbers[MODEL] |= _look(drawn, context.images)
        numbers["real test images"] |= _look(context.images, context.images)
    else:
        # The kind of density that the samples of PCA have.
        numbers[MODEL]["frechet_gaussian"] = tables["quality"]["gaussian"]["frechet"]
    return numbers


def _look(images: np.ndarray, real: np.ndarray) -> dict[str, float]:
    judge = classifier.load(data.load("mnist"))
    variances = [judge(some)[0].var(axis=0, dtype="float64").sum() for some in (images, real)]
    energies = [metrics.gradient_energy(some).mean() for some in (images, real)]
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
        codes,
        interpolation,
        outliers,
        anomaly,
        pretraining,
        linearity,
        bounds,
        samples,
    )
}


def pictures(context: Context) -> dict[str, str]:
    """Returns images to draw, packed: the first of each digit, what comes back, and samples."""
    shown = context.first_of_classes
    found = {"originals": context.images[shown], "reconstructions": context.reconstructions[shown]}
    if context.is_variational:
        found["samples"] = context.model.sample(SAMPLES_KEPT, context.settings.seed)
    return {name: pack(images) for name, images in found.items()}


def pack(images: np.ndarray) -> str:
    """Returns images in [0, 1] as text: bytes, compressed, in base 64."""
    raw = np.round(images * 255).astype("uint8").tobytes()
    return base64.b64encode(zlib.compress(raw, 9)).decode("ascii")
