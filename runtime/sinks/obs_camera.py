"""A virtual camera where there is no v4l2loopback: `virtualcam://`, through pyvirtualcam and OBS.

pyvirtualcam is GPL-2.0, and therefore an extra that nothing else needs.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import SinkError
from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.sinks.base import Sink
from dayshift.runtime.sinks.video import DEFAULT_FPS
from dayshift.runtime.sinks.virtual_camera import fit


class ObsCameraSink(Sink):
    """Shows images as the camera that OBS Studio brings; opened at the first image.

    Args:
        size: (width, height) that the camera is to have; None takes the first image's.
        fps: The rate that it announces.

    Raises:
        MissingDependency: pyvirtualcam is not installed.
    """

    name = "virtual camera"

    def __init__(self, *, size: tuple[int, int] | None = None, fps: Fraction | None = None) -> None:
        try:
            import pyvirtualcam
        except ImportError as error:
            raise missing_dependency("pyvirtualcam", error) from error
        self._library: Any = pyvirtualcam
        self._size = size
        self._fps = float(fps or DEFAULT_FPS)
        self._camera: Any = None

    def write(self, image: Pixels, frame: Frame) -> None:
        """Show an image to whoever uses the camera."""
        self._size = self._size or (image.shape[1], image.shape[0])
        try:
            if self._camera is None:
                format_ = self._library.PixelFormat.BGR
                self._camera = self._library.Camera(*self._size, self._fps, fmt=format_)
            self._camera.send(fit(image, *self._size))
        except RuntimeError as error:
            raise SinkError(
                f"there is no virtual camera ({error}): install OBS Studio 30 or newer and start "
                "its virtual camera once; on Linux use v4l2loopback:///dev/videoN"
            ) from error

    def close(self) -> None:
        """Let go of the camera."""
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()

    def abort(self) -> None:
        """Let go of the camera."""
        self.close()
