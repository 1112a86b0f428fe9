"""A part of a dataset, and how missing parts are made."""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

SPLITS = ("train", "test", "validation")


@dataclasses.dataclass(frozen=True)
class Split:
    """Images uint8 `[n, height, width, channels]` and labels int64 `[n]`."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice | np.ndarray) -> "Split":
        return Split(self.images[rows], self.labels[rows])

    def __add__(self, other: "Split") -> "Split":
        return Split(
            np.concatenate([self.images, other.images]),
            np.concatenate([self.labels, other.labels]),
        )

    def of_classes(self, labels: Sequence[int]) -> "Split":
        """Returns the images with one of `labels`, in the same order."""
        chosen = np.isin(self.labels, labels)
        return Split(self.images[chosen], self.labels[chosen])


def checksum(splits: Iterable[Split]) -> str:
    """Returns the SHA-256 of images and labels."""
    digest = hashlib.sha256()
    for split in splits:
        digest.update(split.images.tobytes())
        digest.update(split.labels.tobytes())
    return digest.hexdigest()


def hashes(images: np.ndarray) -> np.ndarray:
    """Returns a number for each image, uint64 `[n]`: the beginning of its pixels' SHA-256."""
    beginnings = b"".join(hashlib.sha256(image.tobytes()).digest()[:8] for image in images)
    return np.frombuffer(beginnings, "<u8")


def completed(splits: Mapping[str, Split]) -> dict[str, Split]:
    """Returns `train`, `validation` and `test`, where the last two may have been missing.

    Each that is missing gets a tenth of `train`. The hash of an image decides, so that equal
    images never lie on both sides, and adding images moves no others.
    """
    train, made = splits["train"], {}
    tenth = hashes(train.images) % np.uint64(10)
    missing = [name for name in ("validation", "test") if name not in splits]
    for number, name in enumerate(missing):
        made[name] = train[tenth == number]
    return {**splits, **made, "train": train[tenth >= len(missing)]}
