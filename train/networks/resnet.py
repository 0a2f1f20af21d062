"""The ResNet generator of Johnson et al. (2016) as CycleGAN uses it, and CUT's anti-aliased one.

    c7s1-64, d128, d256, 9 x R256, u128, u64, c7s1-3, tanh      (Zhu et al. 2017, appendix 7.2)

State-dict keys are those of pytorch-CycleGAN-and-pix2pix and contrastive-unpaired-translation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from dayshift.train.networks.layers import (
    BlurDown,
    BlurUp,
    Norm,
    Padding,
    check_size,
    make_norm,
    make_padding,
)


@dataclass(frozen=True)
class ResnetConfig:
    """The defaults are CycleGAN's for 256x256.

    Attributes:
        width: channels after the stem; doubled twice on the way down.
        blocks: residual blocks at a quarter of the size: 9 for 256x256, 6 for 128x128.
        norm: "none" drops the convolutions' bias too, like the authors' code.
        dropout: 0.5 inside each residual block.
        padding: of the 7x7 stem and head and of the residual blocks.
        downsampling: "stride", or CUT's convolution followed by a blur ("blur").
        upsampling: "deconv", CUT's "blur" before a convolution, or two that leave no checkerboard
            and run well on edge engines: "nearest" and "pixelshuffle".
        stem: "space_to_depth" sees the image in 4x4 blocks, and so has neither a 7x7 stem nor
            steps down; its head is a 3x3 convolution and depth-to-space, without steps up.
        head: "rgb" is tanh(f(x)); "residual" adds it to the input, "affine" scales and shifts the
            input by twice as many maps, gain = 1 + tanh(…) and bias = tanh(…). "pyramid" predicts
            at a quarter of the size alone, without steps up: what is added to the image of that
            size, and a gain and a bias for each of the input's two finer Laplacian bands. All but
            "rgb" are clamped to [-1, 1].
    """

    in_channels: PositiveInt = 3
    out_channels: PositiveInt = 3
    width: PositiveInt = 64
    blocks: PositiveInt = 9
    norm: Norm = "instance"
    dropout: bool = False
    padding: Padding = "reflect"
    downsampling: Literal["stride", "blur"] = "stride"
    upsampling: Literal["deconv", "blur", "nearest", "pixelshuffle"] = "deconv"
    stem: Literal["full", "space_to_depth"] = "full"
    head: Literal["rgb", "residual", "affine", "pyramid"] = "rgb"

    @property
    def maps(self) -> int:
        """Channels at full size that the head makes its image of."""
        return self.out_channels * (2 if self.head == "affine" else 1)

    @property
    def pyramid_planes(self) -> tuple[int, int, int]:
        """Planes at a quarter of the size: for the image there, and for each pixel of the bands."""
        return self.out_channels, 2 * self.out_channels * 4, 2 * self.out_channels * 16

    @property
    def bias(self) -> bool:
        """Whether convolutions have a bias: only where instance norm would not learn one."""
        return self.norm == "instance"


class ResnetGenerator(nn.Module):
    """Translate images; height and width must be multiples of 4."""

    multiple = 4
    patch_layers = (0, 4, 8, 12, 16)  # whose patches CUT compares
    least_px = 8  # reflection needs two pixels at a quarter of the size

    def __init__(self, config: ResnetConfig | None = None) -> None:
        super().__init__()
        self.config = config or ResnetConfig()
        full = self.config.stem == "full"
        encoder = _stem(self.config) if full else _space_to_depth_stem(self.config)
        blocks = [ResidualBlock(self.config) for _ in range(self.config.blocks)]
        decoder = _decoder(self.config)
        self.model = nn.Sequential(*encoder, *blocks, *decoder)

    def forward(self, x: Tensor) -> Tensor:
        """Return images of the size of `x`, (N, 3, H, W) RGB in [-1, 1].

        Raises:
            NetworkInputError: Height or width is not a multiple of 4, or is under 8.
        """
        check_size(x, self.multiple, "the ResNet generator", self.least_px)
        y: Tensor = self.model(x)
        match self.config.head:
            case "rgb":
                return y
            case "residual":
                return (x + y).clamp(-1, 1)
            case "affine":
                gain, bias = y.chunk(2, dim=1)
                return (x * (1 + gain) + bias).clamp(-1, 1)
            case "pyramid":
                planes = torch.split(y, list(self.config.pyramid_planes), dim=1)
                return _rebuild(x, *planes).clamp(-1, 1)

    def features(self, x: Tensor, layers: Iterable[int]) -> list[Tensor]:
        """Return what the layers with these indices of `model` give, and run none after the last.

        CUT compares patches of layers 0, 4, 8, 12 and 16: the padded image, the convolutions of the
        two steps down, and residual blocks 1 and 5.
        """
        wanted = set(layers)
        found = []
        for index, layer in enumerate(self.model):
            x = layer(x)
            if index in wanted:
                found.append(x)
            if len(found) == len(wanted):
                break
        return found


class ResidualBlock(nn.Module):
    """x + norm(conv(dropout(relu(norm(conv(x)))))), all 3x3."""

    def __init__(self, config: ResnetConfig) -> None:
        super().__init__()
        channels = config.width * 4
        dropout = [nn.Dropout(0.5)] if config.dropout else []
        self.conv_block = nn.Sequential(
            *_conv3(config, channels), nn.ReLU(inplace=True), *dropout, *_conv3(config, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the shape of `x`."""
        y: Tensor = self.conv_block(x)
        return x + y


