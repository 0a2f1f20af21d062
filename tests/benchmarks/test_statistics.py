"""Statistics against formulas that were written another way."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dayshift.benchmarks.statistics import (
    compare_rounds,
    is_steady,
    median_interval,
    ratio_interval,
)

# Limits of the median from the table of the sign test (two-sided, at most 5 %), by n: the rank k.
SIGN_TEST_RANKS = {6: 1, 8: 1, 9: 2, 11: 2, 12: 3, 15: 4, 20: 6, 25: 8, 30: 10}


@pytest.mark.parametrize(("n", "rank"), SIGN_TEST_RANKS.items())
def test_the_limits_of_a_median_are_those_of_the_sign_tests_table(n: int, rank: int) -> None:
    interval = median_interval([float(value) for value in range(1, n + 1)])
    assert (interval.low, interval.high) == (rank, n + 1 - rank)
    assert interval.median == (n + 1) / 2


def test_the_stated_confidence_is_how_often_the_limits_hold() -> None:
    random = np.random.default_rng(1)
    for n in (5, 9, 20):
        samples = random.exponential(size=(4000, n))
        intervals = [median_interval(sample.tolist()) for sample in samples]
        held = np.mean([i.low <= math.log(2) <= i.high for i in intervals])
        assert held == pytest.approx(intervals[0].confidence, abs=0.015)


def test_few_rounds_admit_that_they_cannot_reach_95_percent() -> None:
    assert median_interval([3.0, 1.0, 2.0, 5.0, 4.0]).confidence == 0.9375
    assert median_interval([7.0]).confidence == 0
    with pytest.raises(ValueError, match="got none"):
        median_interval([])


def test_a_ratio_within_rounds_is_free_of_the_machines_drift() -> None:
    random = np.random.default_rng(2)
    drift = random.uniform(1, 1.8, 21)
    ours = {i: 4.0 * d * random.normal(1, 0.005) for i, d in enumerate(drift)}
    other = {i: 5.0 * d * random.normal(1, 0.005) for i, d in enumerate(drift)}
    ratio = ratio_interval(other, ours)
    assert ratio is not None
    assert ratio.low <= 1.25 <= ratio.high
    assert ratio.high - ratio.low < 0.02
    # The same rounds out of step have the drift in them.
    moved = ratio_interval({i: other[(i + 1) % 21] for i in other}, ours)
    assert moved is not None
    assert moved.high - moved.low > 0.1


def test_a_ratio_takes_only_the_rounds_that_both_ran() -> None:
    ratio = ratio_interval({0: 2.0, 3: 6.0, 9: 1.0}, {0: 1.0, 3: 2.0, 4: 9.0})
    assert ratio is not None
    assert (ratio.low, ratio.high, ratio.n) == (2.0, 3.0, 2)
    assert ratio_interval({0: 1.0}, {1: 1.0}) is None


def test_a_call_that_gets_faster_is_not_steady_until_it_stops_doing_so() -> None:
    medians = [5 + 20 * 0.5**i for i in range(12)]
    steady_at = next(i for i in range(len(medians)) if is_steady(medians[: i + 1]))
    # Three windows within 5 %: 20 * 0.5**(i - 2) may be at most 0.05 * (5 + 20 * 0.5**i).
    assert steady_at == 8
    assert not is_steady([5.0, 5.0])
    assert is_steady([9.0, 5.0, 5.0, 5.2])


def test_a_call_that_switches_between_two_speeds_is_not_steady() -> None:
    assert not any(is_steady([5.0, 8.0] * k) for k in range(1, 6))


def test_two_runs_of_the_same_speed_are_hardly_ever_called_different() -> None:
    random = np.random.default_rng(3)
    verdicts = [
        compare_rounds(*random.normal(5, 0.1, (2, 9)).tolist(), tolerance=0.05).verdict
        for _ in range(200)
    ]
    assert verdicts.count("slower") + verdicts.count("faster") == 0
    assert verdicts.count("same") > 150


@pytest.mark.parametrize(("factor", "verdict"), [(1.2, "slower"), (1 / 1.2, "faster")])
def test_a_fifth_more_or_less_is_seen(factor: float, verdict: str) -> None:
    random = np.random.default_rng(4)
    before = random.normal(5, 0.1, 9)
    after = before[::-1] * factor
    change = compare_rounds(before.tolist(), after.tolist(), tolerance=0.05)
    assert change.verdict == verdict
    assert change.ratio == pytest.approx(factor)


def test_noise_and_too_few_rounds_give_no_verdict() -> None:
    random = np.random.default_rng(5)
    assert (
        compare_rounds(*random.uniform(4, 8, (2, 9)).tolist(), tolerance=0.05).verdict == "unclear"
    )
    assert compare_rounds([5.0], [9.0], tolerance=0.05).verdict == "unclear"
