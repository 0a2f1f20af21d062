"""A stream from a source through a model to sinks, in threads.

    capture thread --frames--> translate thread --results--> calling thread, which writes the sinks

Both hand-overs are bounded, so that memory is too. Under `latest` a frame is chosen when the model
and the sinks are ready for it, and nothing waits for long; under `every` the slowest of the three
sets the pace of all. The sinks are written by the calling thread: windows belong to the main one.

A model with several lanes has as many translate threads under `every`, and each also reads its
frames: from the decoder to the image a frame stays with one thread. Results keep their order.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dayshift.runtime.capture import QUEUED_FRAMES, Capture, Captured, check_policy
from dayshift.runtime.control import Control
from dayshift.runtime.ends import aborted_on_error, interrupt_stops, stopped_by, told
from dayshift.runtime.events import State
from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.handover import HandOver
from dayshift.runtime.meter import Delivery, StreamMeter
from dayshift.runtime.report import Described, Report, Timed
from dayshift.runtime.sinks.base import Sink, StreamStopped
from dayshift.runtime.sources.base import Source

Compose = Callable[[Frame, Pixels], Pixels]
OnProgress = Callable[[int, "int | None"], None]
OnDelivery = Callable[[Delivery], None]

_STATUS_S = 1.0
# How long the calling thread waits for an image before it looks around.
_PULSE_S = 0.2


class Translated(Timed, Protocol):
    """A translated frame: uint8 BGR (H, W, 3), and where the time went."""

    @property
    def image(self) -> Pixels:
        """The translated pixels."""
        ...


class Translator(Described, Protocol):
    """What a pipeline needs of a model. It is used by at most `lanes` threads at a time.

    Attributes:
        strength: How much of the effect, 0 to 1; set before a frame.
    """

    strength: float

    @property
    def lanes(self) -> int:
        """How many frames it translates at a time."""
        ...

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
    on_delivery: OnDelivery | None = None,
    compose: Compose | None = None,
    control: Control | None = None,
) -> Report:
    """Stream until the source ends, the time or frames are up, a window is closed, or Ctrl-C.

    These ends are good: what is on its way is delivered, and files are completed. A second Ctrl-C,
    or an error in any thread, aborts: unfinished files are removed, and the first error is raised.
    Source and sinks are closed either way.

    Args:
        source: Where frames come from.
        model: Translates them; used by other threads until this returns.
        sinks: Each gets every image, in order.
        policy: `latest` (the newest frame wins, others are dropped) or `every`; by default `latest`
            for a live source and `every` for another.
        duration_s: Stop after this many seconds.
        max_frames: Stop after this many frames of the source.
        on_progress: Called in this thread after each image, with the number of frames that are
            taken care of, and of those expected where that is known.
        on_delivery: Called in this thread after each image, with what it took.
        compose: Makes the image for the sinks from the frame and its translation, in this thread.
        control: What is wanted while the stream runs; its events and status are this stream's.

    Raises:
        DayshiftError: The source broke off, the engine failed, or a sink cannot be written.
        UsageError: There is no such policy; nothing was touched.
    """
    chosen = check_policy(policy)
    desk = control or Control()
    with (
        told(desk.events, source.name),
        aborted_on_error(sinks),
        Capture(
            source,
            chosen,
            duration_s=duration_s,
            max_frames=max_frames,
            takers=model.lanes,
        ) as capture,
    ):
        width, height = source.size
        model.warm_up(height, width)
        counts = [count for count in (source.frame_count, max_frames) if count is not None]
        hooks = _Hooks(compose, on_progress, on_delivery, min(counts, default=None))
        run = _Run(source, capture, model, sinks, desk, hooks)
        with run, stopped_by(desk, run.stop), interrupt_stops(run.interrupt):
            run.deliver()
            for sink in sinks:
                sink.close()
        return run.meter.report(frames_in=capture.frames.accepted, size=source.size, model=model)


@dataclass(frozen=True, eq=False)
class _Result:
    captured: Captured
    queue_age_ms: float
    translation: Translated | None  # None repeats the last image


@dataclass(frozen=True)
class _Hooks:
    compose: Compose | None
    on_progress: OnProgress | None
    on_delivery: OnDelivery | None
    expected: int | None


class _Run:
    """The threads of one run: started on entry, the translating ones left on exit."""

    def __init__(
        self,
        source: Source,
        capture: Capture,
        model: Translator,
        sinks: Sequence[Sink],
        control: Control,
        hooks: _Hooks,
    ) -> None:
        self.meter = StreamMeter()
        self._source = source
        self._capture = capture
        self._model = model
        self._sinks = sinks
        self._control = control
        self._hooks = hooks
        self._interrupts = 0
        self._error: BaseException | None = None
        self._last: tuple[Pixels, Frame] | None = None
        self._published_at = float("-inf")
        latest = capture.policy == "latest"
        self._results: HandOver[_Result] = HandOver(1 if latest else QUEUED_FRAMES)
        self._taking = threading.Lock()
        self._turns = itertools.count()
        self._turn = 0  # of the next result to hand over
        self._turn_changed = threading.Condition()
        lanes = 1 if latest else model.lanes
        self._working = lanes
        self._threads = [
            threading.Thread(target=self._translate_all, name="dayshift-translate", daemon=True)
            for _ in range(lanes)
        ]

    def __enter__(self) -> _Run:
        self._capture.start()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._results.cancel()
        self._capture.frames.cancel()
        for thread in self._threads:
            thread.join()

    def stop(self) -> None:
        """End the stream after what is on its way."""
        self._capture.frames.end()

    def interrupt(self) -> bool:
        """End the stream after what is on its way; False when that was asked for before."""
        self._interrupts += 1
        self.stop()
        return self._interrupts == 1

    def deliver(self) -> None:
        """Write results to the sinks until the last one; raise what a thread raised."""
        while True:
            try:
                self._publish()
                if not self._results.wait_for_item(_PULSE_S):
                    continue
                result = self._results.get()
                if result is None:
                    break
                self._write(result)
            except KeyboardInterrupt:
                if not self.interrupt():
                    raise
        error = self._capture.error or self._error
        if error is not None:
            raise error

    def _write(self, result: _Result) -> None:
        frame = result.captured.frame
        started_at = time.perf_counter()
        image = self._image_of(result)
        for sink in self._sinks:
            try:
                sink.write(image, frame)
            except StreamStopped:
                self.stop()
        if self._last is None:
            self._control.events.tell("stream", self._source.name, State.RUNNING, "first image")
        self._last = (image, frame)
        delivery = self.meter.add(
            index=frame.index,
            captured_at=frame.captured_at,
            capture_ms=result.captured.capture_ms,
            queue_age_ms=result.queue_age_ms,
            translation=result.translation,
            sink_ms=(time.perf_counter() - started_at) * 1e3,
        )
        if self._hooks.on_delivery is not None:
            self._hooks.on_delivery(delivery)
        if self._hooks.on_progress is not None:
            self._hooks.on_progress(frame.index + 1, self._hooks.expected)

    def _image_of(self, result: _Result) -> Pixels:
        if result.translation is None:
            assert self._last is not None, "a frame was not translated before the first image"
            return self._last[0]
        image = result.translation.image
        if self._hooks.compose is not None:
            image = self._hooks.compose(result.captured.frame, image)
        return image

    def _publish(self) -> None:
        """Tell how the stream does, about once a second."""
        now = time.perf_counter()
        if now - self._published_at < _STATUS_S:
            return
        self._published_at = now
        frames = self._capture.frames
        self._control.publish(
            self.meter.status(
                events=self._control.events,
                source_name=self._source.name,
                frames_in=frames.accepted,
                frames_dropped=frames.dropped,
                size=self._source.size,
                model=self._model,
            )
        )

    def _translate_all(self) -> None:
        try:
            # Under `latest` the frame is taken only when its result has a place to go: taken
            # earlier, it would grow old waiting for a slow sink.
            while self._results.wait_for_room():
                with self._taking:
                    captured = self._capture.frames.get()
                    turn = next(self._turns)
                if captured is None:
                    break
                self._put_in_turn(turn, self._translate(captured))
        except KeyboardInterrupt:
            self.stop()
        except BaseException as error:  # raised again by `deliver`
            self._error = error
            self._capture.frames.cancel()
            self._results.cancel()
        finally:
            if self._capture.error is not None:
                self._results.cancel()
            self._leave()

    def _put_in_turn(self, turn: int, result: _Result) -> None:
        """Hand a result over after those of all earlier frames."""
        with self._turn_changed:
            self._turn_changed.wait_for(lambda: self._turn == turn or self._results.is_ended)
            self._results.put(result)
            self._turn += 1
            self._turn_changed.notify_all()

    def _leave(self) -> None:
        """End the results with the last translate thread; wake those that wait for a lost turn."""
        with self._turn_changed:
            self._working -= 1
            if self._working == 0:
                self._results.end()
            self._turn_changed.notify_all()

    def _translate(self, captured: Captured) -> _Result:
        queue_age_ms = max(0.0, (time.perf_counter() - captured.ready_at) * 1e3)
        settings = self._control.settings
        if settings.is_frozen and self._last is not None:
            return _Result(captured, queue_age_ms, None)
        if settings.strength is not None and settings.strength != self._model.strength:
            self._model.strength = settings.strength
        return _Result(captured, queue_age_ms, self._model.translate(captured.frame.pixels))
