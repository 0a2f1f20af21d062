"""What every source of frames offers.

A source is opened by its constructor, read by one thread at a time, closed by whoever opened it.
"""

from __future__ import annotations

from fractions import Fraction
from types import TracebackType
from typing import Protocol, TypeVar

from dayshift.runtime.frame import Frame

S = TypeVar("S", bound="Source")


class Source(Protocol):
    """Where frames come from. Implementations inherit the context manager, or bring their own.

    Attributes:
        name: What it is, for messages and progress.
        size: (width, height) in pixels of its frames; of the first one where they differ.
        fps: Nominal frames per second, None where frames have no rate.
        frame_count: How many frames it will give, as far as it says; None where it has no end.
        is_live: Frames come by the clock and are lost when nobody reads them.
    """

    name: str
    size: tuple[int, int]
    fps: Fraction | None
    frame_count: int | None
    is_live: bool

    def read(self) -> Frame | None:
        """Wait for the next frame and return it; None at the end.

        Raises:
            SourceError: The source broke off.
        """
        ...

    def close(self) -> None:
        """Release the device or file. Safe to call twice; no thread may be reading."""
        ...

    def __enter__(self: S) -> S:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
