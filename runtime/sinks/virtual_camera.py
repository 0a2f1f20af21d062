"""A virtual camera for calls and OBS: `v4l2loopback:///dev/videoN`.

The kernel module v4l2loopback makes a device that takes frames on one side and is a webcam on the
other. Frames are written as YUYV, the one format that every program with a camera reads, by the
`write` call of V4L2's output interface; no library is needed. Its size is fixed while it is open:
images of another size are fitted into it, with bars.
"""

from __future__ import annotations

import errno
import os
from fractions import Fraction
from pathlib import Path

import numpy as np

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import SinkError
from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.sinks.base import Sink
from dayshift.runtime.v4l2 import (
    BUF_TYPE_VIDEO_OUTPUT,
    CAP_VIDEO_OUTPUT,
    COLORSPACE_SRGB,
    FIELD_NONE,
    MAKE_DEVICE,
    QUANTIZATION_LIM_RANGE,
    QUERYCAP,
    S_FMT,
    S_PARM,
    YCBCR_ENC_601,
    YUYV,
    Capability,
    Format,
    StreamParameters,
)

try:
    import cv2
except ImportError as error:
    raise missing_dependency("cv2", error) from error

_NONE_LIKE_IT = frozenset({errno.ENOTTY, errno.EINVAL})


class VirtualCameraSink(Sink):
    """Writes images to a v4l2loopback device.

    Args:
        path: The device, such as /dev/video10.
        size: (width, height) that the camera is to have; None takes the first image's.
        fps: The rate that it announces.

    Raises:
        SinkError: There is no such device, or it is no loopback.
    """

    def __init__(
        self, path: Path, *, size: tuple[int, int] | None = None, fps: Fraction | None = None
    ) -> None:
        self.name = f"virtual camera {path}"
        self._path = path
        self._size = size
        self._fps = fps
        self._is_set = False
        try:
            self._device = os.open(path, os.O_RDWR)
        except OSError as error:
            raise SinkError(_open_problem(path, error)) from error
        try:
            self._check_device()
            if size is not None:
                self._set_format(*size)
        except BaseException:
            self.close()
            raise

    def write(self, image: Pixels, frame: Frame) -> None:
        """Show an image to whoever uses the camera."""
        if not self._is_set:
            self._set_format(image.shape[1], image.shape[0])
        assert self._size is not None
        content = to_yuyv(fit(image, *self._size)).tobytes()
        try:
            written = os.write(self._device, content)
        except OSError as error:
            raise SinkError(f"{self.name} takes no frames ({error.strerror})") from error
        if written != len(content):
            raise SinkError(f"{self.name} took {written} of {len(content)} bytes of a frame")

    def close(self) -> None:
        """Let go of the device: who watches sees the last image, or the module's placeholder."""
        if self._device >= 0:
            os.close(self._device)
            self._device = -1

    def abort(self) -> None:
        """Let go of the device."""
        self.close()

    def _check_device(self) -> None:
        import fcntl  # Linux only, as the device is

        capability = Capability()
        try:
            fcntl.ioctl(self._device, QUERYCAP, capability)
        except OSError as error:
            raise SinkError(
                f"{self._path} is no video device ({error.strerror}): {_remedy()}"
            ) from error
        if not capability.device_caps & CAP_VIDEO_OUTPUT:
            card = capability.card.decode(errors="replace")
            raise SinkError(f"{self._path} ({card}) only gives frames, like a camera: {_remedy()}")

    def _set_format(self, width: int, height: int) -> None:
        import fcntl

        width, height = width + width % 2, height + height % 2
        wanted = _format(width, height)
        try:
            fcntl.ioctl(self._device, S_FMT, wanted)
        except OSError as error:
            hint = "close what uses the camera" if error.errno == errno.EBUSY else _remedy()
            raise SinkError(
                f"{self.name} refuses {width}x{height} ({error.strerror}): {hint}"
            ) from error
        got = wanted.fmt.pix
        if (got.width, got.height, got.pixelformat) != (width, height, YUYV):
            name = int(got.pixelformat).to_bytes(4, "little").decode("latin-1")
            raise SinkError(
                f"{self.name} is kept at {got.width}x{got.height} {name} by another program: "
                f"close that, or use --size {got.width}x{got.height}"
            )
        self._size = (width, height)
        self._is_set = True
        self._announce_rate()

    def _announce_rate(self) -> None:
        import fcntl

        if self._fps is None:
            return
        parameters = StreamParameters(type=BUF_TYPE_VIDEO_OUTPUT)
        parameters.numerator, parameters.denominator = self._fps.denominator, self._fps.numerator
        try:
            fcntl.ioctl(self._device, S_PARM, parameters)
        except OSError as error:
            # Older modules have no rate; frames come when they come.
            if error.errno not in _NONE_LIKE_IT:
                raise SinkError(f"{self.name} refuses its rate ({error.strerror})") from error


def to_yuyv(image: Pixels) -> Pixels:
    """Convert BGR (H, W, 3) to YUYV (H, W, 2), BT.601 in limited range; W must be even."""
    planes = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420).reshape(-1)
    height, width = image.shape[:2]
    luma = planes[: height * width].reshape(height, width)
    chroma = planes[height * width :].reshape(2, height // 2, width // 2)
    packed = np.empty((height, width // 2, 4), np.uint8)
    packed[:, :, 0::2] = luma.reshape(height, width // 2, 2)
    # A row of colour serves two rows of light: YUYV has twice the colour of I420. OpenCV converts
    # to YUYV itself from 4.9 on only.
    packed[:, :, 1] = np.repeat(chroma[0], 2, axis=0)
    packed[:, :, 3] = np.repeat(chroma[1], 2, axis=0)
    return packed.reshape(height, width, 2)


def fit(image: Pixels, width: int, height: int) -> Pixels:
    """Return the image at a size, with bars where its shape differs: nothing is squashed."""
    h, w = image.shape[:2]
    if (w, h) == (width, height):
        return image
    scale = min(width / w, height / h)
    size_wh = (min(width, round(w * scale)), min(height, round(h * scale)))
    small = image
    if size_wh != (w, h):
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = np.asarray(cv2.resize(image, size_wh, interpolation=method), np.uint8)
    whole = np.zeros((height, width, 3), np.uint8)
    left, top = (width - size_wh[0]) // 2, (height - size_wh[1]) // 2
    whole[top : top + size_wh[1], left : left + size_wh[0]] = small
    return whole


def _format(width: int, height: int) -> Format:
    wanted = Format(type=BUF_TYPE_VIDEO_OUTPUT)
    pix = wanted.fmt.pix
    pix.width, pix.height, pix.pixelformat = width, height, YUYV
    pix.field, pix.bytesperline, pix.sizeimage = FIELD_NONE, 2 * width, 2 * width * height
    pix.colorspace, pix.ycbcr_enc = COLORSPACE_SRGB, YCBCR_ENC_601
    pix.quantization = QUANTIZATION_LIM_RANGE
    return wanted


def _open_problem(path: Path, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"cannot open {path} (Permission denied): add yourself to the group video"
    if isinstance(error, FileNotFoundError):
        return f"there is no {path}: {_remedy()}"
    return f"cannot open {path} ({error.strerror}): {_remedy()}"


def _remedy() -> str:
    return f"make a virtual camera with {MAKE_DEVICE}"
