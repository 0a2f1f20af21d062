"""A grade of translated nights, as maps can carry it: colour, contrast and glow of a whole picture.

The nights that relight's targets describe are greyer and cooler than photos of real ones. A grade
that brings translated training photos nearer to real training nights, by the distance that
`dayshift evaluate` measures, is taught through the teacher's maps, so that it costs nothing later.
"""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor
from torch.nn import functional

from dayshift.train.methods.base import Section

_LEAST, _MOST = 0.25, 3.0  # of what a channel may become of itself: black has no colour to raise
_GLOW_FROM = 0.45
_GLOW_RADII = (1, 3, 7)  # pixels of the maps


class Grade(Section):
    """What is done to a picture at full strength; the defaults do nothing.

    Attributes:
        saturation: distance from grey in the dark, times this.
        saturation_bright: the same where the picture is bright.
        contrast: 0.05 takes 0.05 of the range away below a third of it and adds it above.
        exposure: brightness, times this.
        warmth: red times this, blue divided by it.
        glow: what bright places add to their neighbourhood.
    """

    saturation: PositiveFloat = 1.0
    saturation_bright: PositiveFloat = 1.0
    contrast: NonNegativeFloat = 0.0
    exposure: PositiveFloat = 1.0
    warmth: PositiveFloat = 1.0
    glow: NonNegativeFloat = 0.0


def grade_maps(
    grade: Grade, small: Tensor, maps: tuple[Tensor, Tensor], strength: Tensor
) -> tuple[Tensor, Tensor]:
    """Return gain and light that make a graded picture of the same small frame.

    Both maps are scaled by what the grade does to each pixel of the small picture, so that its
    finer detail gets the same.

    Args:
        grade: at strength 1; below that it is mixed in by strength.
        small: (N, 3, h, w) RGB in [0, 1].
        maps: gain and light, each (N, 3, h, w) in [0, 1].
        strength: (N,) in [0, 1].
    """
    gain, light = (m.float() for m in maps)
    level = strength.reshape(-1, 1, 1, 1)
    picture = (gain * small + light).clamp(0, 1)
    graded = picture + level * (_graded(grade, picture) - picture)
    ratio = ((graded + 1e-3) / (picture + 1e-3)).clamp(_LEAST, _MOST)
    glow = level * grade.glow * _glow(graded)
    return (gain * ratio).clamp(0, 1), (light * ratio + glow).clamp(0, 1)


def _graded(grade: Grade, picture: Tensor) -> Tensor:
    gray = picture.mean(1, keepdim=True)
    brightness = (1.6 * gray).clamp(0, 1)
    saturation = grade.saturation + (grade.saturation_bright - grade.saturation) * brightness
    x = (gray + (picture - gray) * saturation).clamp(0, 1)
    x = x - grade.contrast * torch.sin(2 * torch.pi * x.clamp(min=1e-6) ** 0.6)
    tint = picture.new_tensor([grade.warmth, 1.0, 1 / grade.warmth]).reshape(1, 3, 1, 1)
    return (x * tint * grade.exposure).clamp(0, 1)


def _glow(picture: Tensor) -> Tensor:
    bright = (picture - _GLOW_FROM).clamp(min=0)
    blurred = [
        functional.avg_pool2d(bright, 2 * r + 1, stride=1, padding=r, count_include_pad=False)
        for r in _GLOW_RADII
    ]
    return torch.stack(blurred).sum(0)
