"""Layers that the published networks share, and the error for inputs they cannot take."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from dayshift.runtime.errors import UsageError

Norm = Literal["instance", "batch", "none"]
Padding = Literal["reflect", "replicate", "zero"]

_BINOMIAL = {3: (1.0, 2.0, 1.0), 4: (1.0, 3.0, 3.0, 1.0)}


class NetworkInputError(UsageError):
    """A tensor that the network cannot take; the message says what it can."""


def make_norm(norm: Norm, channels: int) -> nn.Module:
    """Return a norm layer: batch norm has weights and statistics, instance norm has neither."""
    match norm:
        case "instance":
            return nn.InstanceNorm2d(channels)
        case "batch":
            return nn.BatchNorm2d(channels)
        case "none":
            return nn.Identity()


def make_padding(padding: Padding, width_px: int) -> nn.Module:
    """Return a layer that pads all four sides by `width_px`."""
    match padding:
        case "reflect":
            return nn.ReflectionPad2d(width_px)
        case "replicate":
            return nn.ReplicationPad2d(width_px)
        case "zero":
            return nn.ZeroPad2d(width_px)


def check_size(x: Tensor, multiple: int, network: str, least_px: int = 0) -> None:
    """Require height and width of (N, C, H, W) to be multiples of `multiple`.

    Says nothing while a graph is traced: there the size is a symbol.

    Raises:
        NetworkInputError: They are not, or a side is shorter than `least_px`.
    """
    if is_tracing():
        return
    h, w = x.shape[-2:]
    if h % multiple == 0 and w % multiple == 0 and min(h, w) >= least_px:
        return
    next_h, next_w = (
        max(math.ceil(side / multiple), math.ceil(least_px / multiple), 1) * multiple
        for side in (h, w)
    )
    raise NetworkInputError(
        f"{network} got {w}x{h}, but takes multiples of {multiple}: "
        f"the next size it takes is {next_w}x{next_h}"
    )


def is_tracing() -> bool:
    """Whether a graph is being recorded, in which sizes and values cannot be asked for."""
    return torch.compiler.is_compiling() or bool(torch._C._get_tracing_state())


class BlurDown(nn.Module):
    """Halve height and width after a [1, 2, 1] blur (Zhang 2019), as CUT does."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", _binomial_filter(3, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, ceil(H/2), ceil(W/2))."""
        x = functional.pad(x, (1, 1, 1, 1), mode="reflect")
        return functional.conv2d(x, self.filt, stride=2, groups=x.shape[1])


class BlurUp(nn.Module):
    """Double height and width by a transposed [1, 3, 3, 1] blur (Zhang 2019), as CUT does."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", _binomial_filter(4, channels) * 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, 2H, 2W)."""
        x = functional.pad(x, (1, 1, 1, 1), mode="replicate")
        # Padding 3 cuts what the repeated border adds: 2(H + 2) + 2 - 2 * 3 = 2H.
        return functional.conv_transpose2d(x, self.filt, stride=2, padding=3, groups=x.shape[1])


class LayerNorm(nn.Module):
    """Normalise each sample over channels, height and width, as UNIT's decoder does.

    The standard deviation is the unbiased one, and eps is added to it and not to the variance.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.rand(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the shape of `x`, (N, C, H, W)."""
        single = x.float()  # half precision cannot hold the sum of squares of a whole image
        deviation = single - single.mean((1, 2, 3), keepdim=True)
        count = x.shape[1] * x.shape[2] * x.shape[3]
        std = (deviation.square().sum((1, 2, 3), keepdim=True) / (count - 1)).sqrt()
        scale, shift = self.gamma[:, None, None], self.beta[:, None, None]
        return (deviation / (std + self.eps) * scale + shift).to(x.dtype)


def _binomial_filter(taps: int, channels: int) -> Tensor:
    """Return (channels, 1, taps, taps), each summing to 1."""
    row = torch.tensor(_BINOMIAL[taps])
    square = row[:, None] * row[None, :]
    return (square / square.sum()).repeat(channels, 1, 1, 1)
