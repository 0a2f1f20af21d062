"""A stream from a source through a model to sinks, in threads.

    capture thread --frames--> translate thread --results--> calling thread, which writes the sinks

Both hand-overs are bounded, so that memory is too. Under `latest` a frame is chosen when the model
and the sinks are ready for it, and nothing waits for long; under `every` the slowest of the three
sets the pace of all. The sinks are written by the calling thread: windows belong to the main one.

Healing is not done here: a `SupervisedSource`, a `LiveModel` and a `SinkGroup` each look after
their own, and tell it in the control's events; sinks get placeholders while they are at it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.sinks.base import Sink, StreamStopped
from dayshift.runtime.sources.base import Source
from dayshift.runtime.streaming.adaptive import Governor, make_ladder
from dayshift.runtime.streaming.capture import Capture, Policy, check_policy
from dayshift.runtime.streaming.control import Control
from dayshift.runtime.streaming.ends import aborted_on_error, interrupt_stops, stopped_by, told
from dayshift.runtime.streaming.events import State
from dayshift.runtime.streaming.live_model import LiveModel
from dayshift.runtime.streaming.meter import Delivery, StreamMeter
from dayshift.runtime.streaming.placeholder import draw_placeholder
from dayshift.runtime.streaming.report import Report
from dayshift.runtime.streaming.translating import Result, Translating
from dayshift.runtime.streaming.translator import Translator

Compose = Callable[[Frame, Pixels], Pixels]
OnProgress = Callable[[int, "int | None"], None]
OnDelivery = Callable[[Delivery], None]

_STATUS_S = 1.0
# How long the calling thread waits for an image before it looks around: five placeholders a second
# keep a virtual camera alive.
_PULSE_S = 0.2
# From the wish to stop until the files are completed without what is still on its way.
_GRACE_S = 1.2
# A model that takes longer than this for a frame, and much longer than it used to, is stuck.
_STUCK_S = 5.0
_STUCK_FACTOR = 4.0
_DEFAULT_FPS = 30.0


def run_pipeline(
    source: Source,
    model: Translator,
    sinks: Sequence[Sink],
    *,
    policy: str | None = None,
    rate: float | None = None,
    duration_s: float | None = None,
    max_frames: int | None = None,
    on_progress: OnProgress | None = None,
    on_delivery: OnDelivery | None = None,
    compose: Compose | None = None,
    control: Control | None = None,
) -> Report:
    """Stream until the source ends, the time or frames are up, a window is closed, or Ctrl-C.

    These ends are good: what is on its way is delivered, and files are completed; where somebody
    wants it to stop, within two seconds. A second Ctrl-C, or an error in any thread, aborts:
    unfinished files are removed, and the first error is raised. Source and sinks are closed either
    way.

    Args:
        source: Where frames come from.
        model: Translates them; used by other threads until this returns.
        sinks: Each gets every image, in order.
        policy: `latest` (the newest frame wins, others are dropped), `every`, or `adaptive` (the
            newest wins, and quality gives way to the rate); by default `latest` for a live source
            and `every` for another.
        rate: Frames per second that `adaptive` keeps; the source's own by default.
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
            source, chosen, duration_s=duration_s, max_frames=max_frames, takers=model.lanes
        ) as capture,
    ):
        started_at = time.perf_counter()
        model.warm_up(source.size[1], source.size[0])
        warm_up_s = time.perf_counter() - started_at
        translating = Translating(capture, model, desk, _governor_for(chosen, rate, source, model))
        counts = [count for count in (source.frame_count, max_frames) if count is not None]
        hooks = _Hooks(compose, on_progress, on_delivery, min(counts, default=None), warm_up_s)
        run = _Run(source, capture, translating, model, sinks, desk, hooks)
        with run, stopped_by(desk, run.stop), interrupt_stops(run.interrupt):
            run.deliver()
            for sink in sinks:
                sink.close()
        return run.meter.report(
            frames_in=capture.frames.accepted,
            size=source.size,
            model=model,
            outages=desk.events.outage_count,
        )


def _governor_for(
    policy: Policy | None, rate: float | None, source: Source, model: Translator
) -> Governor | None:
    if policy != "adaptive":
        return None
    cheaper = model.cheaper_precision if isinstance(model, LiveModel) else None
    target_fps = rate or float(source.fps or _DEFAULT_FPS)
    return Governor(target_fps, make_ladder(cheaper_precision=cheaper))


@dataclass(frozen=True)
class _Hooks:
    compose: Compose | None
    on_progress: OnProgress | None
    on_delivery: OnDelivery | None
    expected: int | None
    warm_up_s: float


