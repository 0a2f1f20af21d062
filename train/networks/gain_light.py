"""GainLight: a low-resolution branch that relights a full-resolution frame.

    image = gain * frame + light

The branch sees the frame shrunk to `short_side` pixels on its short side, and predicts two maps of
its size: *gain* in [0, 1], how far the scene's illumination falls, and *light* in [0, 1], what
lamps, windows and sky add. Enlarged and applied to the full frame they keep the camera's own
detail, which therefore cannot flicker or smear (bilateral guided upsampling, Chen et al. 2016, and
HDRNet, Gharbi et al. 2017, apply affine colour transforms the same way).

Everything in it is cheap on an edge engine: plain 3x3 convolutions, batch norm that folds, zero
padding, nearest upsampling, a space-to-depth stem and a depth-to-space head, so that no convolution
runs at the small frame's own resolution. No reflection padding, no transposed convolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

# Pixels that the small frame is extended by before the branch sees it: above and to the left, and
# at least below and to the right. Training crops have no less: nearer than that, the zeros around
# the branch's layers would show as lights along the edge.
BORDER, FAR_BORDER = 8, 16
_BLACK = 1e-3
_GRADED = (0.25, 3.0)  # the least and most that a grade makes of a plane


@dataclass(frozen=True)
class GainLightConfig:
    """Widths of the three levels, residual blocks at the coarsest, and how fine the maps are.

    Attributes:
        channels: at 1/fold, 1/(2 fold) and 1/(4 fold) of the small frame.
        blocks: at the last of these.
        short_side: pixels of the frame's short side that the branch is trained to see.
        fold: the stem makes blocks of fold x fold pixels channels, the heads undo that.
        saturation: at full strength colours are so many times as far from grey as the heads say,
        warmth: red is raised and blue lowered by that factor,
        exposure: and all of it multiplied by this.
    """

    channels: tuple[int, int, int] = (32, 64, 96)
    blocks: int = 4
    short_side: int = 240
    fold: int = 4
    saturation: float = 1.0
    warmth: float = 1.0
    exposure: float = 1.0

    @property
    def is_graded(self) -> bool:
        """Say whether there is anything to grade."""
        return (self.saturation, self.warmth, self.exposure) != (1.0, 1.0, 1.0)

    @property
    def stride(self) -> int:
        """Return what height and width of the branch's input must be multiples of."""
        return 4 * self.fold


