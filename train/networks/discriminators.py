"""The discriminators of Pix2Pix, CycleGAN and CUT: PatchGAN (Isola et al. 2017, section 3.2.2).

State-dict keys are those of pytorch-CycleGAN-and-pix2pix and contrastive-unpaired-translation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from dayshift.train.networks.layers import BlurDown, Norm, make_norm


@dataclass(frozen=True)
class PatchGanConfig:
    """The defaults are the 70x70 discriminator of CycleGAN.

    Attributes:
        in_channels: 3 for an image alone, 6 for an image under its source (Pix2Pix).
        width: channels after the first layer; doubled by each further layer, up to eight times.
        layers: steps down. 0 gives the 1x1 PixelGAN, 1 sees 16x16, 3 sees 70x70, 5 sees 286x286.
        norm: not after the first layer and not after the last; "none" drops the bias of the
            convolutions that it would follow, like the authors' code.
        antialias: CUT's convolution followed by a blur in the place of a stride.
    """

    in_channels: PositiveInt = 3
    width: PositiveInt = 64
    layers: NonNegativeInt = 3
    norm: Norm = "instance"
    antialias: bool = False


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
    bias = config.norm == "instance"
    channels = config.in_channels
    for layer in range(config.layers):
        following = config.width * min(2**layer, 8)
        stride = 1 if config.antialias else 2
        yield nn.Conv2d(channels, following, 4, stride, padding=1, bias=bias or layer == 0)
        if layer:
            yield make_norm(config.norm, following)
        yield nn.LeakyReLU(0.2)
        if config.antialias:
            yield BlurDown(following)
        channels = following
    following = config.width * min(2**config.layers, 8)
    yield nn.Conv2d(channels, following, 4, padding=1, bias=bias)
    yield make_norm(config.norm, following)
    yield nn.LeakyReLU(0.2)
    yield nn.Conv2d(following, 1, 4, padding=1)


def _pixel_layers(config: PatchGanConfig) -> Iterator[nn.Module]:
    bias = config.norm == "instance"
    yield nn.Conv2d(config.in_channels, config.width, 1)
    yield nn.LeakyReLU(0.2)
    yield nn.Conv2d(config.width, config.width * 2, 1, bias=bias)
    yield make_norm(config.norm, config.width * 2)
    yield nn.LeakyReLU(0.2)
    yield nn.Conv2d(config.width * 2, 1, 1, bias=bias)
