"""What a translation must keep: edges where they were, and what a segmenter sees."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torchmetrics.functional.classification import multiclass_confusion_matrix

from dayshift.runtime.image import Pixels

ClassMap = npt.NDArray[np.int64]  # (H, W)


def edge_correlation(source: Pixels, image: Pixels) -> float:
    """Return how alike two images' edges are placed: 1 the same, 0 unrelated.

    Pearson's correlation, over all pixels, of the gradient's length (Scharr, on the luma blurred
    by sigma 1). It does not ask edges to be as strong as they were, only strong where they were.

    Args:
        source: BGR image (H, W, 3).
        image: its translation, of the same shape.
    """
    x, y = (_steepness(i).ravel() - _steepness(i).mean() for i in (source, image))
    lengths = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / lengths if lengths else 0.0


def _steepness(image: Pixels) -> npt.NDArray[np.float64]:
    luma = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float64)
    blurred = cv2.GaussianBlur(luma, (0, 0), 1.0)
    across = cv2.Scharr(blurred, cv2.CV_64F, 1, 0)
    return np.asarray(np.hypot(across, cv2.Scharr(blurred, cv2.CV_64F, 0, 1)))


class SegmentationAgreement:
    """Mean IoU between what a segmenter sees before and after translation, summed over images.

    What it sees in the sources is taken for the truth; the confusion of all images is summed before
    the IoU is taken, as in segmentation benchmarks. Night confuses a segmenter trained by day even
    where nothing moved: read it beside a plain darkening.
    """

    def __init__(
        self,
        segment: Callable[[Pixels], ClassMap],
        *,
        classes: int,
        ignore: int | None = None,
        least_share: float = 1e-3,
    ) -> None:
        """Begin with no images.

        Args:
            segment: class numbers (H, W) of a BGR image.
            classes: how many the segmenter knows.
            ignore: a class of the sources that does not count.
            least_share: classes with a smaller share of the sources' pixels do not count: a dozen
                pixels of train would weigh as much as the road.
        """
        self._segment = segment
        self._confusion = np.zeros((classes, classes))
        self._ignore = ignore
        self._least_share = least_share

    def add(self, source: Pixels, image: Pixels) -> None:
        """Count an image and its translation."""
        self.add_maps(self._segment(source), self._segment(image))

    def add_maps(self, before: ClassMap, after: ClassMap) -> None:
        """Count what a segmenter saw in the two."""
        counts = multiclass_confusion_matrix(
            torch.from_numpy(after).flatten(),
            torch.from_numpy(before).flatten(),
            num_classes=len(self._confusion),
        )
        self._confusion += counts.numpy()

    def value(self) -> float | None:
        """Return the mean over the classes that count, None where there are none."""
        total = self._confusion.copy()
        if self._ignore is not None:
            total[self._ignore] = 0
        sizes = total.sum(axis=1)
        counted = sizes > self._least_share * total.sum()
        if not counted.any():
            return None
        union = sizes + total.sum(axis=0) - np.diag(total)
        return float((np.diag(total)[counted] / union[counted]).mean())
