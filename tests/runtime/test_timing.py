from __future__ import annotations

import math

import numpy as np
import pytest

from dayshift.runtime.timing import Latency, Samples, measure_latency, summarize


def test_percentiles_of_one_to_a_hundred() -> None:
    latency = summarize(range(100, 0, -1))
    assert latency.count == 100
    assert latency.mean == pytest.approx(50.5)
    assert latency.p50 == pytest.approx(50.5)
    assert latency.p90 == pytest.approx(90.1)
    assert latency.p95 == pytest.approx(95.05)
    assert latency.p99 == pytest.approx(99.01)
    assert latency.max == 100
    assert latency.cv == pytest.approx(math.sqrt((100**2 - 1) / 12) / 50.5)


def test_one_time_is_all_its_percentiles() -> None:
    assert summarize([4.0]) == Latency(1, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 0.0)


def test_no_times_are_zeros() -> None:
    empty = Latency(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert summarize([]) == empty
    assert Samples().summarize() == empty


def test_samples_up_to_the_capacity_are_exact() -> None:
    samples = Samples(capacity=100)
    for time_ms in range(1, 101):
        samples.add(time_ms)
    assert samples.summarize() == summarize(range(1, 101))


def test_samples_beyond_the_capacity_keep_count_maximum_and_the_shape_of_the_whole() -> None:
    samples = Samples(capacity=2000)
    # The second half is slower: a window of the newest times would not see the first.
    times = np.concatenate([np.linspace(1, 2, 25_000), np.linspace(3, 4, 25_000), [99.0]])
    for time_ms in times:
        samples.add(float(time_ms))
    got, whole = samples.summarize(), summarize(times)
    assert (got.count, got.max) == (50_001, 99.0)
    assert got.p90 == pytest.approx(whole.p90, abs=0.1)
    assert got.mean == pytest.approx(whole.mean, abs=0.1)


def test_a_call_is_made_for_warm_up_and_then_as_often_as_asked() -> None:
    calls: list[int] = []
    latency = measure_latency(lambda: calls.append(1), count=7, warmup=3)
    assert len(calls) == 10
    assert latency.count == 7
    assert latency.max >= latency.p50 > 0
