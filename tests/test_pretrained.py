"""Shipped models keep what their cards say."""

import json
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

from keras_ae import data, runs
from keras_ae.evaluation.stages.elbo import likelihood
from keras_ae.loading import load_run
from keras_ae.recipes import RECIPES
from keras_ae.runs import Run
from studies.ship import (
    LIKELIHOOD,
    README,
    REQUEST,
    SERVED,
    SERVING,
    SHIPPED,
    model_card,
    serving_request,
    ship,
    update_readme,
    update_serving,
)
from tests.conftest import PROJECT
from tests.test_snippets import python_blocks

SIZE_LIMIT = 70_000_000
MODELS = runs.pretrained()
PAGE = README.read_text("utf-8")
EXAMPLE = SERVING.read_text("utf-8")


@pytest.fixture(scope="module")
def shipped(vae_run, tmp_path_factory) -> Run:
    run = Run(tmp_path_factory.mktemp("pretrained") / "tiny")
    ship(vae_run, run, commit="0" * 40, nll_images=10, nll_samples=10)
    return run


def check_card(run: Run, dataset) -> None:
    """Recomputes the test error of the card from the files beside it."""
    images = data.to_float(dataset.test.images)
    error = float(np.mean(np.square(load_run(run).reconstruct(images) - images), dtype="float64"))
    card = run.card.read_text("utf-8")
    stated = float(re.search(r"^\| mse \| ([\d.]+) \|", card, re.MULTILINE)[1])
    assert stated == pytest.approx(error, abs=1e-6)
    metrics = json.loads(run.metrics.read_text("utf-8"))
    assert metrics["test"]["mse"] == pytest.approx(error, rel=1e-4)
    # The SavedModel is the same model.
    reconstruct = tf.saved_model.load(str(run.saved_model)).signatures["reconstruct"]
    np.testing.assert_allclose(
        reconstruct(images=tf.constant(images[:257]))["reconstructions"],
        load_run(run).reconstruct(images[:257]),
        atol=1e-5,
    )
    for picture in re.findall(r"!\[.*?\]\((.+?)\)", card):
        assert (run.directory / picture).is_file()


def test_card_of_a_fresh_model_states_its_error(shipped, dataset):
    check_card(shipped, dataset)
    card = shipped.card.read_text("utf-8")
    config = shipped.read_config()
    for fact in (config["dataset"]["checksum"], "0" * 40, config["versions"]["tensorflow"]):
        assert fact in card
    assert len(re.findall(r"!\[", card)) == 2
    assert str(shipped.directory) not in card + json.dumps(config)


def test_card_says_which_file_was_left_out(mlp_run, tmp_path):
    run = Run(tmp_path / "run")
    shutil.copytree(mlp_run.directory, run.directory)
    run.litert_quantized.unlink()
    shipped = Run(tmp_path / "shipped")
    ship(run, shipped, commit="0" * 40)
    left_out = re.findall(r"^\| (\S+), left out for its error", shipped.card.read_text(), re.M)
    assert left_out == [run.litert_quantized.name]


@pytest.mark.parametrize("run", MODELS.values(), ids=MODELS)
def test_shipped_model_keeps_the_error_of_its_card(run, dataset):
    check_card(run, dataset)


@pytest.mark.parametrize("run", MODELS.values(), ids=MODELS)
def test_shipped_card_is_what_the_command_writes(run):
    card = run.card.read_text("utf-8")
    commit = re.search(r"^\| commit \| `(\w+)` \|$", card, re.MULTILINE)[1]
    pictures = re.findall(r"!\[.*?\]\((.+?)\)", card)
    path = run.directory / LIKELIHOOD
    bounds = json.loads(path.read_text("utf-8")) if path.exists() else None
    written = model_card(run, run.read_recipe(), pictures, commit, bounds)
    # The LiteRT files are not shipped, so that all of them look as if they were left out.
    left_out = ", left out for its error"
    assert written.replace(left_out, "") == card.replace(left_out, "")


