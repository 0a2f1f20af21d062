"""Frames from a source, by a policy.

`latest` keeps only the newest frame: what comes out is never old, and frames that find no taker are
dropped. A source that is not live is then played at the speed of its own timestamps. `every` hands
over all frames and makes the source wait. `adaptive` is `latest` here; see `adaptive.py`.

A thread of its own reads ahead, unless several threads take the frames: then each reads for itself.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from dayshift.runtime.errors import UsageError
from dayshift.runtime.frame import Frame
from dayshift.runtime.sources.base import Source
from dayshift.runtime.streaming.handover import HandOver

Policy = Literal["latest", "every", "adaptive"]

# A few frames are enough to even out decoders and encoders that work in bursts, and at 4K each
# takes 25 MB.
QUEUED_FRAMES = 4


@dataclass(frozen=True, eq=False)
class Captured:
    """A frame, and the milliseconds from its `captured_at` until its pixels were there."""

    frame: Frame
    capture_ms: float

    @property
    def ready_at(self) -> float:
        """`perf_counter` seconds at which its pixels were there."""
        return self.frame.captured_at + self.capture_ms / 1e3


class Frames(Protocol):
    """Where captured frames come out.

    Attributes:
        accepted: How many frames were read.
        dropped: How many of them were replaced by newer ones before they were taken.
    """

    accepted: int
    dropped: int

    @property
    def is_ended(self) -> bool:
        """Whether no more frames are read."""
        ...

    def get(self) -> Captured | None:
        """Wait for the next frame and take it; None after the last."""
        ...

    def end(self) -> None:
        """Read no more frames."""
        ...

    def cancel(self) -> None:
        """Read no more frames and forget those that wait."""
        ...


class Capture:
    """Reads `source`, from `start` until the end of source, time or frames.

    A context manager: on exit its thread is stopped, at most one read later, and the source closed.

    Args:
        source: Read until exit, by one thread at a time.
        policy: None takes `latest` for a live source and `every` for another.
        duration_s: Stop after this many seconds.
        max_frames: Stop after this many frames.
        takers: How many threads take frames. More than one read for themselves, which needs `every`
            as the policy: on few cores, a thread that reads ahead takes the time of the engine's.

    Attributes:
        policy: The one in use, `adaptive` as `latest`.
        frames: Where the frames come out.
        error: What the source raised in the thread, set before `frames` ends.
    """

    def __init__(
        self,
        source: Source,
        policy: Policy | None,
        *,
        duration_s: float | None = None,
        max_frames: int | None = None,
        takers: int = 1,
    ) -> None:
        self.policy = policy_for(source, policy)
        self.error: BaseException | None = None
        latest = self.policy == "latest"
        self._ahead: HandOver[Captured] | None = None
        if takers == 1 or latest:
            self._ahead = HandOver(1 if latest else QUEUED_FRAMES, newest_wins=latest)
        self.frames: Frames = self._ahead or _Pulled(self._next)
        self._source = source
        self._is_played = latest and not source.is_live
        self._duration_s = float("inf") if duration_s is None else duration_s
        self._max_frames = float("inf") if max_frames is None else max_frames
        self._thread = threading.Thread(target=self._run, name="dayshift-capture", daemon=True)

    @property
    def is_overdue(self) -> bool:
        """Whether the time that was given is up, also where a read has been waiting since."""
        return time.perf_counter() - self._started_at >= self._duration_s

    def start(self) -> None:
        """Start reading."""
        self._started_at = time.perf_counter()
        if self._ahead is not None:
            self._thread.start()

    def end(self) -> None:
        """Read no more frames; those that wait still come out. From any thread or handler."""
        self.frames.end()
        self._source.stop()

    def cancel(self) -> None:
        """Read no more frames and forget those that wait."""
        self.frames.cancel()
        self._source.stop()

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()
        if self._thread.ident is not None:
            self._thread.join()
        # Never while the thread reads: Ctrl-C may have ended the join.
        self._source.close()

    def _run(self) -> None:
        assert self._ahead is not None
        try:
            while (captured := self._next()) is not None:
                if self._is_played:
                    captured = self._play(captured, self._ahead)
                if not self._ahead.put(captured):
                    return
        except BaseException as error:  # raised again by whoever takes the frames
            # A source that fails after the end, or after another error, is of no interest.
            if not self._ahead.is_ended:
                self.error = error
                self._ahead.cancel()
        finally:
            self._ahead.end()

    def _next(self) -> Captured | None:
        """Read the next frame; None when the source, the time or the frames are at an end."""
        if self.frames.accepted >= self._max_frames:
            return None
        frame = self._source.read()
        now = time.perf_counter()
        if frame is None or self.is_overdue:
            return None
        return Captured(frame, (now - frame.captured_at) * 1e3)

    def _play(self, captured: Captured, ahead: HandOver[Captured]) -> Captured:
        """Hold a frame back until it is due: a camera would deliver it then."""
        if captured.frame.pts_s is None:
            return captured
        ahead.wait_for_end(self._started_at + captured.frame.pts_s - time.perf_counter())
        frame = dataclasses.replace(captured.frame, captured_at=time.perf_counter())
        return Captured(frame, captured.capture_ms)


class _Pulled:
    """Frames that are read when they are taken. One thread at a time may take them."""

    def __init__(self, read: Callable[[], Captured | None]) -> None:
        self.accepted = 0
        self.dropped = 0
        self.is_ended = False
        self._read = read

    def get(self) -> Captured | None:
        captured = None if self.is_ended else self._read()
        if captured is None:
            self.is_ended = True
        else:
            self.accepted += 1
        return captured

    def end(self) -> None:
        self.is_ended = True

    def cancel(self) -> None:
        self.end()


def policy_for(source: Source, policy: Policy | None) -> Literal["latest", "every"]:
    """Return how frames are handed over: by default `latest` for a live source, else `every`."""
    chosen = policy or ("latest" if source.is_live else "every")
    return "every" if chosen == "every" else "latest"


def check_policy(policy: str | None) -> Policy | None:
    """Return `policy`, which may be None: the source decides then.

    Raises:
        UsageError: There is no such policy.
    """
    match policy:
        case None | "latest" | "every" | "adaptive":
            return policy
    raise UsageError(f"there is no policy {policy!r}: expected latest, every or adaptive")
