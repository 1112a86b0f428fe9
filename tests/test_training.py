"""Training runs: what they leave behind, for all recipes, and what makes them repeatable."""

import csv
import dataclasses
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest

from keras_ae import data, models, recipes
from keras_ae.errors import BadRequest, RunFailed
from keras_ae.loading import load_run
from keras_ae.recipe import Recipe
from keras_ae.runs import Run
from keras_ae.training import callbacks, fit
from keras_ae.training import run as training

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def history_of(run: Run) -> dict[str, list[float]]:
    with run.history.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def _short(name: str) -> Recipe:
    recipe = recipes.get(name).override(train_images=300, epochs=2, figures_every=1)
    # The same model, and a graph that is traced ten times faster.
    return recipe.override(unroll=False) if "unroll" in recipe.arguments else recipe


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_recipe_learns(name, dataset):
    recipe = _short(name)
    model, shuffled = fit.prepare(recipe, dataset.train.images[:300])
    assert recipe.parameters in (None, model.count_params())
    options = {"epochs": 2, "callbacks": [shuffled], "shuffle": False, "verbose": 0}
    losses = model.fit(shuffled.dataset, **options).history["loss"]
    assert losses[1] < losses[0]


# One of each class, the default and the one with the most settings.
@pytest.mark.parametrize("name", ["mlp", "conv", "batchnorm", "denoiser", "lstm", "vae-dropout"])
def test_a_short_run_leaves_a_whole_directory(name, tmp_path):
    recipe = _short(name)
    run = Run(tmp_path / name)
    summary = training.train(recipe, run)

    history = history_of(run)
    assert history["epoch"] == [1, 2]
    assert history["loss"][1] < history["loss"][0]
    assert all(np.isfinite(history["val_loss"]))

    variational = recipe.model == "VariationalAutoencoder"
    figures = {"reconstructions_epoch_0001.png", "reconstructions_epoch_0002.png"}
    if variational:
        figures |= {"samples_epoch_0001.png", "samples_epoch_0002.png"}
    assert {path.name for path in run.figures.iterdir()} == figures
    for path in (*run.figures.iterdir(), run.loss_plot):
        assert path.read_bytes().startswith(PNG_SIGNATURE)

    config = run.read_config()
    for entry in ("history", "metrics", "model", "encoder", "decoder", "loss_plot", "figures"):
        assert (run.directory / config["files"][entry]).exists()
    # The number of parameters is that of the model, whatever was overridden.
    count = load_run(run).count_params()
    assert run.read_recipe() == dataclasses.replace(recipe, parameters=count)
    assert config["dataset"]["train"] == 300
    assert not list(run.directory.rglob(".*"))

    assert json.loads(run.metrics.read_text()) == summary
    assert set(summary) == {"test", "validation", "train"}
    expected = {"mse", "pca_mse", "mean_image_mse", "latent_dim", "non_constant_units"}
    if variational:
        expected |= {"loss", "reconstruction_loss", "kl_loss"}
    assert all(set(split) == expected for split in summary.values())


def test_metrics_agree_with_a_computation_from_the_saved_model(mlp_run, dataset):
    images = dataset.test.images.astype("float64") / 255
    flat = images.reshape(10_000, 784)
    model = keras.models.load_model(mlp_run.model)
    mse = np.mean((model.predict(images.astype("float32"), verbose=0) - images) ** 2)

    train = dataset.train.images[:2000].reshape(2000, 784) / 255
    mean = train.mean(axis=0)
    _, _, components = np.linalg.svd(train - mean, full_matrices=False)
    projection = ((flat - mean) @ components[:8].T @ components[:8] + mean).clip(0, 1)

    test = json.loads(mlp_run.metrics.read_text())["test"]
    assert test["mse"] == pytest.approx(mse, abs=1e-7)
    assert test["pca_mse"] == pytest.approx(np.mean((projection - flat) ** 2), rel=1e-5)
    assert test["mean_image_mse"] == pytest.approx(np.mean((flat - mean) ** 2), rel=1e-5)
    latents = model.encoder.predict(images.astype("float32"), verbose=0)
    assert test["non_constant_units"] == (latents.std(axis=0) > 0).sum()


