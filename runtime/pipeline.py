"""A stream from a source through a model to sinks, in three threads.

    capture thread --frames--> translate thread --results--> calling thread, which writes the sinks

Both hand-overs are bounded, so that memory is too. Under `latest` a frame is chosen when the model
and the sinks are ready for it, and nothing waits for long; under `every` the slowest of the three
sets the pace of all. The sinks are written by the calling thread: windows belong to the main one.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Protocol

from dayshift.runtime.capture import QUEUED_FRAMES, Capture, Captured, check_policy
from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.handover import HandOver
from dayshift.runtime.report import Described, Report, StreamMeter, Timed
from dayshift.runtime.sinks.base import Sink, StreamStopped
from dayshift.runtime.sources.base import Source

_log = logging.getLogger(__name__)

Compose = Callable[[Frame, Pixels], Pixels]
OnProgress = Callable[[int, "int | None"], None]


class Translated(Timed, Protocol):
    """A translated frame: uint8 BGR (H, W, 3), and where the time went."""

    @property
    def image(self) -> Pixels:
        """The translated pixels."""
        ...


class Translator(Described, Protocol):
    """What a pipeline needs of a model. It is used by one thread at a time."""

    def warm_up(self, height: int, width: int) -> None:
        """Compile for a frame size, so that the first frame is as fast as the others."""
        ...

    def translate(self, frame: Pixels) -> Translated:
        """Translate a frame, uint8 BGR (H, W, 3)."""
        ...


def run_pipeline(
    source: Source,
    model: Translator,
    sinks: Sequence[Sink],
    *,
    policy: str | None = None,
    duration_s: float | None = None,
    max_frames: int | None = None,
    on_progress: OnProgress | None = None,
    compose: Compose | None = None,
) -> Report:
    """Stream until the source ends, the time or frames are up, a window is closed, or Ctrl-C.

    These ends are good: what is on its way is delivered, and files are completed. A second Ctrl-C,
    or an error in any thread, aborts: unfinished files are removed, and the first error is raised.
    Source and sinks are closed either way.

    Args:
        source: Where frames come from.
        model: Translates them; used by another thread until this returns.
        sinks: Each gets every image, in order.
        policy: `latest` (the newest frame wins, others are dropped) or `every`; by default `latest`
            for a live source and `every` for another.
        duration_s: Stop after this many seconds.
        max_frames: Stop after this many frames of the source.
        on_progress: Called in this thread after each image, with the number of frames that are
            taken care of, and of those expected where that is known.
        compose: Makes the image for the sinks from the frame and its translation, in this thread.

    Raises:
        DayshiftError: The source broke off, the engine failed, or a sink cannot be written.
        UsageError: There is no such policy; nothing was touched.
    """
    chosen = check_policy(policy)
    with (
        _aborted_on_error(sinks),
        Capture(source, chosen, duration_s=duration_s, max_frames=max_frames) as capture,
    ):
        width, height = source.size
        model.warm_up(height, width)
        counts = [count for count in (source.frame_count, max_frames) if count is not None]
        with _Run(capture, model, sinks) as run, _interrupt_stops(run):
            run.deliver(compose, on_progress, min(counts, default=None))
            for sink in sinks:
                sink.close()
        return run.meter.report(frames_in=capture.frames.accepted, size=source.size, model=model)


@dataclass(frozen=True, eq=False)
class _Result:
    captured: Captured
    translation: Translated


class _Run:
    """The threads of one run: started on entry, the translating one left on exit."""

    def __init__(self, capture: Capture, model: Translator, sinks: Sequence[Sink]) -> None:
        self.meter = StreamMeter()
        self._capture = capture
        self._model = model
        self._sinks = sinks
        self._interrupts = 0
        self._error: BaseException | None = None
        latest = capture.policy == "latest"
        self._results: HandOver[_Result] = HandOver(1 if latest else QUEUED_FRAMES)
        self._thread = threading.Thread(
            target=self._translate_all, name="dayshift-translate", daemon=True
        )

    def __enter__(self) -> _Run:
        self._capture.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._results.cancel()
        self._capture.frames.cancel()
        self._thread.join()

    def interrupt(self) -> bool:
        """End the stream after what is on its way; False when that was asked for before."""
        self._interrupts += 1
        self._capture.frames.end()
        return self._interrupts == 1

    def deliver(
        self, compose: Compose | None, on_progress: OnProgress | None, expected: int | None
    ) -> None:
        """Write results to the sinks until the last one; raise what a thread raised."""
        while True:
            try:
                result = self._results.get()
                if result is None:
                    break
                self._write(result, compose)
                if on_progress is not None:
                    on_progress(result.captured.frame.index + 1, expected)
            except KeyboardInterrupt:
                if not self.interrupt():
                    raise
        error = self._capture.error or self._error
        if error is not None:
            raise error

    def _write(self, result: _Result, compose: Compose | None) -> None:
        frame = result.captured.frame
        started_at = time.perf_counter()
        image = result.translation.image
        if compose is not None:
            image = compose(frame, image)
        for sink in self._sinks:
            try:
                sink.write(image, frame)
            except StreamStopped:
                self._capture.frames.end()
        self.meter.add(
            captured_at=frame.captured_at,
            capture_ms=result.captured.capture_ms,
            translation=result.translation,
            sink_ms=(time.perf_counter() - started_at) * 1e3,
        )

    def _translate_all(self) -> None:
        try:
            # Under `latest` the frame is taken only when its result has a place to go: taken
            # earlier, it would grow old waiting for a slow sink.
            while self._results.wait_for_room():
                captured = self._capture.frames.get()
                if captured is None:
                    break
                translation = self._model.translate(captured.frame.pixels)
                self._results.put(_Result(captured, translation))
        except KeyboardInterrupt:
            self._capture.frames.end()
        except BaseException as error:  # raised again by `deliver`
            self._error = error
            self._capture.frames.cancel()
            self._results.cancel()
        finally:
            if self._capture.error is not None:
                self._results.cancel()
            self._results.end()


@contextlib.contextmanager
def _aborted_on_error(sinks: Sequence[Sink]) -> Iterator[None]:
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
def _interrupt_stops(run: _Run) -> Iterator[None]:
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
        if not run.interrupt() and callable(handler):
            handler(number, stack)

    handled = {number: handler for number, handler in previous.items() if callable(handler)}
    for number in handled:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)
