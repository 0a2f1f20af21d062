from __future__ import annotations

import numpy as np
import pytest

from dayshift.benchmarks.baselines import make_baselines


@pytest.fixture
def photos() -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    nights = [rng.integers(0, 80, (40, 48, 3), dtype=np.uint8) for _ in range(3)]
    return nights, rng.integers(60, 256, (40, 48, 3), dtype=np.uint8)


def test_every_baseline_darkens(photos: tuple[list[np.ndarray], np.ndarray]) -> None:
    nights, day = photos
    for name, translate in make_baselines(nights).items():
        night = translate(day)
        assert night.dtype == np.uint8, name
        assert night.shape == day.shape, name
        assert night.mean() < 0.7 * day.mean(), name


def test_a_matched_histogram_is_that_of_the_nights(
    photos: tuple[list[np.ndarray], np.ndarray],
) -> None:
    nights, day = photos
    matched = make_baselines(nights)["histogram matching"](day)
    together = np.concatenate([night.reshape(-1, 3) for night in nights])
    for share in (0.1, 0.5, 0.9):
        wanted = np.quantile(together, share, axis=0)
        assert np.abs(np.quantile(matched.reshape(-1, 3), share, axis=0) - wanted).max() <= 2
