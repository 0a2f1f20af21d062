"""The U-Net generator of Pix2Pix (Isola et al. 2017, appendix 6.1.1).

State-dict keys are those of pytorch-CycleGAN-and-pix2pix, whose blocks are nested: each holds a
step down, the next smaller block, and a step up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from dayshift.train.networks.layers import Norm, check_size, make_norm


@dataclass(frozen=True)
class UnetConfig:
    """The defaults are Pix2Pix's for 256x256.

    Attributes:
        width: channels after the first step down; doubled three times.
        downsamplings: steps down, to 1x1 at the training size: 8 for 256x256, 7 for 128x128.
        norm: "none" drops the convolutions' bias too, like the authors' code.
        dropout: 0.5 after the steps up that have eight times the width, the innermost excepted.
        upsampling: "deconv", or "nearest" before a convolution, which leaves no checkerboard.
    """

    in_channels: PositiveInt = 3
    out_channels: PositiveInt = 3
    width: PositiveInt = 64
    downsamplings: PositiveInt = 8
    norm: Norm = "batch"
    dropout: bool = True
    upsampling: Literal["deconv", "nearest"] = "deconv"

    def __post_init__(self) -> None:
        if self.downsamplings < 5:
            raise ValueError(f"got downsamplings {self.downsamplings}, expected 5 or more")


class UnetGenerator(nn.Module):
    """Translate images; height and width must be multiples of 2 ** downsamplings."""

    def __init__(self, config: UnetConfig | None = None) -> None:
        super().__init__()
        self.config = config or UnetConfig()
        width = self.config.width
        block = _Block(self.config, width * 8, width * 8, None)
        for _ in range(self.config.downsamplings - 5):
            block = _Block(self.config, width * 8, width * 8, block, dropout=self.config.dropout)
        for outer, inner in ((4, 8), (2, 4), (1, 2)):
            block = _Block(self.config, width * outer, width * inner, block)
        self.model = _Outermost(self.config, block)

    @property
    def multiple(self) -> int:
        """What height and width must be multiples of."""
        return int(2**self.config.downsamplings)

    def forward(self, x: Tensor) -> Tensor:
        """Return images of the size of `x`, (N, 3, H, W) RGB in [-1, 1].

        Raises:
            NetworkInputError: Height or width is not a multiple of `multiple`.
        """
        check_size(x, self.multiple, f"the U-Net with {self.config.downsamplings} steps down")
        y: Tensor = self.model(x)
        return y


class _Outermost(nn.Module):
    """From the image and back to it: no norm on the way down, tanh at the end."""

    def __init__(self, config: UnetConfig, inner: nn.Module) -> None:
        super().__init__()
        bias = config.norm == "instance"
        down = nn.Conv2d(config.in_channels, config.width, 4, stride=2, padding=1, bias=bias)
        up = _double(config, config.width * 2, config.out_channels, bias=True)
        self.model = nn.Sequential(down, inner, nn.ReLU(inplace=True), up, nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y


class _Block(nn.Module):
    """concat(x, up(block(down(x)))); the innermost has no block, and no norm on its way down."""

    def __init__(
        self,
        config: UnetConfig,
        outer: int,
        inner: int,
        block: nn.Module | None,
        *,
        dropout: bool = False,
    ) -> None:
        super().__init__()
        bias = config.norm == "instance"
        down = nn.Conv2d(outer, inner, 4, stride=2, padding=1, bias=bias)
        middle = [make_norm(config.norm, inner), block] if block else []
        up = _double(config, inner * 2 if block else inner, outer, bias=bias)
        end = [make_norm(config.norm, outer), *([nn.Dropout(0.5)] if dropout else [])]
        self.model = nn.Sequential(
            nn.LeakyReLU(0.2), down, *middle, nn.ReLU(inplace=True), up, *end
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.model(x)], 1)


def _double(config: UnetConfig, channels: int, following: int, *, bias: bool) -> nn.Module:
    """Double the size."""
    if config.upsampling == "deconv":
        return nn.ConvTranspose2d(channels, following, 4, stride=2, padding=1, bias=bias)
    conv = nn.Conv2d(channels, following, 3, padding=1, bias=bias)
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), conv)
