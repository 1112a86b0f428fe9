"""From the pixels of any picture to bytes of the wanted size and colour."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from keras_ae.errors import BadRequest
from keras_ae.recipe import SMALLEST_SIDE

# What may be done to pictures on the way; a note tells how many they were.
ALPHA = "with an alpha channel, which were laid on black"
SIXTEEN = "of 16 bits, which were scaled to 8"
FLOATS = "of floats in [0, 1], which were rounded to bytes"
INTEGERS = "of other integers from 0 to 255, which were taken for bytes"


def to_bytes(array: np.ndarray, name: str) -> tuple[np.ndarray, list[str]]:
    """Returns pixels of any type as uint8, and what had to be done to them."""
    if array.dtype == np.uint8:
        return array, []
    if array.dtype == np.bool_:
        return array * np.uint8(255), []
    if array.dtype.kind in "iuf" and array.size:
        low, high = array.min(), array.max()
        if array.dtype == np.uint16:
            return ((array.astype("uint32") + 128) // 257).astype("uint8"), [SIXTEEN]
        if array.dtype.kind == "f" and low >= 0 and high <= 1:
            return np.rint(array * 255.0).astype("uint8"), [FLOATS]
        if array.dtype.kind in "iu" and low >= 0 and high <= 255:
            return array.astype("uint8"), [INTEGERS]
        received = f"{array.dtype} from {low:g} to {high:g}"
    else:
        received = f"{array.dtype} {list(array.shape)}"
    raise BadRequest(
        "expected pictures of bytes (uint8), 16 bits (uint16), booleans or floats in [0, 1], "
        f"received {name} of {received}"
    )


def on_black(images: np.ndarray) -> np.ndarray:
    """Returns uint8 `[..., 4]`, of which the last channel is alpha, as `[..., 3]` on black."""
    return ((images[..., :3].astype("uint16") * images[..., 3:] + 127) // 255).astype("uint8")


def fit(
    images: np.ndarray, image_size: Sequence[int] | None, color: str | None, name: str
) -> np.ndarray:
    """Returns uint8 `[n, h, w, 1 or 3]` in the wanted colour and size, as far as it is wanted."""
    n, height, width, channels = images.shape
    if color == "rgb" and channels == 1:
        images = np.repeat(images, 3, axis=-1)
    if color == "grey" and channels == 3:
        # One tall picture: Pillow weighs the colours as ITU-R 601-2 does.
        tall = Image.fromarray(np.ascontiguousarray(images).reshape(n * height, width, 3))
        images = np.asarray(tall.convert("L")).reshape(n, height, width, 1)
    if image_size is not None and tuple(image_size) != (height, width):
        # Pillow's filter widens where a picture shrinks, so that nothing is aliased.
        shape, size = (*image_size, images.shape[-1]), tuple(image_size)[::-1]
        pictures = (Image.fromarray(np.squeeze(image, -1) if shape[-1] == 1 else image)
                    for image in images)  # fmt: skip
        resized = [np.asarray(one.resize(size, Image.Resampling.BILINEAR)) for one in pictures]
        images = np.reshape(resized, (n, *shape))
    if min(images.shape[1:3]) < SMALLEST_SIDE:
        raise BadRequest(
            f"expected pictures with sides from {SMALLEST_SIDE} up, received {name} of "
            f"{height}x{width}: set `image_size`"
        )
    return images
