"""H.264 in MP4, encoded by PyAV (FFmpeg and x264), as every browser and player takes it.

Pixels are 4:2:0, which needs even sides: an image with an odd one gets its last column or row
twice, and the file's comment tells the true size. Times are those of the frames, so that dropped
frames and variable rates keep the real time axis.
"""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import numpy as np

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import SinkError
from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.sinks.base import PartialFile, Sink

try:
    import av
    from av.video.reformatter import ColorRange, Colorspace
except ImportError as error:
    raise missing_dependency("av", error) from error
try:
    import cv2
except ImportError as error:
    raise missing_dependency("cv2", error) from error

DEFAULT_FPS = Fraction(25)

# The time base of MPEG systems: whole ticks per frame at 24, 25, 30, 50, 60 and 30000/1001 fps.
_TIME_BASE = Fraction(1, 90_000)
# At 2560x720 on two cores, crf 20: superfast 35 ms of CPU time a frame at 46.7 dB, without B-frames
# 25 ms at 47.2 dB and 5 % more bytes; veryfast 64 ms at 45.5 dB and 30 % fewer; ultrafast 14 ms at
# 46.3 dB and 40 % more.
_X264 = {"preset": "superfast", "crf": "20", "bf": "0"}
_BT709 = 1  # primaries and transfer of HD cameras (AVCOL_PRI_BT709, AVCOL_TRC_BT709)

_log = logging.getLogger(__name__)


class VideoSink(Sink):
    """A video file that appears under its name when it is complete.

    A sink that was closed before its first image leaves no file.

    Args:
        path: The file; it replaces one that is there, and missing folders are created.
        size: (width, height) that the images must have; None takes the first one's.
        fps: Nominal rate, and the time axis of frames that have no time of their own.

    Raises:
        SinkError: The file cannot be written.
    """

    def __init__(
        self, path: Path, *, size: tuple[int, int] | None = None, fps: Fraction | None = None
    ) -> None:
        self.name = str(path)
        self._size = size
        self._fps = fps or DEFAULT_FPS
        self._start_s: float | None = None
        self._last_pts = -1
        self._is_open = True
        self._stream: av.video.stream.VideoStream | None = None
        self._file = PartialFile(path)
        try:
            self._container = av.open(
                # The protocol is named, since FFmpeg would read one from a colon in the name.
                f"file:{self._file.part}",
                mode="w",
                format="mp4",
                # The index goes to the front, so that a browser plays before it has everything.
                options={"movflags": "+faststart"},
            )
        except av.error.FFmpegError as error:
            self._file.discard()
            raise self._file.failed(error) from error

    def write(self, image: Pixels, frame: Frame) -> None:
        """Encode an image at the time of its frame."""
        height, width = image.shape[:2]
        self._size = self._size or (width, height)
        if (width, height) != self._size:
            raise SinkError(
                f"image {frame.index} for {self.name} is {width}x{height} where {self._size[0]}x"
                f"{self._size[1]} was expected: a video has one size, use frames://DIR or --size"
            )
        try:
            stream = self._stream = self._stream or self._add_stream(width, height)
            picture = av.VideoFrame.from_ndarray(_to_yuv420(image), format="yuv420p")
            picture.time_base = _TIME_BASE
            picture.pts = self._last_pts = max(self._ticks(frame), self._last_pts + 1)
            self._container.mux(stream.encode(picture))
        except av.error.FFmpegError as error:
            raise self._file.failed(error) from error

    def close(self) -> None:
        """Write what the encoder still holds, and give the file its name."""
        if not self._is_open:
            return
        if self._stream is None:
            self.abort()
            return
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
        except av.error.FFmpegError as error:
            self.abort()
            raise self._file.failed(error) from error
        self._is_open = False
        self._file.commit()

    def abort(self) -> None:
        """Remove the unfinished file."""
        if self._is_open:
            self._is_open = False
            try:
                self._container.close()
            except av.error.FFmpegError:
                _log.debug("closing %s failed", self._file.part, exc_info=True)
            self._file.discard()

    def _add_stream(self, width: int, height: int) -> av.video.stream.VideoStream:
        stream = self._container.add_stream("libx264", rate=self._fps, options=_X264)
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        codec = stream.codec_context
        codec.time_base = _TIME_BASE
        # What `_to_yuv420` makes; without the tags, players guess the matrix from the size.
        codec.colorspace, codec.color_range = Colorspace.SMPTE170M, ColorRange.MPEG
        codec.color_primaries = codec.color_trc = _BT709
        if (stream.width, stream.height) != (width, height):
            self._container.metadata["comment"] = f"true size {width}x{height}"
            _log.warning(
                "%s: %dx%d is written as %dx%d, since H.264 needs even sides",
                *(self.name, width, height, stream.width, stream.height),
            )
        return stream

    def _ticks(self, frame: Frame) -> int:
        time_s = float(frame.index / self._fps) if frame.pts_s is None else frame.pts_s
        if self._start_s is None:
            self._start_s = time_s
        return round((time_s - self._start_s) / _TIME_BASE)


def _to_yuv420(image: Pixels) -> Pixels:
    """Convert BGR (H, W, 3) to BT.601 planes (H * 3/2, W), both sides made even.

    OpenCV takes 1 ms of CPU time for 2560x720 where FFmpeg's scaler takes 6, and comes back closer
    (45.6 dB against 41.3 on a photo); it has BT.601 only, hence the tags of the stream.
    """
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        padded = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        image = np.asarray(padded, np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), np.uint8)
