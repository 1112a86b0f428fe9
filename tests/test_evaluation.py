"""What `evaluate.py` measures and writes, recomputed by other means."""

import csv
import dataclasses
import gzip
import hashlib
import html.parser
import json
import math
import os
import re
import shutil
import signal
from pathlib import Path

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from sklearn import decomposition
from sklearn.datasets import load_digits

import keras_ae
from keras_ae import data, figures, metrics, recipes
from keras_ae.commands import evaluate
from keras_ae.errors import RunFailed
from keras_ae.evaluation import classifier
from keras_ae.evaluation import evaluate as evaluation
from keras_ae.evaluation.stages import elbo, generate, interpolate
from keras_ae.models import VariationalAutoencoder, losses
from keras_ae.options import STAGES, Options
from keras_ae.references import PCA
from keras_ae.runs import Run
from keras_ae.training import run as training

PROJECT = Path(__file__).parents[1]
FASHION_MNIST = Path(
    os.environ.get("FASHION_MNIST_ARCHIVES", PROJECT.parent / "shared/data/fashion_mnist")
)
needs_fashion_mnist = pytest.mark.skipif(
    not FASHION_MNIST.is_dir(), reason="archives of another dataset, not part of the project"
)


def _copy(run: Run, directory: Path) -> Run:
    return Run(shutil.copytree(run.directory, directory / run.directory.name))


def _tree(directory: Path) -> dict[str, str]:
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def mlp(mlp_run, tmp_path_factory) -> Run:
    """A run of `mlp` with a whole evaluation. Tests read it and do not change it."""
    run = _copy(mlp_run, tmp_path_factory.mktemp("evaluated"))
    assert evaluate.main([str(run.directory), "--noise-std", "0.25", "--seed", "3"]) == 0
    return run


@pytest.fixture(scope="module")
def vae(vae_run, tmp_path_factory) -> Run:
    """A run of a variational autoencoder with a part of an evaluation, likewise."""
    run = _copy(vae_run, tmp_path_factory.mktemp("evaluated"))
    names = ["reconstruct", "interpolate", "anomaly", "elbo"]
    flags = ["--only", ",".join(names), "--nll-samples", "30", "--nll-images", "105"]
    assert evaluate.main([str(run.directory), *flags]) == 0
    return run


def _tables(run: Run, stage: str) -> dict[str, dict]:
    content = json.loads(run.evaluation_metrics.read_text())
    return {name: table["rows"] for name, table in content["stages"][stage]["tables"].items()}


def test_the_test_error_is_that_of_the_saved_model_on_the_raw_archive(mlp):
    raw = gzip.decompress((PROJECT / "data/mnist/t10k-images-idx3-ubyte.gz").read_bytes())
    images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28, 1) / np.float32(255)
    outputs = keras.models.load_model(mlp.model).predict(images, batch_size=500, verbose=0)
    expected = np.mean((images.astype("float64") - outputs) ** 2)
    overall = _tables(mlp, "reconstruct")["overall"]
    assert abs(overall["model"]["mse"] - expected) < 1e-6
    trained = json.loads(mlp.metrics.read_text())["test"]
    for row, key in (("model", "mse"), ("pca", "pca_mse"), ("mean_image", "mean_image_mse")):
        assert abs(overall[row]["mse"] - trained[key]) < 1e-9


def test_classes_make_up_the_whole(mlp):
    tables = _tables(mlp, "reconstruct")
    by_class = dict(tables["by_class"])
    whole = by_class.pop("all")
    assert list(by_class) == [str(digit) for digit in range(10)]
    assert sum(row["images"] for row in by_class.values()) == whole["images"] == 10_000
    for key, name in (
        ("mse", "model"),
        ("psnr", "pca"),
        ("ssim", "mean_image"),
        ("bce_excess", "model"),
    ):
        mean = sum(row[key][name] * row["images"] for row in by_class.values()) / 10_000
        np.testing.assert_allclose(mean, whole[key][name], rtol=1e-6)
        np.testing.assert_allclose(tables["overall"][name][key], whole[key][name], rtol=1e-6)
    for row in ("model", "pca", "mean_image"):
        excess = tables["overall"][row]["bce"] - tables["overall"]["floor"]["bce"]
        np.testing.assert_allclose(tables["overall"][row]["bce_excess"], excess, rtol=1e-9)


def test_the_error_of_the_noisy_input_is_that_of_clipped_gaussian_noise(mlp, dataset):
    values, counts = np.unique(dataset.test.images, return_counts=True)
    values = values / 255
    noise = scipy.stats.norm.ppf((np.arange(2000) + 0.5) / 2000)
    sweep = _tables(mlp, "denoise")["sweep"]
    assert list(sweep) == ["0.1", "0.2", "0.25", "0.3", "0.4", "0.5"]
    for noise_std, row in sweep.items():
        clipped = (values[:, None] + float(noise_std) * noise).clip(0, 1) - values[:, None]
        expected = np.average(np.mean(clipped**2, axis=1), weights=counts)
        np.testing.assert_allclose(row["mse"]["noisy"], expected, rtol=2e-3)
        assert row["mse"]["affine"] < row["mse"]["noisy"]
    chosen = _tables(mlp, "denoise")["at_noise_std"]
    for name in ("noisy", "model", "pca", "affine"):
        assert chosen[name]["mse"] == sweep["0.25"]["mse"][name]
    without = chosen["model_without_noise"]["mse"]
    assert without == _tables(mlp, "reconstruct")["overall"]["model"]["mse"]
    assert without < chosen["model"]["mse"]


