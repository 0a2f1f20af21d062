"""Measures over the images of a folder, one at a time: only numbers are kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from dayshift.runtime import quality
from dayshift.runtime.image import Pixels
from dayshift.train.metrics.detection import CocoDetector, DetectionsKept
from dayshift.train.metrics.espnet import CLASS_NAMES, NO_CLASS, CityscapesSegmenter
from dayshift.train.metrics.features import FeatureNetwork, Features
from dayshift.train.metrics.lpips import Lpips
from dayshift.train.metrics.structure import SegmentationAgreement, edge_correlation

_EQUAL_PSNR_DB = 100.0  # stands for infinity, which JSON does not have

OfImage = Callable[[Pixels, Pixels, "Pixels | None"], dict[str, float]]
"""Values by name of a source, its translation and, where there is one, the truth."""


class Measure(Protocol):
    """Something that is measured over all images."""

    def add(self, source: Pixels, image: Pixels, truth: Pixels | None) -> None:
        """Count one image."""
        ...

    def values(self) -> dict[str, float]:
        """Return what came of them, by name."""
        ...


class Mean:
    """The mean of what a function says of each image."""

    def __init__(self, of_image: OfImage) -> None:
        self._of_image = of_image
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, source: Pixels, image: Pixels, truth: Pixels | None) -> None:
        """Count one image."""
        self._count += 1
        for key, value in self._of_image(source, image, truth).items():
            self._sums[key] = self._sums.get(key, 0.0) + value

    def values(self) -> dict[str, float]:
        """Return the means."""
        return {key: total / self._count for key, total in self._sums.items()}


class Segmentation:
    """Agreement of the Cityscapes segmenter's labels before and after."""

    def __init__(self, weights: Path | None) -> None:
        """Load the segmenter.

        Raises:
            WeightsError: Its weights are not in the folder.
        """
        self._agreement = SegmentationAgreement(
            CityscapesSegmenter(weights), classes=len(CLASS_NAMES), ignore=NO_CLASS
        )

    def add(self, source: Pixels, image: Pixels, truth: Pixels | None) -> None:
        """Count one image."""
        del truth
        self._agreement.add(source, image)

    def values(self) -> dict[str, float]:
        """Return the mean IoU; nothing where the segmenter saw no class."""
        value = self._agreement.value()
        return {} if value is None else {"segmentation_miou": value}


class DetectedObjects:
    """Share of the COCO detector's objects that are found again."""

    def __init__(self, weights: Path | None) -> None:
        """Load the detector.

        Raises:
            WeightsError: It is not in the folder.
        """
        self._kept = DetectionsKept(CocoDetector(weights))

    def add(self, source: Pixels, image: Pixels, truth: Pixels | None) -> None:
        """Count one image."""
        del truth
        self._kept.add(source, image)

    def values(self) -> dict[str, float]:
        """Return the share; nothing where the sources have no objects."""
        value = self._kept.value()
        return {} if value is None else {"detections_kept": value}


def edges(source: Pixels, image: Pixels, truth: Pixels | None) -> dict[str, float]:
    """Return whether edges stayed where they were."""
    del truth
    return {"edge_correlation": edge_correlation(source, image)}


def likeness(source: Pixels, image: Pixels, truth: Pixels | None) -> dict[str, float]:
    """Return how near the true translation is, and how near the source was."""
    assert truth is not None
    return {
        "psnr_db": min(quality.psnr(image, truth), _EQUAL_PSNR_DB),
        "psnr_db_source": min(quality.psnr(source, truth), _EQUAL_PSNR_DB),
        "ssim": quality.ssim(image, truth),
        "ssim_source": quality.ssim(source, truth),
    }


def look(weights: Path | None) -> OfImage:
    """Return a function that says how different the true translation looks, and the source.

    Raises:
        WeightsError: Those of LPIPS are not in the folder.
    """
    lpips = Lpips(weights)

    def of_image(source: Pixels, image: Pixels, truth: Pixels | None) -> dict[str, float]:
        assert truth is not None
        return {Lpips.key: lpips(image, truth), f"{Lpips.key}_source": lpips(source, truth)}

    return of_image


class FeatureRows:
    """Features of one network, image by image."""

    def __init__(self, network: FeatureNetwork) -> None:
        self._network = network
        self._rows: list[Features] = []

    def add(self, image: Pixels) -> None:
        """Take in one image."""
        self._rows.append(self._network([image]))

    def stacked(self) -> Features:
        """Return (N, D)."""
        return np.concatenate(self._rows)
