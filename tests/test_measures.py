"""What studies measure: against computations from the model's outputs, and closed forms."""

import dataclasses

import keras
import numpy as np
import pytest
import scipy.stats

from keras_ae import data, recipes
from keras_ae.evaluation import classifier
from keras_ae.evaluation.context import Context
from keras_ae.evaluation.evaluate import open_run
from keras_ae.evaluation.scores import SCORES, VARIATIONAL_SCORES
from keras_ae.evaluation.stages import generate
from keras_ae.models import DenseAutoencoder
from keras_ae.options import Options
from keras_ae.runs import Run
from keras_ae.training.run import train
from studies import measures
from studies.catalogue import STUDIES
from studies.found import LEVEL
from studies.vocabulary import (
    ANGLE_SCORES,
    ANOMALY_SCORES,
    MODEL,
    Quantity,
    by_quantity,
    check_numbers,
)

NEEDS_CLASSES = {"anomaly", "angles"}


@pytest.fixture(scope="module")
def mlp(mlp_run) -> Context:
    """A trained model on the first 1,000 test images."""
    return _first_images(open_run(mlp_run, Options()))


@pytest.fixture(scope="module")
def vae(vae_run) -> Context:
    """A trained variational model on the first 1,000 test images."""
    return _first_images(open_run(vae_run, Options(nll_images=5, nll_samples=5)))


def _first_images(context: Context) -> Context:
    dataset = dataclasses.replace(context.dataset, test=context.dataset.test[:1000])
    return dataclasses.replace(context, dataset=dataset)


@pytest.fixture
def few(monkeypatch):
    """Fewer images and epochs than in a study."""
    monkeypatch.setattr(generate, "SAMPLES", 500)
    monkeypatch.setattr(measures, "PATHS", 50)
    monkeypatch.setattr(measures, "LINEARITY_PAIRS", 200)
    monkeypatch.setattr(measures, "LABELLED_EPOCHS", 3)


def test_studies_find_every_measure_that_they_show(mlp, vae, few):
    variational = {"summary", "curves", "bounds", "samples"}
    plain = measures.MEASURES.keys() - NEEDS_CLASSES - {"bounds"}
    found: dict[str, set[Quantity]] = {name: set() for name in plain | variational}
    for context, names in ((mlp, plain), (vae, variational)):
        for name in names:
            numbers = measures.MEASURES[name](context)
            check_numbers(numbers)
            found[name] |= by_quantity(numbers[MODEL]).keys()
    for study in STUDIES.values():
        taken = {name for run in study.runs for name in run.measures}
        if taken & NEEDS_CLASSES:
            continue
        measured = set().union(*(found[name] for name in taken))
        if study.level is not None:
            measured.add(LEVEL)  # Counted when the tables are written.
        for table in study.tables:
            assert set(table.columns) <= measured


def test_every_score_of_the_package_is_compared():
    assert set(ANOMALY_SCORES) == set(SCORES | VARIATIONAL_SCORES)


def test_byte_for_each_unit(mlp):
    error = measures.latents(mlp)[MODEL]["mse_of_bytes"]
    low, high = mlp.train_latents.min(axis=0), mlp.train_latents.max(axis=0)
    varying = high > low
    bytes_ = np.zeros(mlp.latents.shape, "uint8")
    bytes_[:, varying] = np.round(
        255 * ((mlp.latents - low)[:, varying] / (high - low)[varying]).clip(0, 1)
    ).astype("uint8")
    outputs = mlp.model.decode((low + bytes_ / 255 * (high - low)).astype("float32"))
    assert error == pytest.approx(np.mean((outputs - mlp.images) ** 2), rel=1e-4)


def test_faded_pixels_go_in_equal_steps(mlp, few):
    numbers = measures.interpolation(mlp)
    assert numbers["faded_pixels"]["jump"] == pytest.approx(1, abs=1e-4)
    assert numbers[MODEL]["jump"] > 1


def test_score_of_blank_images_is_that_of_the_model(mlp):
    numbers = measures.outliers(mlp)
    blank = np.zeros((1, 28, 28, 1), "float32")
    own = mlp.model.score(mlp.images)
    other = mlp.model.score(blank)[0]
    assert numbers[MODEL]["outlier_ratio"]["blank"] == pytest.approx(
        other / np.median(own), rel=1e-4
    )
    assert numbers[MODEL]["outlier_auroc"]["blank"] == pytest.approx(np.mean(own < other), abs=1e-3)
    assert numbers[MODEL]["outlier_auroc"]["noise"] > 0.99


