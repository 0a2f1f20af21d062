"""Networks whose features FID and KID compare: pluggable, and named in every report."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dayshift.runtime.errors import MissingDependency
from dayshift.runtime.image import Pixels
from dayshift.train.metrics.squeezenet import SqueezeNet
from dayshift.train.metrics.weights import find_weights, has_weights, read_weights

Features = npt.NDArray[np.float64]  # (N, D)

_CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)


class FeatureNetwork(Protocol):
    """Turns images into vectors."""

    key: str
    """Short name, part of the metrics' names: kid_KEY."""
    description: str
    """What exactly is computed, for reports."""

    def __call__(self, images: Iterable[Pixels]) -> Features:
        """Return (N, D) for N BGR images of any sizes."""
        ...


class CaffeSqueezeNet(SqueezeNet):
    """SqueezeNet 1.1 with Caffe's weights, frozen."""

    def __init__(self, folder: Path | None) -> None:
        """Load the weights.

        Raises:
            WeightsError: They are not in the folder.
        """
        super().__init__(ceil_mode=False)
        path = find_weights("squeezenet_v1_1_imagenet_notop.npz", folder)
        self.load_state_dict(read_weights(path))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the activations by layer.

        Args:
            x: (N, 3, H, W) BGR in [0, 255].
        """
        return super().forward(x - x.new_tensor(_CAFFE_MEAN_BGR)[:, None, None])


class SqueezeNetFeatures:
    """fire9 of Caffe's SqueezeNet 1.1: mean and deviation over the image, normalised.

    Images keep their size; the 2 * 512 numbers of each are scaled to length 1. Small weights
    that travel with a project; the figures are no substitute for those of Inception, nor
    comparable with them.
    """

    key = "squeezenet"
    description = (
        "SqueezeNet 1.1 (Caffe weights), fire9, mean and standard deviation over the image at its "
        "own size, each vector L2-normalised"
    )

    def __init__(self, folder: Path | None) -> None:
        """Load the weights.

        Raises:
            WeightsError: They are not in the folder.
        """
        self._network = CaffeSqueezeNet(folder)

    def __call__(self, images: Iterable[Pixels]) -> Features:
        """Return (N, 1024)."""
        return np.stack([self._one(image) for image in images])

    @torch.no_grad()
    def _one(self, image: Pixels) -> npt.NDArray[np.float64]:
        planar = np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32)
        found: Tensor = self._network(torch.from_numpy(planar))["fire9"][0].double()
        deviation = found.std(dim=(1, 2), correction=0)
        vector = torch.cat([found.mean(dim=(1, 2)), deviation]).numpy()
        return np.asarray(vector / np.linalg.norm(vector))


class InceptionFeatures:
    """pool3 of the Inception v3 that FID and KID were defined on, by torch-fidelity."""

    key = "inception"
    description = (
        "Inception v3 (TensorFlow weights of 2015), 2048 features of pool3, 299x299 by "
        "TensorFlow 1's bilinear resize"
    )

    def __init__(self, folder: Path | None) -> None:
        """Load the weights.

        Raises:
            WeightsError: They are not in the folder.
            MissingDependency: torch-fidelity is not installed.
        """
        path = find_weights("pt_inception-2015-12-05-6726825d.pth", folder)
        # torch-fidelity unpickles without limits: only what holds nothing but tensors gets there.
        read_weights(path)
        try:
            from torchmetrics.image.fid import NoTrainInceptionV3

            self._network = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(path))
            # The figures of papers are of TensorFlow's first resize, which averages nothing.
            self._network.use_antialias = False
        except ImportError as error:
            raise MissingDependency(
                f"Inception features need torch-fidelity ({error}): pip install torch-fidelity"
            ) from error

    @torch.no_grad()
    def __call__(self, images: Iterable[Pixels]) -> Features:
        """Return (N, 2048)."""
        rows = []
        for image in images:
            rgb = np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)[None])
            rows.append(self._network(torch.from_numpy(rgb)).double().numpy()[0])
        return np.stack(rows)


def open_features(folder: Path | None) -> list[FeatureNetwork]:
    """Return every feature network whose weights are in the folder, at least SqueezeNet.

    Raises:
        WeightsError: There are none.
        MissingDependency: Inception's weights are there, and torch-fidelity is not installed.
    """
    found: list[FeatureNetwork] = []
    if has_weights("pt_inception-2015-12-05-6726825d.pth", folder):
        found.append(InceptionFeatures(folder))
    if not found or has_weights("squeezenet_v1_1_imagenet_notop.npz", folder):
        found.append(SqueezeNetFeatures(folder))
    return found
