"""SPADE: a generator that is told everything by its normalisation layers (Park et al. 2019).

Written from the paper; state-dict keys are those that the authors' checkpoints have. The generator
sees a label map as planes, one per label (`label_planes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from dayshift.train.networks.layers import NetworkInputError, check_size, is_tracing
from dayshift.train.networks.spectral import SpectralConv2d

_SLOPE = 0.2


@dataclass(frozen=True)
class SpadeConfig:
    """The defaults are those for Cityscapes at 512x256.

    Attributes:
        label_planes: labels, one more if a "don't care" label is used, one more for instance edges.
        width: channels of the last block; each before has twice as many, up to `widest` times.
        modulation: channels between the label map and gamma, beta (appendix A).
        upsampling: steps up: "normal" 5 for 256x256, "more" 6, "most" 7 with one more block.
        latent: length of the style vector z; 0 starts from the label map in its place.
        size: (height, width) of the images; with z no other is taken, without z it says nothing.
    """

    label_planes: PositiveInt = 36
    out_channels: PositiveInt = 3
    width: PositiveInt = 64
    upsampling: Literal["normal", "more", "most"] = "more"
    latent: NonNegativeInt = 0
    size: tuple[PositiveInt, PositiveInt] = (256, 512)
    widest: PositiveInt = 16
    modulation: PositiveInt = 128

    @property
    def steps(self) -> int:
        """How often height and width are doubled."""
        return {"normal": 5, "more": 6, "most": 7}[self.upsampling]

    @property
    def first_channels(self) -> int:
        """Channels of the first feature map."""
        return self.width * min(16, self.widest)

    @property
    def first_size(self) -> tuple[int, int]:
        """Height and width of the first feature map of images of `size`."""
        h, w = self.size
        return h // 2**self.steps, w // 2**self.steps

    def __post_init__(self) -> None:
        multiple = 2**self.steps
        if self.latent and any(side % multiple for side in self.size):
            h, w = self.size
            raise ValueError(f"got size {w}x{h}, expected multiples of {multiple}")


class SpadeGenerator(nn.Module):
    """Paint a photo of a label map; height and width must be multiples of 2 ** steps."""

    def __init__(self, config: SpadeConfig | None = None) -> None:
        super().__init__()
        self.config = config or SpadeConfig()
        width, first = self.config.width, self.config.first_channels
        widths = [width * min(factor, self.config.widest) for factor in (8, 4, 2, 1)]
        if self.config.latent:
            h, w = self.config.first_size
            self.fc: nn.Module = nn.Linear(self.config.latent, first * h * w)
        else:
            self.fc = nn.Conv2d(self.config.label_planes, first, 3, padding=1)
        self.head_0 = SpadeBlock(first, first, self.config)
        self.G_middle_0 = SpadeBlock(first, first, self.config)
        self.G_middle_1 = SpadeBlock(first, first, self.config)
        self.up_0 = SpadeBlock(first, widths[0], self.config)
        self.up_1 = SpadeBlock(widths[0], widths[1], self.config)
        self.up_2 = SpadeBlock(widths[1], widths[2], self.config)
        self.up_3 = SpadeBlock(widths[2], width, self.config)
        last = width
        if self.config.upsampling == "most":
            self.up_4 = SpadeBlock(width, width // 2, self.config)
            last = width // 2
        self.conv_img = nn.Conv2d(last, self.config.out_channels, 3, padding=1)

    @property
    def multiple(self) -> int:
        """What height and width must be multiples of."""
        return int(2**self.config.steps)

    def forward(self, labels: Tensor, z: Tensor | None = None) -> Tensor:
        """Return images (N, 3, H, W) RGB in [-1, 1].

        Args:
            labels: (N, label_planes, H, W), see `label_planes`.
            z: (N, latent) style vectors, for a network that has them. Without, zeros, the mean.

        Raises:
            NetworkInputError: Planes or size are not what this network takes.
        """
        x = self._first_map(labels, z)
        x = self.head_0(x, labels)
        x = self.G_middle_0(_double(x), labels)
        x = self.G_middle_1(x if self.config.upsampling == "normal" else _double(x), labels)
        for block in (self.up_0, self.up_1, self.up_2, self.up_3):
            x = block(_double(x), labels)
        if self.config.upsampling == "most":
            x = self.up_4(_double(x), labels)
        return torch.tanh(self.conv_img(functional.leaky_relu(x, _SLOPE)))

    def _first_map(self, labels: Tensor, z: Tensor | None) -> Tensor:
        """Return (N, 16 * width, H / 2 ** steps, W / 2 ** steps)."""
        if labels.shape[1] != self.config.label_planes:
            raise NetworkInputError(
                f"got {labels.shape[1]} label planes, expected {self.config.label_planes}: "
                "labels, one for 'don't care' and one for instance edges where they are used"
            )
        check_size(labels, self.multiple, "this SPADE generator")
        h, w = (side // self.multiple for side in labels.shape[-2:])
        if not self.config.latent:
            first: Tensor = self.fc(functional.interpolate(labels, size=(h, w)))
            return first
        if (h, w) != self.config.first_size:
            expected_h, expected_w = self.config.size
            raise NetworkInputError(
                f"got labels of {labels.shape[-1]}x{labels.shape[-2]}, but a SPADE generator with "
                f"a style vector takes only the size it was made for, {expected_w}x{expected_h}"
            )
        if z is None:
            z = labels.new_zeros(labels.shape[0], self.config.latent)
        flat: Tensor = self.fc(z)
        return flat.reshape(-1, self.config.first_channels, h, w)


class SpadeBlock(nn.Module):
    """A residual block with SPADE before each convolution (figure 4 of the paper).

    The convolutions are spectrally normalised; the modulation's own are not, in the authors' code.
    """

    def __init__(self, in_channels: int, out_channels: int, config: SpadeConfig) -> None:
        super().__init__()
        between = min(in_channels, out_channels)
        self.norm_0 = Spade(in_channels, config)
        self.conv_0 = SpectralConv2d(in_channels, between, 3, padding=1)
        self.norm_1 = Spade(between, config)
        self.conv_1 = SpectralConv2d(between, out_channels, 3, padding=1)
        self.learned_shortcut = in_channels != out_channels
        if self.learned_shortcut:
            self.norm_s = Spade(in_channels, config)
            self.conv_s = SpectralConv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Return (N, out_channels, h, w) of features (N, in_channels, h, w)."""
        shortcut = self.conv_s(self.norm_s(x, labels)) if self.learned_shortcut else x
        y = self.conv_0(functional.leaky_relu(self.norm_0(x, labels), _SLOPE, inplace=True))
        y = self.conv_1(functional.leaky_relu(self.norm_1(y, labels), _SLOPE, inplace=True))
        result: Tensor = shortcut + y
        return result