def test_the_threshold_comes_from_the_validation_images(mlp, dataset):
    model = keras.models.load_model(mlp.model)
    images = data.to_float(dataset.validation.images)
    errors = np.mean(np.square(images - model.predict(images, verbose=0)), axis=(1, 2, 3))
    rows = _tables(mlp, "anomaly")["threshold"]
    np.testing.assert_allclose(
        rows["validation"]["threshold"], np.percentile(errors, 99), rtol=1e-5
    )
    assert rows["validation"]["above_threshold"] == pytest.approx(0.01, abs=2e-4)
    with mlp.scores.open(newline="") as file:
        scores = list(csv.DictReader(file))
    assert [int(row["index"]) for row in scores] == list(range(10_000))
    assert [int(row["label"]) for row in scores] == dataset.test.labels.tolist()
    above = np.mean([float(row["score"]) > rows["validation"]["threshold"] for row in scores])
    assert above == pytest.approx(rows["mnist test"]["above_threshold"], abs=1e-4)
    assert above == np.mean([int(row["above_threshold"]) for row in scores])


@needs_fashion_mnist
def test_separation_is_the_share_of_pairs_in_the_right_order(mlp_run, tmp_path):
    run = _copy(mlp_run, tmp_path)
    flags = ["--only", "anomaly", "--ood", "fashion_mnist", "--ood-archives", str(FASHION_MNIST)]
    assert evaluate.main(["-l", str(run.directory), *flags]) == 0
    with run.scores.open(newline="") as file:
        rows = list(csv.DictReader(file))
    groups = [
        np.array([float(row["score"]) for row in rows if row["dataset"] == name])
        for name in ("fashion_mnist", "mnist")
    ]
    wins = scipy.stats.mannwhitneyu(*groups).statistic
    separation = _tables(run, "anomaly")["separation"]
    np.testing.assert_allclose(separation["model"]["auroc"], wins / 10_000**2, atol=1e-6)
    angles = {"pixel_angle", "latent_angle", "hidden_angle"}
    others = {"pca", "mean_image", "brightness", "relative_error", "latent_mahalanobis"}
    assert set(separation) == {"model"} | angles | others


def test_samples_are_judged_beside_real_images(mlp):
    tables = _tables(mlp, "generate")
    assert list(tables["quality"]) == [
        "real_test",
        "test_reconstructions",
        "gaussian",
        "mixture",
        "pca_gaussian",
    ]
    distances = {name: row["frechet"] for name, row in tables["quality"].items()}
    assert min(distances, key=distances.get) == "real_test"
    assert distances["real_test"] < 0.1 * distances["mixture"]
    assert tables["quality"]["real_test"]["confident"] > 0.9
    for name, row in tables["quality"].items():
        shares = [digit["share"][name] for digit in tables["classes"].values()]
        assert sum(shares) == pytest.approx(1)
        assert row["distance_to_uniform"] == pytest.approx(
            sum(abs(share - 0.1) for share in shares) / 2
        )
    skipped = json.loads(mlp.evaluation_metrics.read_text())["stages"]["generate"]["skipped"]
    assert "plain autoencoder" in skipped["samples from a prior"]
    assert "this has 8" in skipped["decoded plane"]


def test_neighbours_share_a_label(mlp, dataset):
    rows = _tables(mlp, "latent")["labels"]
    train = data.to_float(dataset.train.images[:2000])
    test = data.to_float(dataset.test.images)
    pca = PCA.fit(train)
    latents, others = pca.encode(train, 8), pca.encode(test[:500], 8)
    distances = np.square(others[:, None] - latents).sum(axis=-1)
    votes = dataset.train.labels[:2000][np.argsort(distances, axis=1)[:, :5]]
    expected = np.mean(scipy.stats.mode(votes, axis=1).mode == dataset.test.labels[:500])
    # 500 of the 10,000 images: within three standard errors.
    assert rows["pca"]["neighbour_accuracy"] == pytest.approx(expected, abs=0.05)
    model = keras.models.load_model(mlp.model)
    assert rows["model"]["non_constant_units"] == metrics.non_constant_units(model.encode(test))


