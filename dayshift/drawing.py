"""Pictures made of pictures: source beside translation, and the contact sheet.

All arrays are uint8 BGR (H, W, 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.image import Pixels

try:
    import cv2
except ImportError as error:
    raise missing_dependency("cv2", error) from error

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_INK = (235, 235, 235)
_PAPER = (28, 28, 28)
_MARGIN_PX = 16
_GAP_PX = 10
_CAPTION_PX = 30


class SideBySide:
    """Draws the source on the left and its translation on the right, each with a label.

    The labels are drawn once; a frame costs two copies. One instance serves one thread.
    """

    def __init__(self, source_label: str, image_label: str) -> None:
        self._labels = (_label(source_label), _label(image_label))
        # Kept from frame to frame: fresh memory of this size costs as much as the copies into it.
        self._both = np.empty((0, 0, 3), np.uint8)

    def __call__(self, source: Pixels, image: Pixels) -> Pixels:
        """Return both pictures, of one size, as (H, 2W, 3); the next call overwrites the array."""
        height, width = source.shape[:2]
        if self._both.shape != (height, 2 * width, 3):
            self._both = np.empty((height, 2 * width, 3), np.uint8)
        both = self._both
        for left, picture, label in zip((0, width), (source, image), self._labels, strict=True):
            both[:, left : left + width] = picture
            _paste(both[:, left : left + width], label)
        return both


@dataclass(frozen=True)
class Tile:
    """A picture of the contact sheet and what is written under it."""

    picture: Pixels
    caption: str


def contact_sheet(rows: Sequence[Sequence[Tile]], *, title: str, width: int = 1920) -> Pixels:
    """Arrange rows of tiles under a title; each row fills the width."""
    parts = [_strip(width, title, scale=0.8)]
    parts += [_row(tiles, width) for tiles in rows]
    return np.vstack(parts)


def _row(tiles: Sequence[Tile], width: int) -> Pixels:
    tile_width = (width - _GAP_PX * (len(tiles) + 1)) // len(tiles)
    columns = [_tile(tile, tile_width) for tile in tiles]
    row = np.full((columns[0].shape[0], width, 3), _PAPER, np.uint8)
    for position, column in enumerate(columns):
        left = _GAP_PX + position * (tile_width + _GAP_PX)
        row[:, left : left + tile_width] = column
    return row


def _tile(tile: Tile, width: int) -> Pixels:
    height = round(tile.picture.shape[0] * width / tile.picture.shape[1])
    small = cv2.resize(tile.picture, (width, height), interpolation=cv2.INTER_AREA)
    return np.vstack([small, _strip(width, tile.caption, scale=0.5)])


def _strip(width: int, text: str, *, scale: float) -> Pixels:
    """Return a line of text on paper, (h, width, 3)."""
    height = _CAPTION_PX if scale < 0.7 else 2 * _CAPTION_PX
    strip = np.full((height, width, 3), _PAPER, np.uint8)
    left = 2 if scale < 0.7 else _GAP_PX
    origin = (left, round(height * 0.66))
    cv2.putText(strip, text, origin, _FONT, scale, _INK, 1, cv2.LINE_AA)
    return strip


def _label(text: str) -> Pixels:
    """Return `text` on a small dark plate."""
    (width, height), below = cv2.getTextSize(text, _FONT, 0.7, 1)
    plate = np.full((height + below + 16, width + 24, 3), _PAPER, np.uint8)
    cv2.putText(plate, text, (12, height + 8), _FONT, 0.7, _INK, 1, cv2.LINE_AA)
    return plate


def _paste(picture: Pixels, label: Pixels) -> None:
    """Copy the label into the upper left corner; what does not fit is cut off."""
    corner = picture[_MARGIN_PX : _MARGIN_PX + label.shape[0], _MARGIN_PX:][:, : label.shape[1]]
    corner[:] = label[: corner.shape[0], : corner.shape[1]]
