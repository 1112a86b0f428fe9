"""The explorer in a real browser: what a visitor does, and that its numbers are those of Keras."""

import base64
import dataclasses
import functools
import hashlib
import http.server
import importlib.util
import json
import re
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from keras_ae import data, explorer, loading
from keras_ae.commands import explore, train
from keras_ae.errors import BadRequest
from keras_ae.references import AffineFilter
from keras_ae.runs import Run, pretrained
from tests.conftest import PROJECT
from tests.test_cli import tree

pytestmark = pytest.mark.long

PAGE = PROJECT / "keras_ae" / "explorer" / "page"
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER and importlib.util.find_spec("selenium")),
    reason="selenium, or Debian's chromium and chromium-driver, are not installed",
)
# The page computes in a browser's float32, with other orders of sums.
AGREE = {"rtol": 1e-4, "atol": 1e-4}
DIGITS = 100


class Page:
    """A browser with the page in it."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, url: str, fragment: str = "") -> None:
        self.driver.get("about:blank")
        self.driver.get(f"{url}#{fragment}" if fragment else url)
        self.wait("'ready' in document.body.dataset")
        self.settle()

    def js(self, expression: str, *arguments):
        """Returns the value of an expression, also of a promise."""
        return self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            f"(async (...args) => {expression})(...arguments).then(done, e => done('' + e))",
            *arguments,
        )

    def wait(self, condition: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not self.driver.execute_script(f"return Boolean({condition})"):
            assert time.monotonic() < end, f"{condition}: {self.problems()} {self.text('#status')}"
            time.sleep(0.02)

    def settle(self) -> None:
        """Waits until nothing is computed."""
        self.wait("jobs === 0")

    def array(self, expression: str) -> np.ndarray:
        """Returns a Float32Array."""
        text = self.js(f"toText(new Uint8Array(Float32Array.from({expression}).buffer))")
        return np.frombuffer(base64.urlsafe_b64decode(text), "float32")

    def find(self, selector: str):
        return self.driver.find_element("css selector", selector)

    def all(self, selector: str) -> list:
        return self.driver.find_elements("css selector", selector)

    def text(self, selector: str) -> str:
        return self.find(selector).text

    def problems(self) -> list[str]:
        return [line.text for line in self.all("#problems li")]

    def click(self, selector: str) -> None:
        self.driver.execute_script("arguments[0].scrollIntoView()", self.find(selector))
        self.find(selector).click()
        self.settle()

    def drag(self, selector: str, *places: tuple[float, float], kind: str = "mouse") -> None:
        """Presses at the first of some places, in shares of an element, and moves to the others."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.actions.pointer_input import PointerInput

        element = self.find(selector)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        actions = ActionChains(self.driver, 20, devices=[PointerInput(kind, kind)])
        pointer = actions.w3c_actions.pointer_action
        for number, (x, y) in enumerate(places):
            size = element.rect
            offset = [int((x - 0.5) * size["width"]), int((y - 0.5) * size["height"])]
            pointer.move_to(element, *offset)
            if number == 0:
                pointer.pointer_down()
        pointer.pointer_up()
        actions.perform()
        self.settle()

    def choose(self, name: str) -> None:
        self.driver.execute_script(
            "chooseModel(models.findIndex(({name}) => name === arguments[0]))", name
        )
        self.settle()

    def slide(self, selector: str, value: float) -> None:
        self.driver.execute_script(
            "arguments[0].value = arguments[1];"
            "for (const name of ['input', 'change']) arguments[0].dispatchEvent(new Event(name))",
            self.find(selector),
            value,
        )
        self.settle()


@pytest.fixture(scope="module")
def driver():
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_window_size(1280, 900)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Run]:
    """A run of each family, by name: those of the shipped models, and one with 784 latents."""
    path = tmp_path_factory.mktemp("runs") / "denoiser"
    assert train.main(["denoiser", "--train-images", "300", "-e", "1", "-s", str(path)]) == 0
    names = [name for name in explorer.MODELS if name != "denoiser"]
    return {**{name: pretrained()[name] for name in names}, "denoiser": Run(path)}


