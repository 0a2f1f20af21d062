"""Do signals keep their colour? Traffic and brake lights, and lights that a translation invents.

A signal is judged by its lit pixels: those that are bright and saturated. A *blob* is a connected
patch of such pixels; one in the translation that the source has no part of is invented.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from dayshift.runtime.image import Pixels

Colour = Literal["red", "amber", "green"]
Box = tuple[int, int, int, int]  # left, top, right, bottom; both ends belong to it

_LEAST_VALUE, _LEAST_SATURATION = 90, 90  # of 255: lit and coloured
_LEAST_BLOB_PX = 3
# OpenCV's hue goes to 180. Yellow-green is nobody's: no lamp has it.
_HUES: dict[Colour, tuple[tuple[int, int], ...]] = {
    "red": ((0, 9), (165, 180)),
    "amber": ((10, 34),),
    "green": ((42, 100),),
}


def lit(image: Pixels) -> npt.NDArray[np.bool_]:
    """Return which pixels are bright and saturated, (H, W)."""
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    found: npt.NDArray[np.bool_] = (hsv[..., 2] >= _LEAST_VALUE) & (
        hsv[..., 1] >= _LEAST_SATURATION
    )
    return found


def signal_colour(image: Pixels, box: Box, *, margin: int = 1) -> Colour | None:
    """Return the colour that most lit pixels of a box have; None where nothing is lit.

    Args:
        image: uint8 BGR (H, W, 3).
        box: of the signal.
        margin: pixels around the box that belong to it: small lamps bleed into their neighbours.
    """
    left, top, right, bottom = box
    rows = slice(max(0, top - margin), bottom + 1 + margin)
    part = np.ascontiguousarray(image[rows, max(0, left - margin) : right + 1 + margin])
    hues = cv2.cvtColor(part, cv2.COLOR_BGR2HSV)[..., 0][lit(part)]
    counts: dict[Colour, int] = {
        colour: sum(int(((hues >= low) & (hues <= high)).sum()) for low, high in ranges)
        for colour, ranges in _HUES.items()
    }
    best = max(counts, key=lambda colour: counts[colour])
    return best if counts[best] else None


def invented_blobs(source: Pixels, image: Pixels) -> list[Box]:
    """Return the lit patches of a translation that hold no lit pixel of the source."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(lit(image).astype(np.uint8))
    # A lamp may grow by its glow: what touches a light of the source is that light.
    near = cv2.dilate(lit(source).astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    known = set(np.unique(labels[near]).tolist())
    boxes = []
    for number in range(1, count):
        left, top, width, height, area = (int(value) for value in stats[number])
        if number not in known and area >= _LEAST_BLOB_PX:
            boxes.append((left, top, left + width - 1, top + height - 1))
    return boxes
