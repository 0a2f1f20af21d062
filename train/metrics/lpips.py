"""LPIPS: how different two images look, by deep features weighed as people judged (Zhang 2018)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from dayshift.runtime.image import Pixels
from dayshift.train.data.images import to_tensor
from dayshift.train.metrics.squeezenet import SqueezeNet, from_torchvision
from dayshift.train.metrics.weights import WeightsError, find_weights, read_weights

# Where the authors tap torchvision's SqueezeNet: after each of its last seven changes of width.
_TAPS = ("conv1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9")
# ImageNet's mean and deviation in RGB, for inputs in [-1, 1], as in the authors' code.
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)


class Lpips:
    """LPIPS 0.1 with SqueezeNet 1.1 (equation 1 of the paper); 0 for equal images.

    The heads belong to torchvision's backbone; on other weights the numbers would mean nothing.
    """

    key = "lpips_squeeze"

    def __init__(self, folder: Path | None) -> None:
        """Load backbone and heads.

        Raises:
            WeightsError: One of the two files is not in the folder, or is not what it should be.
        """
        backbone = find_weights("squeezenet1_1-b8a52dc0.pth", folder)
        heads = find_weights("lpips_v0.1_squeeze_lin.pth", folder)
        state = read_weights(heads)
        self._network = SqueezeNet(ceil_mode=True)
        try:
            self._network.load_state_dict(from_torchvision(read_weights(backbone)))
            self._heads = [state[f"lin{place}.model.1.weight"] for place in range(len(_TAPS))]
        except (KeyError, RuntimeError) as error:
            raise WeightsError(
                f"{backbone} or {heads} holds another network: copy them again"
            ) from error
        self._shift = torch.tensor(_SHIFT).reshape(1, 3, 1, 1)
        self._scale = torch.tensor(_SCALE).reshape(1, 3, 1, 1)

    @torch.no_grad()
    def __call__(self, a: Pixels, b: Pixels) -> float:
        """Return the distance of two BGR images (H, W, 3) of one size."""
        first, second = self._features(a), self._features(b)
        distance = torch.zeros(())
        for tap, head in zip(_TAPS, self._heads, strict=True):
            apart = (_unit(first[tap]) - _unit(second[tap])).square()
            distance = distance + (apart * head).sum(dim=1).mean()
        return float(distance)

    def _features(self, image: Pixels) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self._network(
            (to_tensor(image)[None] - self._shift) / self._scale
        )
        return found


def _unit(features: Tensor) -> Tensor:
    """Scale each position's channels to length 1."""
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)