@pytest.fixture(scope="module")
def folder(runs, tmp_path_factory) -> Path:
    """The page of these runs."""
    path = tmp_path_factory.mktemp("explorer") / "page"
    assert explore.main([*(str(run.directory) for run in runs.values()), "-o", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def models(runs) -> dict:
    return {name: loading.load_run(run) for name, run in runs.items()}


@pytest.fixture
def page(driver, folder) -> Page:
    page = Page(driver)
    page.open((folder / "index.html").as_uri())
    return page


@pytest.fixture
def few(driver, folder) -> Page:
    """A page of two of these models, which is sooner ready."""
    text = (folder / "index.html").read_text("utf-8")
    about = re.search(r'(?<=<script id="about" type="application/json">).*?(?=</script>)', text)
    content = json.loads(about[0])
    content["models"] = [one for one in content["models"] if one["name"] in ("mlp", "vae-baseline")]
    text = text.replace(about[0], json.dumps(content))
    text = re.sub(r'<script src="model_[01246].js"></script>', "", text)
    path = folder.parent / "few.html"
    path.write_text(text.replace('<script src="', f'<script src="{folder.name}/'), "utf-8")
    page = Page(driver)
    page.open(path.as_uri())
    return page


@pytest.fixture(scope="module")
def images(dataset) -> np.ndarray:
    return data.to_float(dataset.test.images[:DIGITS])


THREE = ((0.3, 0.25), (0.6, 0.2), (0.6, 0.45), (0.4, 0.5), (0.65, 0.6), (0.55, 0.8), (0.3, 0.78))


# === Numbers ===


@needs_browser
def test_numbers_of_all_families_are_those_of_keras(page, images, models):
    keys = ("reconstruction", "latents", "error", "score")
    found = [[] for _ in models]
    for digit in range(DIGITS):
        page.driver.execute_script("takeDigit(arguments[0])", digit)
        page.wait("results[0]?.image === state.image")
        rows = page.js(
            "results.map((one) => args[0].map((key) => "
            "toText(new Uint8Array(Float32Array.of(...[one[key]].flatMap((some) => [...(some.length"
            " ? some : [some])])).buffer))))",
            keys,
        )
        for model, row in enumerate(rows):
            found[model].append(
                [np.frombuffer(base64.urlsafe_b64decode(text), "float32") for text in row]
            )
    for (name, model), rows in zip(models.items(), found, strict=True):
        expected = (
            model.reconstruct(images).reshape(DIGITS, -1),
            model.encode(images),
            np.square(model.reconstruct(images) - images).mean(axis=(1, 2, 3))[:, None],
            model.score(images)[:, None],
        )
        for key, values, theirs in zip(keys, expected, zip(*rows, strict=True), strict=True):
            np.testing.assert_allclose(np.stack(theirs), values, **AGREE, err_msg=f"{name} {key}")


@needs_browser
def test_thresholds_and_verdicts_are_those_of_the_exports(page, images, models, runs):
    verdicts = [card.text.split("\n")[-1] for card in page.all(".card")]
    for (name, model), verdict in zip(models.items(), verdicts, strict=True):
        threshold = json.loads(runs[name].export.read_text("utf-8"))["threshold"]
        assert page.js("about.models.find(({name}) => name === args[0]).threshold", name) == (
            pytest.approx(threshold, rel=1e-5)
        )
        fits = model.score(images[:1])[0] <= threshold
        assert verdict.startswith("✓ fits, limit" if fits else "⚠ anomalous, limit")
    page.driver.execute_script("setDrawing({values: digitImage(0).map((v, i) => i % 2)})")
    page.settle()
    assert all("⚠ anomalous" in card.text for card in page.all(".card")[:-1])


@needs_browser
@pytest.mark.parametrize("name", ["conv", "vae-baseline", "denoiser"])
def test_axes_paths_samples_and_posterior_are_those_of_keras(page, images, models, name):
    model = models[name]
    page.choose(name)
    latents = model.encode(images[:2])
    # Along an axis by two standard deviations.
    page.slide("#axis-3", 2.0)
    point = page.array("state.point")
    axes, stds = (page.array(f"view.model.{part}") for part in ("axes", "stds"))
    axes = axes.reshape(-1, model.latent_dim)
    assert len(axes) == min(model.latent_dim, 64)
    moved = axes @ (point - latents[0])
    assert moved[2] != pytest.approx(0, abs=1e-2)
    np.testing.assert_allclose(np.linalg.norm(point - latents[0]), abs(moved[2]), rtol=1e-3)
    assert axes[2] @ (point - page.array("view.model.mean")) == pytest.approx(2 * stds[2], rel=1e-3)
    decoded = page.array("await view.model.decode(state.point)").reshape(1, 28, 28, 1)
    np.testing.assert_allclose(decoded, model.decode(point[None]), **AGREE)
    # From the second test image to the first.
    for path in ("linear", "spherical") if name == "vae-baseline" else ("linear",):
        middle = page.array(
            f"{path}Path((await view.model.encode(digitImage(1))).latents, "
            "(await view.model.encode(digitImage(0))).latents, 0.25)"
        )
        if path == "linear":
            expected = latents[1] + 0.25 * (latents[0] - latents[1])
        else:
            from keras_ae.evaluation.stages.interpolate import _great_circle

            expected = _great_circle(latents[1], latents[0], np.float32([[0.25]]))[0]
        np.testing.assert_allclose(middle, expected, **AGREE)
    # Samples have the mean and the covariance that they should.
    draws = page.array(
        "(() => { const draw = gaussian(5); const all = [];"
        "for (let i = 0; i < 1000; i++) all.push(...drawLatents(view.model, draw)); return all })()"
    ).reshape(1000, -1)
    if name == "vae-baseline":
        np.testing.assert_allclose(np.cov(draws.T), np.eye(32), atol=0.2)
        mean, log_variance = (part.numpy() for part in model.posterior_step(images[:1]))
        np.testing.assert_allclose(
            page.array("ofChosen().deviations"), np.exp(log_variance[0] / 2), **AGREE
        )
        np.testing.assert_allclose(mean[0], latents[0], **AGREE)
    else:
        own = (draws - page.array("view.model.mean")) @ axes.T / stds
        np.testing.assert_allclose(own[:, :5].std(axis=0), 1, rtol=0.1)
        np.testing.assert_allclose(own.mean(axis=0), 0, atol=0.2)


@needs_browser
def test_denoising_is_that_of_keras_beside_the_affine_filter(page, dataset, images, models):
    page.slide("#std", 0.3)
    noisy = page.array("denoised.noisy").reshape(1, 28, 28, 1)
    assert noisy.min() == 0
    assert noisy.max() == 1
    assert 0.1 < np.sqrt(np.square(noisy - images[:1]).mean()) < 0.3  # Half of it is clipped.
    expected = {name: models[name].reconstruct(noisy) for name in ("lstm", "mlp", "denoiser")}
    affine = next(AffineFilter.fit(dataset.train.images, [0.3]))(noisy)
    shown = {figure.text.split("\n")[0]: figure for figure in page.all("#noisy figure")}
    assert set(shown) == {"noisy", *models, "affine filter"}
    for name, image in {**expected, "affine filter": affine}.items():
        theirs = page.array(f"denoised['{name}']").reshape(1, 28, 28, 1)
        np.testing.assert_allclose(theirs, image, atol=1e-3 if "filter" in name else 1e-4)
        error = float(shown[name].text.split("\n")[1])
        assert error == pytest.approx(float(np.square(image - images[:1]).mean()), abs=1e-3)
    errors = {name: float(figure.text.split("\n")[1]) for name, figure in shown.items()}
    (best,) = page.all("#noisy .best")
    assert float(best.text) == min(errors.values())
    # No noise, no change.
    page.slide("#std", 0)
    np.testing.assert_array_equal(page.array("denoised.noisy"), images[0].ravel())


# === What a visitor does ===


@needs_browser
def test_a_drawing_is_brought_into_the_form_of_mnist(few, models, dataset):
    of_threes = data.to_float(dataset.test.images[dataset.test.labels == 3]).sum((1, 2, 3))
    half = [(0.3 + x / 2, 0.1 + y / 2) for x, y in THREE]
    for kind, places in (("mouse", THREE), ("touch", half), ("pen", THREE)):
        few.click("#clear")
        few.drag("#pad", *places, kind=kind)
        image = few.array("state.image").reshape(28, 28)
        rows, columns = (np.flatnonzero(image.max(axis=axis) > 0.1) for axis in (1, 0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(20, abs=2)
        centre = [image.sum(axis=axis) @ np.arange(28) / image.sum() for axis in (1, 0)]
        np.testing.assert_allclose(centre, [14, 14], atol=0.5)
        assert 0.5 < np.median(image.sum() / of_threes) < 2
        assert all("error" in card.text for card in few.all(".card"))
        np.testing.assert_allclose(
            few.array("results[0].reconstruction"),
            models["mlp"].reconstruct(image[None, ..., None]).ravel(),
            **AGREE,
        )


@needs_browser
def test_strokes_are_undone_erased_and_cleared_and_an_empty_canvas_says_so(few):
    few.drag("#pad", *THREE)
    assert few.js("drawing.base") is None  # The example has gone.
    one = few.array("state.image")
    few.drag("#pad", (0.2, 0.1), (0.8, 0.1))
    assert not np.array_equal(few.array("state.image"), one)
    few.click("#undo")
    np.testing.assert_array_equal(few.array("state.image"), one)
    few.click("#eraser")
    few.drag("#pad", *THREE)
    assert few.js("state.image") is None
    assert "empty" in few.text("#empty")
    few.click("#undo")
    assert few.text("#empty") == ""
    few.click("#clear")
    assert "empty" in few.text("#empty")
    for card in few.all(".card"):
        assert "Nothing drawn" in card.text
        assert "fits" not in card.text
    assert not any(button.is_enabled() for button in few.all(".reset"))


@needs_browser
def test_a_test_digit_can_be_damaged_and_the_score_rises(few):
    few.driver.execute_script("takeDigit(2)")
    few.settle()
    before = few.js("results.map(({score}) => score)")
    few.drag("#pad", (0.1, 0.9), (0.9, 0.9))
    assert few.js("drawing.base.digit") == 2
    image = few.array("state.image").reshape(28, 28)
    np.testing.assert_array_equal(image[:20], few.array("digitImage(2)").reshape(28, 28)[:20])
    assert np.all(np.array(few.js("results.map(({score}) => score)")) > before)


@needs_browser
def test_pictures_come_from_files(few, tmp_path):
    from PIL import Image, ImageDraw

    # Dark on light paper, off the centre.
    photo = Image.new("L", (300, 200), 230)
    ImageDraw.Draw(photo).line([(40, 40), (100, 40), (60, 150)], 20, 14, joint="curve")
    photo.save(tmp_path / "seven.png")
    few.find("#file").send_keys(str(tmp_path / "seven.png"))
    few.wait("drawing.base.digit === undefined")
    few.settle()
    image = few.array("state.image").reshape(28, 28)
    assert image[0, 0] == 0
    assert image.max() > 0.9
    rows = np.flatnonzero(image.max(axis=1) > 0.1)
    assert np.ptp(rows) + 1 == pytest.approx(20, abs=2)
    # One of the images' own size is taken as it is.
    own = np.arange(784, dtype="uint8").reshape(28, 28)
    Image.fromarray(own).save(tmp_path / "own.png")
    few.find("#file").send_keys(str(tmp_path / "own.png"))
    few.wait("state.image && state.image[5] === Math.fround(5 / 255)")
    np.testing.assert_array_equal(few.array("state.image"), own.ravel() / np.float32(255))
    # A picture is dropped.
    few.js(
        "(() => { const data = new DataTransfer();"
        "data.items.add(new File([Uint8Array.fromBase64(args[0])], 'dropped.png'));"
        "const dropped = new DragEvent('drop', {dataTransfer: data, bubbles: true});"
        "document.body.dispatchEvent(dropped) })()",
        base64.b64encode((tmp_path / "seven.png").read_bytes()).decode(),
    )
    few.wait("state.image[5] === 0")
    few.settle()
    np.testing.assert_array_equal(few.array("state.image").reshape(28, 28), image)
    # Something else is one line, and the drawing stays.
    (tmp_path / "notes.txt").write_text("no picture")
    few.find("#file").send_keys(str(tmp_path / "notes.txt"))
    few.wait("document.querySelector('#problems li')")
    (line,) = few.problems()
    assert line.startswith("expected a picture")
    assert line.endswith("received notes.txt")
    np.testing.assert_array_equal(few.array("state.image").reshape(28, 28), image)


@needs_browser
def test_the_point_is_dragged_over_the_map_with_its_image_under_the_finger(few, models):
    few.choose("mlp")
    before = few.array("state.point")
    decoded = "byId('decoded').getContext('2d').getImageData(0, 0, 28, 28).data"
    first = few.array(decoded)
    few.drag("#map", (0.5, 0.5), (0.55, 0.5), (0.7, 0.35), kind="touch")
    point = few.array("state.point")
    x, y = few.js("toCanvas(placeOf(state.point), 1)")
    assert (x, y) == (pytest.approx(0.7, abs=0.01), pytest.approx(0.35, abs=0.01))
    axes = few.array("view.model.axes").reshape(8, 8)
    np.testing.assert_allclose(((point - before) @ axes.T)[2:], 0, atol=1e-3)
    assert not np.array_equal(few.array(decoded), first)
    shown = few.array(decoded).reshape(28, 28, 4)[..., 0] / 255
    expected = models["mlp"].decode(point[None])[0, ..., 0]
    np.testing.assert_allclose(shown, expected, atol=0.5 / 255 + 1e-4)
    few.click(".side .reset")
    np.testing.assert_array_equal(few.array("state.point"), before)


@needs_browser
def test_a_digit_of_the_map_shows_itself_and_its_neighbours(few, dataset, models):
    few.choose("mlp")
    # Away from others, where the pointer finds it whatever it is rounded to.
    lengths = np.linalg.norm(few.js("view.places"), axis=1)
    under = int(np.argmax(lengths))
    x, y = few.js("toCanvas(view.places[args[0]], 1)", under)
    few.drag("#map", (x, y))  # A click.
    latents = models["mlp"].encode(data.to_float(dataset.test.images[:1000]))
    np.testing.assert_allclose(few.array("state.point"), latents[under], **AGREE)
    nearest = np.argsort(np.square(latents - latents[under]).sum(axis=1))[:8]
    captions = [button.text for button in few.all("#nearest button")]
    assert captions == [str(label) for label in dataset.test.labels[nearest]]
    few.js("map.dispatchEvent(new PointerEvent('pointermove', (() => { const box = "
            "map.getBoundingClientRect(); return {clientX: box.left + args[0] * box.width, "
            "clientY: box.top + args[1] * box.height} })()))", x, y)  # fmt: skip
    assert few.text("#bubble") == f"test image {under}"
    # Its neighbour becomes the drawing.
    few.click("#nearest button:nth-child(2)")
    assert few.js("drawing.base.digit") == nearest[1]


@needs_browser
def test_sampling_again_draws_from_the_posterior_of_variational_models_alone(few):
    assert not few.find("#again").is_displayed()
    few.choose("vae-baseline")
    mean, stds = few.array("ofChosen().latents"), few.array("ofChosen().deviations")
    draws = []
    for _ in range(20):
        few.driver.execute_script("byId('again').click()")
        draws.append(few.array("state.point"))
    distances = (np.stack(draws) - mean) / stds
    assert 0.9 < distances.std() < 1.1
    assert len(np.unique(distances[:, 0])) == 20


@needs_browser
def test_morphing_goes_from_the_kept_image_to_the_drawing(few, images, models):
    few.choose("vae-baseline")
    few.click("#keep")
    few.driver.execute_script("takeDigit(4)")
    few.settle()
    np.testing.assert_array_equal(few.array("state.kept"), images[0].ravel())
    shown = "byId('between').getContext('2d').getImageData(0, 0, 28, 28).data"
    reconstructions = models["vae-baseline"].reconstruct(images[[0, 4]])[..., 0]
    for fraction, expected in zip((0, 1), reconstructions, strict=True):
        few.slide("#fraction", fraction)
        middle = few.array(shown).reshape(28, 28, 4)[..., 0] / 255
        np.testing.assert_allclose(middle, expected, atol=0.5 / 255 + 1e-4)
    few.slide("#fraction", 0.5)
    linear = few.array(shown)
    few.driver.execute_script(
        "byId('path').value = 'spherical'; byId('path').dispatchEvent(new Event('change'))"
    )
    few.settle()
    assert not np.array_equal(few.array(shown), linear)
    few.driver.execute_script("byId('play').click()")
    few.wait("Math.abs(byId('fraction').value - 0.5) > 0.1")
    few.driver.execute_script("byId('play').click()")
    assert few.text("#play") == "Play"
    few.choose("mlp")
    assert not few.find("#path").is_enabled()


@needs_browser
def test_samples_say_what_they_are_drawn_from(few):
    assert "fitted to the latents of training images" in few.text("#samples")
    few.choose("vae-baseline")
    assert "prior" in few.text("#source")
    pixels = (
        "[...byId('drawn').querySelectorAll('canvas')].flatMap((one) => [...one.getContext('2d')"
    )
    pixels += ".getImageData(0, 0, 28, 28).data])"
    first = few.array(pixels)
    assert len(first) == 12 * 28 * 28 * 4
    few.click("#draw-samples")
    assert not np.array_equal(few.array(pixels), first)
    few.click("#drawn button:nth-child(3)")
    assert few.js("state.point !== ofChosen().latents")


@needs_browser
def test_the_address_holds_the_state(few):
    few.drag("#pad", *THREE)
    few.choose("vae-baseline")
    few.drag("#map", (0.5, 0.5), (0.6, 0.6), (0.62, 0.4))
    few.slide("#std", 0.45)
    few.click("#draw-samples")
    few.slide("#fraction", 0.2)
    parts = ("state.image", "state.point", "state.kept", "denoised.mlp")
    before = [few.array(part) for part in parts]
    allowed = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    few.driver.execute_cdp_cmd("Browser.grantPermissions", allowed)
    few.click("#share")
    few.wait("byId('status').textContent === 'Link copied'")
    link = few.js("navigator.clipboard.readText()")
    assert link == few.driver.current_url
    address, fragment = link.split("#")
    few.open(address, fragment)
    for part, values in zip(parts, before, strict=True):
        np.testing.assert_array_equal(few.array(part), values, err_msg=part)
    assert few.js("view.model.name") == "vae-baseline"
    assert few.js("byId('fraction').value") == "0.2"
    few.click("#clear")
    few.open(address, few.driver.current_url.split("#")[1])
    assert few.js("state.image") is None
    # What somebody has spoilt is as if it were not there.
    spoilt = "model=none&digit=-3&point=%%%&kept=AA&std=x&fraction=7&path=zigzag&samples=x&pixels=!"
    few.open(address, spoilt)
    assert few.problems() == []
    assert few.js("view.model.name") == "mlp"
    assert few.js("drawing.base.example")
    assert few.js("byId('path').value") == "linear"


@needs_browser
def test_keys_draw_and_walk(few):
    from selenium.webdriver.common.keys import Keys

    few.find("#pad").send_keys(Keys.SPACE, *[Keys.ARROW_DOWN] * 12, Keys.SPACE, Keys.ARROW_LEFT)
    few.settle()
    assert few.js("drawing.strokes.length") == 1
    image = few.array("state.image").reshape(28, 28)
    assert image[:, 14].sum() > 10
    before = few.array("state.point")
    few.find("#map").send_keys(Keys.ARROW_RIGHT)
    few.settle()
    assert not np.array_equal(few.array("state.point"), before)
    few.find("#map").send_keys(Keys.ENTER)
    few.settle()
    digit = few.js("nearestImages(view.model, state.point, 1)[0]")
    latents = few.array(f"(await view.model.encode(digitImage({digit}))).latents")
    np.testing.assert_array_equal(few.array("state.point"), latents)
    few.find("#axis-1").send_keys(Keys.ARROW_RIGHT)
    few.settle()
    few.find(".card input").send_keys(Keys.ARROW_DOWN)
    few.settle()
    assert few.js("view.model.name") == "vae-baseline"
    few.find("#morph .chosen").send_keys(Keys.ARROW_UP)
    few.settle()
    assert few.js("view.model.name") == "mlp"
    assert few.find(".card input").is_selected()
    # Everything that can be reached has a name.
    for control in few.all("button, input, select, canvas[tabindex]"):
        if control.is_displayed():
            assert control.accessible_name, control.get_attribute("outerHTML")


@needs_browser
def test_the_picture_is_saved(few, tmp_path):
    from PIL import Image

    where = {"behavior": "allow", "downloadPath": str(tmp_path)}
    few.driver.execute_cdp_cmd("Browser.setDownloadBehavior", where)
    few.click("#download")
    end = time.monotonic() + 60
    while not (tmp_path / "autoencoders.png").is_file():
        assert time.monotonic() < end
        time.sleep(0.05)
    picture = Image.open(tmp_path / "autoencoders.png")
    assert picture.size == (150 * 3, 200)
    drawn = np.asarray(picture.convert("L"))[5:145:5, 5:145:5]
    np.testing.assert_array_equal(drawn / np.float32(255), few.array("state.image").reshape(28, 28))


# === The page itself ===


@needs_browser
def test_nothing_leaves_the_page(driver, folder):
    page = Page(driver)
    driver.get_log("performance")
    page.open((folder / "index.html").as_uri())
    page.drag("#pad", *THREE)
    requests = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    addresses = {
        one["params"]["request"]["url"]
        for one in requests
        if one["method"] == "Network.requestWillBeSent"
    }
    own = folder.as_uri()
    assert any(address.startswith(f"{own}/model_5.js") for address in addresses)
    foreign = [one for one in addresses if not one.startswith((own, "blob:", "data:", "about:"))]
    assert foreign == []


@needs_browser
def test_it_opens_from_a_server(driver, folder):
    page = Page(driver)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.open(f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()
    page.drag("#pad", *THREE)
    assert page.problems() == []
    assert sum("error" in card.text for card in page.all(".card")) == 7


@needs_browser
def test_a_broken_model_is_one_line_and_the_others_work(driver, folder, tmp_path):
    from keras_ae.explorer import build

    copy = shutil.copytree(folder, tmp_path / "page")
    (copy / "model_0.js").unlink()
    text = (copy / "model_1.js").read_text("utf-8")
    (copy / "model_1.js").write_text(text[: len(text) // 2])
    _, rest = (copy / "model_2.js").read_text("utf-8").split("\n", 1)
    other = build._packed({"model_2 litert": np.frombuffer(b"no model" * 99, "uint8")})
    (copy / "model_2.js").write_text(other + rest)
    page = Page(driver)
    page.open((copy / "index.html").as_uri())
    names = [line.split(" is left out: ")[0] for line in page.problems()]
    assert names == ["dense", "conv", "batchnorm"]
    page.drag("#pad", *THREE)
    assert sum("error" in card.text for card in page.all(".card")) == 4


@needs_browser
def test_ten_thousand_decodes_leave_the_memory_as_it_was(few):
    page = few
    heap = "litert.getGlobalLiteRt().liteRtWasm.HEAPU8.length"
    decode = (
        "(async () => { for (let i = 0; i < 5000; i++) await models[0].decode(models[0].mean) })()"
    )
    page.js(f"{decode}")
    before = page.js(heap)
    page.js(f"{decode}")
    assert page.js(heap) == before


@needs_browser
def test_the_page_fits_its_window(few):
    try:
        for width in (360, 800, 1280, 2000):
            size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
            few.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            assert few.js("document.documentElement.scrollWidth") <= width
            pad = few.find("#pad").rect
            assert pad["width"] == pytest.approx(pad["height"])
            assert pad["width"] > 180
    finally:
        few.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(driver, few, scheme):
    # By WCAG 2.1, success criteria 1.4.3 and 1.4.11; the browser knows all ways to write a colour.
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    address = driver.current_url.split("#")[0]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    page = Page(driver)
    page.open(address)
    read = (
        "(() => { const context = contextOf(element('canvas', {width: 1, height: 1}));"
        "document.body.style.outlineColor = args[0].startsWith('--') ? `var(${args[0]})` : args[0];"
        "context.fillStyle = getComputedStyle(document.body).outlineColor;"
        "context.fillRect(0, 0, 1, 1);"
        "return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)] })()"
    )

    def luminance(colour: str) -> float:
        linear = np.array(page.js(read, colour)) / 255
        linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    def contrast(some: str, other: str) -> float:
        low, high = sorted((luminance(some), luminance(other)))
        return (high + 0.05) / (low + 0.05)

    try:
        texts = ["--text", "--quiet", "--accent", "--good", "--bad"]
        classes = [page.js("classColour(args[0])", label) for label in range(10)]
        pairs = [(text, ground, 4.5) for text in texts for ground in ("--page", "--card")]
        pairs += [(colour, "--page", 4.5) for colour in classes] + [
            ("--on-accent", "--accent", 4.5)
        ]
        pairs += [("--line", ground, 3) for ground in ("--page", "--card")]
        low = {pair: contrast(*pair[:2]) for pair in pairs if contrast(*pair[:2]) < pair[2]}
        assert low == {}
        assert (luminance("--page") < 0.1) == (scheme == "dark")
    finally:
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_sources_are_few_and_the_runtime_is_the_released_one():
    texts = [path.read_text("utf-8") for path in PAGE.iterdir() if path.is_file()]
    assert 500 < sum(text.count("\n") for text in texts) < 1000
    sums = (PAGE / "litert" / "SHA256SUMS").read_text("utf-8").split()
    for digest, name in zip(sums[::2], sums[1::2], strict=True):
        content = (PAGE / "litert" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest, name


def test_folders_are_small(folder):
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert sum(sizes.values()) < 25e6
    models = sorted(size for name, size in sizes.items() if name.startswith("model_"))
    assert sum(sizes.values()) - sum(models[:-1]) < 10e6


# === Other images ===


@pytest.fixture
def caches(tmp_path, monkeypatch) -> None:
    """Keeps caches of pictures out of the user's directory."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))


def trained(path: Path, units: int, **arrays) -> Path:
    np.savez(path / "pictures.npz", **arrays)
    command = ["dense", "-z", str(units), "-e", "1", "--images", str(path / "pictures.npz")]
    assert train.main([*command, "-s", str(path / "run")]) == 0
    return path / "run"


@needs_browser
@pytest.mark.usefixtures("caches")
def test_pictures_in_colour_take_the_place_of_drawing(driver, tmp_path, capsys):
    from PIL import Image
    from sklearn.datasets import load_sample_images

    photograph = load_sample_images().images[0]
    corners = [(y, x) for y in range(0, 400, 16) for x in range(0, 600, 16)]
    crops = np.stack([photograph[y : y + 16, x : x + 12] for y, x in corners])
    run = trained(tmp_path, 1, images=crops)
    moved, page_path = tmp_path / "moved.npz", tmp_path / "page"
    (tmp_path / "pictures.npz").rename(moved)
    for arguments, message in (
        ([str(run)], "pictures.npz"),
        (["dense", str(run), "--images", str(moved)], "--images: expected none"),
        ([str(run), "--images", "none.npz"], "as --images, received none.npz"),
        (["dense", str(run)], "expected runs on one dataset, received"),
    ):
        capsys.readouterr()
        assert explore.main([*arguments, "-o", str(page_path)]) == 2
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1
        assert message in captured.err
        assert not page_path.exists()
    assert explore.main([str(run), "--images", str(moved), "-o", str(page_path)]) == 0
    page = Page(driver)
    page.open((page_path / "index.html").as_uri())
    assert page.problems() == []
    assert "in colour" in page.text("#draw-look")
    assert "no classes" in page.text("#map-note")
    assert not page.find("#pen").is_enabled()
    page.drag("#pad", *THREE)
    assert page.js("drawing.strokes.length") == 0
    page.click("#random")
    image = page.array("state.image").reshape(1, 16, 12, 3)
    model = loading.load(run)
    np.testing.assert_allclose(
        page.array("results[0].reconstruction"), model.reconstruct(image).ravel(), **AGREE
    )
    # A single latent has a line for its map.
    page.drag("#map", (0.5, 0.5), (0.6, 0.2), (0.7, 0.9))
    assert page.js("toCanvas(placeOf(state.point), 1)") == pytest.approx([0.7, 0.5], abs=0.01)
    assert len(page.all("#sliders input")) == 1
    # A photograph is cut to the shape of the images.
    photo = np.repeat(crops[0, :12, :12].repeat(10, 0).repeat(10, 1), 2, 1)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    page.find("#file").send_keys(str(tmp_path / "photo.png"))
    page.wait("drawing.base.digit === undefined")
    page.settle()
    expected = np.asarray(Image.fromarray(photo[:, 75:165]).resize((12, 16), Image.Resampling.BOX))
    theirs = page.array("state.image").reshape(16, 12, 3)
    np.testing.assert_allclose(theirs, expected / np.float32(255), atol=0.05)


@needs_browser
@pytest.mark.usefixtures("caches")
def test_drawings_of_dark_on_light_in_one_file_that_opens(driver, dataset, tmp_path, monkeypatch):
    names = np.array(["naught", "one", *"23456789"])[dataset.train.labels[:500]]
    run = trained(tmp_path, 2, images=255 - dataset.train.images[:500, :, 4:24], labels=names)
    (tmp_path / "browser").write_text(f'#!/bin/sh\necho "$1" > {tmp_path / "opened"}')
    (tmp_path / "browser").chmod(0o755)
    monkeypatch.setenv("BROWSER", str(tmp_path / "browser"))
    page_file = tmp_path / "page.html"
    assert explore.main([str(run), "--one-file", "--open", "-o", str(page_file)]) == 0
    assert (tmp_path / "opened").read_text() == f"{page_file.as_uri()}\n"
    page = Page(driver)
    page.open(page_file.as_uri())
    assert page.problems() == []
    page.drag("#pad", *THREE)
    image = page.array("state.image").reshape(28, 20)
    assert image[0].min() == 1
    assert image.min() < 0.1
    assert page.text("#nearest button") in {"naught", "one", *"23456789"}
    latents = page.array("results[0].latents")
    model = loading.load(run)
    np.testing.assert_allclose(latents, model.encode(image[None, ..., None]).ravel(), **AGREE)
    # Two latents are the plane of the map itself.
    mean = page.array("view.model.mean")
    np.testing.assert_allclose(page.js("placeOf(state.point)"), latents - mean, **AGREE)


def test_images_that_a_page_cannot_show_are_refused(dataset):
    from keras_ae.explorer import build

    split = data.Split(dataset.test.images[:9].reshape(9, 4, 196, 1), dataset.test.labels[:9])
    wide = dataclasses.replace(dataset, train=split, test=split)
    with pytest.raises(BadRequest, match="at most 128x128 pixels for the page, received 4x196"):
        build._shared(wide)


# === Bad input ===


def test_a_bad_request_is_refused_in_one_line_and_nothing_changes(tmp_path, monkeypatch, capsys):
    shipped = PROJECT / "saved_models" / "pretrained"
    old = tmp_path / "old"
    shutil.copytree(shipped / "mlp", old)
    config = json.loads((old / "config.json").read_text("utf-8"))
    config["versions"]["keras_ae"] = "9.0.0"
    (old / "config.json").write_text(json.dumps(config))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("precious")
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("<p>somebody's own</p>")
    (tmp_path / "grown").mkdir()
    (tmp_path / "grown" / "index.html").write_text(explorer.MARK)
    (tmp_path / "grown" / "data").mkdir()
    (tmp_path / "grown" / "data" / "notes.txt").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "other")
    monkeypatch.chdir(tmp_path)
    before = tree(tmp_path)
    for arguments, *messages in (
        (["mlpp"], "expected a run directory", "received mlpp"),
        (["old"], "expected a run of keras_ae", "received one of 9.0.0"),
        (["mlp", "mlp"], "expected runs, each once, received mlp mlp"),
        (["mlp", "-o", ""], "as --output, received '': no path"),
        (["mlp", "-o", "other"], "received other: it holds other files, such as thesis.tex"),
        (["mlp", "-o", "page"], "received page: it is no page of the explorer"),
        (["mlp", "-o", "grown"], "such as data"),
        (["mlp", "-o", "link"], "received link: it is no folder"),
        (["mlp", "-o", "old"], "received old: it holds other files"),
        (["mlp", "-o", "old/page"], "it lies in"),
        (["mlp", "-o", str(shipped / "page")], "it lies in"),
        (["mlp", "-o", "other/thesis.tex"], "it is no folder"),
        (["mlp", "--one-file", "-o", "other/thesis.tex"], "it is no page of the explorer"),
        (["mlp", "--one-file", "-o", "other"], "it is no file"),
        (["mlp", "-o", "other/thesis.tex/page"], "Not a directory"),
        (["mlp", "-o", "/proc/page"], "received /proc"),
        (["mlp", "--images", "other"], "--images: expected none"),
        (["mlp", "--size", "3"], "unrecognized arguments"),
    ):
        assert explore.main(arguments) == 2, arguments
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        for message in messages:
            assert message in captured.err, captured.err
        assert tree(tmp_path) == before
    assert not (shipped / "page").exists()


def test_help_and_refusals_need_no_tensorflow(script):
    program = (
        "import sys\n"
        "from keras_ae.commands import explore\n"
        "try: explore.main(sys.argv[1:])\n"
        "finally: assert not {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)"
    )
    for arguments in (["--help"], ["none"], ["mlp", "-o", "keras_ae"]):
        done = script("-c", program, *arguments)
        assert done.returncode == 0, done.stderr
