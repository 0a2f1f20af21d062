"""The policy `adaptive`: keep a stated rate by giving up quality, step by step, and say so.

The ladder goes from the full size over smaller ones to leaving frames out. A step down is taken
when a second of frames shows that the model takes longer than a frame may; a step up is tried when
the estimate leaves a margin, and tried less and less often while it fails.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dayshift.runtime.frame import Pixels
from dayshift.runtime.stream_memory import Memory
from dayshift.runtime.streaming.translator import Translated, Translator

_OVERLOAD = 0.95  # of the time that a frame may take: a step down
_MARGIN = 0.7  # of it, as estimated for the step above: a step up
_LOOK_S = 1.0
_LOOK_EVERY_S = 0.25
_LOOK_FRAMES = 3
_FIRST_TRY_S, _LAST_TRY_S = 5.0, 120.0
_SMALLEST_PX = 16
# The first frames of a step compile and allocate.
_SKIPPED_FRAMES = 2


@dataclass(frozen=True)
class Step:
    """One step of the ladder.

    Attributes:
        scale: Of the frame's sides, for the model; the image has the frame's size again.
        precision: What the model is asked to compute in; None as it does.
        every: Which frames are translated: each (1), every second (2), ...
    """

    scale: float = 1.0
    precision: str | None = None
    every: int = 1

    @property
    def is_full(self) -> bool:
        """Whether nothing is given up."""
        return self == Step()

    def __str__(self) -> str:
        words = [f"{self.scale:.0%} of the size"] if self.scale < 1 else []
        words += [self.precision] if self.precision else []
        words += [f"one frame of {self.every}"] if self.every > 1 else []
        return ", ".join(words) or "full quality"


def make_ladder(*, cheaper_precision: str | None = None) -> tuple[Step, ...]:
    """Return the ladder, from full quality to the least.

    Args:
        cheaper_precision: A faster precision that the model has and does not use, such as int8.
    """
    low = cheaper_precision
    precisions = (Step(precision=low),) if low else ()
    return (
        Step(),
        *precisions,
        Step(0.75, low),
        Step(0.5, low),
        Step(0.5, low, every=2),
        Step(0.5, low, every=3),
    )


class Governor:
    """Decides on the step. It has no clock and no thread: times are given to it.

    Args:
        target_fps: The rate to keep.
        ladder: From full quality to the least.

    Attributes:
        step: Where it is now.
    """

    def __init__(self, target_fps: float, ladder: Sequence[Step]) -> None:
        self._period_s = 1 / target_fps
        self._ladder = tuple(ladder)
        self._position = 0
        self._work: deque[tuple[float, float]] = deque(maxlen=512)
        self._ignored = 0
        self._looked_at = float("-inf")
        self._changed_at: float | None = None
        self._rose_at: float | None = None
        self._try_after_s = _FIRST_TRY_S
        self._taken_at: float | None = None

    @property
    def step(self) -> Step:
        """Where it is now."""
        return self._ladder[self._position]

    def skips(self, captured_at: float) -> bool:
        """Say whether a frame is to be left out; one that is not counts as taken.

        Args:
            captured_at: `perf_counter` seconds.
        """
        # Half a period early is not too early: cameras do not keep time to the millisecond.
        due_s = (self.step.every - 0.5) * self._period_s
        early = self._taken_at is not None and captured_at - self._taken_at < due_s
        if early and self.step.every > 1:
            return True
        self._taken_at = captured_at
        return False

    def note(self, now: float, work_s: float) -> str | None:
        """Learn what a frame took; return what is to be told where the step changes.

        Args:
            now: Seconds, never less than before.
            work_s: What the model took for the frame.
        """
        if self._changed_at is None:
            self._changed_at = now
        if self._ignored < _SKIPPED_FRAMES:
            self._ignored += 1
            return None
        self._work.append((now, work_s))
        if now - self._work[0][0] < _LOOK_S or len(self._work) < _LOOK_FRAMES:
            return None
        if now - self._looked_at < _LOOK_EVERY_S:
            return None
        self._looked_at = now
        while len(self._work) > _LOOK_FRAMES and now - self._work[0][0] > 2 * _LOOK_S:
            self._work.popleft()
        # One late frame is the machine's, not the step's.
        typical_s = float(np.percentile([seconds for _, seconds in self._work], 75))
        if typical_s > _OVERLOAD * self._period_s * self.step.every:
            return self._go_down(now, typical_s)
        return self._go_up(now, typical_s)

    def _go_down(self, now: float, typical_s: float) -> str | None:
        if self._position + 1 == len(self._ladder):
            return None
        if self._rose_at is not None and now - self._rose_at < 2 * self._try_after_s:
            self._try_after_s = min(_LAST_TRY_S, 2 * self._try_after_s)
        self._move(now, +1)
        limit_ms = self._period_s * 1e3
        return f"{self.step}: a frame took {typical_s * 1e3:.0f} ms of {limit_ms:.0f} ms"

    def _go_up(self, now: float, typical_s: float) -> str | None:
        assert self._changed_at is not None, "set by the first frame"
        waited_s = now - self._changed_at
        if self._position == 0:
            if waited_s > 2 * self._try_after_s:
                self._try_after_s = _FIRST_TRY_S
            return None
        above = self._ladder[self._position - 1]
        expected_s = typical_s * (above.scale / self.step.scale) ** 2
        has_margin = expected_s < _MARGIN * self._period_s * above.every
        if waited_s < self._try_after_s or not has_margin:
            return None
        self._move(now, -1)
        self._rose_at = now
        return f"{self.step}: there is time again"

    def _move(self, now: float, by: int) -> None:
        self._position += by
        self._changed_at = now
        self._ignored = 0
        self._work.clear()


def translate_scaled(model: Translator, frame: Pixels, scale: float, memory: Memory) -> Translated:
    """Translate a frame at a part of its size; the image has its full size.

    Args:
        model: Translates it.
        frame: uint8 BGR (H, W, 3).
        scale: Of its sides, at most 1.
        memory: Of the stream.
    """
    height, width = frame.shape[:2]
    small_wh = (max(_SMALLEST_PX, int(width * scale)), max(_SMALLEST_PX, int(height * scale)))
    if scale >= 1 or small_wh[0] >= width or small_wh[1] >= height:
        return model.translate(frame, memory)
    import cv2

    started_at = time.perf_counter()
    small = np.asarray(cv2.resize(frame, small_wh, interpolation=cv2.INTER_AREA), np.uint8)
    shrunk_at = time.perf_counter()
    inner = model.translate(small, memory)
    translated_at = time.perf_counter()
    image = np.asarray(cv2.resize(inner.image, (width, height)), np.uint8)
    return _Enlarged(
        image,
        inner.preprocess_ms + (shrunk_at - started_at) * 1e3,
        inner.infer_ms,
        inner.postprocess_ms + (time.perf_counter() - translated_at) * 1e3,
    )


@dataclass(frozen=True)
class _Enlarged:
    image: Pixels
    preprocess_ms: float
    infer_ms: float
    postprocess_ms: float
