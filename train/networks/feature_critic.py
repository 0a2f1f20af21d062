"""A discriminator that sees what a pretrained network sees (Projected GANs, Sauer et al. 2021).

Features of a frozen SqueezeNet at three depths, and a small head of its own on each. A
discriminator that must learn to see from a few hundred night photos finds their mean colour and
little else; ImageNet's features already tell lamps, wet asphalt and windows. Of the paper's random
projections the features need none: SqueezeNet's are few.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dayshift.train.networks.spectral import SpectralConv2d

FEATURES = {"fire3": 128, "fire5": 256, "fire9": 512}  # at about 1/4, 1/8 and 1/16


class FeatureCritic(nn.Module):
    """Heads on SqueezeNet's features; the network itself stays outside, see `methods.relight`."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(
            {name: _head(channels, width) for name, channels in FEATURES.items()}
        )

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Return the scores of all places at all depths, (N, places): high is real.

        Args:
            features: (N, C, h, w) by SqueezeNet's names.
        """
        scores = [head(_unit(features[name])).flatten(1) for name, head in self.heads.items()]
        # Each depth weighs the same, however many places it has.
        most = max(score.shape[1] for score in scores)
        return torch.cat([s.repeat_interleave(max(1, most // s.shape[1]), 1) for s in scores], 1)


def _unit(features: Tensor) -> Tensor:
    """Return features of root mean square 1 at each place, as LPIPS compares them."""
    return features * features.square().mean(1, keepdim=True).add(1e-6).rsqrt()


def _head(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        SpectralConv2d(channels, width, 1),
        nn.LeakyReLU(0.2, inplace=True),
        SpectralConv2d(width, width, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
        SpectralConv2d(width, 1, 1),
    )