def test_a_two_dimensional_code_is_drawn_as_a_plane(tmp_path, monkeypatch):
    monkeypatch.setattr(generate, "SAMPLES", 500)
    run = Run(tmp_path / "run")
    recipe = recipes.get("mlp").override(train_images=500, epochs=1, latent_dim=2)
    training.train(recipe, run)
    assert evaluate.main([str(run.directory), "--only", "generate,latent"]) == 0
    stages = json.loads(run.evaluation_metrics.read_text())["stages"]
    assert "generate_plane.png" in stages["generate"]["figures"]
    assert "decoded plane" not in stages["generate"]["skipped"]
    assert "drawn as they are" in stages["latent"]["figures"]["latent_map.png"]


def test_the_plane_has_its_origin_below_on_the_left():
    images = np.zeros((4, 28, 28, 1), "float32")
    images[1] = 1  # Low in the second unit, high in the first.
    figure = figures.image_plane(images, [0.0, 1.0], [0.0, 1.0])
    (mosaic,) = figure.axes[0].get_images()
    pixels = mosaic.get_array()
    assert pixels.shape == (56, 56)
    assert pixels[28:, 28:].min() == 1
    assert pixels.sum() == 28 * 28


def test_negative_elbo_is_that_of_the_model(vae):
    bounds = _tables(vae, "elbo")["bounds"]
    trained = json.loads(vae.metrics.read_text())["test"]
    row = bounds["grey_all"]
    for key, other in (
        ("negative_elbo", "loss"),
        ("reconstruction", "reconstruction_loss"),
        ("kl", "kl_loss"),
    ):
        # Another draw of the posterior's samples.
        assert row[key] == pytest.approx(trained[other], abs=0.3)
    assert row["kl"] == pytest.approx(trained["kl_loss"], rel=1e-4)
    assert row["negative_elbo"] == pytest.approx(row["reconstruction"] + row["kl"])
    for kind in ("grey", "binarized"):
        first = bounds[f"{kind}_first"]
        assert first["images"] == 105
        assert first["nll"] < first["negative_elbo"]
    units = _tables(vae, "elbo")["units"]
    assert sum(unit["kl"] for unit in units.values()) == pytest.approx(row["kl"], rel=1e-4)
    assert _tables(vae, "elbo")["use"]["model"]["active_units"] == sum(
        unit["active"] for unit in units.values()
    )


def test_importance_sampling_finds_the_integral_over_a_one_dimensional_code(digits):
    keras.utils.set_random_seed(0)
    model = VariationalAutoencoder(latent_dim=1, seed=0)
    model.compile(keras.optimizers.Adam(3e-3))
    model.fit(digits, epochs=12, batch_size=30, verbose=0)
    images = digits[:4]
    latents = np.linspace(-8, 8, 4001, dtype="float32")[:, None]
    logits = model.decoder.get_layer("logits").predict(latents, batch_size=500, verbose=0)
    likelihoods = np.stack(
        [
            -losses.bernoulli_negative_log_likelihood(np.broadcast_to(image, logits.shape), logits)
            for image in images
        ]
    )
    joint = likelihoods + scipy.stats.norm.logpdf(latents[:, 0])
    step = latents[1, 0] - latents[0, 0]
    expected = -(scipy.special.logsumexp(joint, axis=1) + np.log(step))
    # The latents matter: another one would be worse by many nats.
    assert np.ptp(likelihoods, axis=1).min() > 20

    weigh = elbo._weigher(model)
    rng = np.random.default_rng(0)
    log_weights = elbo._log_weights(weigh, images, 4000, 1, rng)
    assert log_weights.shape == (4, 4000)
    np.testing.assert_allclose(metrics.importance_weighted_nll(log_weights), expected, atol=0.2)


def test_error_of_the_likelihood_is_that_of_its_mean_over_images(digits):
    keras.utils.set_random_seed(0)
    model = VariationalAutoencoder(latent_dim=1, seed=0)
    model.decoder.weights[-1].assign([-3.0])  # Dark, so that the ink of an image costs much.
    images = np.stack([digits[0], 0.1 * digits[0]])
    one, both = (
        elbo.likelihood(model, images, some, 3000, seed=0)[0]["grey_first"] for some in (1, 2)
    )
    assert one["nll_error"] is None
    # Two values have the standard error of half their difference.
    difference = 2 * abs(both["nll"] - one["nll"])
    assert difference > 10
    assert both["nll_error"] == pytest.approx(difference / 2, rel=0.05)


def test_likelihood_of_all_images_follows_from_importance_samples_of_some(digits):
    model = keras_ae.load("vae-baseline")
    some, every = (
        elbo.likelihood(model, digits[:200], count, 300, seed=0)[0] for count in (40, 200)
    )
    for kind in ("grey", "binarized"):
        estimate, of_all = some[f"{kind}_all"], every[f"{kind}_first"]["nll"]
        assert abs(estimate["nll"] - of_all) < 4 * estimate["nll_error"]
        # The mean of the first images alone says far less about all.
        assert estimate["nll_error"] < some[f"{kind}_first"]["nll_error"] / 5


