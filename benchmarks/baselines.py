"""Night without a network: what any photo editor does. A model must beat all of these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dayshift.runtime.image import Pixels

Translate = Callable[[Pixels], Pixels]

# Day for night, as film did it: two thirds of a stop to blue, one and three quarters down.
_EXPOSURE = 0.3
_BLUE_GRADE_BGR = np.array([1.2, 1.0, 0.85], np.float32)
_GAMMA = 2.2


def make_baselines(nights: Sequence[Pixels]) -> dict[str, Translate]:
    """Return translations by name; those that imitate photos imitate `nights` (of the training)."""
    return {
        "exposure + blue grade": expose,
        "gamma": darken_by_gamma,
        "Reinhard": Reinhard(nights),
        "histogram matching": HistogramMatch(nights),
    }


def expose(image: Pixels) -> Pixels:
    """Return the image at 0.3 of its exposure, graded to blue."""
    return _to_pixels(image * (_EXPOSURE * _BLUE_GRADE_BGR))


def darken_by_gamma(image: Pixels) -> Pixels:
    """Return the image with every level to the power of 2.2."""
    levels = (np.arange(256, dtype=np.float32) / 255) ** _GAMMA * 255
    return _to_pixels(levels[image])


class Reinhard:
    """Mean and deviation of each Lab channel as in the nights (Reinhard et al. 2001).

    In CIE Lab instead of the paper's own space, as is common.
    """

    def __init__(self, nights: Sequence[Pixels]) -> None:
        pixels = np.concatenate([_to_lab(night).reshape(-1, 3) for night in nights])
        self._mean, self._deviation = pixels.mean(axis=0), pixels.std(axis=0)

    def __call__(self, image: Pixels) -> Pixels:
        """Return the image with the nights' statistics."""
        lab = _to_lab(image)
        mean, deviation = lab.mean(axis=(0, 1)), np.maximum(lab.std(axis=(0, 1)), 1e-6)
        moved = ((lab - mean) / deviation * self._deviation + self._mean).astype(np.float32)
        return _to_pixels(np.asarray(cv2.cvtColor(moved, cv2.COLOR_LAB2BGR)) * 255)


class HistogramMatch:
    """Each colour channel with the distribution of levels that the nights have together."""

    def __init__(self, nights: Sequence[Pixels]) -> None:
        self._nights = [
            sum(_histogram(n[..., c]) / n[..., c].size for n in nights) for c in range(3)
        ]

    def __call__(self, image: Pixels) -> Pixels:
        """Return the image with the nights' distribution."""
        matched = np.empty_like(image)
        for channel, night in enumerate(self._nights):
            levels = image[..., channel]
            source = np.cumsum(_histogram(levels)) / levels.size
            target = np.cumsum(night) / np.sum(night)
            table = np.interp(source, target, np.arange(256))
            matched[..., channel] = _to_pixels(table)[levels]
        return matched


def _histogram(levels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    return np.bincount(levels.ravel(), minlength=256).astype(np.float64)


def _to_lab(image: Pixels) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_BGR2LAB), np.float32)


def _to_pixels(levels: npt.NDArray[Any]) -> Pixels:
    return np.asarray(np.clip(np.rint(levels), 0, 255), dtype=np.uint8)
