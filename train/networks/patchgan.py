"""PatchGAN (Isola et al. 2017, section 3.2.2), as Pix2Pix, CycleGAN, CUT and relight have it.

State-dict keys are those of pytorch-CycleGAN-and-pix2pix and contrastive-unpaired-translation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from dayshift.train.networks.layers import BlurDown, Norm, make_norm
from dayshift.train.networks.spectral import SpectralConv2d


@dataclass(frozen=True)
class PatchGanConfig:
    """The defaults are the 70x70 discriminator of CycleGAN.

    Attributes:
        in_channels: 3 for an image alone, 6 for an image under its source (Pix2Pix).
        width: channels after the first layer; doubled by each further layer, up to `widest` times.
        layers: steps down. 0 gives the 1x1 PixelGAN, 1 sees 16x16, 3 sees 70x70, 5 sees 286x286.
        norm: not after the first layer and not after the last; "none" drops the bias of the
            convolutions that it would follow, like the authors' code. "spectral" is on every
            convolution's weights (Miyato et al. 2018).
        antialias: CUT's convolution followed by a blur in the place of a stride.
    """

    in_channels: PositiveInt = 3
    width: PositiveInt = 64
    layers: NonNegativeInt = 3
    norm: Norm | Literal["spectral"] = "instance"
    antialias: bool = False
    widest: PositiveInt = 8


class PatchGan(nn.Module):
    """Judge overlapping patches of an image: real or translated."""

    def __init__(self, config: PatchGanConfig | None = None) -> None:
        super().__init__()
        self.config = config or PatchGanConfig()
        if self.config.layers:
            self.model = nn.Sequential(*_patch_layers(self.config))
        else:
            self.net = nn.Sequential(*_pixel_layers(self.config))

    def forward(self, image: Tensor) -> Tensor:
        """Return one score per patch, (N, 1, h, w), unbounded: high is real.

        Args:
            image: (N, in_channels, H, W) in [-1, 1].
        """
        scores: Tensor = self.model(image) if self.config.layers else self.net(image)
        return scores


def _patch_layers(config: PatchGanConfig) -> Iterator[nn.Module]:
    conv, bias = _convolution(config)
    channels = config.in_channels
    for layer in range(config.layers):
        following = config.width * min(2**layer, config.widest)
        stride = 1 if config.antialias else 2
        yield conv(channels, following, 4, stride, padding=1, bias=bias or layer == 0)
        if layer:
            yield _norm(config, following)
        yield nn.LeakyReLU(0.2, inplace=True)
        if config.antialias:
            yield BlurDown(following)
        channels = following
    following = config.width * min(2**config.layers, config.widest)
    yield conv(channels, following, 4, padding=1, bias=bias)
    yield _norm(config, following)
    yield nn.LeakyReLU(0.2, inplace=True)
    yield conv(following, 1, 4, padding=1)


def _pixel_layers(config: PatchGanConfig) -> Iterator[nn.Module]:
    conv, bias = _convolution(config)
    yield conv(config.in_channels, config.width, 1)
    yield nn.LeakyReLU(0.2, inplace=True)
    yield conv(config.width, config.width * 2, 1, bias=bias)
    yield _norm(config, config.width * 2)
    yield nn.LeakyReLU(0.2, inplace=True)
    yield conv(config.width * 2, 1, 1, bias=bias)


def _convolution(config: PatchGanConfig) -> tuple[type[nn.Conv2d], bool]:
    """Return the layer's class, and whether those that a norm could follow have a bias."""
    if config.norm == "spectral":
        return SpectralConv2d, True
    return nn.Conv2d, config.norm == "instance"


def _norm(config: PatchGanConfig, channels: int) -> nn.Module:
    return make_norm("none" if config.norm == "spectral" else config.norm, channels)
