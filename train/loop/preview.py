"""Sample sheets: what the networks make of a few images now, as one picture to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from dayshift.runtime.image import Pixels, shrink_factor
from dayshift.train.data import Dataset, Sample, augment
from dayshift.train.data.images import to_image, to_tensor
from dayshift.train.loop.job import Translators
from dayshift.train.networks.gain_light import GainLight, apply_gain_light
from dayshift.train.networks.spade import SpadeGenerator, label_planes

if TYPE_CHECKING:
    from dayshift.train.methods.relight_data import RelightData

_ROWS = 4
_SIZE = (256, 320)  # height, width of one picture of a relight sheet
_GOLDEN = 47  # degrees of hue between neighbouring labels: far apart for as many as there are


class ImageSheet:
    """A row per sample: a, what it is translated to, b, and that back where a network does it."""

    def __init__(self, dataset: Dataset) -> None:
        count = min(_ROWS, len(dataset))
        self._samples = [dataset.sample(i * len(dataset) // count, 0) for i in range(count)]

    def __call__(self, translators: Translators) -> Pixels:
        """Return the sheet, uint8 BGR."""
        rows = [np.hstack(self._pictures(sample, translators)) for sample in self._samples]
        width = max(row.shape[1] for row in rows)
        return np.vstack([cv2.copyMakeBorder(r, 0, 0, 0, width - r.shape[1], 0) for r in rows])

    def _pictures(self, sample: Sample, translators: Translators) -> list[Pixels]:
        source = to_image(sample["a"]) if "a" in sample else _colour(sample["labels"])
        pictures = [source]
        for direction, network in translators.items():
            if direction == "b_to_a":
                continue
            pictures.append(to_image(translate_sample(network, direction, sample)))
        pictures.append(to_image(sample["b"]))
        if "b_to_a" in translators:
            back = translate_sample(translators["b_to_a"], "b_to_a", sample)
            pictures.append(to_image(back))
        return pictures


@torch.no_grad()
def translate_sample(network: nn.Module, direction: str, sample: Sample) -> Tensor:
    """Return what a network makes of one sample: (3, H, W) RGB in [-1, 1], on the CPU.

    Args:
        network: of a job's translators.
        direction: "a_to_b", "b_to_a", or "labels_to_b" for SPADE.
        sample: see `data.datasets`.
    """
    device = next(network.parameters()).device
    if isinstance(network, SpadeGenerator):
        labels, instances = (
            sample[key][None].to(device) if key in sample else None
            for key in ("labels", "instances")
        )
        assert labels is not None
        made = network(label_planes(labels, network.config.label_planes, instances))
    else:
        x = sample[direction[0]][None].to(device)
        made = relight(network, x) if isinstance(network, GainLight) else network(x)
    image: Tensor = made[0].float().cpu()
    return image


def relight(network: GainLight, x: Tensor, strength: float = 1.0) -> Tensor:
    """Return images (N, 3, H, W) RGB in [-1, 1] as the deployed model makes them."""
    frame = (x + 1) / 2
    height, width = x.shape[-2:]
    factor = shrink_factor(height, width, network.config.short_side)
    small = torch.nn.functional.avg_pool2d(frame, factor)
    maps = network.maps(small, x.new_full((len(x),), strength))
    return apply_gain_light(frame, *maps) * 2 - 1


class RelightSheet:
    """A row per photo, columns source, strength 0.5 and strength 1."""

    def __init__(self, pictures: RelightData) -> None:
        rng = np.random.default_rng(0)
        days = [photos[len(photos) // 2].day for photos in pictures.days]
        days.append(pictures.renderings[len(pictures.renderings) // 2].day)
        self._frames = [augment.random_crop([day], _SIZE, rng)[0] for day in days]

    def __call__(self, translators: Translators) -> Pixels:
        """Return the sheet, uint8 BGR."""
        network = translators["a_to_b"]
        assert isinstance(network, GainLight)
        device = next(network.parameters()).device
        rows = []
        for frame in self._frames:
            x = to_tensor(frame)[None].to(device)
            fakes = (relight(network, x, strength)[0].cpu() for strength in (0.5, 1.0))
            rows.append(np.hstack([frame, *map(to_image, fakes)]))
        return np.vstack(rows)


def _colour(labels: Tensor) -> Pixels:
    """Return label maps (H, W) as a picture, uint8 BGR: every label its own hue."""
    values = labels.cpu().numpy()
    hue = (values * _GOLDEN % 180).astype(np.uint8)
    level = (120 + values * 61 % 136).astype(np.uint8)
    hsv = np.dstack([hue, np.full_like(hue, 190), level])
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), dtype=np.uint8)
