"""Lit windows for the nights that `data.relit` makes of day photos.

By day a window is a dark spot of a facade. Which ones are lit by night nobody knows; here it is the
less dark ones, so that the same picture always has the same night, and a network can learn it.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from dayshift.runtime.image import Pixels

Floats = npt.NDArray[np.float32]
Segment = Callable[[Pixels], npt.NDArray[np.integer]]

_FACADES = (2, 3)  # Cityscapes' building and wall
# Shares of the picture's short side.
_SPOT = 0.05
_WIDEST, _TALLEST = 0.12, 0.15
_LEAST_AREA = 8  # pixels
_FILLED = 0.7  # of its box
_DARKER = 22  # levels than the facade around it
_DARK = 120  # levels at most
_GREEN = 3  # levels above red and blue: leaves that were taken for a facade
_WARM = np.array([0.22, 0.5, 0.8], np.float32)  # linear BGR


def window_lights(day: Pixels, segment: Segment) -> Floats:
    """Return the light that windows add to a night, (H, W, 3) linear BGR.

    Args:
        day: the photo, uint8 BGR (H, W, 3).
        segment: Cityscapes' class numbers of a BGR image, in an array of any size.
    """
    height, width = day.shape[:2]
    seen = segment(day).astype(np.uint8)
    labels = cv2.resize(seen, (width, height), interpolation=cv2.INTER_NEAREST)
    gray = np.asarray(cv2.cvtColor(day, cv2.COLOR_BGR2GRAY), np.uint8)
    soft = cv2.blur(day, (9, 9)).astype(np.int16)
    is_green = soft[..., 1] - soft[..., ::2].max(axis=2) > _GREEN
    lit = _lit(gray, np.isin(labels, _FACADES) & ~is_green)[..., None] * _WARM
    return np.asarray(lit + 0.5 * cv2.GaussianBlur(lit, (0, 0), 0.017 * min(height, width)))


def _lit(gray: Pixels, is_facade: npt.NDArray[np.bool_]) -> Floats:
    """Return how brightly each pixel of a window is lit, (H, W) in [0, 1]."""
    short = min(gray.shape)
    side = max(int(_SPOT * short) | 1, 5)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (side, side))
    darker = cv2.morphologyEx(gray, cv2.MORPH_BLACKHAT, kernel)
    dark = ((darker > _DARKER) & (gray < _DARK) & is_facade).astype(np.uint8)
    spots = cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(spots, connectivity=4)
    lit = np.zeros(gray.shape, np.float32)
    for place in range(1, count):
        left, top, width, height, area = (int(value) for value in boxes[place])
        is_window = (
            area >= max(_LEAST_AREA, _FILLED * width * height)
            and width <= _WIDEST * short
            and height <= _TALLEST * short
            and 0.25 < width / height < 2.5
        )
        if is_window:
            inside = slice(top, top + height), slice(left, left + width)
            spot = labels[inside] == place
            lit[inside][spot] = np.clip(0.35 + (gray[inside][spot].mean() - 40) / 80, 0, 1)
    return lit