def test_binarization_draws_each_pixel_with_its_grey_value(digits):
    digits = digits[:30]
    draws = [elbo._binarized(digits, np.random.default_rng(seed)) for seed in range(200)]
    assert set(np.unique(draws)) == {0, 1}
    grey = (digits > 0) & (digits < 1)
    np.testing.assert_array_equal(draws[0][~grey], digits[~grey])
    # The mean of 200 draws is off by 0.035 at most times; by 0.2 hardly ever.
    np.testing.assert_allclose(np.mean(draws, axis=0), digits, atol=0.25)
    np.testing.assert_array_equal(elbo._binarized(digits, np.random.default_rng(7)), draws[7])


def test_a_great_circle_keeps_the_distance_from_the_origin():
    start, end = np.array([3.0, 0.0, 0.0]), np.array([0.0, 0.0, 3.0])
    fractions = np.linspace(0, 1, 7)[:, None]
    path = interpolate._great_circle(start, end, fractions)
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), 3)
    np.testing.assert_allclose(path[[0, -1]], [start, end], atol=1e-12)
    np.testing.assert_allclose(path[3], [3 / math.sqrt(2), 0, 3 / math.sqrt(2)])
    np.testing.assert_allclose(
        interpolate._great_circle(start, 2 * start, fractions), (1 + fractions) * start
    )


def test_the_ends_of_an_interpolation_are_the_reconstructions(vae):
    assert set(_tables(vae, "interpolate")["steps"]) == {"linear", "spherical", "pixels"}
    caption = json.loads(vae.evaluation_metrics.read_text())["stages"]["interpolate"]["figures"]
    assert "test image 12 to test image 3456 in 8 images" in caption["interpolate_images.png"]


# --- Other images than digits of MNIST ---


