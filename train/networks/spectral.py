"""Spectral normalisation of convolutions (Miyato et al. 2018, algorithm 1).

State-dict keys are `weight_orig`, `weight_u` and `weight_v`, those of torch.nn.utils.spectral_norm,
which SPADE's checkpoints have. The weight is computed in `forward` and not by a hook: such modules
copy, compile and export like any other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_EPS = 1e-12


class SpectralConv2d(nn.Conv2d):
    """A convolution whose weight, as a matrix of one row per output, has spectral norm 1.

    In training mode each `forward` refines the estimate by one power iteration; in eval mode the
    stored vectors are used as they are.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take the arguments of nn.Conv2d."""
        super().__init__(*args, **kwargs)
        weight = self._parameters.pop("weight")
        assert weight is not None
        self.weight_orig = nn.Parameter(weight.detach())
        matrix = self.weight_orig.flatten(1)
        self.register_buffer("weight_u", functional.normalize(torch.randn(len(matrix)), dim=0))
        self.register_buffer("weight_v", functional.normalize(torch.randn(matrix.shape[1]), dim=0))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve with the normalised weight."""
        if self.training:
            self._refine()
        y: Tensor = self._conv_forward(x, self.normalized_weight(), self.bias)
        return y

    def normalized_weight(self) -> Tensor:
        """Return weight / (u^T weight v), differentiable in the weight alone."""
        # Clones: the next call in training mode writes u and v, which this graph still needs.
        u, v = self.weight_u.clone(), self.weight_v.clone()
        with self._full_precision():
            sigma = torch.dot(u, torch.mv(self.weight_orig.flatten(1), v))
            weight: Tensor = self.weight_orig / sigma
        return weight

    @torch.no_grad()
    def _refine(self) -> None:
        matrix = self.weight_orig.flatten(1)
        with self._full_precision():
            v = functional.normalize(torch.mv(matrix.t(), self.weight_u), dim=0, eps=_EPS)
            u = functional.normalize(torch.mv(matrix, v), dim=0, eps=_EPS)
        self.weight_v.copy_(v)
        self.weight_u.copy_(u)

    def _full_precision(self) -> torch.autocast:
        """Half precision would move the estimate about from step to step."""
        return torch.autocast(self.weight_orig.device.type, enabled=False)

    def folded(self) -> nn.Conv2d:
        """Return a plain convolution that computes what this one does in eval mode."""
        assert isinstance(self.padding, tuple)
        plain = nn.Conv2d(
            self.in_channels,
            self.out_channels,
            self.kernel_size,  # type: ignore[arg-type]  # pairs, as nn.Conv2d keeps them
            self.stride,  # type: ignore[arg-type]
            self.padding,  # type: ignore[arg-type]
            bias=self.bias is not None,
        )
        with torch.no_grad():
            plain.weight.copy_(self.normalized_weight())
            if self.bias is not None and plain.bias is not None:
                plain.bias.copy_(self.bias)
        return plain
