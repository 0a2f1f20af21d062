"""A sheet of what the network does now: source, dusk and night of a few training photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from dayshift.runtime.image import Pixels
from dayshift.train.data import augment
from dayshift.train.networks.gain_light import GainLight, apply_gain_light, predict_maps

if TYPE_CHECKING:
    from dayshift.train.methods.relight_data import RelightData

_SIZE = (256, 320)  # height, width of one picture of the sheet


def save_preview(generator: GainLight, pictures: RelightData, path: Path) -> None:
    """Write a JPEG: a row per photo, columns source, strength 0.5 and strength 1."""
    rng = np.random.default_rng(0)
    groups = [*pictures.days, pictures.triples.day]
    frames = [augment.random_crop([group[len(group) // 2]], _SIZE, rng)[0] for group in groups]
    rows = [
        np.hstack([frame, *(translate(generator, frame, s) for s in (0.5, 1.0))])
        for frame in frames
    ]
    cv2.imwrite(str(path), np.vstack(rows))


@torch.no_grad()
def translate(generator: GainLight, frame: Pixels, strength: float) -> Pixels:
    """Relight one BGR frame (H, W, 3), shrunk by 1.6 for the branch."""
    device = next(generator.parameters()).device
    small = cv2.resize(frame, None, fx=1 / 1.6, fy=1 / 1.6, interpolation=cv2.INTER_AREA)
    full, little = (
        torch.from_numpy(np.ascontiguousarray(x[..., ::-1].transpose(2, 0, 1))[None])
        .to(device)
        .float()
        / 255
        for x in (frame, small)
    )
    maps = predict_maps(generator.eval(), little, torch.tensor([strength], device=device))
    image = apply_gain_light(full, *maps)
    pixels = (image[0] * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return np.ascontiguousarray(pixels[..., ::-1])