def test_linear_model_has_no_nonlinearity(mlp, few, tmp_path):
    linear = DenseAutoencoder(4, (16,), activation="linear", code_activation="linear")
    # Without the sigmoid at its end.
    inputs = linear.decoder.get_layer("images").input
    decoder = keras.Model(linear.decoder.inputs, inputs)
    outputs = decoder(linear.encoder(linear.encoder.inputs[0]))
    affine = keras.Model(linear.encoder.inputs, outputs)
    affine.latent_dim = 4
    numbers = measures.linearity(dataclasses.replace(mlp, model=affine))
    assert numbers[MODEL]["nonlinearity"] < 1e-9
    assert measures.linearity(mlp)[MODEL]["nonlinearity"] > 0.01


def test_classifiers_leave_the_model_as_it_is(mlp, few):
    before = mlp.model.get_weights()
    accuracies = measures.pretraining(mlp)[MODEL]
    for weight, earlier in zip(mlp.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, earlier)
    assert 0.1 < min(accuracies.values()) <= max(accuracies.values()) < 1


def test_anomalies_are_the_classes_that_were_not_trained_on(dataset, tmp_path):
    recipe = recipes.get("mlp").override(train_classes=(1,), train_images=500, epochs=2)
    run = Run(tmp_path / "run")
    train(recipe, run, with_exports=False)
    context = open_run(run, Options())
    assert set(context.dataset.train.labels) == {1}
    numbers = measures.angles(context)[MODEL]
    assert set(numbers["anomaly_auroc"]) == set(ANGLE_SCORES)
    for prefix, split in (("", dataset.test), ("validation_", dataset.validation)):
        errors = context.model.score(data.to_float(split.images))
        unseen = split.labels != 1
        wins, _ = scipy.stats.mannwhitneyu(errors[unseen], errors[~unseen])
        expected = wins / unseen.sum() / (~unseen).sum()
        assert numbers[f"{prefix}anomaly_auroc"]["model_score"] == pytest.approx(expected, abs=1e-6)


def test_misread_digits_are_ranked_by_the_error(mlp):
    errors = np.mean(np.square(mlp.images - mlp.reconstructions), axis=(1, 2, 3), dtype="float64")
    _, probabilities = classifier.load(data.load("mnist"))(mlp.images)
    wrong = probabilities.argmax(axis=1) != mlp.dataset.test.labels
    assert 0 < wrong.sum() < 50
    better = errors[wrong][:, np.newaxis] > errors[~wrong]
    highest = sorted(zip(errors, wrong, strict=True))[-measures.HIGHEST :]
    assert measures.misread(mlp)[MODEL] == pytest.approx(
        {
            "misread_auroc": better.mean(),
            "misread_of_highest": np.mean([misread for _, misread in highest]),
        }
    )


def test_blank_samples_are_counted(dataset):
    real = data.to_float(dataset.test.images[:200])
    drawn = real.copy()
    drawn[:50] = 0.3
    look = measures._look(drawn, real)
    assert look["blank"] == pytest.approx(0.25)
    assert measures._look(real, real) == {
        "blank": 0,
        "diversity": pytest.approx(1),
        "sample_sharpness": pytest.approx(1),
    }


def test_gradient_energy_of_an_edge_a_blurred_edge_and_a_dot():
    edge = np.zeros((1, 4, 4, 1), "float32")
    edge[:, :, 2:] = 1
    blurred = edge.copy()
    blurred[:, :, 1:3] = [[1 / 3], [2 / 3]]
    dot = np.zeros((1, 4, 4, 1), "float32")
    dot[0, 1, 2] = 0.5
    energies = measures.gradient_energy(np.concatenate([edge, blurred, dot]))
    # Four rows with one step of 1, four with three steps of 1/3, one dot with four neighbours.
    np.testing.assert_allclose(energies, [4, 4 / 3, 1], rtol=1e-6)


def test_instability_counts_rises_only():
    assert measures.instability([8, 4, 2, 1]) == 0
    assert measures.instability([2, 1, 1.5, 1.5, 3]) == pytest.approx((0.5 + 1) / 4)


@pytest.mark.parametrize(
    ("losses", "epoch"),
    [([5, 4, 3, 2, 1], 5), ([5, 1.005, 1], 2), ([1, 1, 1], 1), ([1, 3, 1.011, 1.0], 4)],
)
def test_epoch_from_which_on_a_loss_stays_near_its_end(losses, epoch):
    assert measures.epochs_to_settle(losses) == epoch
