"""A recording in pieces, for weeks: `segments://DIR?seconds=600&keep=N`.

Every piece is a complete video with a name from the clock. The oldest ones go where `keep` says how
many may stay, so that a disk does not fill.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

from dayshift.runtime.errors import SinkError
from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.provenance.mark import Mark
from dayshift.runtime.sinks.base import Sink, make_folder
from dayshift.runtime.sinks.video import VideoSink

# Also of what a killed process left behind, which a player still takes: a piece like any other.
_NAME = re.compile(r"segment-(\d{8}-\d{6})(?:-(\d+))?(?:\.recording-(\d+))?\.mp4")

_log = logging.getLogger(__name__)


class SegmentSink(Sink):
    """Videos of at most so many seconds, one after the other.

    Args:
        folder: Where they go; created where missing.
        seconds: How long each is.
        keep: How many may stay besides the one at work; None keeps all.
        fps: Nominal rate, and the time axis of frames that have no time of their own.
        mark: Put into every file; None leaves them unmarked.
        clock: Seconds that only grow.

    Raises:
        SinkError: The folder cannot be created.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seconds: float = 600.0,
        keep: int | None = None,
        fps: Fraction | None = None,
        mark: Mark | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = f"segments {folder}"
        self._folder = folder
        self._seconds = seconds
        self._keep = keep
        self._fps = fps
        self._mark = mark
        self._clock = clock
        self._video: VideoSink | None = None
        self._size: tuple[int, int] | None = None
        self._began_at = 0.0
        self._last = ("", 0)  # time stamp and number of the newest piece's name
        # Signing a long piece takes a second, which the stream does not have.
        self._finisher = ThreadPoolExecutor(1, thread_name_prefix="dayshift-segment")
        self._finishing: list[Future[None]] = []
        make_folder(folder)

    def write(self, image: Pixels, frame: Frame) -> None:
        """Write an image, into a new piece where the last one is long enough or of another size."""
        size = (image.shape[1], image.shape[0])
        is_full = self._clock() - self._began_at >= self._seconds
        if self._video is not None and (is_full or size != self._size):
            self._hand_over(self._video)
            self._video = None
        if self._video is None:
            self._began_at, self._size = self._clock(), size
            self._video = VideoSink(
                self._new_path(), size=size, fps=self._fps, is_recording=True, mark=self._mark
            )
        self._video.write(image, frame)

    def close(self) -> None:
        """Complete the last piece.

        Raises:
            SinkError: One of the pieces could not be completed.
        """
        if self._video is not None:
            self._hand_over(self._video)
            self._video = None
        self._finisher.shutdown(wait=True)
        finishing, self._finishing = self._finishing, []
        for one in finishing:
            one.result()

    def abort(self) -> None:
        """Complete the last piece: what was recorded is wanted whatever happened elsewhere."""
        try:
            self.close()
        except SinkError as error:
            _log.warning("a segment could not be completed: %s", error)

    def _hand_over(self, video: VideoSink) -> None:
        done = [one for one in self._finishing if one.done()]
        self._finishing = [one for one in self._finishing if not one.done()]
        self._finishing.append(self._finisher.submit(self._finish, video))
        for one in done:
            one.result()

    def _finish(self, video: VideoSink) -> None:
        video.close()
        if self._keep is None:
            return
        segments = sorted(
            ((match[1], int(match[2] or 1)), path)
            for path in self._folder.iterdir()
            if (match := _NAME.fullmatch(path.name)) and match[3] != str(os.getpid())
        )
        for _, path in segments[: -self._keep]:
            path.unlink(missing_ok=True)

    def _new_path(self) -> Path:
        stamp = time.strftime("segment-%Y%m%d-%H%M%S")
        taken = {path.name for path in self._folder.iterdir()}
        # Never a number again within a second, though its piece may be gone: they are in order.
        number = self._last[1] + 1 if stamp == self._last[0] else 1
        while any(name.startswith(_stem(stamp, number) + ".") for name in taken):
            number += 1
        self._last = (stamp, number)
        return self._folder / f"{_stem(stamp, number)}.mp4"


def _stem(stamp: str, number: int) -> str:
    return stamp if number == 1 else f"{stamp}-{number}"
