"""H.264 in MP4, encoded by PyAV (FFmpeg and x264), as every browser and player takes it.

Pixels are 4:2:0, which needs even sides: an image with an odd one gets its last column or row
twice, and the file's comment tells the true size. Times are those of the frames, so that dropped
frames and variable rates keep the real time axis.

A recording is written in fragments of half a second: it plays up to the last one wherever it breaks
off, by a crash or a cable pulled. Completed, it is an ordinary MP4 without fragments.
"""

from __future__ import annotations

import contextlib
import logging
from fractions import Fraction
from pathlib import Path

import numpy as np

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import SinkError
from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.provenance.mark import Mark
from dayshift.runtime.provenance.marking import sign_video, tag_video
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
TIME_BASE = Fraction(1, 90_000)
# At 2560x720 on two cores, crf 20: superfast 35 ms of CPU time a frame at 46.7 dB, without B-frames
# 25 ms at 47.2 dB and 5 % more bytes; veryfast 64 ms at 45.5 dB and 30 % fewer; ultrafast 14 ms at
# 46.3 dB and 40 % more.
_X264 = {"preset": "superfast", "crf": "20", "bf": "0"}
# The index goes to the front, so that a browser plays before it has everything.
WHOLE_FILE = {"movflags": "+faststart"}
# Every fragment is one write, so that a kill leaves no half of one: of 12 recordings killed at
# random all were read without an error. FFmpeg's own file writer cuts at 32 KiB.
_FRAGMENTED = {
    "movflags": "+hybrid_fragmented+frag_keyframe",
    "frag_duration": "500000",  # microseconds
    "flush_packets": "1",
}
_LARGEST_WRITE_BYTES = 4 << 20
_BT709 = 1  # primaries and transfer of HD cameras (AVCOL_PRI_BT709, AVCOL_TRC_BT709)

_log = logging.getLogger(__name__)


class VideoSink(Sink):
    """A video file that appears under its name when it is complete.

    A sink that was closed before its first image leaves no file.

    Args:
        path: The file; it replaces one that is there, and missing folders are created.
        size: (width, height) that the images must have; None takes the first one's.
        fps: Nominal rate, and the time axis of frames that have no time of their own.
        is_recording: Keep what is written, whatever happens: until it is complete, and for good
            where it is not completed, the file is `NAME.recording-PID.mp4` and can be played.
        mark: Put into the file; None leaves it unmarked.
        encoder_threads: On the number depends, in a few bits, what x264 writes; by default it
            follows this machine's cores.

    Raises:
        SinkError: The file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        size: tuple[int, int] | None = None,
        fps: Fraction | None = None,
        is_recording: bool = False,
        mark: Mark | None = None,
        encoder_threads: int | None = None,
    ) -> None:
        self.name = str(path)
        self._size = size
        self._encoder_threads = encoder_threads
        self._fps = fps or DEFAULT_FPS
        self._start_s: float | None = None
        self._last_pts = -1
        self._is_open = True
        self._is_recording = is_recording
        self._mark = mark
        self._stream: av.video.stream.VideoStream | None = None
        self._file = PartialFile(path, is_playable=is_recording)
        self._output: _Fragments | None = None
        try:
            self._container = self._open_container()
        except (av.error.FFmpegError, OSError) as error:
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
            picture.time_base = TIME_BASE
            picture.pts = self._last_pts = max(self._ticks(frame), self._last_pts + 1)
            self._container.mux(stream.encode(picture))
        except (av.error.FFmpegError, OSError) as error:
            raise self._file.failed(error) from error

    @property
    def is_playable(self) -> bool:
        """Whether a recording has a picture so far: of a full disk there is a header alone."""
        try:
            with av.open(f"file:{self._file.part}") as container:
                return next(container.decode(video=0), None) is not None
        except (av.error.FFmpegError, OSError, IndexError):
            return False

    def close(self) -> None:
        """Write what the encoder still holds, mark the file, and give it its name.

        A recording has its name at once, and is then replaced by a signed one, which takes 6 s of
        one core for a gigabyte: a stream is ended faster than that.
        """
        if not self._is_open:
            return
        if self._stream is None:
            self.abort()
            return
        length = 0
        try:
            self._complete()
            if self._mark is not None:
                length = tag_video(self._file.part, self._mark)
        except (av.error.FFmpegError, OSError) as error:
            self.abort()
            raise self._file.failed(error) from error
        self._is_open = False
        if self._mark is not None and not self._is_recording:
            sign_video(self._file.part, self._mark, length)
        self._file.commit()
        if self._mark is not None and self._is_recording:
            sign_video(self._file.path, self._mark, length)

    def abort(self) -> None:
        """Remove the unfinished file; a recording that plays stays under its temporary name."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            self._complete()
        except (av.error.FFmpegError, OSError):
            _log.debug("closing %s failed", self._file.part, exc_info=True)
        if self._is_recording and self.is_playable:
            _log.warning("%s broke off: what there is is in %s", self.name, self._file.part)
        else:
            self._file.discard()

    def _open_container(self) -> av.container.OutputContainer:
        if not self._is_recording:
            # The protocol is named, since FFmpeg would read one from a colon in the name.
            part = f"file:{self._file.part}"
            return av.open(part, mode="w", format="mp4", options=WHOLE_FILE)
        self._output = _Fragments(self._file.part)
        return av.open(
            self._output,
            mode="w",
            format="mp4",
            options=_FRAGMENTED,
            buffer_size=_LARGEST_WRITE_BYTES,
        )

    def _complete(self) -> None:
        """Write what the encoder still holds, and the end of the file."""
        with contextlib.ExitStack() as closing:
            if self._output is not None:
                closing.callback(self._output.close)
            # Before its file, also where the encoder fails: it would write its end as it is freed.
            closing.callback(self._container.close)
            if self._stream is not None:
                self._container.mux(self._stream.encode(None))

    def _add_stream(self, width: int, height: int) -> av.video.stream.VideoStream:
        stream = self._container.add_stream("libx264", rate=self._fps, options=_X264)
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        codec = stream.codec_context
        if self._encoder_threads is not None:
            codec.thread_count = self._encoder_threads
        codec.time_base = TIME_BASE
        # What `_to_yuv420` makes; without the tags, players guess the matrix from the size.
        codec.colorspace, codec.color_range = Colorspace.SMPTE170M, ColorRange.MPEG
        codec.color_primaries = codec.color_trc = _BT709
        comment = [] if self._mark is None else [self._mark.comment]
        if (stream.width, stream.height) != (width, height):
            comment.append(f"true size {width}x{height}")
            _log.warning(
                "%s: %dx%d is written as %dx%d, since H.264 needs even sides",
                *(self.name, width, height, stream.width, stream.height),
            )
        if comment:
            self._container.metadata["comment"] = "; ".join(comment)
        return stream

    def _ticks(self, frame: Frame) -> int:
        time_s = float(frame.index / self._fps) if frame.pts_s is None else frame.pts_s
        if self._start_s is None:
            self._start_s = time_s
        return round((time_s - self._start_s) / TIME_BASE)


class _Fragments:
    """A file that holds whole writes only: of one that fails, as on a full disk, nothing stays."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._error: OSError | None = None
        self.seek = self._file.seek
        self.tell = self._file.tell
        self.close = self._file.close

    def write(self, content: bytes) -> int:
        if self._error is not None:
            raise self._error
        start = self._file.tell()
        try:
            done = 0
            while done < len(content):  # a nearly full disk takes a part first
                done += self._file.write(content[done:])
        except OSError as error:
            self._error = error
            self._file.truncate(start)
            raise
        return done


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
