"""A recording in pieces, for weeks: `segments://DIR?seconds=600&keep=N`.

Every piece is a complete video with a name from the clock. The oldest ones go where `keep` says how
many may stay, so that a disk does not fill. Where it is full all the same, space may come back: a
new piece is tried now and then, for a day.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dayshift.runtime.errors import SinkError
from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.provenance.mark import Mark
from dayshift.runtime.sinks.base import Sink, make_folder
from dayshift.runtime.sinks.video import VideoSink

# Also of what a killed process left behind, which a player still takes: a piece like any other.
_NAME = re.compile(r"segment-(\d{8}-\d{6})(?:-(\d+))?(?:\.recording-\d+)?\.mp4")

_RETRY_S = 30.0  # until the next piece is tried; one that lasted as long is a good one
_GIVE_UP_S = 86_400.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Gap:
    """A time in which nothing is recorded, in the clock's seconds."""

    since: float
    retry_at: float


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
        self._is_proven = False  # something was recorded: the place is right
        self._gap: _Gap | None = None
        self._gaps_s = 0.0
        self._at_work: set[str] = set()  # stems of the pieces that are not complete
        self._last = ("", 0)  # time stamp and number of the newest piece's name
        # Signing a long piece takes a second, which the stream does not have.
        self._finisher = ThreadPoolExecutor(1, thread_name_prefix="dayshift-segment")
        self._finishing: list[Future[None]] = []
        make_folder(folder)

    def write(self, image: Pixels, frame: Frame) -> None:
        """Write an image, into a new piece where the last one is long enough or of another size.

        Images are left out while nothing can be written; that is logged.

        Raises:
            SinkError: Nothing can be written from the start, or for a day nothing could.
        """
        now = self._clock()
        if self._gap is not None and now < self._gap.retry_at:
            return
        try:
            self._write(image, frame, now)
        except SinkError as error:
            self._miss(error, now)
        if self._gap is not None and now >= self._gap.retry_at + _RETRY_S and self._works():
            self._end_gap(self._gap.retry_at)

    def close(self) -> None:
        """Complete the last piece.

        Raises:
            SinkError: One of the pieces could not be completed, or there are gaps between them.
        """
        if self._video is not None:
            self._hand_over(self._video)
            self._video = None
        self._finisher.shutdown(wait=True)
        finishing, self._finishing = self._finishing, []
        for one in finishing:
            one.result()
        if self._gap is not None:
            self._end_gap(min(self._clock(), self._gap.retry_at))
        gaps_s, self._gaps_s = self._gaps_s, 0.0
        if gaps_s:
            raise SinkError(f"{self.name} has gaps: for {gaps_s:.0f} s nothing could be written")

    def abort(self) -> None:
        """Complete the last piece: what was recorded is wanted whatever happened elsewhere."""
        try:
            self.close()
        except SinkError as error:
            _log.warning("segments are not complete: %s", error)

    def _write(self, image: Pixels, frame: Frame, now: float) -> None:
        size = (image.shape[1], image.shape[0])
        is_full = now - self._began_at >= self._seconds
        if self._video is not None and (is_full or size != self._size):
            self._is_proven = self._is_proven or self._works()
            video, self._video = self._video, None
            self._hand_over(video)
        if self._video is None:
            self._began_at, self._size = now, size
            path = self._new_path()
            self._video = VideoSink(
                path, size=size, fps=self._fps, is_recording=True, mark=self._mark
            )
            self._at_work.add(path.stem)
        self._video.write(image, frame)
        if not self._is_proven and now - self._began_at >= _RETRY_S:
            self._is_proven = self._works()

    def _works(self) -> bool:
        return self._video is not None and self._video.is_playable

    def _miss(self, error: SinkError, now: float) -> None:
        """Leave out images for a while, or give up."""
        video, self._video = self._video, None
        if video is not None:
            self._finishing.append(self._finisher.submit(self._break_off, video))
        gap = self._gap
        if not self._is_proven or (gap is not None and now - gap.since >= _GIVE_UP_S):
            raise error
        if gap is None:
            _log.warning("%s: %s; a new one is tried every %.0f s", self.name, error, _RETRY_S)
        self._gap = _Gap(now if gap is None else gap.since, now + _RETRY_S)

    def _end_gap(self, at: float) -> None:
        assert self._gap is not None
        gap_s, self._gap = at - self._gap.since, None
        self._gaps_s += gap_s
        _log.warning("%s: for %.0f s nothing could be written", self.name, gap_s)

    def _hand_over(self, video: VideoSink) -> None:
        done = [one for one in self._finishing if one.done()]
        self._finishing = [one for one in self._finishing if not one.done()]
        self._finishing.append(self._finisher.submit(self._finish, video))
        for one in done:
            one.result()

    def _finish(self, video: VideoSink) -> None:
        try:
            video.close()
        finally:
            self._remove_oldest(video)

    def _break_off(self, video: VideoSink) -> None:
        video.abort()
        self._remove_oldest(video)

    def _remove_oldest(self, done: VideoSink) -> None:
        self._at_work.discard(Path(done.name).stem)
        if self._keep is None:
            return
        segments = sorted(
            ((match[1], int(match[2] or 1)), path)
            for path in self._folder.iterdir()
            if (match := _NAME.fullmatch(path.name))
            and path.name.partition(".")[0] not in self._at_work
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
