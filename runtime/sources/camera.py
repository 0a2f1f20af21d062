"""Cameras, through OpenCV: V4L2 on Linux, the system's own interface elsewhere."""

from __future__ import annotations

import os
import re
import stat
import sys
from pathlib import Path

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import SourceError
from dayshift.runtime.sources.base import Source
from dayshift.runtime.sources.camera_identity import Identity, list_cameras
from dayshift.runtime.sources.opencv import OpenCvSource, quiet_opencv

try:
    import cv2
except ImportError as error:
    raise missing_dependency("cv2", error) from error

FORMATS = ("MJPG", "YUYV")

# The driver fills one buffer while the other is decoded: with a single one, cameras were seen to
# fall from 30 to 15 frames/s.
_BUFFERS = 2


class CameraSource(OpenCvSource):
    """A camera, live.

    Args:
        device: A number, `/dev/videoN`, or a stable link such as `/dev/v4l/by-id/...`.
        size: (width, height) to ask for; `size` of the source is what the driver gave.
        fps: Frames per second to ask for.
        pixel_format: `MJPG` or `YUYV`; by default the first of them that the driver has.

    Raises:
        SourceError: There is no such camera, it may not be used, it gives no frame, or it does not
            have the format that was asked for.
    """

    slow_hint = "too dark, or too much for its cable (a smaller size or format=MJPG helps)"

    def __init__(
        self,
        device: str,
        *,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        pixel_format: str | None = None,
    ) -> None:
        self._path = _find_device(device)
        self._identity = Identity.of(self._path, device)
        self._asked = (size, fps, pixel_format)
        label = f"camera {device if device.startswith('/') else self._path}"
        with quiet_opencv():
            capture = _open_capture(self._path)
            try:
                got = _configure(capture, size, fps, pixel_format)
            except BaseException:
                capture.release()
                raise
            if pixel_format is not None and got != pixel_format:
                capture.release()
                raise SourceError(
                    f"{label} gives {got} where {pixel_format} was asked for: "
                    "leave format out, or see what it has with v4l2-ctl --list-formats-ext"
                )
            super().__init__(
                capture,
                label,
                f"another program may be using it, or it is not a capture device; {_present()}",
            )
        width, height = self.size
        asked = f", asked for {size[0]}x{size[1]}" if size and size != self.size else ""
        self.name = f"{label} ({width}x{height} {got}{asked})"

    def reopen(self) -> Source:
        """Open the same camera again, also where it came back as another `/dev/videoN`.

        Raises:
            SourceError: It is not there, or cannot be opened.
        """
        size, fps, pixel_format = self._asked
        return CameraSource(self._identity.find(), size=size, fps=fps, pixel_format=pixel_format)


def _configure(
    capture: cv2.VideoCapture,
    size: tuple[int, int] | None,
    fps: float | None,
    pixel_format: str | None,
) -> str:
    """Ask for what we want; drivers take the nearest they have. Return the format they took."""
    # Uncompressed HD video at 30 fps does not fit through USB 2; most cameras offer MJPG.
    # The format comes first, since a driver lists its sizes and rates per format.
    for wanted in [pixel_format] if pixel_format else FORMATS:
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*wanted))
        if _read_format(capture) == wanted:
            break
    if size is not None:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
    if fps is not None:
        capture.set(cv2.CAP_PROP_FPS, fps)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, _BUFFERS)
    return _read_format(capture)


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


def _read_format(capture: cv2.VideoCapture) -> str:
    code = int(capture.get(cv2.CAP_PROP_FOURCC))
    letters = (code & 0xFFFFFFFF).to_bytes(4, "little").decode("latin-1").strip("\0 ")
    return letters if letters.isprintable() and letters else "unknown format"
