"""Images between two images."""

import numpy as np

from keras_ae import figures, metrics
from keras_ae.stages import Context, Section


def run(context: Context) -> Section:
    """Images between two images."""
    settings = context.settings
    ends = context.images[[settings.interp_idx1, settings.interp_idx2]]
    fractions = np.linspace(0, 1, settings.steps, dtype="float32")[:, None]
    start, end = context.model.encode(ends)
    paths = {"linear": context.model.decode(start + fractions * (end - start))}
    if context.is_variational:
        paths["spherical"] = context.model.decode(_great_circle(start, end, fractions))
    paths["pixels"] = ends[0] + fractions[..., None, None] * (ends[1] - ends[0])
    steps = {
        name: np.sqrt(metrics.mean_squared_error(path[1:], path[:-1]))
        for name, path in paths.items()
    }

    section = Section()
    section.tables["steps"] = (
        "How far each path goes from image to image, as the root mean square difference of the "
        "pixels. Fading goes the shortest way from original to original, in equal steps; the "
        "other paths go from reconstruction to reconstruction. A largest step far above the mean "
        "one is a jump.",
        {
            name: {
                "path_length": float(lengths.sum()),
                "mean_step": float(lengths.mean()),
                "largest_step": float(lengths.max()),
            }
            for name, lengths in steps.items()
        },
    )
    spherical = (
        " Spherical: on the great circle between the two codes, which keeps their distance "
        "from the origin, where the prior has its mass."
        if context.is_variational
        else ""
    )
    section.figures["images"] = (
        f"From test image {settings.interp_idx1} to test image {settings.interp_idx2} in "
        f"{settings.steps} images. Linear: on the straight line between the two codes.{spherical} "
        "Pixels: the two originals faded into each other, for comparison. A good code "
        "passes through shapes that could be digits, where the faded pixels show two at once.",
        figures.image_rows(paths),
    )
    return section


def _great_circle(start: np.ndarray, end: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Spherical interpolation: Shoemake, 1985, https://doi.org/10.1145/325165.325242."""
    cosine = start @ end / (np.linalg.norm(start) * np.linalg.norm(end))
    angle = np.arccos(np.clip(cosine, -1, 1))
    if np.sin(angle) < 1e-6:  # The circle is a line, or any circle.
        return start + fractions * (end - start)
    return (np.sin((1 - fractions) * angle) * start + np.sin(fractions * angle) * end) / np.sin(
        angle
    )