def test_validation_loss_is_the_validation_mse(mlp_run):
    metrics = json.loads(mlp_run.metrics.read_text())
    assert history_of(mlp_run)["val_loss"][-1] == pytest.approx(metrics["validation"]["mse"], 1e-4)


def test_negative_elbo_of_the_splits_is_that_of_the_history(vae_run):
    metrics = json.loads(vae_run.metrics.read_text())
    history = history_of(vae_run)
    for term in ("loss", "reconstruction_loss", "kl_loss"):
        # Another sample of each posterior.
        assert metrics["validation"][term] == pytest.approx(history[f"val_{term}"][-1], rel=2e-3)


def weights_in(path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as stored:
        file = h5py.File(stored)
        values = {}
        file.visititems(
            lambda name, item: (
                values.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return values


@pytest.mark.parametrize(
    "arguments",
    [
        (
            "mlp",
            "--optimizer",
            "muon",
            "--train-noise-std",
            "0.2",
            "--any-train-noise",
            "--train-shift-std",
            "0.5",
            "--batch-size",
            "300",
        ),
        ("vae-dropout", "--train-images", "700"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_the_same_command_gives_the_same_bits(arguments, script, tmp_path):
    stored = []
    for directory in ("first", "second"):
        options = ["--train-images", "1000", *arguments[1:], "-e", "2", "-s", tmp_path / directory]
        result = script("train.py", arguments[0], *options)
        assert result.returncode == 0, result.stderr
        stored.append(weights_in(tmp_path / directory / "model.keras"))
    first, second = stored
    assert first.keys() == second.keys()
    assert any("optimizer" in name for name in first)
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)
    histories = [(tmp_path / name / "history.csv").read_bytes() for name in ("first", "second")]
    assert histories[0] == histories[1]


def test_full_train_has_no_validation(tmp_path):
    recipe = recipes.get("mlp").override(full_train=True, train_images=500, epochs=1)
    run = Run(tmp_path / "run")
    summary = training.train(recipe, run)
    assert set(summary) == {"test", "train"}
    assert not any(name.startswith("val_") for name in history_of(run))


def test_a_plateau_lowers_the_learning_rate(tmp_path):
    # At this rate the ReLU latents die at once and the loss stands still.
    recipe = recipes.get("mlp").override(train_images=300, epochs=14, learning_rate=1.0)
    run = Run(tmp_path / "run")
    training.train(recipe, run)
    rates = history_of(run)["learning_rate"]
    assert rates[0] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.1)


def test_a_cosine_rises_and_falls_over_all_steps(digits):
    images = (digits[:100] * 255).astype("uint8")  # 20 steps an epoch, 400 in all
    recipe = recipes.get("mlp").override(
        schedule="cosine", learning_rate=0.5, epochs=20, batch_size=5
    )
    model, shuffled = fit.prepare(recipe, images)
    rates = []
    for step in (0, 10, 20, 20 + 95, 20 + 190, 399, 400):
        model.optimizer.iterations.assign(step)
        rates.append(float(model.optimizer.learning_rate))
    falling = 0.25 * (1 + np.cos(np.pi * np.array([95, 190, 379, 380]) / 380))
    np.testing.assert_allclose(rates, [0, 0.25, 0.5, *falling], rtol=1e-4, atol=1e-7)
    model.optimizer.iterations.assign(0)
    model.fit(shuffled.dataset, epochs=20, shuffle=False, callbacks=[shuffled], verbose=0)
    assert int(model.optimizer.iterations) == 400


def test_a_loss_that_is_no_number_ends_the_run(tmp_path):
    recipe = recipes.get("lstm-linear").override(
        train_images=300, epochs=3, learning_rate=1e30, batch_size=100
    )
    run = Run(tmp_path / "run")
    with pytest.raises(RunFailed, match="expected a finite number"):
        training.train(recipe, run)
    assert not run.metrics.exists()


def test_overwriting_replaces_the_earlier_run_whole(tmp_path):
    run = Run(tmp_path / "run")
    short = {"train_images": 300, "figures_every": 1}
    training.train(recipes.get("mlp").override(epochs=2, **short), run)
    with pytest.raises(BadRequest, match="`overwrite`"):
        training.train(recipes.get("mlp").override(epochs=1, **short), run)
    assert len(history_of(run)["epoch"]) == 2
    training.train(recipes.get("mlp").override(epochs=1, **short), run, overwrite=True)
    assert [path.name for path in run.figures.iterdir()] == ["reconstructions_epoch_0001.png"]
    assert len(history_of(run)["epoch"]) == 1


def test_a_directory_of_other_things_is_never_overwritten(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(BadRequest, match="holds other files"):
        training.train(recipes.get("mlp"), Run(tmp_path), overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "precious"


# The callbacks, with a model that is not of this package.


@pytest.fixture
def foreign_model():
    """An autoencoder that somebody else wrote."""
    decoder = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(784), keras.layers.Reshape((28, 28, 1))]
    )
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(4), decoder]
    )
    model.compile("adam", "mse", jit_compile=False)
    return model


def test_figures_come_every_few_epochs_and_at_the_end(foreign_model, digits, tmp_path):
    drawn = callbacks.ReconstructionFigures(digits[:5], tmp_path / "r_{epoch:02d}.png", every=3)
    sampled = callbacks.SampleFigures(
        np.eye(4), tmp_path / "s_{epoch:02d}.png", every=2, decoder=foreign_model.layers[-1]
    )
    loss_plot = callbacks.LossPlot(tmp_path / "loss.pdf")
    foreign_model.fit(digits, digits, epochs=5, verbose=0, callbacks=[drawn, sampled, loss_plot])
    names = {path.name for path in tmp_path.iterdir()}
    reconstructions = {"r_03.png", "r_05.png"}
    samples = {"s_02.png", "s_04.png", "s_05.png"}
    assert names == reconstructions | samples | {"loss.pdf"}
    assert (tmp_path / "loss.pdf").read_bytes().startswith(b"%PDF")
    assert len(loss_plot.history["loss"]) == 5


def test_loss_plot_is_redrawn_while_training_goes_on_and_at_the_end(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(callbacks.figures, "save", lambda figure, path: shown.append(figure))
    plot = callbacks.LossPlot(tmp_path / "loss.png")
    clock = iter([0.0, 0.0, 1.0, 99.0, 101.5, 101.5, 101.5, 110.0, 110.0])
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: next(clock))
    # The first drawing takes a second, so the next has to wait for 100.
    for epoch in range(3):
        plot.on_epoch_end(epoch, {"loss": 1.0 / (epoch + 1)})
    plot.on_train_end()
    points = [len(figure.axes[0].get_lines()[0].get_xdata()) for figure in shown]
    assert points == [1, 3, 3]


def images_in(figure, rows: int, columns: int) -> np.ndarray:
    """The images that a figure shows, row by row: 28 pixels and a gap of two for each."""
    picture = np.asarray(figure.axes[0].get_images()[0].get_array())
    return np.stack(
        [
            picture[30 * row : 30 * row + 28, 30 * column : 30 * column + 28]
            for row in range(rows)
            for column in range(columns)
        ]
    )


def test_reconstruction_figure_shows_what_the_model_makes_of_the_inputs(foreign_model, digits):
    noisy = data.noisy(digits[:3], 0.4, seed=(0, 0)).numpy()
    callback = callbacks.ReconstructionFigures(digits[:3], "unused.png", inputs=noisy)
    callback.set_model(foreign_model)
    figure = callback.draw(1)
    expected = [digits[:3], noisy, np.clip(foreign_model(noisy), 0, 1)]
    np.testing.assert_allclose(
        images_in(figure, rows=3, columns=3), np.concatenate(expected)[..., 0], atol=1e-6
    )
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["original", "noisy", "reconstructed"]


def test_sample_figure_shows_the_same_latents_every_time(digits):
    vae = models.VariationalAutoencoder(latent_dim=2, lstm_units=4)
    latents = np.array([[0.0, 1.0], [2.0, -1.0]], "float32")
    callback = callbacks.SampleFigures(latents, "unused.png")
    callback.set_model(vae)
    for epoch in (1, 2):
        drawn = images_in(callback.draw(epoch), rows=1, columns=2)
        np.testing.assert_allclose(drawn, vae.decode(latents)[..., 0], atol=1e-6)


def test_figure_callbacks_refuse_an_interval_of_zero(digits):
    with pytest.raises(ValueError, match="Received: every=0"):
        callbacks.ReconstructionFigures(digits, "unused.png", every=0)
