"""The rate at which frames really come: drivers announce another one in the dark, or over USB 2."""

from __future__ import annotations

from fractions import Fraction

_OVER_S = 5.0
_TOLERANCE = 0.85


class RateWatch:
    """Measures frames per second, and says once where that is less than what was announced.

    Args:
        announced: Frames per second by the driver, None where it says nothing.
        hint: What may be behind a lower rate, and what helps; empty where that is not known.

    Attributes:
        fps: Over the last full five seconds; None before.
    """

    def __init__(self, announced: Fraction | None, hint: str = "") -> None:
        self.fps: float | None = None
        self._announced = float(announced) if announced else None
        self._hint = f": {hint}" if hint else ""
        self._since: float | None = None
        self._count = 0
        self._is_low = False

    def note(self, captured_at: float) -> str | None:
        """Count a frame; return what is to be told, which is rarely anything.

        Args:
            captured_at: `perf_counter` seconds.
        """
        if self._since is None:
            self._since = captured_at
        elapsed_s = captured_at - self._since
        if elapsed_s < _OVER_S:
            self._count += 1
            return None
        self.fps = self._count / elapsed_s
        self._since, self._count = captured_at, 1
        was_low = self._is_low
        self._is_low = self._announced is not None and self.fps < _TOLERANCE * self._announced
        if self._is_low == was_low:
            return None
        if not self._is_low:
            return f"gives {self.fps:.1f} frames/s again"
        return f"gives {self.fps:.1f} frames/s where {self._announced:g} are announced{self._hint}"
