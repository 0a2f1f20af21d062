"""Pretrained networks that a method looks through, frozen, read from the user's files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from dayshift.train import losses
from dayshift.train.metrics.features import CAFFE_MEAN_BGR
from dayshift.train.metrics.squeezenet import SqueezeNet
from dayshift.train.metrics.weights import find_weights, read_weights, weights_folder
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


class LazySqueezeNet:
    """Caffe's SqueezeNet 1.1, frozen, not part of a method's modules and so not of its checkpoints.

    Raises:
        WeightsError: The weights are not in the folder that the environment names, see
            `metrics.weights`; said before anything is trained.
    """

    def __init__(self) -> None:
        self._path = find_weights("squeezenet_v1_1_imagenet_notop.npz", weights_folder())
        self._network: SqueezeNet | None = None

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Return the activations by layer.

        Args:
            image: (N, 3, H, W) RGB in [0, 1].
        """
        mean = image.new_tensor(CAFFE_MEAN_BGR)[:, None, None]
        found: dict[str, Tensor] = self._on(image.device)(image.flip(1) * 255 - mean)
        return found

    def _on(self, device: torch.device) -> SqueezeNet:
        if self._network is None:
            self._network = SqueezeNet(ceil_mode=False)
            self._network.load_state_dict(read_weights(self._path))
            self._network.to(device)
        return self._network


def _imagenet(image: Tensor) -> Tensor:
    """Scale RGB in [-1, 1] to ImageNet's mean 0 and deviation 1."""
    mean = image.new_tensor([0.485, 0.456, 0.406])[:, None, None]
    deviation = image.new_tensor([0.229, 0.224, 0.225])[:, None, None]
    return ((image + 1) / 2 - mean) / deviation
