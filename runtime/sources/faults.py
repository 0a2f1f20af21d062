"""Faults on demand, for testing whatever must survive a bad camera.

    synthetic://?faults=stall@5:3,disconnect@12:2     at second 5 for 3 s, at second 12 for 2 s
    synthetic://?faults=random:4&seed=7               some fault about every 4 s, the same each time

A fault is one of: *stall* (a read does not return), *drop* (frames are lost), *corrupt* (frames
that cannot be decoded), *disconnect* (reads fail, and opening again too, until it is over), *size*
(frames of half the size), *slow* (a quarter of the rate).
"""

from __future__ import annotations

import itertools
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, cast, get_args

from dayshift.runtime.errors import UsageError

FaultKind = Literal["stall", "drop", "corrupt", "disconnect", "size", "slow"]

KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
DEFAULT_S = 1.0
_FAULT = re.compile(r"([a-z]+)@(\d+(?:\.\d+)?)(?::(\d+(?:\.\d+)?))?")
_RANDOM = re.compile(r"random:(\d+(?:\.\d+)?)")
# Long enough to be noticed by a watchdog of some seconds now and then, short enough to have many.
_RANDOM_DURATION_S = (0.2, 4.0)


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong from `start_s` to `end_s`, in seconds since the source began."""

    kind: FaultKind
    start_s: float
    end_s: float


class FaultScript:
    """Says which fault is on, by the clock. It outlives the source that it troubles.

    Args:
        faults: In the order of their start; may be endless.
        clock: Seconds; the script begins when it is first asked.
    """

    def __init__(
        self, faults: Iterable[Fault], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._faults: Iterator[Fault] = iter(faults)
        self._clock = clock
        self._started_at: float | None = None
        self._next = next(self._faults, None)
        self.begun: list[Fault] = []

    def current(self) -> tuple[Fault, float] | None:
        """Return the fault that is on and the seconds it has left; None where all is well."""
        now = self._clock()
        if self._started_at is None:
            self._started_at = now
        elapsed_s = now - self._started_at
        while self._next is not None and self._next.end_s <= elapsed_s:
            # Also of a fault that fell into another one's time: it is over.
            self._next = next(self._faults, None)
        if self._next is None or self._next.start_s > elapsed_s:
            return None
        if not self.begun or self.begun[-1] is not self._next:
            self.begun.append(self._next)
        return self._next, self._next.end_s - elapsed_s


def parse_faults(text: str, *, seed: int = 0) -> FaultScript:
    """Read the option `faults` of a `synthetic://` URI.

    Raises:
        UsageError: It is malformed, or names a fault that there is not.
    """
    every = _RANDOM.fullmatch(text)
    if every is not None:
        return FaultScript(random_faults(max(0.1, float(every[1])), seed=seed))
    faults = []
    for word in text.split(","):
        match = _FAULT.fullmatch(word)
        if match is None or match[1] not in KINDS:
            raise UsageError(
                f"cannot read the fault {word!r}: expected KIND@SECOND[:SECONDS] with KIND one of "
                f"{', '.join(KINDS)}, such as stall@5:3, or random:4 for one about every 4 s"
            )
        start_s = float(match[2])
        duration_s = float(match[3]) if match[3] else DEFAULT_S
        faults.append(Fault(cast(FaultKind, match[1]), start_s, start_s + duration_s))
    return FaultScript(sorted(faults, key=lambda fault: fault.start_s))


def random_faults(mean_gap_s: float, *, seed: int = 0) -> Iterator[Fault]:
    """Yield faults without end, each after a gap of about `mean_gap_s`; the same for each seed."""
    dice = random.Random(seed)
    end_s = 0.0
    for _ in itertools.count():
        start_s = end_s + dice.uniform(0.5, 1.5) * mean_gap_s
        end_s = start_s + dice.uniform(*_RANDOM_DURATION_S)
        yield Fault(dice.choice(KINDS), start_s, end_s)
