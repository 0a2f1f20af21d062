from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.image.kid import KernelInceptionDistance

from dayshift.train.metrics.distances import _AsTheyAre, frechet_distance, kernel_distance


def test_kid_is_the_unbiased_estimate_written_out() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)), rng.normal(1, 1, size=(4, 3))

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((sum(p * q for p, q in zip(a, b, strict=True)) / 3 + 1) ** 3)

    within_x = [kernel(x[i], x[j]) for i in range(5) for j in range(5) if i != j]
    within_y = [kernel(y[i], y[j]) for i in range(4) for j in range(4) if i != j]
    across = [kernel(a, b) for a in x for b in y]
    expected = np.mean(within_x) + np.mean(within_y) - 2 * np.mean(across)
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-12)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save all")
def test_kid_agrees_with_torchmetrics_where_one_subset_is_all() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(20, 8)), rng.normal(0.5, 1, size=(20, 8))
    metric = KernelInceptionDistance(feature=_AsTheyAre(8), subsets=1, subset_size=20)
    metric.update(torch.from_numpy(x), real=True)
    metric.update(torch.from_numpy(y), real=False)
    assert kernel_distance(x, y) == pytest.approx(float(metric.compute()[0]), rel=1e-5)


def test_kid_of_one_distribution_is_around_zero() -> None:
    rng = np.random.default_rng(2)
    found = [kernel_distance(*rng.normal(size=(2, 30, 4))) for _ in range(40)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(40)
    assert min(found) < 0 < max(found)


def test_fid_of_gaussians_with_known_distance() -> None:
    """For N(0, I) and N(m, s² I) in d dimensions it is |m|² + d (1 - s)²."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(20_000, 3))
    y = rng.normal(size=(20_000, 3)) * 2 + (1, 2, 0)
    assert frechet_distance(x, y) == pytest.approx(5 + 3, rel=0.03)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)


def test_fid_of_few_vectors_is_that_of_all_dimensions() -> None:
    """Against the definition, with the square root that scipy-free numpy gives for real roots."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(6, 30)), rng.normal(1, 2, size=(5, 30))
    first, second = np.cov(x.T), np.cov(y.T)
    root = np.sqrt(np.abs(np.linalg.eigvals(first @ second))).sum()
    apart = ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum()
    expected = apart + np.trace(first) + np.trace(second) - 2 * root
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("distance", [kernel_distance, frechet_distance])
def test_one_vector_is_no_distribution(distance: object) -> None:
    assert callable(distance)
    with pytest.raises(ValueError, match="at least 2 vectors in each set, got 1 and 3"):
        distance(np.ones((1, 2)), np.ones((3, 2)))