def _save_pictures(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory):
    """What is made of own pictures is kept apart from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def small(tmp_path_factory, own_cache) -> Run:
    """A run on the 8x8 digits of scikit-learn with names for classes, and all of its stages."""
    place = tmp_path_factory.mktemp("small")
    digits = load_digits()
    images = np.rint(digits.images * 255 / 16).astype("uint8")
    names = np.array(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "all"]
    )
    path = _save_pictures(place / "numbers.npz", images=images, labels=names[digits.target])
    keras_ae.train("conv", place / "run", images=str(path), latent_dim=8, epochs=3)
    keras_ae.evaluate(place / "run")
    return Run(place / "run")


def _own(run: Run) -> data.Dataset:
    return data.load_images(run.read_settings()["images"])


def test_small_images_are_measured_in_every_stage(small):
    stages = json.loads(small.evaluation_metrics.read_text())["stages"]
    assert list(stages) == list(STAGES)
    for name, section in stages.items():
        assert section["tables"] or section["figures"] or name == "elbo", name
    assert stages["interpolate"]["options"]["interp_idx2"] == len(_own(small).test) - 1
    skipped = {part for section in stages.values() for part in section["skipped"]}
    assert skipped == {
        "separation from another dataset", "samples from a prior", "decoded plane", "elbo",
    }  # fmt: skip


def test_latents_that_are_a_map_are_measured_in_every_stage(small, tmp_path):
    images = small.read_settings()["images"]
    keras_ae.train("denoiser", tmp_path / "run", images=images, epochs=1)
    assert evaluate.main([str(tmp_path / "run")]) == 0
    labels = _tables(Run(tmp_path / "run"), "latent")["labels"]
    assert labels["model"]["latent_dim"] == 2 * 2 * 16
    assert evaluate.main([str(tmp_path / "run"), "--latent-dim", "64"]) == 2


def test_small_images_are_compared_with_clipped_pca(small):
    dataset, overall = _own(small), _tables(small, "reconstruct")["overall"]
    flat = [split.images.reshape(len(split), -1) / 255 for split in (dataset.train, dataset.test)]
    pca = decomposition.PCA(8).fit(flat[0])
    expected = pca.inverse_transform(pca.transform(flat[1])).clip(0, 1)
    np.testing.assert_allclose(overall["pca"]["mse"], np.mean((expected - flat[1]) ** 2), rtol=1e-3)
    trained = json.loads(small.metrics.read_text())["test"]
    assert overall["pca"]["mse"] == pytest.approx(trained["pca_mse"], rel=1e-9)
    # Windows of 11 pixels would not fit; `test_metrics.py` recomputes it.
    assert overall["mean_image"]["ssim"] < overall["pca"]["ssim"] < 1


def test_classes_are_called_by_their_names(small):
    dataset, by_class = _own(small), _tables(small, "reconstruct")["by_class"]
    # One of them is called like the row of all images.
    assert list(by_class) == ["all", "class all", *dataset.classes[1:]]
    counts = np.bincount(dataset.test.labels)
    assert [row["images"] for row in by_class.values()] == [len(dataset.test), *counts]
    assert list(_tables(small, "generate")["classes"]) == list(dataset.classes)
    page = small.evaluation_report.read_text(encoding="utf-8")
    assert "8x8 pixels in grey and 10 classes: all, eight, five" in page
    assert "digit" not in re.sub(r'src="[^"]*"', "", page)


def test_classes_of_own_pictures_have_a_judge_of_their_own(small):
    dataset = _own(small)
    judge = classifier.load(dataset)
    assert judge.accuracy > 0.9
    right = judge.accuracy_on(data.to_float(dataset.test.images), dataset.test.labels)
    assert right == pytest.approx(judge.accuracy)
    caption = json.loads(small.evaluation_metrics.read_text())["stages"]["generate"]["tables"]
    assert f"test accuracy {judge.accuracy:.2%}" in caption["quality"]["caption"]
    files = list(data.cache_directory(None).glob("keras_ae_classifier_*"))
    assert len(files) == 1


def test_judge_that_knows_no_more_than_the_largest_class_is_no_judge(small, tmp_path, monkeypatch):
    run = _copy(small, tmp_path)
    monkeypatch.setattr(classifier.Classifier, "accuracy", 0.1, raising=False)
    monkeypatch.setattr(
        classifier, "load", lambda dataset: classifier.Classifier(model=None, accuracy=0.1)
    )
    content = evaluation.evaluate(run, Options(only=("generate",)))
    section = content["stages"]["generate"]
    assert "no more than the largest class" in section["skipped"]["quality of the samples"]
    assert not section["tables"]


def _coloured(dataset: data.Dataset, count: int, height: int, width: int) -> np.ndarray:
    """Digits in colours of their own: the middle of each, or with a margin."""
    images = np.pad(dataset.train.images[:count], ((0, 0), (10, 10), (10, 10), (0, 0)))
    top, left = (48 - height) // 2, (48 - width) // 2
    colours = np.random.default_rng(0).random((count, 1, 1, 3)) * 0.7 + 0.3
    return (images[:, top : top + height, left : left + width] * colours).astype("uint8")


def test_colours_without_labels(dataset, own_cache, tmp_path):
    np.save(tmp_path / "colours.npy", _coloured(dataset, 300, 20, 14))
    keras_ae.train(
        "vae-baseline",
        tmp_path / "run",
        images=str(tmp_path / "colours.npy"),
        latent_dim=2,
        epochs=1,
    )
    content = keras_ae.evaluate(tmp_path / "run", nll_samples=5)
    stages = content["stages"]
    without = "the images have no labels"
    assert stages["reconstruct"]["skipped"] == {"errors by class": without}
    assert stages["generate"]["skipped"] == {"quality of the samples": without}
    assert stages["latent"]["skipped"] == {"labels of the neighbours": without}
    rows = stages["latent"]["tables"]["labels"]["rows"]
    assert all("neighbour_accuracy" not in row for row in rows.values())
    assert (
        stages["elbo"]["tables"]["bounds"]["rows"]["grey_first"]["images"]
        == content["run"]["test_images"]
    )
    assert "generate_plane.png" in stages["generate"]["figures"]
    page = Run(tmp_path / "run").evaluation_report.read_text(encoding="utf-8")
    assert "20x14 pixels in colour and no labels" in page
    with (tmp_path / "run/evaluation/scores.csv").open(newline="") as file:
        assert {row["label"] for row in csv.DictReader(file)} == {""}


def test_large_images_do_without_pca_and_are_measured(dataset, own_cache, tmp_path):
    np.save(tmp_path / "large.npy", _coloured(dataset, 60, 40, 36))
    arguments = {"images": str(tmp_path / "large.npy"), "latent_dim": 2, "epochs": 1}
    trained = keras_ae.train("dense", tmp_path / "run", **arguments)
    assert "pca_mse" not in trained["test"]
    assert np.isfinite(trained["test"]["mean_image_mse"])
    only = ("reconstruct", "denoise", "anomaly", "latent")
    other = tmp_path / "others.npy"
    np.save(other, 255 - _coloured(dataset, 50, 40, 36))
    stages = keras_ae.evaluate(tmp_path / "run", only=only, ood=other)["stages"]
    for name, part in zip(only, ("PCA", "PCA and the affine filter", "PCA", "PCA"), strict=True):
        assert "up to 3,072 of them, and these images have 4,320" in stages[name]["skipped"][part]
    assert list(stages["reconstruct"]["tables"]["overall"]["rows"]) == [
        "model", "mean_image", "floor",
    ]  # fmt: skip
    separation = stages["anomaly"]["tables"]["separation"]["rows"]
    assert separation["brightness"]["auroc"] == 1
    assert "pca" not in separation


def test_more_latents_than_images_or_pixels(small, tmp_path, own_cache):
    images = small.read_settings()["images"]
    arguments = {"images": images, "epochs": 1, "train_images": 40, "latent_dim": 70}
    keras_ae.train("dense", tmp_path / "run", **arguments)
    stages = keras_ae.evaluate(tmp_path / "run", only=("reconstruct", "latent"))["stages"]
    assert stages["latent"]["tables"]["labels"]["rows"]["pca"]["latent_dim"] == 40
    assert "PCA has 40 components" in stages["reconstruct"]["tables"]["overall"]["caption"]


def test_pictures_that_have_moved_are_named(small, tmp_path):
    run = _copy(small, tmp_path)
    moved = shutil.copy(run.read_settings()["images"], tmp_path / "elsewhere.npz")
    _edit(run, lambda config: config["settings"].update(images=str(tmp_path / "gone.npz")))
    assert evaluate.main([str(run.directory), "--only", "interpolate"]) == 2
    flags = ["--only", "interpolate", "--images", str(moved)]
    assert evaluate.main([str(run.directory), *flags]) == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_mosaics_join_images_of_any_shape(channels):
    images = np.linspace(0, 1, 12, dtype="float32").reshape(12, 1, 1, 1)
    images = np.broadcast_to(images, (12, 9, 5, channels))
    (drawn,) = figures.image_grid(images).axes[0].get_images()
    pixels = np.ma.filled(drawn.get_array(), np.nan)
    assert pixels.shape[:2] == (2 * 9 + 1, 10 * 5 + 9)
    np.testing.assert_allclose(pixels[0, 0], 0)
    np.testing.assert_allclose(pixels[-1, 6 + 4], 1)
    # Where there is no image the page shows: NaN in grey, white in colour.
    blank = pixels[-1, -1]
    assert np.isnan(blank) if channels == 1 else (blank == 1).all()


class _Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.sources, self.links, self.anchors, self.text, self.open = [], [], set(), [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if "src" in attrs:
            self.sources.append(attrs["src"])
        if "href" in attrs:
            self.links.append(attrs["href"])
        self.anchors.add(attrs.get("id"))
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize("name", ["mlp", "vae"])
def test_the_report_stands_alone(name, request):
    run = request.getfixturevalue(name)
    stages = json.loads(run.evaluation_metrics.read_text())["stages"]
    page = _Page()
    page.feed(run.evaluation_report.read_text(encoding="utf-8"))
    assert not page.open
    drawn = [file for section in stages.values() for file in section["figures"]]
    assert len(page.sources) == len(drawn)
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in page.sources)
    assert all(link[1:] in page.anchors for link in page.links)
    assert {path.name for path in run.evaluation.iterdir()} == {
        *drawn,
        "metrics.json",
        "report.html",
        "scores.csv",
    }
    text = " ".join(page.text)
    for key, section in stages.items():
        assert STAGES[key].title in text
        for caption in [
            *section["figures"].values(),
            *(table["caption"] for table in section["tables"].values()),
            *section["skipped"].values(),
        ]:
            assert len(caption) > 15
            assert caption in text
    # The numbers are there, with their units.
    mse = _tables(run, "reconstruct")["overall"]["model"]["mse"]
    assert f"{mse:.5f}" in text
    assert "per pixel" in text


def test_a_stage_that_does_not_apply_is_named_with_the_reason(mlp):
    section = json.loads(mlp.evaluation_metrics.read_text())["stages"]["elbo"]
    assert section["tables"] == {}
    assert "plain autoencoder" in section["skipped"]["elbo"]


def test_another_process_finds_the_same_to_the_last_byte(small, tmp_path, script):
    run = _copy(small, tmp_path)
    before = _tree(run.directory)
    done = script("evaluate.py", run.directory, "--only", "denoise,anomaly,generate,latent")
    assert done.returncode == 0, done.stderr
    assert _tree(run.directory) == before
    for line in ("[1/4] Denoising", "[4/4] Latent map", "affine filter", "per pixel"):
        assert line in done.stdout
    assert str(run.evaluation_report) in done.stdout


def test_a_part_replaces_itself_and_leaves_the_rest(mlp, tmp_path):
    run = _copy(mlp, tmp_path)
    before, files = json.loads(run.evaluation_metrics.read_text()), _tree(run.evaluation)
    flags = ["--only", "interpolate", "--interp-idx1", "7", "--steps", "3"]
    assert evaluate.main([str(run.directory), *flags]) == 0
    after = json.loads(run.evaluation_metrics.read_text())
    assert list(after["stages"]) == list(before["stages"]) == list(STAGES)
    assert [name for name in STAGES if before["stages"][name] != after["stages"][name]] == [
        "interpolate"
    ]
    assert after["stages"]["interpolate"]["options"] == {
        "interp_idx1": 7,
        "interp_idx2": 3456,
        "steps": 3,
    }
    changed = {name for name, digest in _tree(run.evaluation).items() if files[name] != digest}
    assert changed == {"metrics.json", "report.html", "interpolate_images.png"}


def test_parts_of_another_model_are_dropped(mlp, tmp_path):
    run = _copy(mlp, tmp_path)
    model = keras.models.load_model(run.model)
    model.encoder.get_layer("latents").bias.assign_add(tf.ones(8))
    model.save(run.model)
    assert evaluate.main([str(run.directory), "--only", "interpolate"]) == 0
    assert list(json.loads(run.evaluation_metrics.read_text())["stages"]) == ["interpolate"]


def test_an_interrupted_evaluation_leaves_whole_stages(mlp, tmp_path, monkeypatch):
    run = _copy(mlp, tmp_path)

    def fail(context):
        raise KeyboardInterrupt

    monkeypatch.setattr("keras_ae.evaluation.stages.latent.measure", fail)
    arguments = [str(run.directory), "--only", "interpolate,latent", "--steps", "3"]
    assert evaluate.main(arguments) == 128 + signal.SIGINT
    after = json.loads(run.evaluation_metrics.read_text())
    assert after["stages"]["interpolate"]["options"]["steps"] == 3
    before = json.loads(mlp.evaluation_metrics.read_text())
    assert after["stages"]["latent"] == before["stages"]["latent"]
    assert set(_tree(run.evaluation)) == set(_tree(mlp.evaluation))


def test_a_code_that_is_dead_is_measured_all_the_same(mlp_run, tmp_path, monkeypatch):
    monkeypatch.setattr(generate, "SAMPLES", 500)
    run = _copy(mlp_run, tmp_path)
    model = keras.models.load_model(run.model)
    model.encoder.get_layer("latents").bias.assign(tf.fill(8, -1e3))
    model.save(run.model)
    names = "interpolate,generate,latent"
    assert evaluate.main([str(run.directory), "--only", names]) == 0
    content = json.loads(run.evaluation_metrics.read_text(), parse_constant=pytest.fail)
    assert (
        content["stages"]["latent"]["tables"]["labels"]["rows"]["model"]["non_constant_units"] == 0
    )


# Each leaves one line that says what was expected and what was received, and the run as it was.
BAD_ARGUMENTS = {
    "no run": ([], "one run directory, received none"),
    "two runs": (["{run}", "-l", "elsewhere"], "one run directory"),
    "stage": (["{run}", "--only", "denoise,anomly"], "'anomaly'"),
    "no stage": (["{run}", "--only", ""], "unknown stage"),
    "index too large": (["{run}", "--clean-idx", "10000"], "0 to 9999, received 10000"),
    "negative index": (["{run}", "--denoise-idx", "-1"], "0 to 9999, received -1"),
    "end of the path": (["{run}", "--interp-idx2", "99999"], "received 99999"),
    "one image twice": (["{run}", "--interp-idx1", "3456"], "two different images"),
    "one step": (["{run}", "--steps", "1"], "from 2 to 50, received 1"),
    "no noise": (["{run}", "--noise-std", "0"], "above zero, received 0"),
    "no number": (["{run}", "--noise-std", "nan"], "received nan"),
    "no integer": (["{run}", "--steps", "many"], "invalid int value: 'many'"),
    "percentile": (["{run}", "--percentile", "100"], "between 0 and 100"),
    "samples": (["{run}", "--nll-samples", "0"], "at least 1, received 0"),
    "images": (["{run}", "--nll-images", "10001"], "at most 10000"),
    "seed": (["{run}", "--seed", "-1"], "received -1"),
    "latent units": (["{run}", "-z", "9"], "expected 8 latent units, received 9"),
    "own dataset": (["{run}", "--ood", "mnist"], "another dataset"),
    "unknown dataset": (["{run}", "--ood", "fashionmnist"], "received 'fashionmnist'"),
    "dataset of other images": (["{run}", "--ood", "cifar10"], "[32, 32, 3]"),
    "empty archives": (
        ["{run}", "--ood", "fashion_mnist", "--ood-archives", "{run}"],
        "received a directory without",
    ),
    "archives of nothing": (["{run}", "--ood-archives", "{run}"], "ood"),
    "unknown flag": (["{run}", "--bottleneck", "8"], "--bottleneck"),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_bad_arguments_change_nothing(case, mlp_run, capfd):
    arguments, expected = BAD_ARGUMENTS[case]
    before = _tree(mlp_run.directory)
    status = evaluate.main([value.format(run=mlp_run.directory) for value in arguments])
    assert status == 2
    _check_one_line(capfd.readouterr().err, expected)
    assert _tree(mlp_run.directory) == before
    assert not mlp_run.evaluation.exists()


def _check_one_line(message: str, expected: str) -> None:
    assert message.count("\n") == 1, message
    assert message.startswith("evaluate.py: ")
    assert expected in message


def _edit(run: Run, change) -> None:
    config = run.read_config()
    change(config)
    run.config.write_text(json.dumps(config))


BAD_RUNS = {
    "missing": (lambda run: shutil.rmtree(run.directory), "config.json"),
    "no run": (lambda run: run.config.unlink(), "config.json"),
    "damaged config": (lambda run: run.config.write_text("{"), "expected JSON"),
    "config of another kind": (lambda run: run.config.write_text("[]"), "expected a JSON object"),
    "unknown field": (lambda run: _edit(run, lambda c: c["recipe"].update(x=1)), "x"),
    "missing field": (lambda run: _edit(run, lambda c: c["recipe"].pop("model")), "model"),
    "another version": (
        lambda run: _edit(run, lambda c: c["versions"].update(keras_ae="9.1.0")),
        "9.1.0",
    ),
    "no version": (lambda run: _edit(run, lambda c: c.pop("versions")), "unknown version"),
    "no dataset": (lambda run: _edit(run, lambda c: c.pop("dataset")), "'dataset'"),
    "unfinished": (lambda run: run.model.unlink(), "no model.keras"),
    "damaged model": (lambda run: run.model.write_bytes(b"PK\3\4 and no more"), "model.keras"),
    "another model": (
        lambda run: shutil.copy(run.encoder, run.model),
        "expected a model of keras_ae",
    ),
    "other data": (
        lambda run: _edit(run, lambda c: c["dataset"].update(checksum="0" * 64)),
        "checksum",
    ),
    "directory that is a file": (lambda run: run.evaluation.write_text(""), "evaluation"),
}


@pytest.mark.parametrize("case", BAD_RUNS)
def test_bad_runs_stay_as_they_are(case, mlp_run, tmp_path, capfd):
    damage, expected = BAD_RUNS[case]
    run = _copy(mlp_run, tmp_path)
    damage(run)
    before = _tree(tmp_path)
    assert evaluate.main([str(run.directory)]) == 2
    _check_one_line(capfd.readouterr().err, expected)
    assert _tree(tmp_path) == before


def test_a_moved_run_finds_its_data_by_their_checksum(mlp_run, tmp_path):
    run = _copy(mlp_run, tmp_path)
    _edit(run, lambda config: config["dataset"].update(archives="/nowhere"))
    assert evaluate.main([str(run.directory), "--only", "interpolate"]) == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["--only", "nothing"], "unknown stage"), (["--ood", "nothing"], "received 'nothing'")],
)
def test_a_refusal_is_the_only_line_on_stderr(arguments, expected, mlp_run, script):
    environment = {key: value for key, value in os.environ.items() if "TF_CPP" not in key}
    done = script("evaluate.py", mlp_run.directory, *arguments, env=environment)
    assert done.returncode == 2
    _check_one_line(done.stderr, expected)


def test_help_names_every_stage_and_needs_no_tensorflow(script):
    code = (
        "import sys\n"
        "from keras_ae.commands import evaluate\n"
        "try:\n"
        "    evaluate.main(['--help'])\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        "assert evaluate.main(['nowhere', '--only', 'denoise']) == 2\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = script("-c", code)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in STAGES)


def test_training_does_without_scipy_and_scikit_learn(script):
    code = (
        "import sys\n"
        "sys.modules |= dict.fromkeys(['scipy', 'sklearn'])\n"
        "import keras_ae\n"
        "from keras_ae.commands import evaluate, train\n"
        "from keras_ae.evaluation import evaluate\n"
        "from keras_ae.training import run\n"
        "keras_ae.Autoencoder\n"
    )
    done = script("-c", code)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def small_mnist(dataset, tmp_path, monkeypatch) -> data.Dataset:
    """Enough of MNIST for a quick classifier, with an empty cache."""
    monkeypatch.setattr(data, "cache_directory", lambda name: tmp_path)
    monkeypatch.setattr(classifier, "EPOCHS", 1)
    monkeypatch.setattr(classifier, "STEPS", 0)
    return dataclasses.replace(dataset, train=dataset.train[:2000], test=dataset.test[:1000])


def test_the_classifier_is_trained_once_for_each_dataset(small_mnist, tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "REQUIRED_ACCURACY", 0.6)
    images = data.to_float(small_mnist.test.images[:50])
    first = classifier.load(small_mnist)
    (path,) = tmp_path.iterdir()
    written = path.stat().st_mtime_ns
    features, probabilities = first(images)
    assert features.shape == (50, 64)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)

    again = classifier.load(small_mnist)
    assert path.stat().st_mtime_ns == written
    np.testing.assert_array_equal(again(images)[0], features)
    assert again.accuracy == first.accuracy

    path.write_bytes(path.read_bytes()[:5000])
    np.testing.assert_array_equal(classifier.load(small_mnist)(images)[0], features)
    assert path.stat().st_mtime_ns > written

    classifier.load(dataclasses.replace(small_mnist, checksum="another"))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_poor_classifier_judges_nothing(small_mnist, tmp_path):
    with pytest.raises(RunFailed, match="99% of the test digits"):
        classifier.load(small_mnist)
    assert not list(tmp_path.iterdir())


def test_every_stage_has_a_module_and_its_settings_exist():
    fields = {field.name for field in dataclasses.fields(Options)}
    for name, stage in STAGES.items():
        assert (PROJECT / f"keras_ae/evaluation/stages/{name}.py").is_file()
        assert set(stage.options) <= fields
    modules = {path.stem for path in (PROJECT / "keras_ae/evaluation/stages").glob("*.py")}
    assert modules == {"__init__", *STAGES}


def test_evaluate_returns_what_it_writes(mlp_run, tmp_path):
    run = _copy(mlp_run, tmp_path)
    content = evaluation.evaluate(run, Options(only=("history", "interpolate")))
    assert json.loads(run.evaluation_metrics.read_text()) == content