@pytest.mark.parametrize("name", [name for name in SHIPPED if name.startswith("vae")])
def test_shipped_bounds_are_those_of_the_model(name, dataset):
    stated = json.loads((MODELS[name].directory / LIKELIHOOD).read_text("utf-8"))
    images = data.to_float(dataset.test.images)
    # Another seed: of the samples, and of the binarization.
    model = load_run(MODELS[name])
    again, _ = likelihood(model, images, 20, 1000, seed=1)
    for kind in ("grey_all", "binarized_all"):
        for measure in ("negative_elbo", "reconstruction", "kl"):
            assert again[kind][measure] == pytest.approx(stated[kind][measure], abs=0.15)
    for kind in ("grey_first", "binarized_first"):
        tightened = stated[kind]["negative_elbo"] - stated[kind]["nll"]
        found = again[kind]["negative_elbo"] - again[kind]["nll"]
        assert found == pytest.approx(tightened, abs=2)
    assert stated["active_units"] == np.sum(model.encode(images).var(axis=0) > 0.01)


@pytest.mark.parametrize("run", MODELS.values(), ids=MODELS)
def test_shipped_model_loads_as_its_card_says(run):
    names = {}
    for code in python_blocks(run.card.read_text("utf-8")):
        exec(code, names)
    for loaded, own in zip(names["model"].weights, load_run(run).weights, strict=True):
        np.testing.assert_array_equal(loaded, own)


@pytest.mark.parametrize("run", MODELS.values(), ids=MODELS)
def test_shipped_model_is_that_of_its_recipe(run):
    recipe = run.read_recipe()
    assert recipe.override() == RECIPES[recipe.name].override()


def test_shipped_models_stay_small():
    files = (PROJECT / "saved_models" / "pretrained").rglob("*")
    assert sum(path.stat().st_size for path in files if path.is_file()) < SIZE_LIMIT


def test_every_model_that_should_be_shipped_is():
    assert set(SHIPPED) == set(MODELS)


def serve(saved_model, body: dict) -> dict:
    """Answers a request as TensorFlow Serving does, for instances that are rows of one input."""
    signature = tf.saved_model.load(str(saved_model)).signatures[body["signature_name"]]
    ((name, spec),) = signature.structured_input_signature[1].items()
    outputs = signature(**{name: tf.constant(body["instances"], spec.dtype)})
    rows = [
        {key: value.tolist() for key, value in zip(outputs, row, strict=True)}
        for row in zip(*(values.numpy() for values in outputs.values()), strict=True)
    ]
    # One output stands alone, several by name.
    return {"predictions": [row if len(row) > 1 else next(iter(row.values())) for row in rows]}


def check_serving_example(page: str, request: str, run: Run) -> None:
    (answer,) = map(json.loads, re.findall(r"```json\n(.*?)```", page, re.DOTALL))
    (expected,) = answer["predictions"]
    (actual,) = serve(run.saved_model, json.loads(request))["predictions"]
    assert actual == {**expected, "scores": pytest.approx(expected["scores"], rel=1e-5)}


def results(readme: str) -> dict[str, list[str]]:
    """Returns the cells of the README's results by recipe."""
    rows = re.findall(
        r"^\| \[`([\w-]+)`\]\(saved_models/pretrained/.*?\) \| (.*) \|$", readme, re.M
    )
    return {name: cells.split(" | ") for name, cells in rows}


def test_pages_can_be_written_for_fresh_models(mlp_run, tmp_path):
    run = Run(tmp_path / SERVED)
    ship(mlp_run, run, commit="0" * 40)
    request = serving_request()
    example = update_serving(EXAMPLE, run, request)
    check_serving_example(example, request, run)
    assert update_serving(example, run, request) == example
    readme = update_readme(PAGE, tmp_path)
    assert list(results(readme)) == ["mlp"]
    assert update_readme(readme, tmp_path) == readme


def test_serving_example_is_answered_so():
    path = MODELS[SERVED].saved_model.relative_to(PROJECT).as_posix()
    assert f'"$PWD/{path}:/models/{SERVED}/1"' in EXAMPLE
    assert f"@{REQUEST.relative_to(PROJECT).as_posix()} " in EXAMPLE
    assert REQUEST.read_text("utf-8") == serving_request()
    check_serving_example(EXAMPLE, REQUEST.read_text("utf-8"), MODELS[SERVED])


def test_readme_is_that_of_the_shipped_models():
    assert update_readme(PAGE, PROJECT / runs.RUNS / "pretrained") == PAGE


@pytest.mark.parametrize("run", MODELS.values(), ids=MODELS)
def test_readme_has_the_results_of_the_shipped_model(run):
    test = json.loads(run.metrics.read_text("utf-8"))["test"]
    cells = results(PAGE)[run.directory.name]
    assert {f"{test['mse']:.4f}", f"{test['pca_mse']:.4f}"} <= set(cells)
