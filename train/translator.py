"""A network on whole images, in PyTorch: for evaluation, and what exported graphs are held to."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from dayshift.runtime import image as pixels
from dayshift.runtime.errors import UsageError
from dayshift.train.data.images import to_image, to_tensor
from dayshift.train.networks.gain_light import GainLight, apply_gain_light
from dayshift.train.networks.gain_light_image import GainLightImage
from dayshift.train.networks.spade import SpadeGenerator


class TorchTranslator:
    """Translate frames with a network as it was trained: float32 on the CPU, no ONNX.

    Frames are padded and shrunk as the runtime does it. The network is put into no mode: whether
    its norms and dropout are those of training is the caller's choice; see `networks.inference`.
    """

    def __init__(self, network: nn.Module) -> None:
        """Take an image generator or a gain-and-light network.

        Raises:
            UsageError: The network paints label maps.
        """
        if isinstance(network, SpadeGenerator):
            raise UsageError(
                "this network paints label maps and cannot translate frames: "
                "give an image-to-image checkpoint"
            )
        self._network = network.cpu().float()

    @torch.no_grad()
    def __call__(self, frame: pixels.Pixels, strength: float = 1.0) -> pixels.Pixels:
        """Return the image for a BGR frame (H, W, 3), uint8 in and out, of the same size.

        Raises:
            UsageError: A strength other than 1, and the network has none.
        """
        height, width = frame.shape[:2]
        network = self._network
        if isinstance(network, GainLight) and not isinstance(network, GainLightImage):
            image = _relight(network, frame, strength)
            return np.ascontiguousarray(image[:height, :width])
        if strength != 1:
            raise UsageError(f"got strength {strength}, but this network has no strength: leave it")
        multiple = int(getattr(network, "multiple", 1))
        padded = pixels.pad_frame(frame, *pixels.padded_size(height, width, multiple=multiple))
        image = to_image(network(to_tensor(padded)[None])[0])
        return np.ascontiguousarray(image[:height, :width])


def _relight(network: GainLight, frame: pixels.Pixels, strength: float) -> pixels.Pixels:
    padded, small = pixels.pad_and_shrink(frame, network.config.short_side)
    maps = network.maps(_to_unit_range(small), torch.tensor([strength]))
    return to_image(apply_gain_light(_to_unit_range(padded), *maps)[0] * 2 - 1)


def _to_unit_range(frame: pixels.Pixels) -> Tensor:
    planar = np.ascontiguousarray(frame[..., ::-1].transpose(2, 0, 1))
    return torch.from_numpy(planar)[None].float() / 255
