"""How a file's frames are brought to the size that was asked for."""

from __future__ import annotations

import numpy as np

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.frame import Pixels

try:
    import cv2
except ImportError as error:
    raise missing_dependency("cv2", error) from error


def fill_size(pixels: Pixels, size_wh: tuple[int, int]) -> Pixels:
    """Scale evenly to cover `size_wh` and cut off what sticks out on both sides."""
    height, width = pixels.shape[:2]
    target_width, target_height = size_wh
    if (width, height) == size_wh:
        return pixels
    scale = max(target_width / width, target_height / height)
    scaled_wh = (max(target_width, round(width * scale)), max(target_height, round(height * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(pixels, scaled_wh, interpolation=interpolation)
    left, top = (scaled_wh[0] - target_width) // 2, (scaled_wh[1] - target_height) // 2
    filled = scaled[top : top + target_height, left : left + target_width]
    return np.array(filled, np.uint8)