class Spade(nn.Module):
    """Spatially adaptive normalisation: BN(x) * (1 + gamma(labels)) + beta(labels), equation 1.

    Across processes the authors' batch norm is synchronised; here each process has its own.
    """

    def __init__(self, channels: int, config: SpadeConfig) -> None:
        super().__init__()
        between = config.modulation
        self.param_free_norm = nn.BatchNorm2d(channels, affine=False)
        self.mlp_shared = nn.Sequential(
            nn.Conv2d(config.label_planes, between, 3, padding=1), nn.ReLU(inplace=True)
        )
        self.mlp_gamma = nn.Conv2d(between, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(between, channels, 3, padding=1)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Return the shape of `x`, (N, channels, h, w)."""
        shared = self.mlp_shared(functional.interpolate(labels, size=x.shape[-2:]))
        normalized = self.param_free_norm(x)
        modulated: Tensor = normalized * (1 + self.mlp_gamma(shared)) + self.mlp_beta(shared)
        return modulated


@dataclass(frozen=True)
class SpadeEncoderConfig:
    """The image encoder of the VAE mode; z has `latent` numbers."""

    in_channels: PositiveInt = 3
    width: PositiveInt = 64
    latent: PositiveInt = 256


class SpadeEncoder(nn.Module):
    """Encode a photo's style as the mean and log-variance of z (figure 14 of the paper)."""

    def __init__(self, config: SpadeEncoderConfig | None = None) -> None:
        super().__init__()
        self.config = config or SpadeEncoderConfig()
        layers: list[nn.Module] = []
        channels = self.config.in_channels
        for factor in (1, 2, 4, 8, 8, 8):
            following = self.config.width * factor
            layers += [
                SpectralConv2d(channels, following, 3, stride=2, padding=1, bias=False),
                nn.InstanceNorm2d(following),
                nn.LeakyReLU(_SLOPE, inplace=True),
            ]
            channels = following
        self.layers = nn.Sequential(*layers)
        self.mean = nn.Linear(channels * 16, self.config.latent)
        self.log_variance = nn.Linear(channels * 16, self.config.latent)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance, each (N, latent), of (N, 3, H, W) RGB in [-1, 1]."""
        image = functional.interpolate(image, size=(256, 256), mode="bilinear", align_corners=False)
        flat = self.layers(image).flatten(1)  # (N, 8 * width * 4 * 4)
        return self.mean(flat), self.log_variance(flat)


def label_planes(labels: Tensor, count: int, instances: Tensor | None = None) -> Tensor:
    """Return label maps as planes of 0 and 1, (N, count, H, W) float32, the generator's input.

    Args:
        labels: (N, H, W) integers in [0, count), or [0, count - 1) with instances.
        count: planes in all; the last one holds the edges between instances, if they are given.
        instances: (N, H, W) integers that differ between instances.

    Raises:
        NetworkInputError: A label is outside its range.
    """
    classes = count if instances is None else count - 1
    if not is_tracing():
        lowest, highest = int(labels.min()), int(labels.max())
        if lowest < 0 or highest >= classes:
            raise NetworkInputError(
                f"got label {lowest if lowest < 0 else highest}, expected 0 to {classes - 1}: "
                "give the generator more label_planes, or map the labels"
            )
    planes = functional.one_hot(labels, classes).movedim(-1, 1).float()
    if instances is None:
        return planes
    return torch.cat([planes, instance_edges(instances)[:, None]], dim=1)


def instance_edges(instances: Tensor) -> Tensor:
    """Return 1.0 where a pixel's left, right, upper or lower neighbour is another instance.

    Args:
        instances: (N, H, W) integers.

    Returns:
        (N, H, W) float32.
    """
    edges = torch.zeros_like(instances, dtype=torch.bool)
    across = instances[:, :, 1:] != instances[:, :, :-1]
    down = instances[:, 1:] != instances[:, :-1]
    edges[:, :, 1:] |= across
    edges[:, :, :-1] |= across
    edges[:, 1:] |= down
    edges[:, :-1] |= down
    return edges.float()


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")
