"""Head and tail lights for the nights that `data.relit` makes of day photos.

A detector finds the vehicles. Which end of one is seen, its colours tell: red lamps stand out of a
rear by day too. What shows none gets headlights, which light the road before them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dayshift.runtime.image import Pixels
from dayshift.train.metrics.detection import Detections, overlaps

Floats = npt.NDArray[np.float32]
Detect = Callable[[Pixels], Detections]

# COCO's numbers, and how wide a pair of lamps stands, as a share of the box's width; 0 is one lamp.
_SPREADS = {2: 0.62, 3: 0.0, 5: 0.66, 7: 0.66}  # car, motorcycle, bus, truck
_LEAST_WIDTH = 5  # pixels
_MOST_WIDTH = 0.6  # of the picture; wider ones are mistakes
_SAME_IOU = 0.3  # found twice, in the whole picture and in a tile
_HEIGHT = 0.66  # of the lamps in the box, from its top
_RED = 26  # levels that a lamp is redder than its vehicle
_RED_SHARE = 0.006  # of the rear's pixels
# Linear BGR, 1 is white on the picture.
_HEAD = np.array([0.85, 0.95, 1.0], np.float32)
_TAIL = np.array([0.05, 0.06, 1.0], np.float32)


@dataclass(frozen=True)
class _Lamp:
    """A round light: its centre and radius in pixels, and its colour, linear BGR."""

    x: float
    y: float
    radius: float
    colour: Floats


def vehicle_lights(day: Pixels, detect: Detect) -> Floats:
    """Return the light that vehicles' lamps add to a night, (H, W, 3) linear BGR.

    Args:
        day: the photo, uint8 BGR (H, W, 3).
        detect: finds COCO's objects in a BGR image.
    """
    light = np.zeros(day.shape, np.float32)
    for box, kind in _vehicles(day, detect):
        is_rear = _shows_rear(day, box)
        for lamp in _lamps(box, kind, is_rear=is_rear):
            _add_glow(light, lamp, lamp.radius, 1.0)
            _add_glow(light, lamp, 4.5 * lamp.radius, 0.07)
        if not is_rear:
            _add_pool(light, box)
    return light


def _vehicles(day: Pixels, detect: Detect) -> Iterator[tuple[Floats, int]]:
    """Yield box and class of each vehicle; tiles at twice the scale find the small ones."""
    widest = _MOST_WIDTH * day.shape[1]
    found: list[Floats] = []
    for top, left, part in _tiles(day):
        seen = detect(part)
        for box, kind in zip(seen.boxes, seen.classes, strict=True):
            moved = box + np.array([left, top, left, top], np.float32)
            if int(kind) not in _SPREADS or not (_LEAST_WIDTH <= box[2] - box[0] <= widest):
                continue
            if found and (overlaps(moved[None], np.stack(found)) > _SAME_IOU).any():
                continue
            found.append(moved)
            yield moved, int(kind)


def _tiles(day: Pixels) -> Iterator[tuple[int, int, Pixels]]:
    """Yield top, left and pixels: of all of a picture, then of its nine overlapping quarters."""
    yield 0, 0, day
    height, width = (side // 2 for side in day.shape[:2])
    for top in (0, height // 2, height):
        for left in (0, width // 2, width):
            yield top, left, np.ascontiguousarray(day[top : top + height, left : left + width])


def _lamps(box: Floats, kind: int, *, is_rear: bool) -> list[_Lamp]:
    left, top, right, bottom = (float(side) for side in box)
    middle, width, y = (left + right) / 2, right - left, top + _HEIGHT * (bottom - top)
    reach = _SPREADS[kind] * width / 2
    colour = _TAIL if is_rear else 1.6 * _HEAD
    # Far ones are seen by their glare, which does not shrink as they do.
    radius = max(0.05 * width, 0.8)
    places = (middle - reach, middle + reach) if reach else (middle,)
    return [_Lamp(x, y, radius, colour) for x in places]


def _shows_rear(day: Pixels, box: Floats) -> bool:
    left, top, right, bottom = (max(round(float(side)), 0) for side in box)
    lower = day[top + (bottom - top) // 3 : bottom, left:right].astype(np.int16)
    if not lower.size:
        return False
    red = lower[..., 2] - lower[..., :2].max(axis=2)
    return bool((red - np.median(red) > _RED).mean() > _RED_SHARE)


def _add_glow(light: Floats, lamp: _Lamp, sigma: float, peak: float) -> None:
    """Add a Gaussian to the part of the picture that it reaches."""
    reach = int(3 * sigma) + 1
    rows, columns = (
        slice(max(int(middle) - reach, 0), max(int(middle) + reach + 1, 0))
        for middle in (lamp.y, lamp.x)
    )
    part = light[rows, columns]
    y, x = np.mgrid[: part.shape[0], : part.shape[1]].astype(np.float32)
    away = (x + columns.start - lamp.x) ** 2 + (y + rows.start - lamp.y) ** 2
    part += (peak * np.exp(-away / (2 * sigma**2)))[..., None].astype(np.float32) * lamp.colour


def _add_pool(light: Floats, box: Floats) -> None:
    """Add what headlights throw on the road before a vehicle, below it in the picture."""
    left, _, right, bottom = (float(side) for side in box)
    width = right - left
    pool = np.zeros(light.shape[:2], np.float32)
    centre = round((left + right) / 2), round(bottom + 0.12 * width)
    axes = round(0.55 * width), max(round(0.22 * width), 1)
    cv2.ellipse(pool, centre, axes, 0, 0, 360, 1.0, -1)
    light += cv2.GaussianBlur(pool, (0, 0), max(0.14 * width, 0.8))[..., None] * (0.10 * _HEAD)
