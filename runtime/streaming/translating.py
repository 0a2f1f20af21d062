"""The translate thread: it takes frames from the capture thread and hands translations over.

Under `latest` a frame is taken only when its result has a place to go: taken earlier, it would grow
old waiting for a slow sink.

A model with several lanes has as many translate threads under `every`, and each also reads its
frames: from the decoder to the image a frame stays with one thread. Results keep their order.
"""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass

from dayshift.runtime.stream_memory import Memory
from dayshift.runtime.streaming.adaptive import Governor, Step, translate_scaled
from dayshift.runtime.streaming.capture import QUEUED_FRAMES, Capture, Captured
from dayshift.runtime.streaming.control import Control
from dayshift.runtime.streaming.events import State
from dayshift.runtime.streaming.handover import HandOver
from dayshift.runtime.streaming.translator import Translated, Translator, follow


@dataclass(frozen=True, eq=False)
class Result:
    """A frame and its translation.

    Attributes:
        captured: The frame.
        queue_age_ms: How long it waited for the model.
        translation: None repeats the last image: the stream is frozen.
    """

    captured: Captured
    queue_age_ms: float
    translation: Translated | None


class Translating:
    """Translates what is captured, on threads of its own, from `start` until the last frame.

    Args:
        capture: Where frames come from.
        model: Used by the threads until they have ended.
        control: Whose strength, lamps and freeze are followed.
        governor: Decides on size and skips under the adaptive policy.

    Attributes:
        results: Where the results come out.
        error: What the model raised, set before `results` ends.
        skipped: Frames that the governor left out.
    """

    def __init__(
        self, capture: Capture, model: Translator, control: Control, governor: Governor | None
    ) -> None:
        latest = capture.policy == "latest"
        self.results: HandOver[Result] = HandOver(1 if latest else QUEUED_FRAMES)
        self.error: BaseException | None = None
        self.skipped = 0
        self._capture = capture
        self._model = model
        self._control = control
        self._governor = governor
        self._full_precision = model.precision_requested
        self._has_translated = False
        self._memory = Memory()
        self._busy_since: dict[int, float] = {}  # by thread
        self._taking = threading.Lock()
        self._turns = itertools.count()
        self._turn = 0  # of the next result to hand over
        self._turn_changed = threading.Condition()
        lanes = 1 if latest else model.lanes
        self._working = lanes
        self._threads = [
            threading.Thread(target=self._run, name="dayshift-translate", daemon=True)
            for _ in range(lanes)
        ]

    @property
    def step(self) -> Step:
        """The step of the adaptive policy; the top one without it."""
        return self._governor.step if self._governor is not None else Step()

    @property
    def busy_s(self) -> float:
        """How long the model has been at the oldest frame that it has; 0 where it has none."""
        since = min(tuple(self._busy_since.values()), default=None)
        return 0.0 if since is None else time.perf_counter() - since

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def end(self, timeout_s: float | None) -> bool:
        """Stop at once and wait; False where the model has not returned within `timeout_s`."""
        self.results.cancel()
        self._capture.cancel()
        for thread in self._threads:
            thread.join(timeout_s)
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        try:
            while self.results.wait_for_room():
                with self._taking:
                    captured = self._take()
                    turn = next(self._turns)
                if captured is None:
                    break
                self._put_in_turn(turn, self._translate(captured))
        except KeyboardInterrupt:
            self._capture.end()
        except BaseException as error:  # raised again by whoever takes the results
            self.error = error
            self._capture.cancel()
            self.results.cancel()
        finally:
            if self._capture.error is not None:
                self.results.cancel()
            self._leave()

    def _put_in_turn(self, turn: int, result: Result) -> None:
        """Hand a result over after those of all earlier frames."""
        with self._turn_changed:
            self._turn_changed.wait_for(lambda: self._turn == turn or self.results.is_ended)
            self.results.put(result)
            self._turn += 1
            self._turn_changed.notify_all()

    def _leave(self) -> None:
        """End the results with the last translate thread; wake those that wait for a lost turn."""
        with self._turn_changed:
            self._working -= 1
            if self._working == 0:
                self.results.end()
            self._turn_changed.notify_all()

    def _take(self) -> Captured | None:
        captured = self._capture.frames.get()
        if self._governor is not None:
            while captured is not None and self._governor.skips(captured.frame.captured_at):
                self.skipped += 1
                captured = self._capture.frames.get()
        return captured

    def _translate(self, captured: Captured) -> Result:
        started_at = time.perf_counter()
        queue_age_ms = max(0.0, (started_at - captured.ready_at) * 1e3)
        settings = self._control.settings
        if settings.is_frozen and self._has_translated:
            return Result(captured, queue_age_ms, None)
        follow(self._model, settings)
        thread = threading.get_ident()
        self._busy_since[thread] = started_at
        try:
            translation = translate_scaled(
                self._model, captured.frame.pixels, self.step.scale, self._memory
            )
        finally:
            del self._busy_since[thread]
        self._has_translated = True
        self._govern(started_at)
        return Result(captured, queue_age_ms, translation)

    def _govern(self, started_at: float) -> None:
        if self._governor is None:
            return
        before, now = self.step, time.perf_counter()
        told = self._governor.note(now, now - started_at)
        if told is None:
            return
        self._control.events.tell("policy", "adaptive", State.RUNNING, f"adaptive: {told}")
        if self.step.precision != before.precision:
            self._control.change(precision=self.step.precision or self._full_precision)
