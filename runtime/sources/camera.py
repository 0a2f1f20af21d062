"""Cameras, through OpenCV: V4L2 on Linux, the system's own interface elsewhere."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import SourceError
from dayshift.runtime.frame import Frame
from dayshift.runtime.sources.base import Source

try:
    import cv2
except ImportError as error:
    raise missing_dependency("cv2", error) from error

# The driver fills one buffer while the other is decoded: with a single one, cameras were seen to
# fall from 30 to 15 frames/s.
_BUFFERS = 2
_SILENT = 0  # of cv::utils::logging::LogLevel


class CameraSource(Source):
    """A camera, live.

    Args:
        device: A number, `/dev/videoN`, or a stable link such as `/dev/v4l/by-id/...`.
        size: (width, height) to ask for; `size` of the source is what the driver gave.
        fps: Frames per second to ask for.

    Raises:
        SourceError: There is no such camera, it may not be used, or it gives no frame.
    """

    is_live = True
    frame_count = None

    def __init__(
        self, device: str, *, size: tuple[int, int] | None = None, fps: float | None = None
    ) -> None:
        self._path = _find_device(device)
        with _quiet_opencv():
            self._capture = _open_capture(self._path)
            try:
                self._configure(size, fps)
                height, width = self._probe()
            except BaseException:
                self._capture.release()
                raise
        self.size = (width, height)
        self.fps: Fraction | None = _read_fps(self._capture)
        asked = f", asked for {size[0]}x{size[1]}" if size and size != self.size else ""
        self.name = f"camera {self._path} ({width}x{height} {_read_format(self._capture)}{asked})"
        self._index = 0
        self._started_at: float | None = None

    def read(self) -> Frame | None:
        """Return the next frame of the camera.

        Raises:
            SourceError: The camera gives no more frames.
        """
        grabbed = self._capture.grab()
        captured_at = time.perf_counter()
        done, decoded = self._capture.retrieve() if grabbed else (False, None)
        if not done or decoded is None:
            raise SourceError(
                f"camera {self._path} gave no more frames after {self._index}: "
                "check its cable, and that no other program took it"
            )
        if self._started_at is None:
            self._started_at = captured_at
        pixels = np.asarray(decoded, np.uint8)
        frame = Frame(pixels, self._index, captured_at, captured_at - self._started_at)
        self._index += 1
        return frame

    def close(self) -> None:
        """Give the camera back."""
        self._capture.release()

    def _configure(self, size: tuple[int, int] | None, fps: float | None) -> None:
        """Ask for what we want; drivers take the nearest they have and say nothing."""
        capture = self._capture
        # Uncompressed HD video at 30 fps does not fit through USB 2; most cameras offer MJPG.
        # The format comes first, since a driver lists its sizes and rates per format.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        if size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
        if fps is not None:
            capture.set(cv2.CAP_PROP_FPS, fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, _BUFFERS)

    def _probe(self) -> tuple[int, int]:
        """Return (height, width) of a first frame: drivers announce sizes that they do not give."""
        done, pixels = self._capture.read()
        if not done or pixels is None:
            raise SourceError(
                f"camera {self._path} opens but gives no frame: another program may be using it, "
                f"or it is not a capture device; {_present()}"
            )
        return pixels.shape[0], pixels.shape[1]


def list_cameras() -> list[str]:
    """Return the V4L2 device nodes of this machine, `/dev/video2` before `/dev/video10`."""
    nodes = [str(node) for node in Path("/dev").glob("video*") if node.name[5:].isdecimal()]
    return sorted(nodes, key=lambda node: int(node.removeprefix("/dev/video")))


def _present() -> str:
    cameras = list_cameras()
    if not cameras:
        return "this machine has no /dev/video*: plug one in, or use a video file or synthetic://"
    return f"this machine has {', '.join(cameras)}"


def _find_device(device: str) -> str:
    """Return the device node, checked before OpenCV prints to stderr about it."""
    if not sys.platform.startswith("linux"):
        if device.isdecimal():
            return device
        raise SourceError(
            f"there is no camera {device!r} on this system: expected a number such as 0"
        )
    path = Path(f"/dev/video{device}" if device.isdecimal() else device)
    if not path.exists():
        raise SourceError(f"there is no camera {str(path)!r}: {_present()}")
    if not stat.S_ISCHR(path.stat().st_mode):
        raise SourceError(f"{str(path)!r} is not a camera device: {_present()}")
    if not os.access(path, os.R_OK | os.W_OK):
        raise SourceError(
            f"no permission to use the camera {str(path)!r}: "
            "add yourself to the group 'video' (sudo usermod -aG video $USER) and log in again"
        )
    return str(path.resolve())


def _open_capture(path: str) -> cv2.VideoCapture:
    if path.isdecimal():
        capture = cv2.VideoCapture(int(path))
    else:
        number = re.fullmatch(r"/dev/video(\d+)", path)
        capture = cv2.VideoCapture(int(number[1]) if number else path, cv2.CAP_V4L2)
    if not capture.isOpened():
        raise SourceError(
            f"{path!r} cannot be opened as a camera: another program may be using it, "
            f"or it is not a capture device; {_present()}"
        )
    return capture


def _read_fps(capture: cv2.VideoCapture) -> Fraction | None:
    fps = capture.get(cv2.CAP_PROP_FPS)
    return Fraction(fps).limit_denominator(1001) if 0 < fps < 1000 else None


def _read_format(capture: cv2.VideoCapture) -> str:
    code = int(capture.get(cv2.CAP_PROP_FOURCC))
    letters = (code & 0xFFFFFFFF).to_bytes(4, "little").decode("latin-1").strip("\0 ")
    return letters if letters.isprintable() and letters else "unknown format"


@contextlib.contextmanager
def _quiet_opencv() -> Iterator[None]:
    """Keep OpenCV's warnings about drivers off stderr: what matters is in our errors."""
    logging: Any = getattr(cv2.utils, "logging", cv2)  # the first in OpenCV 5, the second in 4
    level = logging.getLogLevel()
    logging.setLogLevel(_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(level)
