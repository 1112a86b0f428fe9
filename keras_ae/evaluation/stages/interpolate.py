"""Images between two images."""

import numpy as np

from keras_ae import figures, metrics
from keras_ae.evaluation.context import Context, Section, Skipped


def measure(context: Context) -> dict[str, np.ndarray]:
    """Returns the images of each path, `[steps, ...]`: `linear`, `spherical`, `pixels`."""
    options = context.options
    if len(context.images) < 2:
        raise Skipped("there is one test image only")
    ends = context.images[[options.interp_idx1, options.interp_idx2]]
    fractions = np.linspace(0, 1, options.steps, dtype="float32")[:, None]
    start, end = context.model.encode(ends)
    paths = {"linear": context.model.decode(start + fractions * (end - start))}
    if context.is_variational:
        paths["spherical"] = context.model.decode(_great_circle(start, end, fractions))
    paths["pixels"] = ends[0] + fractions[..., None, None] * (ends[1] - ends[0])
    return paths


def present(context: Context, paths: dict[str, np.ndarray]) -> Section:
    """Shows the paths and their steps."""
    options = context.options
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
        " Spherical: on the great circle between the latents of the two, which keeps their "
        "distance from the origin, where the prior has its mass."
        if context.is_variational
        else ""
    )
    section.figures["images"] = (
        f"From test image {options.interp_idx1} to test image {options.interp_idx2} in "
        f"{options.steps} images. Linear: on the straight line between the latents of the two."
        f"{spherical} Pixels: the two originals faded into each other, for comparison. Good "
        "latents pass through images that could be real, where faded pixels show two at once.",
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
