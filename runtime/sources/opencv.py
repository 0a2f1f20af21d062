"""What cameras and GStreamer pipelines have in common: a `cv2.VideoCapture` read by frames."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import SourceError
from dayshift.runtime.frame import Frame
from dayshift.runtime.sources.base import CorruptFrame, Source

try:
    import cv2
except ImportError as error:
    raise missing_dependency("cv2", error) from error

_SILENT = 0  # of cv::utils::logging::LogLevel


class OpenCvSource(Source):
    """Reads a `cv2.VideoCapture`, live.

    Args:
        capture: Open and configured; released by this source, also when this fails.
        label: What it is, for messages, such as `camera /dev/video0`.
        hint: What to look at when it gives no frame.

    Raises:
        SourceError: It gives no frame.
    """

    is_live = True
    frame_count = None

    def __init__(self, capture: cv2.VideoCapture, label: str, hint: str) -> None:
        self.name = label
        self._label = label
        self._capture = capture
        self._index = 0
        self._started_at: float | None = None
        try:
            # Drivers announce sizes that they do not give: a first frame tells the truth.
            with quiet_opencv():
                done, pixels = capture.read()
            if not done or pixels is None:
                raise SourceError(f"{label} opens but gives no frame: {hint}")
        except BaseException:
            capture.release()
            raise
        self.size = (pixels.shape[1], pixels.shape[0])
        self.fps: Fraction | None = read_fps(capture)

    def read(self) -> Frame | None:
        """Return the next frame.

        Raises:
            CorruptFrame: It came and could not be decoded.
            SourceError: No more frames come.
        """
        grabbed = self._capture.grab()
        captured_at = time.perf_counter()
        if not grabbed:
            raise SourceError(
                f"{self._label} gave no more frames after {self._index}: "
                "check its cable, and that no other program took it"
            )
        done, decoded = self._capture.retrieve()
        if not done or decoded is None:
            raise CorruptFrame(f"{self._label} gave a damaged frame after {self._index}")
        if self._started_at is None:
            self._started_at = captured_at
        pixels = np.asarray(decoded, np.uint8)
        frame = Frame(pixels, self._index, captured_at, captured_at - self._started_at)
        self._index += 1
        return frame

    def close(self) -> None:
        """Give the device back."""
        self._capture.release()


def read_fps(capture: cv2.VideoCapture) -> Fraction | None:
    """Return the announced rate, where there is one."""
    fps = capture.get(cv2.CAP_PROP_FPS)
    return Fraction(fps).limit_denominator(1001) if 0 < fps < 1000 else None


@contextlib.contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV's warnings about drivers off stderr: what matters is in our errors."""
    logging: Any = getattr(cv2.utils, "logging", cv2)  # the first in OpenCV 5, the second in 4
    level = logging.getLogLevel()
    logging.setLogLevel(_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(level)
