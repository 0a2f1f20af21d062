"""VGG features for perceptual losses (Simonyan & Zisserman 2015), from a weight file of the user's.

The file is torchvision's, such as vgg19-dcbb9e9d.pth; nothing is downloaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from dayshift.runtime.errors import DayshiftError

# Channels of the 3x3 convolutions, 0 for a pooling.
_LAYERS = {
    "vgg16": (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512),
    "vgg19": (64, 64, 0, 128, 128, 0, *[256] * 4, 0, *[512] * 4, 0, 512),
}
# Indices in `features` of what the losses compare: relu5_3; relu1_1, 2_1, 3_1, 4_1, 5_1.
_COMPARED = {"vgg16": (29,), "vgg19": (1, 6, 11, 20, 29)}


class VggError(DayshiftError):
    """A file of VGG weights cannot be used."""


class Vgg(nn.Module):
    """The layers up to the last that a loss compares; frozen.

    Args:
        kind: which of the two.
        compared: indices in torchvision's `features` of the layers that `forward` returns; those of
            UNIT (vgg16) and SPADE (vgg19) by default.
    """

    def __init__(
        self, kind: Literal["vgg16", "vgg19"], compared: tuple[int, ...] | None = None
    ) -> None:
        super().__init__()
        self.compared = compared or _COMPARED[kind]
        layers: list[nn.Module] = []
        channels = 3
        for following in _LAYERS[kind]:
            if following:
                layers += [nn.Conv2d(channels, following, 3, padding=1), nn.ReLU()]
                channels = following
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.requires_grad_(False).eval()

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return what the compared layers give for (N, 3, H, W) RGB."""
        found = []
        for index, layer in enumerate(self.features):
            image = layer(image)
            if index in self.compared:
                found.append(image)
        return found


def load_vgg(
    kind: Literal["vgg16", "vgg19"], path: Path, compared: tuple[int, ...] | None = None
) -> Vgg:
    """Read torchvision's weights. Runs no code from the file.

    Raises:
        VggError: The file is missing, damaged, or holds another network.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise VggError(f"no {kind} weights at {path}: give torchvision's file, or none") from error
    except Exception as error:  # torch.load raises many kinds for damaged files
        reason = str(error).splitlines()[0]
        raise VggError(f"cannot read {path} as {kind} weights ({reason}): fetch it anew") from error
    network = Vgg(kind, compared)
    try:
        network.load_state_dict({key: state[key] for key in network.state_dict()})
    except (KeyError, TypeError, RuntimeError) as error:
        raise VggError(f"{path} does not hold torchvision's {kind}: fetch that file") from error
    return network
