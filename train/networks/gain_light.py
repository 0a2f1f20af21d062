"""GainLight: a low-resolution branch that relights a full-resolution frame.

    image = gain * frame + light

The branch sees the frame shrunk to 144 to 180 pixels on its short side, and predicts two maps of
its size: *gain* in [0, 1], how far the scene's illumination falls, and *light* in [0, 1], what
lamps, windows and sky add. Enlarged and applied to the full frame they keep the camera's own
detail, which therefore cannot flicker or smear (bilateral guided upsampling, Chen et al. 2016, and
HDRNet, Gharbi et al. 2017, apply affine colour transforms the same way).

Everything in it is cheap on an edge engine: plain 3x3 convolutions, batch norm that folds, zero
padding, nearest upsampling, a space-to-depth stem and a depth-to-space head. No reflection padding,
no transposed convolution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

BORDER = 8  # pixels the small frame is extended by on each side before the branch sees it
STRIDE = 8  # height and width of the branch's input must be multiples of this


@dataclass(frozen=True)
class GainLightConfig:
    """Channels at 1/2, 1/4 and 1/8 of the branch's input, and residual blocks at 1/8."""

    channels: tuple[int, int, int] = (24, 48, 96)
    blocks: int = 4
    short_side: int = 180  # pixels of the frame's short side that the branch is trained to see


class GainLight(nn.Module):
    """Predict gain and light maps for a small frame, at a given strength."""

    def __init__(self, config: GainLightConfig | None = None) -> None:
        super().__init__()
        self.config = config or GainLightConfig()
        half, quarter, eighth = self.config.channels
        self.stem = _conv(12, half)  # 12 = RGB after space-to-depth by 2
        self.encode_quarter = nn.Sequential(_conv(half, quarter, stride=2), _conv(quarter, quarter))
        self.encode_eighth = _conv(quarter, eighth, stride=2)
        # What a unit of strength adds to each channel at 1/8: dusk is learned, it is no cross-fade.
        self.strength = nn.Linear(1, eighth, bias=False)
        self.body = nn.Sequential(*(ResidualBlock(eighth) for _ in range(self.config.blocks)))
        self.decode_quarter = _conv(eighth, quarter)
        self.refine_quarter = _conv(quarter, quarter)
        self.decode_half = _conv(quarter, half)
        self.refine_half = _conv(half, half)
        # 12 = 3 maps before depth-to-space by 2.
        self.dimming = nn.Conv2d(half, 12, 3, padding=1)
        self.lamps = nn.Conv2d(half, 12, 3, padding=1)
        self._start_near_identity()

    def forward(self, frame: Tensor, strength: Tensor) -> tuple[Tensor, Tensor]:
        """Return gain and light, each (N, 3, H, W) RGB in [0, 1].

        Args:
            frame: small frame, (N, 3, H, W) RGB in [0, 1]; H and W multiples of 8.
            strength: (N,) in [0, 1]. At 0 the gain is exactly 1 and the light exactly 0.
        """
        level = strength.reshape(-1, 1, 1, 1)
        half = self.stem(functional.pixel_unshuffle(frame, 2))
        quarter = self.encode_quarter(half)
        x = self.encode_eighth(quarter)  # (N, C, H/8, W/8)
        offset = self.strength(strength[:, None].to(self.strength.weight.dtype))
        x = self.body(x + offset[:, :, None, None])
        x = self.refine_quarter(_double(self.decode_quarter(x)) + quarter)
        x = self.refine_half(_double(self.decode_half(x)) + half)
        # Dimming falls by equal stops for equal turns of strength; at 0, exp(0) is exactly 1.
        # Not sigmoid(z) ** level, the same function: a power costs engines as much as the rest.
        gain = torch.exp(-level * functional.softplus(-self.dimming(x).float()))
        light = level * torch.sigmoid(self.lamps(x).float())
        # Depth-to-space last, when the values are final: engines fuse what comes before it.
        return functional.pixel_shuffle(gain, 2), functional.pixel_shuffle(light, 2)

    def _start_near_identity(self) -> None:
        """Begin at gain 0.9 and light 0.02: the first gradients see a picture and not noise."""
        for head, start in ((self.dimming, 2.2), (self.lamps, -4.0)):
            nn.init.normal_(head.weight, std=0.01)
            assert head.bias is not None
            nn.init.constant_(head.bias, start)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a skip (He et al. 2016), batch norm after each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _conv(channels, channels)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(x + f(x)), the shape of `x`."""
        return functional.relu(x + self.second(self.first(x)))


def predict_maps(
    network: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], small: Tensor, strength: Tensor
) -> tuple[Tensor, Tensor]:
    """Return gain and light for a small frame of any size.

    The frame's edge is repeated outwards by `BORDER`, and at the bottom and right up to a multiple
    of `STRIDE`; the maps are cropped back. Zero padding would otherwise show as a frame around the
    picture.

    Args:
        network: the branch, a GainLight.
        small: (N, 3, h, w) RGB in [0, 1].
        strength: (N,) in [0, 1].

    Returns:
        gain and light, each (N, 3, h, w).
    """
    h, w = small.shape[-2:]
    right, bottom = BORDER + -w % STRIDE, BORDER + -h % STRIDE
    extended = functional.pad(small, (BORDER, right, BORDER, bottom), mode="replicate")
    gain, light = network(extended, strength)
    inside = (..., slice(BORDER, BORDER + h), slice(BORDER, BORDER + w))
    return gain[inside], light[inside]


def apply_gain_light(frame: Tensor, gain: Tensor, light: Tensor) -> Tensor:
    """Return gain * frame + light in [0, 1], the maps enlarged bilinearly to the frame's size.

    Args:
        frame: (N, 3, H, W) RGB in [0, 1].
        gain: (N, 3, h, w).
        light: (N, 3, h, w).
    """
    size = frame.shape[-2:]
    gain = functional.interpolate(gain, size=size, mode="bilinear", align_corners=False)
    light = functional.interpolate(light, size=size, mode="bilinear", align_corners=False)
    return (gain * frame + light).clamp(0, 1)


def _conv(channels_in: int, channels_out: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")
