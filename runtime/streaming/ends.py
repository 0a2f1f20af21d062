"""How a run ends: told to whoever listens, files complete or removed, Ctrl-C taken as a wish."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from dayshift.runtime.sinks.base import Sink
from dayshift.runtime.streaming.control import Control, Settings
from dayshift.runtime.streaming.events import Events, State

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def told(events: Events, name: str) -> Iterator[None]:
    """Tell how a run begins and ends."""
    events.tell("stream", name, State.STARTING, f"starting with {name}")
    try:
        yield
    except BaseException as error:
        shown = " ".join(str(error).split()) or type(error).__name__
        events.tell("stream", name, State.FAILED, shown)
        raise
    lost = ", ".join(events.lost_sinks)
    said = f"ended, complete except {lost}" if lost else "ended, everything is complete"
    events.tell("stream", name, State.ENDED, said)


@contextlib.contextmanager
def stopped_by(control: Control, stop: Callable[[], None]) -> Iterator[None]:
    """Let a change of settings end the stream well."""

    def look(settings: Settings) -> None:
        if settings.is_stopping:
            stop()

    unsubscribe = control.subscribe(look)
    try:
        look(control.settings)
        yield
    finally:
        unsubscribe()


@contextlib.contextmanager
def aborted_on_error(sinks: Sequence[Sink]) -> Iterator[None]:
    """Abort every sink when an error passes by, and let it pass."""
    try:
        yield
    except BaseException:
        for sink in sinks:
            try:
                sink.abort()
            except Exception:  # the first error is the one to raise
                _log.warning("aborting %s failed", sink.name, exc_info=True)
        raise


@contextlib.contextmanager
def interrupt_stops(interrupt: Callable[[], bool]) -> Iterator[None]:
    """Let the first Ctrl-C end the stream well; the second one does what it did before.

    Python raises KeyboardInterrupt at any instruction, also between encoding a frame and writing
    it; a handler that only takes a note leaves every file whole. SIGTERM is treated the same where
    the program handles it. Threads other than the main one get no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, stack: FrameType | None) -> None:
        handler = previous[signal.Signals(number)]
        is_again = not interrupt()
        # SIGTERM is only ever a wish: `timeout` sends it twice, to the process and to its group.
        if is_again and number == signal.SIGINT and callable(handler):
            handler(number, stack)

    handled = {number: handler for number, handler in previous.items() if callable(handler)}
    for number in handled:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)
