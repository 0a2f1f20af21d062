"""SqueezeNet 1.1, the backbone of the offline features and of LPIPS (Iandola et al. 2016).

Two sets of weights exist that do not fit each other: those trained with Caffe and those of
torchvision. They differ in the input (BGR in [0, 255] minus means; normalised RGB) and in how
pooling treats the last column.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

_FIRES = {  # input, squeezed and expanded channels
    "fire2": (64, 16, 64),
    "fire3": (128, 16, 64),
    "fire4": (128, 32, 128),
    "fire5": (256, 32, 128),
    "fire6": (256, 48, 192),
    "fire7": (384, 48, 192),
    "fire8": (384, 64, 256),
    "fire9": (512, 64, 256),
}
_POOLED = ("fire2", "fire4", "fire6")  # stages that see a pooled input
# Places in torchvision's `features`, where pools and activations count.
_TORCHVISION_PLACES = dict(zip(("conv1", *_FIRES), (0, 3, 4, 6, 7, 9, 10, 11, 12), strict=True))


class Fire(nn.Module):
    """1x1 convolution to few channels, then 1x1 and 3x3 side by side."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 2 * expanded, H, W)."""
        x = functional.relu(self.squeeze1x1(x))
        return functional.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1))


class SqueezeNet(nn.Module):
    """The convolutions of SqueezeNet 1.1, without its classifier.

    Args:
        ceil_mode: whether pooling takes in a last column that its window does not fill:
            torchvision's weights expect it, Caffe's do not.
    """

    def __init__(self, *, ceil_mode: bool) -> None:
        super().__init__()
        self._ceil_mode = ceil_mode
        self.conv1 = nn.Conv2d(3, 64, 3, stride=2)
        for name, channels in _FIRES.items():
            self.add_module(name, Fire(*channels))
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the activations after conv1 and each fire module, by name.

        Args:
            x: (N, 3, H, W) in the order and range of the weights.
        """
        found = {"conv1": functional.relu(self.conv1(x))}
        x = found["conv1"]
        for name in _FIRES:
            if name in _POOLED:
                x = functional.max_pool2d(x, 3, stride=2, ceil_mode=self._ceil_mode)
            found[name] = x = self.get_submodule(name)(x)
        return found


def from_torchvision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state of torchvision's `squeezenet1_1` under this module's names."""
    return {
        f"{name}.{key.replace('squeeze.', 'squeeze1x1.')}": tensor
        for name, place in _TORCHVISION_PLACES.items()
        for full, tensor in state.items()
        if full.startswith(f"features.{place}.")
        for key in [full.removeprefix(f"features.{place}.")]
    }
