"""A part of a dataset."""

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Split:
    """Images uint8 `[n, 28, 28, 1]` and labels int64 `[n]`."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice) -> "Split":
        return Split(self.images[rows], self.labels[rows])

    def of_classes(self, labels: Sequence[int]) -> "Split":
        """Returns the images with one of `labels`, in the same order."""
        chosen = np.isin(self.labels, labels)
        return Split(self.images[chosen], self.labels[chosen])
