"""What every source of frames offers.

A source is opened by its constructor, read by one thread at a time, closed by whoever opened it.
"""

from __future__ import annotations

from fractions import Fraction
from types import TracebackType
from typing import Protocol, TypeVar

from dayshift.runtime.errors import SourceError
from dayshift.runtime.frame import Frame

S = TypeVar("S", bound="Source")


class CorruptFrame(SourceError):
    """One frame could not be decoded; the next may be whole again."""


class Source(Protocol):
    """Where frames come from. Implementations inherit the context manager, or bring their own.

    Attributes:
        name: What it is, for messages and progress.
        size: (width, height) in pixels of its frames; of the first one where they differ.
        fps: Nominal frames per second, None where frames have no rate.
        frame_count: How many frames it will give, as far as it says; None where it has no end.
        is_live: Frames come by the clock and are lost when nobody reads them.
        slow_hint: What may be behind a rate below `fps`, and what helps; empty where none is known.
    """

    name: str
    size: tuple[int, int]
    fps: Fraction | None
    frame_count: int | None
    is_live: bool
    slow_hint: str = ""

    def read(self) -> Frame | None:
        """Wait for the next frame and return it; None at the end.

        Raises:
            CorruptFrame: This frame is damaged; reading may go on.
            SourceError: The source broke off.
        """
        ...

    def stop(self) -> None:
        """End a read that waits, from any thread, where the source can; it need not."""
        return

    def reopen(self) -> Source:
        """Open the same device or address again, after this one was closed.

        The same is meant by identity: a camera that was unplugged may come back by another number.

        Raises:
            SourceError: It is not there, or this kind of source has nothing to open again.
        """
        raise SourceError(f"{self.name} cannot be opened again: name it anew")

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
