"""The mark for people: a line of text in the picture, for streams that carry no metadata."""

from __future__ import annotations

import numpy as np

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.provenance.mark import LABEL

try:
    import cv2
except ImportError as error:
    raise missing_dependency("cv2", error) from error

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_HEIGHT = 1 / 36  # of the picture's height, as subtitles have


class VisibleLabel:
    """Writes the label into the lower left corner. One instance serves one thread.

    The plate is drawn once per size; a frame costs a copy of the picture and of the plate.
    """

    def __init__(self, text: str = LABEL) -> None:
        self._text = text
        self._height = 0
        self._plate = np.empty((0, 0, 3), np.uint8)

    def __call__(self, frame: Frame, image: Pixels) -> Pixels:
        """Return a copy of the image (H, W, 3) with the label in it."""
        height = image.shape[0]
        if height != self._height:
            self._height, self._plate = height, _draw_plate(self._text, height)
        labelled = image.copy()
        margin = height // 36
        corner = labelled[: height - margin, margin:][-self._plate.shape[0] :]
        corner = corner[:, : self._plate.shape[1]]
        corner[:] = self._plate[: corner.shape[0], : corner.shape[1]]
        return labelled


def _draw_plate(text: str, height: int) -> Pixels:
    """Return the text on a dark plate (h, w, 3), in proportion to a picture of that height."""
    scale = max(height * _HEIGHT / 22, 0.3)  # the font is 22 pixels high at scale 1
    thickness = max(1, round(scale * 1.2))
    (width, text_height), below = cv2.getTextSize(text, _FONT, scale, thickness)
    margin = max(2, text_height // 2)
    plate = np.full((text_height + below + 2 * margin, width + 2 * margin, 3), 20, np.uint8)
    origin = (margin, margin + text_height)
    cv2.putText(plate, text, origin, _FONT, scale, (235, 235, 235), thickness, cv2.LINE_AA)
    return plate
