"""VGG for a method's perceptual terms, read from the user's file when it is first needed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from dayshift.train import losses
from dayshift.train.networks.vgg import Vgg, load_vgg


class LazyVgg:
    """Frozen, not part of a method's modules and so not of its checkpoints.

    Args:
        kind: "vgg16" for UNIT and OMGD, "vgg19" for SPADE.
        weights: path of torchvision's file.
        compared: layers; see `Vgg`.
    """

    def __init__(
        self,
        kind: Literal["vgg16", "vgg19"],
        weights: str,
        compared: tuple[int, ...] | None = None,
    ) -> None:
        self._kind, self._weights, self._compared = kind, Path(weights), compared
        self._network: Vgg | None = None

    def styles(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return SPADE's term; it gives VGG images in [-1, 1] as they are.

        Raises:
            VggError: The file cannot be used.
        """
        network = self._on(fake.device)
        with torch.no_grad():
            seen = network(real)
        return losses.perceptual_l1(seen, network(fake))

    def content(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return UNIT's term.

        Its code has VGG in Caffe's weights and scale; torchvision's get torchvision's scale here.

        Raises:
            VggError: The file cannot be used.
        """
        network = self._on(fake.device)
        with torch.no_grad():
            (seen,) = network(_imagenet(real))
        return losses.perceptual_instance(seen, network(_imagenet(fake))[0])

    def features(self, real: Tensor, fake: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the features of both, for OMGD's terms; its code scales images to [0, 1] alone.

        Raises:
            VggError: The file cannot be used.
        """
        network = self._on(fake.device)
        with torch.no_grad():
            seen = network((real + 1) / 2)
        return seen, network((fake + 1) / 2)

    def _on(self, device: torch.device) -> Vgg:
        if self._network is None:
            self._network = load_vgg(self._kind, self._weights, self._compared).to(device)
        return self._network


def _imagenet(image: Tensor) -> Tensor:
    """Scale RGB in [-1, 1] to ImageNet's mean 0 and deviation 1."""
    mean = image.new_tensor([0.485, 0.456, 0.406])[:, None, None]
    deviation = image.new_tensor([0.229, 0.224, 0.225])[:, None, None]
    return ((image + 1) / 2 - mean) / deviation
