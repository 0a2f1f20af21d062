"""Files of a data set, read on demand; those that cannot be used give way to the next one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from dayshift.train.data.images import DataError, OddImage

E = TypeVar("E")
T = TypeVar("T")

_NAMES_SHOWN = 5


@dataclass(frozen=True)
class Skipped:
    """An entry that cannot be used, and why."""

    entry: str
    reason: str


class Shelf(Generic[E, T]):
    """Entries in a fixed order, and how to read one.

    Which entries turned out unusable is kept in memory that loader workers share, so that the main
    process can report what they met.
    """

    def __init__(self, entries: Sequence[E], read: Callable[[E], T]) -> None:
        self._entries = list(entries)
        self._read = read
        self._is_odd = torch.zeros(len(self._entries), dtype=torch.uint8)
        self._is_odd.share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, index: int) -> T:
        """Return an entry, or the next usable one after it, around the end: the same every time.

        Raises:
            DataError: No entry can be used.
        """
        last: OddImage | None = None
        for place in range(index, index + len(self)):
            place %= len(self)
            if self._is_odd[place]:
                continue
            try:
                return self._read(self._entries[place])
            except OddImage as error:
                self._is_odd[place] = 1
                last = error
        raise DataError(
            f"none of {len(self)} images can be used; the last: {last or self.skipped()[-1].reason}"
        )

    def skipped(self) -> list[Skipped]:
        """Return the entries met so far, in any worker, that cannot be used."""
        found = []
        for place in self._is_odd.nonzero().flatten().tolist():
            try:  # the reason stayed in the worker that met it
                self._read(self._entries[place])
            except OddImage as error:
                found.append(Skipped(str(self._entries[place]), str(error)))
        return found


def skip_report(skipped: Sequence[Skipped]) -> str | None:
    """Return one line that counts and names skipped images, or None where there are none."""
    if not skipped:
        return None
    shown = "; ".join(item.reason for item in skipped[:_NAMES_SHOWN])
    more = f"; and {len(skipped) - _NAMES_SHOWN} more" if len(skipped) > _NAMES_SHOWN else ""
    images = "image" if len(skipped) == 1 else "images"
    return f"skipped {len(skipped)} {images}: {shown}{more}"
