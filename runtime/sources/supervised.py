"""A live source that heals itself: watched by the age of its frames, opened again when it breaks.

    running --no frame for a while--> stalled --longer--> reconnecting --a frame--> running
       '------------ an error ------------------------------^

Frames keep the size of the first one, and their numbers and times go on over every outage, so that
a virtual camera or a recording behind them goes on too.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from dayshift.runtime.errors import SourceError
from dayshift.runtime.frame import Frame
from dayshift.runtime.sources.base import Source
from dayshift.runtime.sources.rate import RateWatch
from dayshift.runtime.sources.reader import Reader
from dayshift.runtime.streaming.backoff import Backoff
from dayshift.runtime.streaming.events import Events, State
from dayshift.runtime.streaming.handover import HandOver

_QUEUED_FRAMES = 4
# Drivers that never return keep their thread; a third one would be of no more use.
_MAX_STUCK = 2


@dataclass(frozen=True)
class Watch:
    """When a source is taken for stalled, and how it is opened again.

    Attributes:
        stalled_after_s: Without a frame for so long; never less than ten frame times.
        reopen_after_s: Stalled for so long.
        open_timeout_s: How long an attempt may take until its first frame.
        give_up_after_s: End the stream after so long without a frame; None never does.
        backoff: Between attempts.
        close_timeout_s: How long `close` waits for a driver that does not return.
    """

    stalled_after_s: float = 2.0
    reopen_after_s: float = 3.0
    open_timeout_s: float = 15.0
    give_up_after_s: float | None = None
    backoff: Backoff = dataclasses.field(default_factory=Backoff)
    close_timeout_s: float = 1.0


class SupervisedSource(Source):
    """Gives the frames of a live source, whatever happens to it.

    Args:
        first: The source, open; closed and opened again by this one.
        events: Told of every stall, attempt and recovery.
        watch: When and how.
        keeps_every: Hand over all frames in order, as far as a short queue goes, instead of the
            newest.
    """

    is_live = True

    def __init__(
        self,
        first: Source,
        events: Events,
        watch: Watch | None = None,
        *,
        keeps_every: bool = False,
    ) -> None:
        self.name, self.size = first.name, first.size
        self.fps: Fraction | None = first.fps
        self.frame_count = first.frame_count
        self._source = first
        self._events = events
        self._watch = watch or Watch()
        period_s = float(1 / first.fps) if first.fps else 0.0
        self._stalled_after_s = max(self._watch.stalled_after_s, 10 * period_s)
        self._keeps_every = keeps_every
        self._stopped: HandOver[None] = HandOver(1)
        self._stuck: list[Reader] = []
        self._state = State.STARTING
        self._lost_at = 0.0
        self._attempt = 0
        self._next_index, self._offset = 0, 0
        self._started_at: float | None = None
        self._told_size: tuple[int, ...] | None = None
        self._reader = self._start(lambda: first)

    def read(self) -> Frame | None:
        """Return the next frame, however long that takes; None at a good end, or after `stop`.

        Raises:
            SourceError: The source has been away for longer than it may be.
        """
        while not self._stopped.is_ended:
            reader = self._reader
            if reader.frames.wait_for_item(self._patience_s()):
                frame = reader.frames.get()
                if frame is not None:
                    return self._take(frame)
                if reader.error is None or self._stopped.is_ended:
                    return None
                self._reconnect(str(reader.error))
            elif not self._stopped.is_ended:
                self._miss()
        return None

    def stop(self) -> None:
        """End a read that waits, and all to come."""
        self._stopped.end()
        self._reader.leave()

    def close(self) -> None:
        """Close the source; one that is stuck in its driver closes when that returns."""
        self.stop()
        for reader in (self._reader, *self._stuck):
            reader.join(self._watch.close_timeout_s)

    def _start(self, open_source: Callable[[], Source]) -> Reader:
        reader = Reader(
            open_source,
            capacity=_QUEUED_FRAMES if self._keeps_every else 1,
            newest_wins=not self._keeps_every,
        )
        reader.start()
        self._rate = RateWatch(self.fps, self._source.slow_hint)
        return reader

    def _patience_s(self) -> float:
        match self._state:
            case State.STALLED:
                return self._watch.reopen_after_s
            case State.RECONNECTING:
                return self._watch.open_timeout_s
        return self._stalled_after_s

    def _miss(self) -> None:
        """Do what is due when no frame came for as long as patience lasts."""
        if self._state in (State.STARTING, State.RUNNING):
            self._begin_outage(time.perf_counter() - self._stalled_after_s)
            self._tell(State.STALLED, f"no frame for {self._stalled_after_s:.1f} s")
            return
        self._reader.leave()
        self._stuck.append(self._reader)
        self._reconnect(f"no frame for {time.perf_counter() - self._lost_at:.1f} s")

    def _reconnect(self, reason: str) -> None:
        """Wait as long as is due, and begin to open the source again."""
        self._begin_outage(time.perf_counter())
        away_s = time.perf_counter() - self._lost_at
        limit_s = self._watch.give_up_after_s
        if limit_s is not None and away_s >= limit_s:
            raise SourceError(f"{self.name} did not come back within {limit_s:g} s: {reason}")
        self._attempt += 1
        delay_s = self._watch.backoff.delay_s(self._attempt)
        self._tell(
            State.RECONNECTING,
            f"{reason}; trying again in {delay_s:.1f} s (attempt {self._attempt})",
            attempt=self._attempt,
            retry_in_s=delay_s,
        )
        while not self._stopped.wait_for_end(delay_s):
            self._stuck = [reader for reader in self._stuck if reader.is_alive]
            # A device that a stuck thread holds cannot be opened by another one.
            if len(self._stuck) < _MAX_STUCK:
                self._offset = self._next_index
                self._reader = self._start(self._source_again)
                return

    def _source_again(self) -> Source:
        self._source = self._source.reopen()
        return self._source

    def _begin_outage(self, lost_at: float) -> None:
        if self._state in (State.STARTING, State.RUNNING):
            self._lost_at = lost_at
            self._attempt = 0

    def _take(self, frame: Frame) -> Frame:
        if self._state is not State.RUNNING:
            away_s = time.perf_counter() - self._lost_at
            was_away = self._state is not State.STARTING
            self._tell(State.RUNNING, f"back after {away_s:.1f} s" if was_away else "running")
        told = self._rate.note(frame.captured_at)
        if told is not None:
            self._tell(State.RUNNING, told)
        if self._started_at is None:
            self._started_at = frame.captured_at
        index = self._offset + frame.index
        self._next_index = index + 1
        return dataclasses.replace(
            self._fit(frame), index=index, pts_s=frame.captured_at - self._started_at
        )

    def _fit(self, frame: Frame) -> Frame:
        shape = frame.pixels.shape[1::-1]
        if shape == self.size:
            return frame
        if shape != self._told_size:
            self._told_size = shape
            self._tell(
                State.RUNNING,
                f"gives {shape[0]}x{shape[1]} now: scaled to {self.size[0]}x{self.size[1]}",
            )
        from dayshift.runtime.sources.resize import fill_size

        return dataclasses.replace(frame, pixels=fill_size(frame.pixels, self.size))

    def _tell(
        self, state: State, message: str, *, attempt: int = 0, retry_in_s: float | None = None
    ) -> None:
        self._state = state
        self._events.tell(
            "source",
            self.name,
            state,
            message if message.startswith(self.name) else f"{self.name}: {message}",
            attempt=attempt,
            retry_in_s=retry_in_s,
        )
