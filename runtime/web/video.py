"""The picture as H.264, for viewers by WebRTC: encoded once for all who look at the same.

A frame of this video has, from above to below, the image, for who compares the source, and a strip
of dark and light blocks: the picture's number and its time of capture. By WebRTC itself a page's
script cannot tell which picture it got, nor how old that is.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

import numpy as np

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.frame import Pixels
from dayshift.runtime.web.board import Picture

try:
    import av
    from av.video.frame import PictureType
    from av.video.reformatter import ColorRange, Colorspace
except ImportError as error:
    raise missing_dependency("av", error) from error
try:
    import cv2
except ImportError as error:
    raise missing_dependency("cv2", error) from error

# What is looked at: the image alone, or above the source it was made from.
Content = Literal["image", "both"]

BLOCK_PX = 8
FIELD_BITS = 24  # of the number, and of the milliseconds
_TIME_BASE = Fraction(1, 90_000)  # of video in RTP
_KEY_PERIOD_S = 2.0  # after a loss that is not made up for, the next whole picture comes then
_BT709 = 1
# CPU time of a 1280x720 picture of the bundled clip at night: 5.7 ms, 8.7 Mbit/s, 36.7 dB; with
# `superfast` 11 ms at 6.5 Mbit/s and 37.7 dB; VP8 (realtime, -6) 13 ms at 6.1 Mbit/s and 36.0 dB;
# aiortc's own encoder of H.264 38 ms at 3.5 Mbit/s, and that for each viewer.
_X264 = {"preset": "ultrafast", "tune": "zerolatency", "crf": "23", "forced-idr": "1"}


class VideoEncoder:
    """Makes packets of pictures. For one thread at a time."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._codec: Any = None
        self._size = (0, 0)
        self._last_pts = -1
        self._key_at_s = float("-inf")

    def encode(self, picture: Picture, *, is_key: bool) -> list[av.Packet[Any]]:
        """Return a picture's packet; with `is_key` it is one that a viewer can begin with.

        So is that of a picture of another size, and that of any picture now and then.

        Raises:
            av.error.FFmpegError: It cannot be encoded.
        """
        planes = _planes(picture, self._content)
        size = (planes.shape[1], planes.shape[0] // 3 * 2)
        if size != self._size:
            self._codec, self._size = _open_codec(*size), size
        if is_key or picture.captured_at - self._key_at_s > _KEY_PERIOD_S:
            is_key, self._key_at_s = True, picture.captured_at
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.time_base = _TIME_BASE
        pts = round(picture.captured_at / _TIME_BASE)
        frame.pts = self._last_pts = max(pts, self._last_pts + 1)
        frame.pict_type = PictureType.I if is_key else PictureType.NONE
        return list(self._codec.encode(frame))


def strip_height(width: int) -> int:
    """Return the height of the strip below pictures of a width, both in pixels."""
    return -(-2 * FIELD_BITS // (width // BLOCK_PX)) * BLOCK_PX


def draw_strip(serial: int, captured_at: float, width: int) -> Pixels:
    """Return a strip, uint8 BGR (strip_height(width), width, 3), that tells number and time.

    Each bit is a light or a dark block, row by row, the lowest first; the time is in milliseconds
    of this server's clock. Both are what remains by 2 to the power of `FIELD_BITS`.
    """
    columns, rows = width // BLOCK_PX, strip_height(width) // BLOCK_PX
    told = np.array([serial, int(captured_at * 1e3)])[:, None] >> np.arange(FIELD_BITS) & 1
    blocks = np.zeros(rows * columns, np.uint8)
    blocks[: told.size] = told.ravel() * 255
    pixels = np.zeros((rows * BLOCK_PX, width, 3), np.uint8)
    square = np.ones((BLOCK_PX, BLOCK_PX), np.uint8)
    pixels[:, : columns * BLOCK_PX] = np.kron(blocks.reshape(rows, columns), square)[..., None]
    return pixels


def _planes(picture: Picture, content: Content) -> Pixels:
    """Return the frame as BT.601 planes, (H * 3/2, W); an odd side loses its last pixel."""
    image = picture.pixels("image")
    height, width = (side // 2 * 2 for side in image.shape[:2])
    parts = [image[:height, :width]]
    if content == "both":
        source = picture.pixels("source")
        if source.shape != image.shape:
            source = np.asarray(cv2.resize(source, image.shape[1::-1]), np.uint8)
        parts.append(source[:height, :width])
    parts.append(draw_strip(picture.serial, picture.captured_at, width))
    whole = np.concatenate(parts)
    return np.asarray(cv2.cvtColor(whole, cv2.COLOR_BGR2YUV_I420), np.uint8)


def _open_codec(width: int, height: int) -> Any:
    codec: Any = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.time_base, codec.framerate = _TIME_BASE, Fraction(30)
    # What OpenCV makes; without the tags, browsers guess the matrix from the size.
    codec.colorspace, codec.color_range = Colorspace.SMPTE170M, ColorRange.MPEG
    codec.color_primaries = codec.color_trc = _BT709
    codec.options = _X264
    codec.thread_count = 2  # the other cores are the model's
    codec.open()
    return codec
