"""The reference that exported graphs are held against: the network in PyTorch, float32."""

from __future__ import annotations

import numpy as np
import torch

from dayshift.runtime import image as pixels
from dayshift.train.networks.gain_light import GainLight, apply_gain_light, predict_maps


class TorchTranslator:
    """Translate frames with the network as it was trained: batch norm unfolded, RGB, no ONNX."""

    def __init__(self, network: GainLight) -> None:
        self._network = network.eval().cpu().float()
        self._short_side = network.config.short_side

    @torch.no_grad()
    def __call__(self, frame: pixels.Pixels, strength: float = 1.0) -> pixels.Pixels:
        """Return the image for a BGR frame (H, W, 3), uint8 in and out, of the same size."""
        height, width = frame.shape[:2]
        padded, small = pixels.pad_and_shrink(frame, self._short_side)
        maps = predict_maps(self._network, _to_tensor(small), torch.tensor([strength]))
        image = apply_gain_light(_to_tensor(padded), *maps)
        levels = (image[0].permute(1, 2, 0) * 255).round().byte().numpy()
        return np.ascontiguousarray(levels[:height, :width, ::-1])


def _to_tensor(frame: pixels.Pixels) -> torch.Tensor:
    planar = np.ascontiguousarray(frame[..., ::-1].transpose(2, 0, 1))
    return torch.from_numpy(planar)[None].float() / 255
