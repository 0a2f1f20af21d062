"""A thread that reads one opened source, and can be left behind where a driver never returns."""

from __future__ import annotations

import threading
from collections.abc import Callable

from dayshift.runtime.frame import Frame
from dayshift.runtime.sources.base import CorruptFrame, Source
from dayshift.runtime.streaming.handover import HandOver

# One damaged frame is a bad cable or a lost packet; a second of them is a broken stream.
_DAMAGED_FRAMES = 30


class Reader:
    """Opens a source, reads it to its end and closes it, all on a thread of its own.

    Args:
        open_source: Opens it; may take long.
        capacity: Frames that may wait.
        newest_wins: Whether a new frame takes the place of the oldest where no room is left.

    Attributes:
        frames: Where the frames come out; it ends with the source.
        error: Why it ended, None at a good end; set before `frames` ends.
        damaged: How many frames could not be decoded.
    """

    def __init__(
        self, open_source: Callable[[], Source], *, capacity: int, newest_wins: bool
    ) -> None:
        self.frames: HandOver[Frame] = HandOver(capacity, newest_wins=newest_wins)
        self.error: Exception | None = None
        self.damaged = 0
        self._open = open_source
        self._source: Source | None = None
        self._thread = threading.Thread(target=self._run, name="dayshift-read", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether the thread is still at it, perhaps stuck in a driver."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def leave(self) -> None:
        """Take no more frames; the thread closes the source as soon as its read returns."""
        self.frames.cancel()
        source = self._source
        if source is not None:
            source.stop()

    def join(self, timeout_s: float) -> bool:
        """Wait until the source is closed; False where that takes longer."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._source = self._open()
            try:
                self._read_all(self._source)
            finally:
                self._source.close()
        except Exception as error:  # told by whoever takes the frames
            # Its traceback would hold this reader, and that the source and a frame, until the
            # garbage collector comes by: megabytes for every outage.
            self.error = error.with_traceback(None)
        finally:
            self._source = None
            self.frames.end()

    def _read_all(self, source: Source) -> None:
        damaged_in_a_row = 0
        while not self.frames.is_ended:
            try:
                frame = source.read()
            except CorruptFrame:
                self.damaged += 1
                damaged_in_a_row += 1
                if damaged_in_a_row > _DAMAGED_FRAMES:
                    raise
                continue
            damaged_in_a_row = 0
            if frame is None or not self.frames.put(frame):
                return
