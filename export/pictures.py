"""Pictures that lie in a model folder for people to look at."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from dayshift.runtime.errors import SinkError
from dayshift.runtime.image import Pixels
from dayshift.runtime.sinks.base import write_file

_PREVIEW_WIDTH = 640


def write_preview(path: Path, frame: Pixels, image: Pixels) -> None:
    """Write a frame, BGR or a label map, and the image made of it, side by side.

    Raises:
        SinkError: It cannot be written.
    """
    height = round(frame.shape[0] * _PREVIEW_WIDTH / frame.shape[1])
    if frame.ndim == 2:  # label numbers are spread over the greys
        spread = 255 // max(1, int(frame.max()))
        frame = np.repeat((frame * np.uint8(spread))[..., None], 3, axis=2)
    size_wh = (_PREVIEW_WIDTH, height)
    halves = [cv2.resize(half, size_wh, interpolation=cv2.INTER_AREA) for half in (frame, image)]
    write_jpeg(path, np.asarray(np.hstack(halves), np.uint8), quality=88)


def write_jpeg(path: Path, image: Pixels, *, quality: int) -> None:
    """Write a JPEG whole, or raise.

    Raises:
        SinkError: OpenCV cannot encode it, or it cannot be written.
    """
    done, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise SinkError(f"OpenCV cannot write {path}: expected one with JPEG")
    write_file(path, content.tobytes())
