"""Speed and memory of the explorer's page in headless Chromium: `python -m benchmarks.explorer`."""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from keras_ae.commands import explore

MODELS = ("dense", "conv", "lstm", "vae-baseline")
# What the page is held to: seconds, and milliseconds.
LIMITS = {"ready": 4, "stroke": 60, "decode": 5}
STROKES = 100
DECODES = 10_000

# From the event of a stroke to all reconstructions on their canvases.
_STROKES = """
const [count, done] = arguments;
(async () => {
  const times = [];
  for (let i = 0; i < count; i++) {
    replaceDrawing(null);
    while (jobs) await new Promise((resolve) => setTimeout(resolve, 10));
    const start = performance.now();
    beginStroke(0.2 + i / 250, 0.15);
    for (let j = 0; j < 30; j++) extendStroke(0.2 + (i - j) / 250, 0.15 + j / 50);
    showDrawing();
    while (results[0]?.image !== state.image) await new Promise((resolve) => setTimeout(resolve));
    times.push(performance.now() - start);
  }
  done(times);
})();
"""
_DECODES = """
const [count, done] = arguments;
(async () => {
  const memory = () => [litert.getGlobalLiteRt().liteRtWasm.HEAPU8.length,
    performance.memory.usedJSHeapSize];
  const rows = [];
  for (const model of models) {
    for (let i = 0; i < 100; i++) await model.decode(model.mean);
    const before = memory();
    const start = performance.now();
    for (let i = 0; i < count; i++) await model.decode(model.mean);
    rows.push([model.name, (performance.now() - start) / count, before, memory()]);
  }
  done(rows);
})();
"""


def main() -> int:
    """Prints what was measured, and returns 1 where it is above a limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", nargs="?", type=Path, help="folder of a page (default: a new one)")
    page = parser.parse_args().page
    with tempfile.TemporaryDirectory() as directory:
        if page is None:
            page = Path(directory) / "page"
            start = time.perf_counter()
            if status := explore.main([*MODELS, "-o", str(page)]):
                return status
            print(f"built in {time.perf_counter() - start:.1f} s")
        size = sum(path.stat().st_size for path in page.rglob("*") if path.is_file())
        print(f"{size / 1e6:.1f} MB")
        return _measure((page / "index.html").absolute().as_uri())


def _measure(address: str) -> int:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("--headless=new", "--no-sandbox", "--enable-precise-memory-info"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    driver.set_script_timeout(600)
    try:
        driver.get(address)
        while not (ready := driver.execute_script("return document.body.dataset.ready")):
            time.sleep(0.1)
        times = driver.execute_async_script(_STROKES, STROKES)
        rows = driver.execute_async_script(_DECODES, DECODES)
    finally:
        driver.quit()
    measured = {"ready": float(ready), "stroke": float(np.percentile(times, 95))}
    measured["decode"] = max(row[1] for row in rows)
    print(f"ready after {ready} s")
    print(
        f"stroke to all reconstructions: median {np.median(times):.1f} ms, 95th percentile "
        f"{measured['stroke']:.1f} ms"
    )
    for name, milliseconds, before, after in rows:
        grown = [(late - early) / 1e6 for early, late in zip(before, after, strict=True)]
        print(
            f"{name}: a decode takes {milliseconds:.2f} ms; after {DECODES:,} the memory of the "
            f"models has grown by {grown[0]:.2f} MB, that of JavaScript by {grown[1]:.2f} MB"
        )
    missed = [name for name, limit in LIMITS.items() if measured[name] > limit]
    print(f"above their limits: {', '.join(missed)}" if missed else "all within their limits")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