class _Run:
    """One run, as the calling thread sees it: the others are started on entry and left on exit."""

    def __init__(
        self,
        source: Source,
        capture: Capture,
        translating: Translating,
        model: Translator,
        sinks: Sequence[Sink],
        control: Control,
        hooks: _Hooks,
    ) -> None:
        self.meter = StreamMeter()
        self._source = source
        self._capture = capture
        self._translating = translating
        self._model = model
        self._sinks = sinks
        self._control = control
        self._events = control.events
        self._hooks = hooks
        self._interrupts = 0
        self._stopped_at: float | None = None
        self._last: tuple[Pixels, Frame] | None = None
        self._published_at = float("-inf")
        self._stuck_after_s = max(_STUCK_S, _STUCK_FACTOR * hooks.warm_up_s)
        self._is_stuck = False

    def __enter__(self) -> _Run:
        self._capture.start()
        self._translating.start()
        return self

    def __exit__(self, *_: object) -> None:
        timeout_s = None if self._stopped_at is None else _PULSE_S
        if not self._translating.end(timeout_s):
            said = "the engine has not returned; its frame is lost"
            self._events.tell("engine", "engine", State.STALLED, said)

    def stop(self) -> None:
        """End the stream after what is on its way, if that comes soon."""
        self._stopped_at = self._stopped_at or time.perf_counter()
        self._capture.end()

    def interrupt(self) -> bool:
        """End the stream after what is on its way; False when that was asked for before."""
        self._interrupts += 1
        self.stop()
        return self._interrupts == 1

    def deliver(self) -> None:
        """Write results to the sinks until the last one; raise what a thread raised."""
        results = self._translating.results
        while not self._is_overdue():
            try:
                self._publish()
                if not results.wait_for_item(_PULSE_S):
                    self._look_around()
                    continue
                result = results.get()
                if result is None:
                    break
                self._write(result)
            except KeyboardInterrupt:
                if not self.interrupt():
                    raise
        error = self._capture.error or self._translating.error
        if error is not None:
            raise error

    def _is_overdue(self) -> bool:
        return self._stopped_at is not None and time.perf_counter() - self._stopped_at > _GRACE_S

    def _write(self, result: Result) -> None:
        frame = result.captured.frame
        started_at = time.perf_counter()
        image = self._image_of(result)
        self._give(image, frame)
        if self._last is None:
            self._events.tell("stream", self._source.name, State.RUNNING, "first image")
        if self._is_stuck:
            self._is_stuck = False
            self._events.tell("engine", "engine", State.RUNNING, "the engine translates again")
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

    def _give(self, image: Pixels, frame: Frame) -> None:
        for sink in self._sinks:
            try:
                sink.write(image, frame)
            except StreamStopped:
                self.stop()

    def _image_of(self, result: Result) -> Pixels:
        if result.translation is None:
            assert self._last is not None, "a stream is frozen after its first translation"
            return self._last[0]
        image = result.translation.image
        if self._hooks.compose is not None:
            image = self._hooks.compose(result.captured.frame, image)
        return image

    def _look_around(self) -> None:
        """Do what is due when no image came: see why, and keep the sinks going."""
        if self._capture.is_overdue:  # a camera that is away must not outstay its time
            self._capture.end()
        if self._source.is_live and not self._is_stuck:
            busy_s = self._translating.busy_s
            if busy_s > self._stuck_after_s:
                self._is_stuck = True
                said = f"the engine has been at one frame for {busy_s:.1f} s"
                self._events.tell("engine", "engine", State.STALLED, said)
        state = self._events.state
        if state in (State.STALLED, State.RECONNECTING) and self._stopped_at is None:
            self._give_placeholder(state)

    def _give_placeholder(self, state: State) -> None:
        now = time.perf_counter()
        image, frame = self._last or (None, None)
        size = self._source.size
        text = f"{state} {self._events.outage_s or 0:.0f} s"
        picture = draw_placeholder(image, size, text)
        if frame is None:
            placeholder = Frame(picture, 0, now, 0.0, is_placeholder=True)
        else:
            pts_s = None if frame.pts_s is None else frame.pts_s + now - frame.captured_at
            placeholder = replace(frame, captured_at=now, pts_s=pts_s, is_placeholder=True)
        self._give(picture, placeholder)
        self.meter.frames_placeholder += 1

    def _publish(self) -> None:
        """Tell how the stream does, about once a second."""
        now = time.perf_counter()
        if now - self._published_at < _STATUS_S:
            return
        self._published_at = now
        frames, step = self._capture.frames, self._translating.step
        self._control.publish(
            self.meter.status(
                events=self._events,
                source_name=self._source.name,
                frames_in=frames.accepted,
                frames_dropped=frames.dropped + self._translating.skipped,
                size=self._source.size,
                model=self._model,
                step="" if step.is_full else str(step),
            )
        )