class GainLight(nn.Module):
    """Predict gain and light maps for a small frame, at a given strength and amount of lamps."""

    def __init__(self, config: GainLightConfig | None = None) -> None:
        super().__init__()
        self.config = config or GainLightConfig()
        fine, middle, coarse = self.config.channels
        planes = 3 * self.config.fold**2  # RGB after space-to-depth
        self.stem = _conv(planes, fine)
        self.encode_middle = nn.Sequential(_conv(fine, middle, stride=2), _conv(middle, middle))
        self.encode_coarse = _conv(middle, coarse, stride=2)
        # What a unit of strength, and a unit of lamps at that strength, add to each channel: dusk
        # is learned, it is no cross-fade.
        self.controls = nn.Linear(2, coarse, bias=False)
        self.body = nn.Sequential(*(ResidualBlock(coarse) for _ in range(self.config.blocks)))
        self.decode_middle = _conv(coarse, middle)
        self.refine_middle = _conv(middle, middle)
        self.decode_fine = _conv(middle, fine)
        self.refine_fine = _conv(fine, fine)
        self.dimming = nn.Conv2d(fine, planes, 3, padding=1)
        self.lamps = nn.Conv2d(fine, planes, 3, padding=1)
        # Off while the heads are trained: the grade is laid over what they have learned.
        self.applies_grade = self.config.is_graded
        self.register_buffer("grade", _grade_of_blocks(self.config), persistent=False)
        self.grade: Tensor
        self._start_near_identity()

    def forward(self, frame: Tensor, strength: Tensor, lamps: Tensor) -> tuple[Tensor, Tensor]:
        """Return gain and light, each (N, 3, H, W) RGB in [0, 1].

        Args:
            frame: small frame, (N, 3, H, W) RGB in [0, 1]; H and W multiples of `config.stride`.
            strength: (N,) in [0, 1]. At 0 the gain is exactly 1 and the light exactly 0.
            lamps: (N,) in [0, 1], the share of the artificial light that burns.
        """
        fold = self.config.fold
        gain, light = self.of_blocks(functional.pixel_unshuffle(frame, fold), strength, lamps)
        return functional.pixel_shuffle(gain, fold), functional.pixel_shuffle(light, fold)

    def of_blocks(self, blocks: Tensor, strength: Tensor, lamps: Tensor) -> tuple[Tensor, Tensor]:
        """Return gain and light between space-to-depth and depth-to-space; see `forward`.

        Args:
            blocks: (N, 3 fold^2, H / fold, W / fold), as gain and light are; colours outermost.
            strength: (N,) in [0, 1].
            lamps: (N,) in [0, 1].
        """
        level = strength.reshape(-1, 1, 1, 1)
        fine, middle, coarse = self.encode(blocks, strength, lamps)
        x = self.body(coarse)
        x = self.refine_middle(_double(self.decode_middle(x)) + middle)
        x = self.refine_fine(_double(self.decode_fine(x)) + fine)
        # Dimming falls by equal stops for equal turns of strength; at 0, exp(0) is exactly 1.
        # Not sigmoid(z) ** level, the same function: a power costs engines as much as the rest.
        gain = torch.exp(-level * functional.softplus(-self.dimming(x).float()))
        light = level * torch.sigmoid(self.lamps(x).float())
        return self._graded(blocks, gain, light, level) if self.applies_grade else (gain, light)

    def maps(
        self, small: Tensor, strength: Tensor, lamps: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return gain and light, each (N, 3, h, w), for a small frame of any size.

        Args:
            small: (N, 3, h, w) RGB in [0, 1].
            strength: (N,) in [0, 1].
            lamps: (N,) in [0, 1]; all of them burn when None.
        """
        h, w = small.shape[-2:]
        lamps = torch.ones_like(strength) if lamps is None else lamps
        extended = extend(small, self.config.stride)
        gain, light = GainLight.forward(self, extended, strength, lamps)
        inside = (..., slice(BORDER, BORDER + h), slice(BORDER, BORDER + w))
        return gain[inside], light[inside]

    def encode(
        self, blocks: Tensor, strength: Tensor, lamps: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the features of the three levels, fine to coarse, the coarse ones controlled."""
        fine = self.stem(blocks)
        middle = self.encode_middle(fine)
        controls = torch.stack([strength, strength * lamps], dim=1)
        offset = self.controls(controls.to(self.controls.weight.dtype))
        return fine, middle, self.encode_coarse(middle) + offset[:, :, None, None]

    def _graded(
        self, blocks: Tensor, gain: Tensor, light: Tensor, level: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Scale both maps by what the grade does to the small picture that they make.

        So detail that only the large frame has gets the same. Black has no colour to raise.
        """
        picture = gain * blocks + light
        # By matrix: as a convolution it would be quantized.
        added = torch.matmul(picture.permute(0, 2, 3, 1), self.grade).permute(0, 3, 1, 2)
        ratio = (1 + level * added / (picture + _BLACK)).clamp(*_GRADED)
        return (gain * ratio).clamp(max=1), (light * ratio).clamp(max=1)

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


def _grade_of_blocks(config: GainLightConfig) -> Tensor:
    """Return what a grade adds to a block's planes, as a matrix for planes in the last axis."""
    tint = torch.tensor([config.warmth, 1.0, 1 / config.warmth]) * config.exposure
    grey = torch.full((3, 3), 1 / 3)
    saturated = grey + config.saturation * (torch.eye(3) - grey)
    return torch.kron(saturated * tint - torch.eye(3), torch.eye(config.fold**2))


def extend(small: Tensor, stride: int) -> Tensor:
    """Return a small frame (N, 3, h, w) as the branch sees it.

    Its edge is repeated outwards by `BORDER`, at the bottom and right by `FAR_BORDER` and up to a
    multiple of the stride. Zero padding would otherwise show as a frame around the picture.
    """
    h, w = small.shape[-2:]
    right, bottom = (FAR_BORDER + -(side + BORDER + FAR_BORDER) % stride for side in (w, h))
    return functional.pad(small, (BORDER, right, BORDER, bottom), mode="replicate")


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