def _conv3(config: ResnetConfig, channels: int) -> list[nn.Module]:
    """Pad, convolve, normalise. Zero padding is the convolution's own, as in the authors' keys."""
    own = config.padding == "zero"
    pad = [] if own else [make_padding(config.padding, 1)]
    conv = nn.Conv2d(channels, channels, 3, padding=int(own), bias=config.bias)
    return [*pad, conv, make_norm(config.norm, channels)]


def _stem(config: ResnetConfig) -> Iterator[nn.Module]:
    """From the image to four times the width at a quarter of the size."""
    yield make_padding(config.padding, 3)
    yield nn.Conv2d(config.in_channels, config.width, 7, bias=config.bias)
    yield make_norm(config.norm, config.width)
    yield nn.ReLU(inplace=True)
    blur = config.downsampling == "blur"
    for channels in (config.width, config.width * 2):
        stride = 1 if blur else 2
        yield nn.Conv2d(channels, channels * 2, 3, stride, padding=1, bias=config.bias)
        yield make_norm(config.norm, channels * 2)
        yield nn.ReLU(inplace=True)
        if blur:
            yield BlurDown(channels * 2)


def _decoder(config: ResnetConfig) -> Iterator[nn.Module]:
    if config.head == "pyramid":
        return _pyramid_head(config)
    return _head(config) if config.stem == "full" else _depth_to_space_head(config)


def _head(config: ResnetConfig) -> Iterator[nn.Module]:
    """Invert `_stem`."""
    for channels in (config.width * 4, config.width * 2):
        yield from _double(config, channels)
        yield make_norm(config.norm, channels // 2)
        yield nn.ReLU(inplace=True)
    yield make_padding(config.padding, 3)
    yield nn.Conv2d(config.width, config.maps, 7)
    yield nn.Tanh()


def _double(config: ResnetConfig, channels: int) -> list[nn.Module]:
    """Double the size and halve the channels."""
    half = channels // 2
    match config.upsampling:
        case "deconv":
            deconv = nn.ConvTranspose2d(
                channels, half, 3, stride=2, padding=1, output_padding=1, bias=config.bias
            )
            return [deconv]
        case "blur":
            return [BlurUp(channels), nn.Conv2d(channels, half, 3, padding=1, bias=config.bias)]
        case "nearest":
            nearest = nn.Upsample(scale_factor=2, mode="nearest")
            return [nearest, nn.Conv2d(channels, half, 3, padding=1, bias=config.bias)]
        case "pixelshuffle":
            conv = nn.Conv2d(channels, half * 4, 3, padding=1, bias=config.bias)
            return [conv, nn.PixelShuffle(2)]


def _space_to_depth_stem(config: ResnetConfig) -> Iterator[nn.Module]:
    channels = config.width * 4
    yield nn.PixelUnshuffle(4)
    yield nn.Conv2d(config.in_channels * 16, channels, 3, padding=1, bias=config.bias)
    yield make_norm(config.norm, channels)
    yield nn.ReLU(inplace=True)


def _depth_to_space_head(config: ResnetConfig) -> Iterator[nn.Module]:
    yield nn.Conv2d(config.width * 4, config.maps * 16, 3, padding=1)
    yield nn.PixelShuffle(4)
    yield nn.Tanh()


def _pyramid_head(config: ResnetConfig) -> Iterator[nn.Module]:
    yield nn.Conv2d(config.width * 4, sum(config.pyramid_planes), 3, padding=1)
    yield nn.Tanh()


def _rebuild(x: Tensor, added: Tensor, *maps: Tensor) -> Tensor:
    """Return the image of a Laplacian pyramid (Burt & Adelson 1983) whose levels are changed.

    As in LPTN (Liang et al. 2021) the bands are the input's own, scaled where a map says so; here
    something may be added to them, too. Levels are halved by averages and doubled bilinearly, which
    engines do fast, and which gives the input back where nothing is changed.

    Args:
        x: (N, C, H, W).
        added: to the image at (H/4, W/4).
        maps: gain and bias of the coarser and of the finer band, as planes at (H/4, W/4).
    """
    half = functional.avg_pool2d(x, 2)
    low = functional.avg_pool2d(half, 2)
    image = low + added
    for finer, coarser, planes, factor in ((half, low, maps[0], 2), (x, half, maps[1], 4)):
        gain, bias = functional.pixel_shuffle(planes, factor).chunk(2, dim=1)
        band = finer - _double_smoothly(coarser)
        image = _double_smoothly(image) + band * (1 + gain) + bias
    return image


def _double_smoothly(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
