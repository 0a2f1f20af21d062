"""How fast a run goes: images per second, time left, and the share of it spent waiting for data."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

_WINDOW_STEPS = 50


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    Attributes:
        step: steps done, of `steps`.
        epoch: epochs done, a fraction.
        images: images seen by all processes.
        images_per_s: over the last steps; 0 at first.
        wait_share: part of that time spent waiting for data, in [0, 1].
        left_s: seconds to go at this rate; None at first.
        terms: loss terms as they were last looked at.
    """

    step: int
    steps: int
    epoch: float
    images: int
    images_per_s: float
    wait_share: float
    left_s: float | None
    terms: dict[str, float] = field(default_factory=dict)


class Meter:
    """Measures over the last `_WINDOW_STEPS` steps."""

    def __init__(self, images_per_step: int) -> None:
        self._images_per_step = images_per_step
        self._waited_s = self._paused_s = 0.0
        self._marks: deque[tuple[float, float]] = deque(maxlen=_WINDOW_STEPS + 1)
        self._marks.append((time.monotonic(), 0.0))

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time inside, such as a save's, out of the rate."""
        began_at = time.monotonic()
        try:
            yield
        finally:
            self._paused_s += time.monotonic() - began_at

    def waited(self, seconds: float) -> None:
        """Note time spent waiting for data."""
        self._waited_s += seconds

    def step_done(self) -> None:
        """Note the end of a step."""
        self._marks.append((time.monotonic() - self._paused_s, self._waited_s))

    def read(self) -> tuple[float, float]:
        """Return images per second and the share of the time spent waiting."""
        (began_at, waited_before), (now, waited) = self._marks[0], self._marks[-1]
        seconds = now - began_at
        if len(self._marks) < 2 or seconds <= 0:
            return 0.0, 0.0
        rate = (len(self._marks) - 1) * self._images_per_step / seconds
        return rate, min(1.0, (waited - waited_before) / seconds)
