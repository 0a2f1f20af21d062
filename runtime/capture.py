"""The capture thread: it reads a source and hands its frames over, by a policy.

`latest` keeps only the newest frame: what comes out is never old, and frames that find no taker are
dropped. A source that is not live is then played at the speed of its own timestamps. `every` hands
over all frames and makes the source wait.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from dataclasses import dataclass
from typing import Literal

from dayshift.runtime.errors import UsageError
from dayshift.runtime.frame import Frame
from dayshift.runtime.handover import HandOver
from dayshift.runtime.sources.base import Source

Policy = Literal["latest", "every"]

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


class Capture:
    """Reads `source` on a thread of its own, from `start` until the end of source, time or frames.

    A context manager: on exit the thread is stopped, at most one read later, and the source closed.

    Args:
        source: Read by the thread until exit.
        policy: None takes `latest` for a live source and `every` for another.
        duration_s: Stop after this many seconds.
        max_frames: Stop after this many frames.

    Attributes:
        policy: The one in use.
        frames: Where the frames come out. Ending it stops the thread.
        error: What the source raised, set before `frames` ends.
    """

    def __init__(
        self,
        source: Source,
        policy: Policy | None,
        *,
        duration_s: float | None = None,
        max_frames: int | None = None,
    ) -> None:
        self.policy = policy or ("latest" if source.is_live else "every")
        self.error: BaseException | None = None
        latest = self.policy == "latest"
        self.frames: HandOver[Captured] = HandOver(
            1 if latest else QUEUED_FRAMES, newest_wins=latest
        )
        self._source = source
        self._is_played = latest and not source.is_live
        self._duration_s = float("inf") if duration_s is None else duration_s
        self._max_frames = float("inf") if max_frames is None else max_frames
        self._thread = threading.Thread(target=self._run, name="dayshift-capture", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self.frames.cancel()
        if self._thread.ident is not None:
            self._thread.join()
        # Never while the thread reads: Ctrl-C may have ended the join.
        self._source.close()

    def _run(self) -> None:
        try:
            self._read_all()
        except BaseException as error:  # raised again by whoever takes the frames
            # A source that fails after the end, or after another error, is of no interest.
            if not self.frames.is_ended:
                self.error = error
                self.frames.cancel()
        finally:
            self.frames.end()

    def _read_all(self) -> None:
        started_at = time.perf_counter()
        while self.frames.accepted < self._max_frames:
            frame = self._source.read()
            now = time.perf_counter()
            if frame is None or now - started_at >= self._duration_s:
                return
            captured = Captured(frame, (now - frame.captured_at) * 1e3)
            if self._is_played and frame.pts_s is not None:
                captured = self._play(captured, started_at + frame.pts_s)
            if not self.frames.put(captured):
                return

    def _play(self, captured: Captured, due_at: float) -> Captured:
        """Hold a frame back until it is due: a camera would deliver it then."""
        self.frames.wait_for_end(due_at - time.perf_counter())
        frame = dataclasses.replace(captured.frame, captured_at=time.perf_counter())
        return Captured(frame, captured.capture_ms)


def check_policy(policy: str | None) -> Policy | None:
    """Return `policy`, which may be None: the source decides then.

    Raises:
        UsageError: There is no such policy.
    """
    match policy:
        case None | "latest" | "every":
            return policy
    raise UsageError(f"there is no policy {policy!r}: expected latest or every")
