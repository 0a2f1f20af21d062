"""A linear probe: does a translated image look like the target domain to a simple classifier?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dayshift.train.metrics.features import Features

_PENALTY = 1e-3  # on squared weights; without it 1024 weights separate a thousand images exactly
_STEPS = 200


class DomainProbe:
    """Logistic regression on standardised features: source 0, target 1, each side weighing half.

    Fitted on training images only. What share of *untranslated* and of merely darkened images it
    takes for the target says how much its verdict means.
    """

    def __init__(self, source: Features, target: Features) -> None:
        """Fit to features (M, D) of the source and (N, D) of the target domain; deterministic."""
        x = torch.from_numpy(source), torch.from_numpy(target)
        both = torch.cat(x)
        self._mean, self._deviation = both.mean(dim=0), both.std(dim=0).clamp_min(1e-12)
        labels = torch.cat([torch.zeros(len(x[0])), torch.ones(len(x[1]))]).double()
        shares = torch.cat([torch.full((len(part),), 0.5 / len(part)) for part in x]).double()
        self._weight = torch.zeros(both.shape[1], dtype=torch.float64, requires_grad=True)
        self._bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
        self._fit(both, labels, shares)

    def share_of_target(self, features: Features) -> float:
        """Return the share of rows (N, D) that are taken for the target domain."""
        with torch.no_grad():
            return float((self._scores(torch.from_numpy(features)) > 0).double().mean())

    def _scores(self, features: Tensor) -> Tensor:
        return (features - self._mean) / self._deviation @ self._weight + self._bias

    def _fit(self, features: Tensor, labels: Tensor, shares: Tensor) -> None:
        optimizer = torch.optim.LBFGS(
            [self._weight, self._bias], max_iter=_STEPS, line_search_fn="strong_wolfe"
        )

        def loss() -> float:
            optimizer.zero_grad()
            value = functional.binary_cross_entropy_with_logits(
                self._scores(features), labels, weight=shares, reduction="sum"
            )
            value = value + _PENALTY * self._weight.square().sum()
            value.backward()  # type: ignore[no-untyped-call]
            return float(value.detach())

        optimizer.step(loss)  # type: ignore[no-untyped-call]
