"""Just enough SVG for a report that opens anywhere: shapes, text, axes.

Colours are classes of the page's style sheet, so that one drawing serves light and dark screens.
Every mark may carry a title, which browsers show under the pointer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


class Drawing:
    """An SVG element of a fixed size that shrinks with its page."""

    def __init__(self, width: float, height: float, label: str) -> None:
        self.width = width
        self.height = height
        self._label = label
        self._parts: list[str] = []

    def rect(
        self, x: float, y: float, width: float, height: float, kind: str, title: str = ""
    ) -> None:
        """Draw a bar; widths below half a pixel are still seen."""
        shape = f'x="{x:.1f}" y="{y:.1f}" width="{max(0.5, width):.1f}" height="{height:.1f}"'
        self._parts.append(f'<rect class="{kind}" {shape}>{_title(title)}</rect>')

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """Draw a line."""
        ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        self._parts.append(f'<line class="{kind}" {ends}/>')

    def path(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """Draw a line through points."""
        steps = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(f'<polyline class="{kind}" points="{steps}"/>')

    def dot(self, x: float, y: float, radius: float, kind: str, title: str = "") -> None:
        """Draw a point."""
        place = f'cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"'
        self._parts.append(f'<circle class="{kind}" {place}>{_title(title)}</circle>')

    def text(
        self, x: float, y: float, words: str, kind: str = "label", anchor: str = "start"
    ) -> None:
        """Write words; `y` is their middle."""
        place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
        self._parts.append(f'<text class="{kind}" dy="0.35em" {place}>{escape(words)}</text>')

    def render(self) -> str:
        """Return the element."""
        return (
            f'<svg role="img" aria-label="{escape(self._label)}" '
            f'viewBox="0 0 {self.width:g} {self.height:g}" style="max-width:{self.width:g}px">'
            f"{''.join(self._parts)}</svg>"
        )


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>" if text else ""


@dataclass(frozen=True)
class Axis:
    """Maps values to pixels, linearly or by their logarithm.

    Attributes:
        low: the value at `start`.
        high: the value at `end`.
        start: in pixels.
        end: in pixels.
        is_log: by logarithm; values must be positive.
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high, at = self.low, self.high, value
        if self.is_log:
            low, high, at = math.log(low), math.log(high), math.log(max(value, low))
        share = (at - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round values along the axis: 1, 2 and 5 times powers of ten, or even steps."""
        if self.is_log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if len(powers) <= 4 else (1,)
            values = [step * 10.0**power for power in powers for step in steps]
            return [v for v in values if self.low * 0.999 <= v <= self.high * 1.001]
        step = round_step((self.high - self.low) / 6)
        first = math.ceil(self.low / step - 1e-9)
        return [step * i for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def round_step(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, … that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least)) if least > 0 else 1.0
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * 0.999)


def log_axis(values: Sequence[float], start: float, end: float) -> Axis:
    """Return an axis by logarithm that holds all values with a little room."""
    return Axis(min(values) / 1.15, max(values) * 1.15, start, end, is_log=True)


def tick_label(value: float) -> str:
    """Return a tick's value as short as it can be."""
    return f"{value:,.0f}" if value >= 1 and value == int(value) else f"{value:g}"
