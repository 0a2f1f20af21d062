"""The picture that sinks get while a stream is interrupted."""

from __future__ import annotations

import numpy as np

from dayshift.runtime.frame import Pixels

_DIM = 4  # the last image at a quarter of its light: nobody takes it for a live one
_FONT_PX = 22  # height of cv2's Hershey letters at scale 1


def draw_placeholder(last: Pixels | None, size: tuple[int, int], text: str) -> Pixels:
    """Return the last image, dimmed, with a line of text across it.

    Args:
        last: uint8 BGR (H, W, 3); None gives a dark picture of `size`.
        size: (width, height) where there is no image yet.
        text: ASCII; cut where it is too long.
    """
    import cv2

    picture = np.zeros((size[1], size[0], 3), np.uint8) if last is None else last // _DIM
    height, width = picture.shape[:2]
    scale = max(0.3, height / 18 / _FONT_PX)
    left, base = width // 24, height // 2
    cv2.putText(
        picture,
        text,
        (left, base),
        cv2.FONT_HERSHEY_SIMPLEX,
        scale,
        (230, 230, 230),
        max(1, round(scale * 1.5)),
        cv2.LINE_AA,
    )
    return np.asarray(picture, np.uint8)
