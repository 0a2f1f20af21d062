"""Latencies: how times are collected and what is said about many of them.

All times are milliseconds from `perf_counter`. Percentiles interpolate, as numpy's do.
"""

from __future__ import annotations

import random
import time
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Latency:
    """What is said about `count` times: milliseconds, but for `cv`, deviation over mean."""

    count: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float
    cv: float


def summarize(times_ms: Iterable[float]) -> Latency:
    """Reduce times to a `Latency`; all zeros when there are none."""
    values = np.fromiter(times_ms, dtype=np.float64)
    if values.size == 0:
        return Latency(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    p50, p90, p95, p99 = (float(p) for p in np.percentile(values, (50, 90, 95, 99)))
    mean = float(values.mean())
    cv = float(values.std()) / mean if mean > 0 else 0.0
    return Latency(int(values.size), mean, p50, p90, p95, p99, float(values.max()), cv)


class Samples:
    """Times of a stream of any length, in bounded memory.

    Up to `capacity` times are kept as they are. Of more, a uniform random sample is kept, so that
    the percentiles stay those of the whole stream; count and maximum are always exact.
    """

    def __init__(self, capacity: int = 32_768) -> None:
        self.count = 0
        self.max = 0.0
        self._capacity = capacity
        self._kept = array("d")
        self._random = random.Random(0)

    def add(self, time_ms: float) -> None:
        """Add one time."""
        self.count += 1
        self.max = max(self.max, time_ms)
        if len(self._kept) < self._capacity:
            self._kept.append(time_ms)
            return
        # Vitter's algorithm R: every time so far is kept with the same probability.
        slot = self._random.randrange(self.count)
        if slot < self._capacity:
            self._kept[slot] = time_ms

    def summarize(self) -> Latency:
        """Say what is known of all times added so far."""
        kept = summarize(self._kept)
        return replace(kept, count=self.count, max=self.max)


def measure_latency(call: Callable[[], object], *, count: int = 200, warmup: int = 20) -> Latency:
    """Time `call`, which must block until its result is ready.

    Args:
        call: The work to time, with its inputs already bound.
        count: Timed calls. p99 needs at least 100 to mean anything.
        warmup: Untimed calls before them: lazy allocation, autotuning, clocks.
    """
    for _ in range(warmup):
        call()
    return summarize([_time_ms(call) for _ in range(count)])


def _time_ms(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3
