"""Sample sheets: what the networks make of a few images now, as one picture to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor

from dayshift.runtime.image import Pixels
from dayshift.train.data import augment
from dayshift.train.job import Translators
from dayshift.train.networks.gain_light import GainLight, apply_gain_light, predict_maps

if TYPE_CHECKING:
    from dayshift.train.methods.relight_data import RelightData

_SIZE = (256, 320)  # height, width of one picture of a relight sheet


class RelightSheet:
    """A row per photo, columns source, strength 0.5 and strength 1."""

    def __init__(self, pictures: RelightData) -> None:
        rng = np.random.default_rng(0)
        groups = [*pictures.days, pictures.triples.day]
        self._frames = [augment.random_crop([g[len(g) // 2]], _SIZE, rng)[0] for g in groups]

    def __call__(self, translators: Translators) -> Pixels:
        """Return the sheet, uint8 BGR."""
        network = translators["a_to_b"]
        assert isinstance(network, GainLight)
        rows = [
            np.hstack([frame, *(translate_frame(network, frame, s) for s in (0.5, 1.0))])
            for frame in self._frames
        ]
        return np.vstack(rows)


@torch.no_grad()
def translate_frame(network: GainLight, frame: Pixels, strength: float) -> Pixels:
    """Relight one BGR frame (H, W, 3), shrunk by 1.6 for the branch."""
    device = next(network.parameters()).device
    small = cv2.resize(frame, None, fx=1 / 1.6, fy=1 / 1.6, interpolation=cv2.INTER_AREA)
    full, little = (
        torch.from_numpy(np.ascontiguousarray(x[..., ::-1].transpose(2, 0, 1))[None])
        .to(device)
        .float()
        / 255
        for x in (frame, small)
    )
    maps = predict_maps(network, little, torch.tensor([strength], device=device))
    return to_pixels(apply_gain_light(full, *maps)[0] * 2 - 1)


def to_pixels(image: Tensor) -> Pixels:
    """Return a BGR uint8 image (H, W, 3) of an RGB one (3, H, W) in [-1, 1]."""
    levels = ((image.detach().float().clamp(-1, 1) + 1) * 127.5).round().byte()
    return np.ascontiguousarray(levels.permute(1, 2, 0).cpu().numpy()[..., ::-1])
