"""Discriminators that judge an image at several sizes: SPADE's and the two of UNIT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from dayshift.train.networks.spectral import SpectralConv2d
from dayshift.train.networks.unit import ConvBlock


@dataclass(frozen=True)
class UnitDiscriminatorConfig:
    """The defaults are those of UNIT's present code.

    Attributes:
        kernel_px: 4 with reflection in the present code, 3 with zeros in that of 2017.
        smoothing: how the image is blurred before it is halved: by a 3x3 average, or a Gaussian.
    """

    in_channels: PositiveInt = 3
    width: PositiveInt = 64
    layers: PositiveInt = 4
    scales: PositiveInt = 3
    kernel_px: Literal[3, 4] = 4
    smoothing: Literal["average", "gaussian"] = "average"


class UnitDiscriminator(nn.Module):
    """Judge an image, its half and its quarter; no norm, patches of each size."""

    gaussian: Tensor

    def __init__(self, config: UnitDiscriminatorConfig | None = None) -> None:
        super().__init__()
        self.config = config or UnitDiscriminatorConfig()
        self.cnns = nn.ModuleList(_unit_scale(self.config) for _ in range(self.config.scales))
        row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
        kernel = (row[:, None] * row).repeat(self.config.in_channels, 1, 1, 1)
        self.register_buffer("gaussian", kernel, persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return one map of scores per size, largest first, each (N, 1, h, w), unbounded.

        Args:
            image: (N, in_channels, H, W) in [-1, 1].
        """
        scores = []
        for index, cnn in enumerate(self.cnns):
            if index:
                image = self._halve(image)
            scores.append(cnn(image))
        return scores

    def _halve(self, image: Tensor) -> Tensor:
        if self.config.smoothing == "average":
            return _average(image)
        image = functional.pad(image, (2, 2, 2, 2), mode="reflect")
        return functional.conv2d(image, self.gaussian, stride=2, groups=image.shape[1])


def _unit_scale(config: UnitDiscriminatorConfig) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels, following = config.in_channels, config.width
    for _ in range(config.layers):
        block = ConvBlock(
            channels,
            following,
            config.kernel_px,
            2,
            padding="reflect" if config.kernel_px == 4 else "zero",
            activation="leaky_relu",
        )
        layers.append(block)
        channels, following = following, following * 2
    return nn.Sequential(*layers, nn.Conv2d(channels, 1, 1))


@dataclass(frozen=True)
class SpadeDiscriminatorConfig:
    """The defaults are those of SPADE for Cityscapes: 36 label planes and the image's 3."""

    in_channels: PositiveInt = 39
    width: PositiveInt = 64
    layers: PositiveInt = 4
    scales: PositiveInt = 2


class SpadeDiscriminator(nn.Module):
    """Judge a photo under its label map at two sizes, and tell what each layer saw."""

    def __init__(self, config: SpadeDiscriminatorConfig | None = None) -> None:
        super().__init__()
        self.config = config or SpadeDiscriminatorConfig()
        self.discriminators = nn.ModuleList(
            _spade_scale(self.config) for _ in range(self.config.scales)
        )

    def forward(self, image: Tensor) -> list[list[Tensor]]:
        """Return, per size, what every layer gives; the last is the score map (N, 1, h, w).

        Args:
            image: (N, in_channels, H, W): label planes and an RGB image in [-1, 1].
        """
        seen = []
        for index, discriminator in enumerate(self.discriminators):
            if index:
                image = _average(image)
            x, features = image, []
            assert isinstance(discriminator, nn.ModuleList)
            for layer in discriminator:
                x = layer(x)
                features.append(x)
            seen.append(features)
        return seen


def _spade_scale(config: SpadeDiscriminatorConfig) -> nn.ModuleList:
    """Return `layers` + 1 layers: 4x4 convolutions padded by 2, stride 2 but for the last two."""
    layers: list[nn.Module] = []
    channels = config.in_channels
    for index in range(config.layers):
        following = config.width * min(2**index, 8)
        stride = 1 if index == config.layers - 1 else 2
        if index == 0:
            first = nn.Conv2d(channels, following, 4, stride, padding=2)
            layers.append(nn.Sequential(first, nn.LeakyReLU(0.2, inplace=True)))
        else:
            # Without bias, which instance norm takes away again.
            conv = SpectralConv2d(channels, following, 4, stride, padding=2, bias=False)
            norm = nn.InstanceNorm2d(following)
            layers.append(nn.Sequential(conv, norm, nn.LeakyReLU(0.2, inplace=True)))
        channels = following
    layers.append(nn.Conv2d(channels, 1, 4, padding=2))
    return nn.ModuleList(layers)


def _average(image: Tensor) -> Tensor:
    """Halve the size by a 3x3 average that leaves what lies outside out."""
    return functional.avg_pool2d(image, 3, stride=2, padding=1, count_include_pad=False)
