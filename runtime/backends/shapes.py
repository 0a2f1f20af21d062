"""Ranges of shapes: what one engine takes, and what it is fastest at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dayshift.runtime.backends.base import BuildOptions, Shapes
from dayshift.runtime.errors import BackendError


@dataclass(frozen=True)
class ShapeRange:
    """The shapes of one input that an engine takes, and the one it is fastest at."""

    smallest: tuple[int, ...]
    best: tuple[int, ...]
    largest: tuple[int, ...]

    def covers(self, shape: tuple[int, ...]) -> bool:
        """Say whether the engine takes this shape."""
        return len(shape) == len(self.best) and all(
            low <= side <= high
            for low, side, high in zip(self.smallest, shape, self.largest, strict=True)
        )


Ranges = Mapping[str, ShapeRange]


def ranges_of(shapes: Shapes, options: BuildOptions) -> dict[str, ShapeRange]:
    """Return the range of every input: one shape, unless the options name two ends."""
    smallest, largest = options.smallest or shapes, options.largest or shapes
    ranges = {name: ShapeRange(smallest[name], shapes[name], largest[name]) for name in shapes}
    if not all(item.covers(item.best) for item in ranges.values()):
        raise BackendError(
            f"the sizes are not in order: expected smallest <= best <= largest, got "
            f"{dict(smallest)}, {dict(shapes)}, {dict(largest)}"
        )
    return ranges
