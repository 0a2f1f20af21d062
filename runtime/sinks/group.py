"""Several sinks as one, of which any may fail without the others."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from dayshift.runtime.errors import SinkError
from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.sinks.base import Sink, StreamStopped
from dayshift.runtime.streaming.events import Events, State

_log = logging.getLogger(__name__)


class SinkGroup(Sink):
    """Delivers to every sink that still works.

    A sink that fails is completed as far as it got, told of, and left out from then on.

    Args:
        sinks: Closed or aborted by this one.
        events: Told of every sink that is lost.

    Attributes:
        failures: Of the sinks that failed so far, in that order.
    """

    name = "sinks"

    def __init__(self, sinks: Sequence[Sink], events: Events) -> None:
        self.failures: list[Exception] = []
        self._sinks = list(sinks)
        self._events = events

    def write(self, image: Pixels, frame: Frame) -> None:
        """Deliver an image to all of them.

        Raises:
            SinkError: The last of them is lost.
            StreamStopped: One of them has ended the stream.
        """
        is_stopped = False
        for sink in tuple(self._sinks):
            try:
                sink.write(image, frame)
            except StreamStopped:
                is_stopped = True
            except Exception as error:  # no sink may take the others down
                self._lose(sink, error)
        if self.failures and not self._sinks:
            raise SinkError(f"no sink is left: {_line(self.failures[-1])}") from self.failures[-1]
        if is_stopped:
            raise StreamStopped

    def close(self) -> None:
        """Complete every sink; those that cannot be completed count as failures."""
        while self._sinks:
            sink = self._sinks.pop(0)
            try:
                sink.close()
            except Exception as error:  # the others are to be completed too
                self._note(sink, error)
                _abort(sink)

    def abort(self) -> None:
        """Leave nothing half written."""
        while self._sinks:
            _abort(self._sinks.pop(0))

    def _lose(self, sink: Sink, error: Exception) -> None:
        self._sinks.remove(sink)
        self._note(sink, error)
        try:
            sink.close()
        except Exception:  # what it failed at, it may fail at again
            _abort(sink)

    def _note(self, sink: Sink, error: Exception) -> None:
        self.failures.append(error)
        self._events.tell("sink", sink.name, State.FAILED, f"{sink.name} is lost: {_line(error)}")


def _abort(sink: Sink) -> None:
    try:
        sink.abort()
    except Exception:  # it is lost already
        _log.warning("aborting %s failed", sink.name, exc_info=True)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
