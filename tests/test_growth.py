"""What `benchmarks.growth` trains on, and makes of measurements. Nothing here is timed."""

import numpy as np
import pytest

from benchmarks import growth, tables


def test_images_have_every_shape_and_repeat_digits(dataset):
    grey = growth.make_images(55_010, (28, 28, 1))
    np.testing.assert_array_equal(grey[55_000:], dataset.train.images[:10])
    np.testing.assert_array_equal(grey[:55_000], dataset.train.images)
    small, large = (growth.make_images(20, (side, side, 3)) for side in (32, 64))
    assert small.dtype == large.dtype == np.uint8
    assert small.std() > 30
    np.testing.assert_array_equal(large[:, ::2, ::2], small)
    np.testing.assert_array_equal(large[:, 1::2, 1::2], small)


@pytest.mark.parametrize("shape", growth.SIZES)
def test_families_are_trained_on_every_shape(shape):
    row = growth.measure("conv", 100, shape, epochs=2)
    assert row["image_bytes"] == 100 * np.prod(shape)
    assert len(row["epoch_seconds"]) == 2
    assert row["peak_memory_bytes"] >= row["peak_memory_before_bytes"] > 0


def test_memory_is_a_line_through_the_measurements():
    rows = [
        {
            "shape": [28, 28, 1],
            "images": images,
            "image_bytes": images * 784,
            "epoch_seconds": [seconds, seconds],
            "peak_memory_bytes": 2**30 + 2 * images * 784,
        }
        for images, seconds in ((60_000, 0.6), (240_000, 2.4))
    ]
    assert tables.memory_line(rows) == pytest.approx((2, 2**30))
    text = tables.growth({"mlp": {"rows": rows}})
    assert "| `mlp` | 28x28x1 | 60,000 | 10.0 | 45 | 1,114 |" in text
    assert text.endswith("`mlp`: 1,024 MiB + 2.00 x the bytes of the images.")
