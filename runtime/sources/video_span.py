"""A part of a video file, from a key frame to another, so that many machines can share one video.

Only what FFmpeg reads from a true index (MP4, MOV, Matroska, WebM) is cut: elsewhere a seek may end
behind the frame that was wanted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Generator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.frame import Frame
from dayshift.runtime.sources.video import VideoSource, broken_off, open_container

try:
    import av
except ImportError as error:
    raise missing_dependency("av", error) from error

_INDEXED_FORMATS = frozenset({"mov", "mp4", "matroska", "webm"})


@dataclass(frozen=True)
class Span:
    """Where a part begins and ends, in ticks of the video's own time base.

    Attributes:
        origin: Time of the video's first frame.
        key: Times (presented, decoded) of the key frame that decoding starts from.
        warm: Time of the first frame that is read.
        start: Time of the part's first frame. Frames from `warm` to here are for the memory of a
            model, and are no part of the result.
        end: Time of the next part's first frame; None at the end of the video.
        warm_frames: How many frames there are from `warm` to `start`.
        frames: How many frames there are from `start` to `end`.
    """

    origin: int
    key: tuple[int, int]
    warm: int
    start: int
    end: int | None
    warm_frames: int
    frames: int


@dataclass(frozen=True)
class VideoIndex:
    """Where a video's frames and key frames are.

    Attributes:
        times: When each frame is presented, in ascending ticks.
        keys: Times (presented, decoded) of the key frames, ascending.
        time_base: Seconds of a tick.
    """

    times: list[int]
    keys: list[tuple[int, int]]
    time_base: Fraction

    def split(self, seconds: float, warm_frames: int) -> list[Span]:
        """Cut at key frames into parts of at least so many seconds; the last may be shorter."""
        borders = [self.times[0]]
        for key, _ in self.keys:
            if (key - borders[-1]) * self.time_base >= seconds:
                borders.append(key)
        places = [*(bisect_left(self.times, border) for border in borders), len(self.times)]
        return [self._span(first, behind, warm_frames) for first, behind in pairwise(places)]

    def _span(self, first: int, behind: int, warm_frames: int) -> Span:
        warm = max(0, first - warm_frames)
        before = [key for key in self.keys if key[0] <= self.times[warm]]
        return Span(
            origin=self.times[0],
            key=before[-1] if before else (self.times[0], self.times[0]),
            warm=self.times[warm],
            start=self.times[first],
            end=self.times[behind] if behind < len(self.times) else None,
            warm_frames=first - warm,
            frames=behind - first,
        )


def read_index(path: Path, file: BinaryIO | None = None) -> VideoIndex | None:
    """Read through a video without decoding it; None where it cannot be cut.

    Args:
        path: A video file that `VideoSource` opened without an error.
        file: Where it lies elsewhere: its bytes, seekable; left open.

    Raises:
        SourceError: It is damaged.
    """
    with open_container(path, file) as container:
        stream = container.streams.video[0]
        if not _INDEXED_FORMATS & set(container.format.name.split(",")):
            return None
        times: list[int] = []
        keys: list[tuple[int, int]] = []
        try:
            for packet in container.demux(stream):
                if packet.size == 0 or packet.is_discard:
                    continue
                if packet.pts is None:
                    return None
                times.append(packet.pts)
                if packet.is_keyframe:
                    keys.append((packet.pts, packet.pts if packet.dts is None else packet.dts))
        except av.error.FFmpegError as error:
            raise broken_off(str(path), len(times), None, f" ({error.strerror})") from error
        if not keys or len(set(times)) != len(times) or stream.time_base is None:
            return None
        return VideoIndex(sorted(times), sorted(keys), stream.time_base)


class VideoSpan(VideoSource):
    """The frames of one span, numbered from 0; those before its start have the number -1.

    Args:
        path: The video.
        span: Which part, from `VideoIndex.split`.
        file: Where it lies elsewhere: its bytes, seekable, closed with the source.

    Raises:
        SourceError: The part cannot be decoded.
    """

    def __init__(self, path: Path, span: Span, *, file: BinaryIO | None = None) -> None:
        self._span = span
        super().__init__(path, file=file)
        self._start_pts = span.origin
        self._start_s = float((span.start - span.origin) * (self._stream.time_base or 0))
        self.frame_count = span.frames

    def read(self) -> Frame | None:
        """Return the next frame."""
        frame = super().read()
        if frame is None or frame.pts_s is None or frame.pts_s >= self._start_s:
            return frame
        self._index = 0  # the numbers begin with the part itself
        return replace(frame, index=-1)

    def _decode(self) -> Generator[av.VideoFrame, None, None]:
        span = self._span
        for decoded in self._decode_from_key():
            if span.end is not None and (decoded.pts or 0) >= span.end:
                return
            if (decoded.pts or 0) >= span.warm:
                yield decoded

    def _decode_from_key(self) -> Generator[av.VideoFrame, None, None]:
        """Decode from a frame that is not behind the one wanted."""
        if self._span.warm > self._span.origin:
            # Some formats are sought by the one time, some by the other.
            for ticks in self._span.key:
                self._container.seek(ticks, stream=self._stream)
                decoding = super()._decode()
                first = next(decoding, None)
                if first is not None and first.pts is not None and first.pts <= self._span.warm:
                    yield first
                    yield from decoding
                    return
                decoding.close()
            self._container.seek(0)
        yield from super()._decode()
