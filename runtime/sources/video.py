"""Video files, decoded by PyAV (FFmpeg) on all cores to BGR.

Phone videos are turned upright as their display matrix says. Pixels that are not square stay so.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from dayshift.runtime.cores import allowed_cores
from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import SourceError
from dayshift.runtime.frame import Frame
from dayshift.runtime.sources.base import Source
from dayshift.runtime.sources.decoded import DECODER_LIMITS, PixelConverter

try:
    import av
except ImportError as error:
    raise missing_dependency("av", error) from error

_EXPECTED = "expected a video file such as an H.264 MP4"
_READ_BYTES = 1 << 18  # at a time, where the bytes come through Python


class VideoSource(Source):
    """The frames of a video file, in order, as fast as they are read.

    Args:
        path: A video file.
        size: (width, height) that frames are scaled and cut to; None keeps the video's own.
        file: Where it lies elsewhere: its bytes, seekable, closed with the source.

    Attributes:
        origin_s: When its first frame is due, by the file's own clock.

    Raises:
        SourceError: It is missing, is no video, or holds no frame that can be decoded.
    """

    is_live = False

    def __init__(
        self, path: Path, *, size: tuple[int, int] | None = None, file: BinaryIO | None = None
    ) -> None:
        self.name = str(path)
        self._asked_size = size
        self._index = 0
        self._file = file
        self._container = open_container(path, file)
        try:
            self._open_stream()
        except BaseException:
            self._container.close()
            raise

    def _open_stream(self) -> None:
        videos = self._container.streams.video
        if not videos:
            raise SourceError(f"{self.name} holds no video stream: {_EXPECTED}")
        self._stream = videos[0]
        if self._stream.codec_context is None:
            raise SourceError(f"{self.name} is in a format that FFmpeg cannot decode: {_EXPECTED}")
        self._stream.codec_context.options = DECODER_LIMITS
        self._stream.thread_type = "AUTO"
        # Half of the cores: on two, a decoder with threads of its own only takes the engine's time.
        self._stream.codec_context.thread_count = max(1, allowed_cores() // 2)
        self.fps: Fraction | None = self._stream.average_rate or None
        self.frame_count: int | None = _promised_frames(self._stream)
        self._frames = self._decode()
        self._first = next(self._frames, None)
        if self._first is None:
            raise SourceError(f"{self.name} holds no frame that can be decoded: {_EXPECTED}")
        self._start_pts = self._first.pts
        self.origin_s = (self._start_pts or 0) * (self._stream.time_base or Fraction(0))
        self._converter = PixelConverter(self._first, self._asked_size)
        self.size = self._converter.size

    def read(self) -> Frame | None:
        """Return the next frame.

        Raises:
            SourceError: The video broke off before its promised end.
        """
        captured_at = time.perf_counter()
        decoded = self._first or next(self._frames, None)
        self._first = None
        if decoded is None:
            self._check_complete()
            return None
        pixels = self._converter.to_pixels(decoded)
        frame = Frame(pixels, self._index, captured_at, self._time_of(decoded))
        self._index += 1
        return frame

    def close(self) -> None:
        """Close the file."""
        # The decoder first: suspended in the middle of the file, it would outlive the container.
        self._frames.close()
        self._container.close()
        if self._file is not None:
            self._file.close()

    def _decode(self) -> Generator[av.VideoFrame, None, None]:
        try:
            yield from self._container.decode(self._stream)
        except av.error.FFmpegError as error:
            raise broken_off(
                self.name, self._index, self.frame_count, f" ({error.strerror})"
            ) from error

    def _time_of(self, decoded: av.VideoFrame) -> float | None:
        if decoded.pts is not None and self._start_pts is not None and decoded.time_base:
            return float((decoded.pts - self._start_pts) * decoded.time_base)
        return float(self._index / self.fps) if self.fps else None

    def _check_complete(self) -> None:
        """Compare with the promise: FFmpeg says nothing about a file that was cut off."""
        if is_short(self._index, self.frame_count or 0):
            raise broken_off(self.name, self._index, self.frame_count)


def is_short(frames: int, promised: int) -> bool:
    """Whether so many frames are too few for what the file's header promised."""
    # Headers round durations, and an encoder may drop a frame at either end.
    return frames < promised - max(2, promised // 50)


def broken_off(name: str, frames: int, promised: int | None, reason: str = "") -> SourceError:
    """Build the error that says that a video ends before its promised end."""
    of = f" of {promised}" if promised else ""
    return SourceError(
        f"{name} breaks off after {frames}{of} frames{reason}: "
        "the file is truncated or damaged, copy or record it again"
    )


def open_container(path: Path, file: BinaryIO | None = None) -> av.container.InputContainer:
    """Open a video file, or the bytes of one that lies elsewhere; whoever gave those closes them.

    Raises:
        SourceError: It is missing, or no video.
    """
    if file is None and path.is_dir():
        raise SourceError(f"{path} is a folder: {_EXPECTED}")
    try:
        # The protocol is named, since FFmpeg would read one from a colon in the file's name.
        return av.open(
            f"file:{path}" if file is None else file,
            mode="r",
            options=DECODER_LIMITS,
            metadata_errors="replace",
            buffer_size=_READ_BYTES,
        )
    except av.error.FFmpegError as error:
        if path.is_file() and path.stat().st_size == 0:
            raise SourceError(f"{path} is empty (0 bytes): {_EXPECTED}") from error
        hint = "" if isinstance(error, OSError) else ", complete to its last byte"
        raise SourceError(
            f"cannot read {path} as a video ({error.strerror}): {_EXPECTED}{hint}"
        ) from error


def _promised_frames(stream: av.video.stream.VideoStream) -> int | None:
    """Return the number of frames by the header, the lower of its count and its duration.

    The count is too high where an edit list leaves frames out, as in a clip trimmed on a phone.
    """
    by_count = stream.frames
    by_duration = 0
    if stream.duration and stream.time_base and stream.average_rate:
        by_duration = round(stream.duration * stream.time_base * stream.average_rate)
    promises = [promise for promise in (by_count, by_duration) if promise > 0]
    return min(promises) if promises else None
