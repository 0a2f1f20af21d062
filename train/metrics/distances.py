"""Distances between two sets of feature vectors: KID and FID."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance

from dayshift.train.metrics.features import Features


def kernel_distance(x: Features, y: Features) -> float:
    """Return KID: the unbiased squared maximum mean discrepancy (Bińkowski et al. 2018, §4).

    The kernel is theirs, (x·y / D + 1)^3. All vectors are used at once, so that the result has no
    randomness and the sets may differ in size; torchmetrics' metric averages over random subsets of
    one size and agrees where both sets are one subset. Around 0 for two samples of one
    distribution, and then as often below.

    Args:
        x: (M, D) with M at least 2.
        y: (N, D) with N at least 2.
    """
    if min(len(x), len(y)) < 2:
        raise ValueError(f"expected at least 2 vectors in each set, got {len(x)} and {len(y)}")
    within = [
        (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (_cubic(x, x), _cubic(y, y))
    ]
    return float(within[0] + within[1] - 2 * _cubic(x, y).mean())


def frechet_distance(x: Features, y: Features) -> float:
    """Return FID: the squared Fréchet distance of two Gaussians fitted to the sets.

    (Heusel et al. 2017, equation 6.) It is biased upwards, the more the fewer images there are: by
    far where they are fewer than the features. Compare sets of the same size, or take KID.

    Args:
        x: (M, D) with M at least 2.
        y: (N, D) with N at least 2.
    """
    if min(len(x), len(y)) < 2:
        raise ValueError(f"expected at least 2 vectors in each set, got {len(x)} and {len(y)}")
    if len(x) + len(y) < x.shape[1]:
        # All vectors lie in a space of as many dimensions as there are vectors. The distance there
        # is the same, and the matrix root takes the third power of the dimensions.
        basis = np.linalg.qr(np.concatenate([x, y]).T)[0]
        x, y = x @ basis, y @ basis
    metric = FrechetInceptionDistance(feature=_AsTheyAre(x.shape[1]))
    metric.set_dtype(torch.float64)
    metric.update(torch.from_numpy(x), real=True)
    metric.update(torch.from_numpy(y), real=False)
    return float(metric.compute())


def _cubic(x: Features, y: Features) -> Features:
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)


class _AsTheyAre(nn.Module):
    """Lets torchmetrics take features that were computed before."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.num_features = count

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features
