"""PatchGAN (Isola et al. 2017, section 3.2.2) with spectral norm (Miyato et al. 2018)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """Judge overlapping patches of an image: real or translated.

    Args:
        channels_in: 3 for an image alone, 6 for an image with its condition (the source) stacked on
            it.
        width: channels after the first layer; doubled by each further stride-2 layer.
        layers: stride-2 layers. 3 gives the 70x70 receptive field of the paper.
    """

    def __init__(self, channels_in: int = 3, width: int = 32, layers: int = 3) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        channels = channels_in
        for layer in range(layers):
            following = width * 2 ** min(layer, 2)
            stages += [_conv4(channels, following, stride=2), nn.LeakyReLU(0.2, inplace=True)]
            channels = following
        following = min(channels * 2, width * 4)
        stages += [_conv4(channels, following, stride=1), nn.LeakyReLU(0.2, inplace=True)]
        stages.append(_conv4(following, 1, stride=1))
        self.stages = nn.Sequential(*stages)

    def forward(self, image: Tensor) -> Tensor:
        """Return one score per patch, (N, 1, h, w), unbounded: high is real.

        Args:
            image: (N, channels_in, H, W) in [-1, 1].
        """
        scores: Tensor = self.stages(image)
        return scores


def _conv4(channels_in: int, channels_out: int, *, stride: int) -> nn.Module:
    return spectral_norm(nn.Conv2d(channels_in, channels_out, 4, stride=stride, padding=1))
