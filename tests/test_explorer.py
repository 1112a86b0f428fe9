"""The explorer in a real browser: what a visitor does, and that its numbers are those of Keras."""

import base64
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
from keras_ae.references import AffineFilter
from tests.conftest import PROJECT
from tests.test_cli import tree

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
def folder(tmp_path_factory) -> Path:
    """The page of one shipped model of each family."""
    path = tmp_path_factory.mktemp("explorer") / "page"
    assert explore.main(["-o", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """The page of two models, in one file."""
    path = tmp_path_factory.mktemp("explorer") / "page.html"
    assert explore.main(["-o", str(path), "--one-file", "dense", "vae-baseline"]) == 0
    return path


@pytest.fixture
def page(driver, folder) -> Page:
    page = Page(driver)
    page.open((folder / "index.html").as_uri())
    return page


@pytest.fixture(scope="module")
def images(dataset) -> np.ndarray:
    return data.to_float(dataset.test.images[:DIGITS])


THREE = ((0.3, 0.25), (0.6, 0.2), (0.6, 0.45), (0.4, 0.5), (0.65, 0.6), (0.55, 0.8), (0.3, 0.78))


# === Numbers ===


@needs_browser
def test_numbers_of_all_families_are_those_of_keras(page, images, dataset):
    keys = ("reconstruction", "latents", "error", "score")
    found = [[] for _ in explorer.SHIPPED]
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
    for name, rows in zip(explorer.SHIPPED, found, strict=True):
        model = loading.load(name)
        expected = (
            model.reconstruct(images).reshape(DIGITS, -1),
            model.encode(images),
            np.square(model.reconstruct(images) - images).mean(axis=(1, 2, 3))[:, None],
            model.score(images)[:, None],
        )
        for key, values, theirs in zip(keys, expected, zip(*rows, strict=True), strict=True):
            np.testing.assert_allclose(np.stack(theirs), values, **AGREE, err_msg=f"{name} {key}")


@needs_browser
def test_thresholds_and_verdicts_are_those_of_the_exports(page, images):
    verdicts = [card.text.split("\n")[-1] for card in page.all(".card")]
    for name, verdict in zip(explorer.SHIPPED, verdicts, strict=True):
        export = PROJECT / "saved_models/pretrained" / name / "export.json"
        threshold = json.loads(export.read_text("utf-8"))["threshold"]
        assert page.js("about.models.find(({name}) => name === args[0]).threshold", name) == (
            pytest.approx(threshold, rel=1e-5)
        )
        fits = loading.load(name).score(images[:1])[0] <= threshold
        assert verdict.startswith("✓ fits" if fits else "⚠ anomalous")
    page.driver.execute_script("setDrawing({values: digitImage(0).map((v, i) => i % 2)})")
    page.settle()
    assert all("⚠ anomalous" in card.text for card in page.all(".card"))


@needs_browser
@pytest.mark.parametrize("name", ["conv", "vae-baseline"])
def test_axes_paths_samples_and_posterior_are_those_of_keras(page, images, name):
    model = loading.load(name)
    page.choose(name)
    latents = model.encode(images[:2])
    # Along an axis by two standard deviations.
    page.slide("#axis-3", 2.0)
    point = page.array("state.point")
    axes = page.array("view.model.axes").reshape(model.latent_dim, -1)
    moved = (point - latents[0]) @ axes.T
    assert moved[2] != pytest.approx(0, abs=1e-2)
    np.testing.assert_allclose(np.delete(moved, 2), 0, atol=1e-4)
    assert page.js("onAxis(view.model, state.point, 2)") == pytest.approx(2, abs=1e-4)
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
        "for (let i = 0; i < 4000; i++) all.push(...drawLatents(view.model, draw)); return all })()"
    ).reshape(4000, -1)
    if name == "vae-baseline":
        np.testing.assert_allclose(np.cov(draws.T), np.eye(32), atol=0.12)
        mean, log_variance = (part.numpy() for part in model.posterior_step(images[:1]))
        np.testing.assert_allclose(
            page.array("results[5].deviations"), np.exp(log_variance[0] / 2), **AGREE
        )
        np.testing.assert_allclose(mean[0], latents[0], **AGREE)
    else:
        stds, own = page.array("view.model.stds"), (draws - draws.mean(axis=0)) @ axes.T
        np.testing.assert_allclose(own.std(axis=0)[:5], stds[:5], rtol=0.05)
        np.testing.assert_allclose(draws.mean(axis=0), page.array("view.model.mean"), atol=0.5)


@needs_browser
def test_denoising_is_that_of_keras_beside_the_affine_filter(page, dataset, images):
    page.slide("#std", 0.3)
    noisy = page.array("denoised.noisy.image").reshape(1, 28, 28, 1)
    assert noisy.min() == 0
    assert noisy.max() == 1
    assert 0.1 < np.sqrt(np.square(noisy - images[:1]).mean()) < 0.3  # Half of it is clipped.
    for name in ("lstm", "mlp"):
        theirs = page.array(f"denoised['{name}'].image").reshape(1, 28, 28, 1)
        np.testing.assert_allclose(theirs, loading.load(name).reconstruct(noisy), **AGREE)
        error = float(np.square(theirs - images[:1]).mean())
        assert page.js(f"denoised['{name}'].error") == pytest.approx(error, abs=1e-4)
    affine = AffineFilter.fit(data.to_float(dataset.train.images), 0.3)(noisy)
    theirs = page.array("denoised['affine filter'].image").reshape(1, 28, 28, 1)
    np.testing.assert_allclose(theirs, affine, atol=1e-3)
    assert page.js("denoised['affine filter'].error") == pytest.approx(
        float(np.square(affine - images[:1]).mean()), abs=1e-4
    )
    # No noise, no change.
    page.slide("#std", 0)
    np.testing.assert_array_equal(page.array("denoised.noisy.image"), images[0].ravel())


# === What a visitor does ===


@needs_browser
@pytest.mark.parametrize("kind", ["mouse", "touch", "pen"])
def test_a_drawing_is_brought_into_the_form_of_mnist(page, kind, dataset):
    page.drag("#pad", *THREE, kind=kind)
    assert page.js("drawing.base") is None  # The example has gone.
    image = page.array("state.image").reshape(28, 28)
    rows, columns = (np.flatnonzero(image.max(axis=axis) > 0.1) for axis in (1, 0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(20, abs=2)
    centre = [image.sum(axis=axis) @ np.arange(28) / image.sum() for axis in (1, 0)]
    np.testing.assert_allclose(centre, [14, 14], atol=0.5)
    ink = image.sum() / data.to_float(dataset.test.images[dataset.test.labels == 3]).sum((1, 2, 3))
    assert 0.5 < np.median(ink) < 2
    assert all("error" in card.text for card in page.all(".card"))
    np.testing.assert_allclose(
        page.array("results[1].reconstruction"),
        loading.load("conv").reconstruct(image[None, ..., None]).ravel(),
        **AGREE,
    )


@needs_browser
def test_strokes_are_undone_erased_and_cleared_and_an_empty_canvas_says_so(page):
    page.drag("#pad", *THREE)
    one = page.array("state.image")
    page.drag("#pad", (0.2, 0.1), (0.8, 0.1))
    assert not np.array_equal(page.array("state.image"), one)
    page.click("#undo")
    np.testing.assert_array_equal(page.array("state.image"), one)
    page.click("#eraser")
    page.drag("#pad", *THREE)
    assert page.js("state.image") is None
    assert "empty" in page.text("#empty")
    page.click("#undo")
    assert page.text("#empty") == ""
    page.click("#clear")
    assert "empty" in page.text("#empty")
    for card in page.all(".card"):
        assert "Nothing drawn" in card.text
        assert "fits" not in card.text
    for selector in ("#reset", "#again"):
        assert not page.find(selector).is_enabled() or not page.find(selector).is_displayed()


@needs_browser
def test_a_test_digit_can_be_damaged_and_the_score_rises(page):
    page.driver.execute_script("takeDigit(2)")
    page.settle()
    before = page.js("results.map(({score}) => score)")
    page.drag("#pad", (0.1, 0.9), (0.9, 0.9))
    assert page.js("drawing.base.digit") == 2
    image = page.array("state.image").reshape(28, 28)
    np.testing.assert_array_equal(image[:20], page.array("digitImage(2)").reshape(28, 28)[:20])
    assert np.all(np.array(page.js("results.map(({score}) => score)")) > before)


@needs_browser
def test_pictures_come_from_files(page, tmp_path):
    from PIL import Image, ImageDraw

    # Dark on light paper, off the centre.
    photo = Image.new("L", (300, 200), 230)
    ImageDraw.Draw(photo).line([(40, 40), (100, 40), (60, 150)], 20, 14, joint="curve")
    photo.save(tmp_path / "seven.png")
    page.find("#file").send_keys(str(tmp_path / "seven.png"))
    page.wait("drawing.base.digit === undefined")
    page.settle()
    image = page.array("state.image").reshape(28, 28)
    assert image[0, 0] == 0
    assert image.max() > 0.9
    rows = np.flatnonzero(image.max(axis=1) > 0.1)
    assert np.ptp(rows) + 1 == pytest.approx(20, abs=2)
    # One of the images' own size is taken as it is.
    own = np.arange(784, dtype="uint8").reshape(28, 28)
    Image.fromarray(own).save(tmp_path / "own.png")
    page.find("#file").send_keys(str(tmp_path / "own.png"))
    page.wait("state.image && state.image[5] === Math.fround(5 / 255)")
    np.testing.assert_array_equal(page.array("state.image"), own.ravel() / np.float32(255))
    # Something else is one line, and the drawing stays.
    (tmp_path / "notes.txt").write_text("no picture")
    page.find("#file").send_keys(str(tmp_path / "notes.txt"))
    page.wait("document.querySelector('#problems li')")
    (line,) = page.problems()
    assert line.startswith("expected a picture")
    assert line.endswith("received notes.txt")
    np.testing.assert_array_equal(page.array("state.image"), own.ravel() / np.float32(255))


@needs_browser
def test_the_point_is_dragged_over_the_map_with_its_image_under_the_finger(page, images):
    page.choose("mlp")
    before = page.array("state.point")
    decoded = "byId('decoded').getContext('2d').getImageData(0, 0, 28, 28).data"
    first = page.array(decoded)
    page.drag("#map", (0.5, 0.5), (0.55, 0.5), (0.7, 0.35), kind="touch")
    point = page.array("state.point")
    x, y = page.js("toCanvas(view.placeOf(state.point), 1)")
    assert (x, y) == (pytest.approx(0.7, abs=0.01), pytest.approx(0.35, abs=0.01))
    axes = page.array("view.model.axes").reshape(8, 8)
    np.testing.assert_allclose(((point - before) @ axes.T)[2:], 0, atol=1e-3)
    assert not np.array_equal(page.array(decoded), first)
    shown = page.array(decoded).reshape(28, 28, 4)[..., 0] / 255
    expected = loading.load("mlp").decode(point[None])[0, ..., 0]
    np.testing.assert_allclose(shown, expected, atol=0.5 / 255 + 1e-4)
    page.click("#reset")
    np.testing.assert_array_equal(page.array("state.point"), before)


@needs_browser
def test_a_digit_of_the_map_shows_itself_and_its_neighbours(page, dataset):
    page.choose("mlp")
    x, y = page.js("toCanvas(view.places[17], 1)")
    under = page.js(
        "(() => { const box = map.getBoundingClientRect(); return imageAt({clientX: box.left + "
        "args[0] * box.width, clientY: box.top + args[1] * box.height}) })()",
        x,
        y,
    )
    page.drag("#map", (x, y))  # A click.
    latents = loading.load("mlp").encode(data.to_float(dataset.test.images[:1000]))
    np.testing.assert_allclose(page.array("state.point"), latents[under], **AGREE)
    nearest = np.argsort(np.square(latents - latents[under]).sum(axis=1))[:8]
    captions = [button.text for button in page.all("#nearest button")]
    assert captions == [str(label) for label in dataset.test.labels[nearest]]
    page.js("map.dispatchEvent(new PointerEvent('pointermove', (() => { const box = "
            "map.getBoundingClientRect(); return {clientX: box.left + args[0] * box.width, "
            "clientY: box.top + args[1] * box.height} })()))", x, y)  # fmt: skip
    assert page.text("#bubble") == f"test image {under}"
    # Its neighbour becomes the drawing.
    page.click("#nearest button:nth-child(2)")
    assert page.js("drawing.base.digit") == nearest[1]


@needs_browser
def test_sampling_again_draws_from_the_posterior_of_variational_models_alone(page):
    assert not page.find("#again").is_displayed()
    page.choose("vae-baseline")
    mean, stds = page.array("results[5].latents"), page.array("results[5].deviations")
    draws = []
    for _ in range(20):
        page.driver.execute_script("byId('again').click()")
        draws.append(page.array("state.point"))
    distances = (np.stack(draws) - mean) / stds
    assert 0.9 < distances.std() < 1.1
    assert len(np.unique(distances[:, 0])) == 20


@needs_browser
def test_morphing_goes_from_the_kept_image_to_the_drawing(page, images):
    page.choose("vae-baseline")
    page.click("#keep")
    page.driver.execute_script("takeDigit(4)")
    page.settle()
    np.testing.assert_array_equal(page.array("state.kept"), images[0].ravel())
    shown = "byId('between').getContext('2d').getImageData(0, 0, 28, 28).data"
    reconstructions = loading.load("vae-baseline").reconstruct(images[[0, 4]])[..., 0]
    for fraction, expected in zip((0, 1), reconstructions, strict=True):
        page.slide("#fraction", fraction)
        middle = page.array(shown).reshape(28, 28, 4)[..., 0] / 255
        np.testing.assert_allclose(middle, expected, atol=0.5 / 255 + 1e-4)
    page.slide("#fraction", 0.5)
    linear = page.array(shown)
    page.driver.execute_script(
        "byId('path').value = 'spherical'; byId('path').dispatchEvent(new Event('change'))"
    )
    page.settle()
    assert not np.array_equal(page.array(shown), linear)
    assert len(page.all("#frames canvas")) == 9
    before = page.js("state.fraction")
    page.driver.execute_script("byId('play').click()")
    page.wait("Math.abs(state.fraction - 0.5) > 0.1")
    page.driver.execute_script("byId('play').click()")
    assert page.text("#play") == "Play"
    assert page.js("state.fraction") != before
    page.choose("mlp")
    assert not page.find("#path").is_enabled()


@needs_browser
def test_samples_say_what_they_are_drawn_from(page):
    assert "fitted to the latents of training images" in page.text("#samples")
    page.choose("vae-baseline")
    assert "prior" in page.text("#source")
    pixels = (
        "[...byId('drawn').querySelectorAll('canvas')].flatMap((one) => [...one.getContext('2d')"
    )
    pixels += ".getImageData(0, 0, 28, 28).data])"
    first = page.array(pixels)
    assert len(first) == 12 * 28 * 28 * 4
    page.click("#draw-samples")
    assert not np.array_equal(page.array(pixels), first)
    page.click("#drawn button:nth-child(3)")
    assert page.js("state.point !== results[5].latents")


@needs_browser
def test_the_address_holds_the_state(page, folder):
    page.drag("#pad", *THREE)
    page.choose("vae-baseline")
    page.drag("#map", (0.5, 0.5), (0.6, 0.6), (0.62, 0.4))
    page.slide("#std", 0.45)
    page.click("#draw-samples")
    page.slide("#fraction", 0.2)
    parts = ("state.image", "state.point", "state.kept", "denoised.mlp.image")
    before = [page.array(part) for part in parts]
    address = page.driver.current_url
    page.open((folder / "index.html").as_uri(), address.split("#")[1])
    for part, values in zip(parts, before, strict=True):
        np.testing.assert_array_equal(page.array(part), values, err_msg=part)
    assert page.js("view.model.name") == "vae-baseline"
    assert page.js("state.fraction") == 0.2
    # What somebody has spoilt is as if it were not there.
    spoilt = "model=none&digit=-3&point=%%%&kept=AA&noise=9,x&fraction=7&path=zigzag&strokes=zz"
    page.open((folder / "index.html").as_uri(), spoilt)
    assert page.problems() == []
    assert page.js("view.model.name") == "dense"


@needs_browser
def test_keys_draw_and_walk(page):
    from selenium.webdriver.common.keys import Keys

    page.find("#pad").send_keys(Keys.SPACE, *[Keys.ARROW_DOWN] * 12, Keys.SPACE, Keys.ARROW_LEFT)
    page.settle()
    assert page.js("drawing.strokes.length") == 1
    image = page.array("state.image").reshape(28, 28)
    assert image[:, 14].sum() > 10
    before = page.array("state.point")
    page.find("#map").send_keys(Keys.ARROW_RIGHT)
    page.settle()
    assert not np.array_equal(page.array("state.point"), before)
    page.find("#map").send_keys(Keys.ENTER)
    page.settle()
    assert page.js("nearestImages(view.model, state.point, 1).length") == 1
    page.find("#axis-1").send_keys(Keys.ARROW_RIGHT)
    page.settle()
    page.find(".card input").send_keys(Keys.ARROW_DOWN)
    page.settle()
    assert page.js("view.model.name") == "conv"
    # Everything that can be reached has a name.
    for control in page.all("button, input, select, canvas[tabindex]"):
        if control.is_displayed():
            assert control.accessible_name, control.get_attribute("outerHTML")


@needs_browser
def test_the_picture_is_saved(page):
    size = page.js("(() => { const all = pictureOfAll(); return [all.width, all.height] })()")
    assert size == [150 * 7, 184]


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
    assert any(address.startswith(f"{own}/data/model_5.js") for address in addresses)
    foreign = [one for one in addresses if not one.startswith((own, "blob:", "data:", "about:"))]
    assert foreign == []


@needs_browser
@pytest.mark.parametrize("way", ["http", "one file"])
def test_it_opens_from_a_server_and_as_one_file(driver, folder, small, way):
    page = Page(driver)
    if way == "one file":
        page.open(small.as_uri())
        assert len(page.all(".card")) == 2
    else:
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
        handler.log_message = lambda *_: None
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            page.open(f"http://127.0.0.1:{server.server_port}/")
            server.shutdown()
        assert len(page.all(".card")) == 6
    page.drag("#pad", *THREE)
    assert page.problems() == []
    assert all("error" in card.text for card in page.all(".card"))


@needs_browser
@pytest.mark.parametrize("damage", ["missing", "cut off", "another model"])
def test_a_broken_model_is_one_line_and_the_others_work(driver, folder, tmp_path, damage):
    shutil.copytree(folder, tmp_path / "page")
    broken = tmp_path / "page" / "data" / "model_1.js"
    text = broken.read_text("utf-8")
    if damage == "missing":
        broken.unlink()
    elif damage == "cut off":
        broken.write_text(text[: len(text) // 2])
    else:
        lines = text.splitlines(keepends=True)
        from keras_ae.explorer import build

        broken.write_text("".join([build._packed("model 1 litert", b"no model" * 99), *lines[1:]]))
    page = Page(driver)
    page.open((tmp_path / "page" / "index.html").as_uri())
    (line,) = page.problems()
    assert line.startswith("conv is left out: ")
    assert len(page.all(".card")) == 5
    page.drag("#pad", *THREE)
    assert all("error" in card.text for card in page.all(".card"))


@needs_browser
def test_ten_thousand_decodes_leave_the_memory_as_it_was(driver, small):
    page = Page(driver)
    page.open(small.as_uri())
    heap = "litert.getGlobalLiteRt().liteRtWasm.HEAPU8.length"
    decode = (
        "(async () => { for (let i = 0; i < 5000; i++) await models[0].decode(models[0].mean) })()"
    )
    page.js(f"{decode}")
    before = page.js(heap)
    page.js(f"{decode}")
    assert page.js(heap) == before


@needs_browser
@pytest.mark.parametrize("width", [360, 2000])
def test_the_page_fits_its_window(page, width):
    page.driver.set_window_size(1280, 900)
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False},
    )
    try:
        page.settle()
        assert page.js("document.documentElement.scrollWidth") <= width
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(page, scheme):
    # By WCAG 2.1, success criteria 1.4.3 and 1.4.11; the browser knows all ways to write a colour.
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    read = (
        "(() => { const context = contextOf(element('canvas', {width: 1, height: 1}));"
        "context.fillStyle = args[0].startsWith('--')"
        " ? getComputedStyle(document.body).getPropertyValue(args[0]) : args[0];"
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
    texts = [path.read_text("utf-8") for path in explorer.PAGE.iterdir() if path.is_file()]
    # Neither blank lines nor comments.
    lines = re.findall(r"^ *(?!//)[^ \n].*$", "\n".join(texts), re.MULTILINE)
    assert 500 < len(lines) < 1000
    sums = (explorer.PAGE / "litert" / "SHA256SUMS").read_text("utf-8").split()
    for digest, name in zip(sums[::2], sums[1::2], strict=True):
        content = (explorer.PAGE / "litert" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest, name


def test_folders_are_small(folder, tmp_path):
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size < 25e6
    # Of the largest model alone.
    without = sum(
        (folder / "data" / f"model_{number}.js").stat().st_size for number in (0, 1, 2, 4, 5)
    )
    assert size - without < 10e6


# === Other images ===


@pytest.fixture(scope="module")
def crops():
    """3,000 pieces of a real photograph, uint8 `[n, 16, 12, 3]`."""
    from sklearn.datasets import load_sample_images

    photograph = load_sample_images().images[0]
    corners = [(y, x) for y in range(0, 400, 8) for x in range(0, 600, 10)]
    return np.stack([photograph[y : y + 16, x : x + 12] for y, x in corners])


@pytest.fixture
def caches(tmp_path, monkeypatch) -> None:
    """Keeps caches of pictures out of the user's directory."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))


def trained(path: Path, pictures: np.ndarray, recipe: str = "dense", **arrays) -> Path:
    np.savez(path / "pictures.npz", images=pictures, **arrays)
    run = path / "run"
    command = [recipe, "-e", "1", "-s", str(run), "--images", str(path / "pictures.npz")]
    assert train.main(command) == 0
    return run


@needs_browser
@pytest.mark.usefixtures("caches")
def test_pictures_in_colour_take_the_place_of_drawing(driver, crops, tmp_path):
    run = trained(tmp_path, crops)
    assert explore.main([str(run), "-o", str(tmp_path / "page")]) == 0
    page = Page(driver)
    page.open((tmp_path / "page" / "index.html").as_uri())
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
    # A photograph is cut to the shape of the images.
    from PIL import Image

    Image.fromarray(np.repeat(crops[0, :12, :12].repeat(10, 0).repeat(10, 1), 2, 1)).save(
        tmp_path / "photo.png"
    )
    page.find("#file").send_keys(str(tmp_path / "photo.png"))
    page.wait("drawing.base.digit === undefined")
    page.settle()
    assert page.array("state.image").shape == (16 * 12 * 3,)


@needs_browser
@pytest.mark.usefixtures("caches")
def test_drawings_of_dark_on_light_and_uneven_shape(driver, dataset, tmp_path):
    pictures = 255 - dataset.train.images[:500, :, 4:24]
    names = np.array(["naught", "one", *"23456789"])[dataset.train.labels[:500]]
    run = trained(tmp_path, pictures, labels=names)
    page_file = tmp_path / "page.html"
    assert explore.main([str(run), "--one-file", "-o", str(page_file)]) == 0
    page = Page(driver)
    page.open(page_file.as_uri())
    assert page.problems() == []
    page.drag("#pad", *THREE)
    image = page.array("state.image").reshape(28, 20)
    assert image[0].min() == 1
    assert image.min() < 0.1
    assert page.text("#nearest button") in {"naught", "one", *"23456789"}
    np.testing.assert_allclose(
        page.array("results[0].latents"),
        loading.load(run).encode(image[None, ..., None]).ravel(),
        **AGREE,
    )


# === Bad input ===


def test_a_bad_request_is_refused_in_one_line_and_nothing_changes(tmp_path, monkeypatch, capsys):
    pretrained = PROJECT / "saved_models" / "pretrained"
    old = tmp_path / "old"
    shutil.copytree(pretrained / "mlp", old)
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
        (["mlp", "mlp"], "each run once"),
        (["mlp", "-o", ""], "--output: expected a path"),
        (["mlp", "-o", "other"], "received other, which holds other files, such as thesis.tex"),
        (["mlp", "-o", "page"], "received page, which holds other files, and no page"),
        (["mlp", "-o", "grown"], "such as data/notes.txt"),
        (["mlp", "-o", "link"], "received link, which is a link"),
        (["mlp", "-o", "old"], "received old, which holds other files"),
        (["mlp", "-o", "old/page"], "which lies in"),
        (["mlp", "-o", str(pretrained / "page")], "which lies in"),
        (["mlp", "-o", "other/thesis.tex"], "is no folder"),
        (["mlp", "--one-file", "-o", "other/thesis.tex"], "is no page of the explorer"),
        (["mlp", "--one-file", "-o", "other"], "which is no file"),
        (["mlp", "-o", "other/thesis.tex/page"], "Not a directory"),
        (["mlp", "-o", "/proc/page"], "received /proc"),
        (["mlp", "--size", "3"], "unrecognized arguments"),
    ):
        assert explore.main(arguments) == 2, arguments
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        for message in messages:
            assert message in captured.err, captured.err
        assert tree(tmp_path) == before
    assert not (pretrained / "page").exists()


@pytest.mark.usefixtures("caches")
def test_runs_that_do_not_fit_on_one_page_are_refused(tmp_path, dataset, capsys):
    (tmp_path / "wide").mkdir()
    wide = trained(tmp_path / "wide", dataset.train.images[:300].reshape(300, 4, 196).repeat(2, 1))
    for arguments, message in (
        ([str(wide)], "expected images of at most 128x128 pixels for the page, received 8x196"),
        (["dense", str(wide)], "expected runs on one dataset, received"),
    ):
        capsys.readouterr()
        assert explore.main([*arguments, "-o", str(tmp_path / "page")]) == 2
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1
        assert message in captured.err
        assert not (tmp_path / "page").exists()


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
