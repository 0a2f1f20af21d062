"""UNIT's generator: an auto-encoder per domain over a shared latent space (Liu et al. 2017).

`Vae` is the one of the authors' present code: no layer is shared by weights; the method's cycle
terms alone make the latent spaces one. A translator from a to b is a `Vae` that holds a's encoder
and b's decoder. State-dict keys are those of the authors' VAEGen: of a checkpoint {a: ..., b: ...},
take "enc.*" from a and "dec.*" from b to translate from a to b.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from dayshift.train.networks.layers import (
    LayerNorm,
    Padding,
    check_size,
    make_norm,
    make_padding,
)


@dataclass(frozen=True)
class VaeConfig:
    """The defaults are those of the authors' street-scene configuration.

    Attributes:
        width: channels after the stem; doubled by each step down.
        downsamplings: steps down, 4x4 convolutions of stride 2.
        blocks: residual blocks in the encoder, and as many in the decoder.
    """

    in_channels: PositiveInt = 3
    out_channels: PositiveInt = 3
    width: PositiveInt = 64
    downsamplings: PositiveInt = 2
    blocks: PositiveInt = 4
    padding: Padding = "reflect"


class Vae(nn.Module):
    """Encode an image of one domain, decode one of the same or of the other domain."""

    def __init__(self, config: VaeConfig | None = None) -> None:
        super().__init__()
        self.config = config or VaeConfig()
        self.enc = _Encoder(self.config)
        self.dec = _Decoder(self.config)

    @property
    def multiple(self) -> int:
        """What height and width must be multiples of."""
        return int(2**self.config.downsamplings)

    def forward(self, x: Tensor) -> Tensor:
        """Return images of the size of `x`, (N, 3, H, W) RGB in [-1, 1], without latent noise.

        Raises:
            NetworkInputError: Height or width is not a multiple of `multiple`, or is too small.
        """
        return self.decode(self.encode(x))

    def encode(self, x: Tensor) -> Tensor:
        """Return the latent mean, (N, C, H/4, W/4); the latent's variance is fixed at 1."""
        check_size(x, self.multiple, "UNIT's encoder", least_px=max(2 * self.multiple, 4))
        z: Tensor = self.enc(x)
        return z

    def decode(self, z: Tensor) -> Tensor:
        """Return images (N, 3, H, W) RGB in [-1, 1] of latents (N, C, H/4, W/4)."""
        image: Tensor = self.dec(z)
        return image


class _Encoder(nn.Module):
    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        width, padding = config.width, config.padding
        stages = [ConvBlock(config.in_channels, width, 7, padding=padding, norm="instance")]
        for _ in range(config.downsamplings):
            stages.append(ConvBlock(width, width * 2, 4, 2, padding=padding, norm="instance"))
            width *= 2
        self.model = nn.Sequential(*stages, _Blocks(width, config))

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.model(x)
        return z


class _Decoder(nn.Module):
    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        width, padding = config.width * 2**config.downsamplings, config.padding
        stages: list[nn.Module] = [_Blocks(width, config)]
        for _ in range(config.downsamplings):
            stages.append(nn.Upsample(scale_factor=2, mode="nearest"))
            stages.append(ConvBlock(width, width // 2, 5, padding=padding, norm="layer"))
            width //= 2
        head = ConvBlock(width, config.out_channels, 7, padding=padding, activation="tanh")
        self.model = nn.Sequential(*stages, head)

    def forward(self, z: Tensor) -> Tensor:
        image: Tensor = self.model(z)
        return image


class _Blocks(nn.Module):
    def __init__(self, channels: int, config: VaeConfig) -> None:
        super().__init__()
        blocks = [_ResidualBlock(channels, config.padding) for _ in range(config.blocks)]
        self.model = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y


class _ResidualBlock(nn.Module):
    def __init__(self, channels: int, padding: Padding) -> None:
        super().__init__()
        self.model = nn.Sequential(
            ConvBlock(channels, channels, 3, padding=padding, norm="instance"),
            ConvBlock(channels, channels, 3, padding=padding, norm="instance", activation="none"),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return x + y


class ConvBlock(nn.Module):
    """Pad, convolve, normalise, activate; the size is kept, or divided by the stride."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_px: int,
        stride: int = 1,
        *,
        padding: Padding = "reflect",
        norm: Literal["instance", "layer", "none"] = "none",
        activation: Literal["relu", "leaky_relu", "tanh", "none"] = "relu",
    ) -> None:
        super().__init__()
        self.pad = make_padding(padding, (kernel_px - 1) // 2)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_px, stride)
        self.norm = LayerNorm(out_channels) if norm == "layer" else make_norm(norm, out_channels)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out_channels, H / stride, W / stride)."""
        y: Tensor = self.norm(self.conv(self.pad(x)))
        match self.activation:
            case "relu":
                return functional.relu(y, inplace=True)
            case "leaky_relu":
                return functional.leaky_relu(y, 0.2, inplace=True)
            case "tanh":
                return torch.tanh(y)
            case "none":
                return y
