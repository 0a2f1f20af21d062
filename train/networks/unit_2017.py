"""UNIT's generator as published (Liu et al. 2017): the domains share the layers next to the latent.

    encoder_a --.                                         .-- decoder_a
                 >-- shared encoder -- + noise -- shared decoder --<
    encoder_b --'                                         '-- decoder_b

A translator from a to b is a `SharedVae` of a's encoder and b's decoder around the shared layers;
`share_with` makes the two directions one network. The padding of the 7x7 stem is zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from dayshift.train.networks.layers import check_size


@dataclass(frozen=True)
class SharedVaeConfig:
    """The defaults are those of the authors' day-to-night experiment.

    Attributes:
        width: channels after the stem; doubled twice on the way down.
        blocks: residual blocks of each domain, in the encoder and in the decoder.
        shared_blocks: residual blocks that both domains share, on each side of the latent.
        dropout: share of the features dropped at the end of each residual block.
    """

    in_channels: PositiveInt = 3
    out_channels: PositiveInt = 3
    width: PositiveInt = 64
    blocks: PositiveInt = 3
    shared_blocks: PositiveInt = 1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5


class SharedVae(nn.Module):
    """Encode an image of one domain, decode one of the same or of the other domain."""

    multiple = 4

    def __init__(self, config: SharedVaeConfig | None = None) -> None:
        super().__init__()
        self.config = config or SharedVaeConfig()
        self.enc = nn.Sequential(*_encoder_layers(self.config))
        self.enc_shared = _blocks(self.config.shared_blocks, self.config)
        self.dec_shared = _blocks(self.config.shared_blocks, self.config)
        self.dec = nn.Sequential(*_decoder_layers(self.config))

    def share_with(self, other: SharedVae) -> None:
        """Use the shared layers of `other`, the same objects, in the place of one's own."""
        self.enc_shared, self.dec_shared = other.enc_shared, other.dec_shared

    def forward(self, x: Tensor) -> Tensor:
        """Return images of the size of `x`, (N, 3, H, W) RGB in [-1, 1], without latent noise.

        Raises:
            NetworkInputError: Height or width is not a multiple of 4, or is under 8.
        """
        return self.decode(self.encode(x))

    def encode(self, x: Tensor) -> Tensor:
        """Return the latent mean, (N, C, H/4, W/4); the latent's variance is fixed at 1."""
        check_size(x, self.multiple, "UNIT's encoder", least_px=8)
        z: Tensor = self.enc_shared(self.enc(x))
        return z

    def decode(self, z: Tensor) -> Tensor:
        """Return images (N, 3, H, W) RGB in [-1, 1] of latents (N, C, H/4, W/4)."""
        image: Tensor = self.dec(self.dec_shared(z))
        return image


class _ResidualBlock(nn.Module):
    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.InstanceNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.InstanceNorm2d(channels),
            *([nn.Dropout(dropout)] if dropout else []),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.layers(x))


def _blocks(count: int, config: SharedVaeConfig) -> nn.Sequential:
    channels = config.width * 4
    return nn.Sequential(*(_ResidualBlock(channels, config.dropout) for _ in range(count)))


def _encoder_layers(config: SharedVaeConfig) -> list[nn.Module]:
    width = config.width
    return [
        nn.Conv2d(config.in_channels, width, 7, padding=3),
        nn.LeakyReLU(inplace=True),
        nn.Conv2d(width, width * 2, 3, stride=2, padding=1),
        nn.LeakyReLU(inplace=True),
        nn.Conv2d(width * 2, width * 4, 3, stride=2, padding=1),
        nn.LeakyReLU(inplace=True),
        *_blocks(config.blocks, config),
    ]


def _decoder_layers(config: SharedVaeConfig) -> list[nn.Module]:
    width = config.width
    return [
        *_blocks(config.blocks, config),
        nn.ConvTranspose2d(width * 4, width * 2, 3, stride=2, padding=1, output_padding=1),
        nn.LeakyReLU(inplace=True),
        nn.ConvTranspose2d(width * 2, width, 3, stride=2, padding=1, output_padding=1),
        nn.LeakyReLU(inplace=True),
        nn.ConvTranspose2d(width, config.out_channels, 1),
        nn.Tanh(),
    ]
