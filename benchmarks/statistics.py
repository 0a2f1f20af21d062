"""What many times say, and how sure that is.

A machine drifts: its clock, its neighbours, its temperature. Times of one moment lie close together
and say little about the next, so the unit of all statements here is the *round*: a short block of
calls that every row runs in turn. Intervals are over rounds, and two rows are compared by the ratio
within each round, where the drift is the same for both.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

STEADY_TOLERANCE = 0.05
STEADY_WINDOWS = 3
_CONFIDENCE = 0.95
_RESAMPLES = 4000


@dataclass(frozen=True)
class Interval:
    """A median with limits; `confidence` is what they really have, 0 with a single value."""

    median: float
    low: float
    high: float
    confidence: float
    n: int

    def as_json(self, digits: int = 4) -> dict[str, float | int]:
        """Return the fields by name, rounded."""
        return {
            "median": round(self.median, digits),
            "low": round(self.low, digits),
            "high": round(self.high, digits),
            "confidence": round(self.confidence, 4),
            "n": self.n,
        }


def median_interval(values: Sequence[float], confidence: float = _CONFIDENCE) -> Interval:
    """Return the median of independent values and the limits it has without any distribution.

    The limits are the order statistics k and n + 1 - k with the largest k whose coverage, from the
    binomial distribution with p = 1/2, is at least `confidence`. Five values cannot reach 0.95:
    then the limits are the smallest and the largest value, and `confidence` says 0.9375.

    Raises:
        ValueError: There are no values.
    """
    ordered = sorted(values)
    n = len(ordered)
    if n == 0:
        raise ValueError("expected at least one value, got none")
    k, coverage = 1, _coverage(1, n)
    while k + 1 <= n // 2 and (better := _coverage(k + 1, n)) >= confidence:
        k, coverage = k + 1, better
    return Interval(statistics.median(ordered), ordered[k - 1], ordered[n - k], coverage, n)


def _coverage(k: int, n: int) -> float:
    """Return how probably the true median lies between order statistics k and n + 1 - k."""
    outside: float = 2 * sum(math.comb(n, i) for i in range(k)) / 2**n
    return max(0.0, 1 - outside)


def ratio_interval(numerator: dict[int, float], denominator: dict[int, float]) -> Interval | None:
    """Return the ratio of two rows from the rounds that both ran, or None where there is none.

    Args:
        numerator: by round, for example the median latency of a row.
        denominator: the same of the other row.
    """
    shared = [number for number in numerator if number in denominator]
    if not shared:
        return None
    return median_interval([numerator[number] / denominator[number] for number in shared])


def is_steady(window_medians: Sequence[float]) -> bool:
    """Say whether warm-up is over: the last three windows of calls agree within 5 %.

    Lazy allocation, autotuning and just-in-time compilation make first calls slower, by factors.
    Windows are medians, so that a single interruption is no change.
    """
    last = window_medians[-STEADY_WINDOWS:]
    if len(last) < STEADY_WINDOWS:
        return False
    return max(last) <= min(last) * (1 + STEADY_TOLERANCE)


Verdict = Literal["faster", "slower", "same", "unclear"]


@dataclass(frozen=True)
class Change:
    """How much longer B takes than A: `ratio` above 1 is slower, with 95 % limits."""

    ratio: float
    low: float
    high: float
    verdict: Verdict


def compare_rounds(
    before: Sequence[float], after: Sequence[float], *, tolerance: float, seed: int = 0
) -> Change:
    """Compare two runs by their rounds' medians, which are not paired.

    The limits are the 2.5 and 97.5 percentiles of the ratio of medians under resampling of each
    run's rounds (percentile bootstrap, Efron 1979). `slower` and `faster` need limits wholly beyond
    the tolerance, `same` limits wholly inside it; everything else is `unclear`.

    Args:
        before: Milliseconds of run A, one value per round.
        after: The same of run B.
        tolerance: The relative change that matters, for example 0.05.
        seed: Of the resampling.
    """
    a, b = np.asarray(before, np.float64), np.asarray(after, np.float64)
    ratio = float(np.median(b) / np.median(a))
    random = np.random.default_rng(seed)
    ratios = np.median(b[random.integers(0, b.size, (_RESAMPLES, b.size))], axis=1)
    ratios /= np.median(a[random.integers(0, a.size, (_RESAMPLES, a.size))], axis=1)
    low, high = (float(limit) for limit in np.percentile(ratios, (2.5, 97.5)))
    return Change(ratio, low, high, _verdict(low, high, tolerance, min(a.size, b.size)))


def _verdict(low: float, high: float, tolerance: float, rounds: int) -> Verdict:
    if rounds < STEADY_WINDOWS:
        return "unclear"  # one or two rounds have no spread to speak of
    if low > 1 + tolerance:
        return "slower"
    if high < 1 / (1 + tolerance):
        return "faster"
    if low >= 1 / (1 + tolerance) and high <= 1 + tolerance:
        return "same"
    return "unclear"
