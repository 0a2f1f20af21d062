"""Nights of unpaired day photos as a painter would block them in: dark sky, lamps near the ground.

Real photos have no partner, and what a network has learned of renderings and of a few fixed
cameras does not reach their skies and shadows. These pictures say, coarsely and for any outdoor
photo, where light is by night: a dark sky with a glow above the horizon, streets lit by lamps, what
is above them fading into the dark, the daylight's large shadows gone. What they lack, lamps,
windows and the look of a camera by night, others must teach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dayshift.runtime.image import Pixels

Floats = npt.NDArray[np.float32]

DIM_LAMPS = 0.3

_GAMMA = 2.2
_SMALL_SIDE = 144  # on which the sky is looked for
# Linear BGR.
_LAMP = np.array([0.66, 0.86, 1.0], np.float32)
_AMBIENT = np.array([0.034, 0.028, 0.026], np.float32)
_NIGHT_SKY = np.array([0.0105, 0.0068, 0.0052], np.float32)
_SKY_GLOW = np.array([0.015, 0.014, 0.014], np.float32)
_DUSK_SKY_TOP = np.array([0.20, 0.105, 0.065], np.float32)
_DUSK_SKY_LOW = np.array([0.23, 0.20, 0.27], np.float32)
_DUSK_TINT = np.array([0.20, 0.145, 0.125], np.float32)


@dataclass(frozen=True)
class RelitPhoto:
    """A day photo, and what it is about at dusk and by night: uint8 BGR (H, W, 3).

    Attributes:
        dim: By night with `DIM_LAMPS` of the lamps.
    """

    day: Pixels
    dusk: Pixels
    night: Pixels
    dim: Pixels


class RelitPhotos:
    """Photos, each relit when it is first asked for: a run begins at once.

    Not for several threads at a time.
    """

    def __init__(self, days: Sequence[Pixels]) -> None:
        self._days = days
        self._relit: dict[int, RelitPhoto] = {}

    def __len__(self) -> int:
        return len(self._days)

    def __getitem__(self, place: int) -> RelitPhoto:
        """Return the photo at a place."""
        if place not in self._relit:
            self._relit[place] = relight_photo(self._days[place])
        return self._relit[place]


def relight_photo(day: Pixels) -> RelitPhoto:
    """Relight a photo."""
    height = len(day)
    sky = sky_matte(day)
    horizon = _horizon(sky)
    linear = (day.astype(np.float32) / 255) ** np.float32(_GAMMA)
    surface = _without_large_shadows(np.asarray(linear, np.float32), sky)
    rows = np.arange(height, dtype=np.float32)
    above = np.maximum(horizon - rows, 0) / height
    below = np.maximum(rows - horizon, 0) / max(height - horizon, 1)
    street = np.where(rows > horizon, 0.55 + 0.45 * np.sin(np.pi * below**0.8), 0.55)
    lamps = (street * np.exp(-above / 0.16) * 0.55)[:, None, None] * _LAMP
    glow = np.exp(-above / 0.3)[:, None, None]
    night, dim = (
        _join(
            _by_lamplight(surface) * (_AMBIENT + lamps * (0.22 * share)),
            _NIGHT_SKY + _SKY_GLOW * glow * share,
            sky,
        )
        for share in (1.0, DIM_LAMPS)
    )
    detail = np.clip(linear.mean(axis=2, keepdims=True) / 0.5, 0.5, 1.25) ** np.float32(0.5)
    dusk_sky = (_DUSK_SKY_TOP * (1 - glow) + _DUSK_SKY_LOW * glow) * detail
    dusk = _join(linear * _DUSK_TINT + surface * lamps * 0.10, dusk_sky, sky)
    return RelitPhoto(day, dusk, night, dim)


def _by_lamplight(surface: Floats) -> Floats:
    """Take back colour, which eyes and sensors lose in the dark, and leaves, which lamps miss."""
    gray = surface.mean(axis=2, keepdims=True)
    leaves = np.clip(
        (surface[..., 1] - surface[..., ::2].max(axis=2)) / (gray[..., 0] + 0.02), 0, 0.5
    )
    return np.asarray((0.65 * surface + 0.35 * gray) * (1 - 1.3 * leaves[..., None]))


def sky_matte(day: Pixels) -> Floats:
    """Return how much of each pixel is sky, (H, W) in [0, 1].

    What is bright or blue, smooth, and reached from the top of the picture, cut out by
    GrabCut (Rother et al. 2004) and carried to the rim by colour. An overcast sky is found too; a
    white wall at the top may be taken for it.
    """
    height, width = day.shape[:2]
    scale = _SMALL_SIDE / min(height, width)
    small = np.asarray(cv2.resize(day, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    seeds = _sky_seeds(np.asarray(small, np.uint8))
    matte = np.zeros(seeds.shape, np.float32)
    share = float((seeds == cv2.GC_FGD).mean())
    if share > 0.01:
        models = np.zeros((2, 1, 65), np.float64)
        cv2.grabCut(small, seeds, None, models[0], models[1], 3, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
        is_sky = ((seeds == cv2.GC_FGD) | (seeds == cv2.GC_PR_FGD)).astype(np.uint8)
        matte = _reached_from_top(is_sky).astype(np.float32)
    large = cv2.resize(matte, (width, height), interpolation=cv2.INTER_LINEAR)
    return _to_the_rim(day, np.asarray(large, np.float32), reach=round(5 / scale))


def _sky_seeds(small: Pixels) -> Pixels:
    """Return GrabCut's mask: sure sky, sure ground, and what is to be decided."""
    hsv = cv2.cvtColor(small, cv2.COLOR_BGR2HSV).astype(np.int16)
    hue, saturation, value = hsv[..., 0], hsv[..., 1], hsv[..., 2]
    gray = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
    rough = cv2.blur(np.abs(gray - cv2.blur(gray, (5, 5))), (5, 5))
    is_blue = (hue > 92) & (hue < 128) & (saturation > 50) & (value > 80)
    is_bright = (value > 165) & (saturation < 70)
    likely = ((is_blue | is_bright) & (rough < 5)).astype(np.uint8)
    reached = _reached_from_top(likely)
    seeds = np.full(gray.shape, cv2.GC_PR_BGD, np.uint8)
    seeds[reached > 0] = cv2.GC_PR_FGD
    seeds[cv2.erode(reached, np.ones((5, 5), np.uint8), borderValue=1) > 0] = cv2.GC_FGD
    seeds[(value < 70) | (rough > 14)] = cv2.GC_BGD
    seeds[int(len(seeds) * 0.8) :] = cv2.GC_BGD
    return seeds


def _reached_from_top(mask: Pixels) -> Pixels:
    """Return those regions of a mask that touch the upper edge, as uint8 (H, W) of 0 and 1."""
    _, labels = cv2.connectedComponents(mask, connectivity=4)
    at_top = np.unique(labels[:3])
    return np.isin(labels, at_top[at_top > 0]).astype(np.uint8)


def _horizon(sky: Floats) -> float:
    """Return the row where the ground begins: the deepest that many columns of sky reach."""
    deepest = (sky > 0.5).cumsum(axis=0).max(axis=0)
    found = deepest[deepest > 0]
    low, high = 0.25 * len(sky), 0.62 * len(sky)
    # Without a sky the camera looks down: all is ground.
    return float(np.clip(np.percentile(found, 85), low, high)) if found.size else 0.0


def _without_large_shadows(linear: Floats, sky: Floats) -> Floats:
    """Divide out part of the daylight's large-scale brightness; the sky does not count in it."""
    luma = linear @ np.array([0.11, 0.59, 0.3], np.float32)
    weight = 1 - sky + 1e-3
    sigma = 0.05 * max(luma.shape)
    blurred = cv2.GaussianBlur(luma * weight, (0, 0), sigma) / cv2.GaussianBlur(
        weight, (0, 0), sigma
    )
    typical = float((luma * weight).sum() / weight.sum())
    light = np.asarray(blurred + 0.15 * typical, np.float32) ** np.float32(0.7)
    return np.asarray(
        np.minimum(linear / light[..., None] * typical**0.7 / max(typical, 0.03) * 0.5, 1.6)
    )


def _to_the_rim(day: Pixels, rough: Floats, reach: int) -> Floats:
    """Let a rough matte grow and shrink by `reach` pixels, to what looks like the sky beside it.

    Also between leaves: what is left of the day's sky on the ground would shine by night.
    """
    size = (2 * reach + 1, 2 * reach + 1)
    inside = rough > 0.5
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, size)
    sure = cv2.erode(inside.astype(np.uint8), kernel, borderValue=1)
    near = cv2.dilate(inside.astype(np.uint8), kernel, iterations=2)
    weight = inside.astype(np.float32)
    shares = cv2.GaussianBlur(weight, (0, 0), 2.0 * reach) + np.float32(1e-4)
    colours = cv2.GaussianBlur(day * weight[..., None], (0, 0), 2.0 * reach) / shares[..., None]
    apart = np.abs(day - colours).max(axis=2)
    alike = np.clip(1.8 - apart / 26, 0, 1) * near
    return np.asarray(np.maximum(cv2.GaussianBlur(alike, (0, 0), 0.7), sure), np.float32)


def _join(ground: Floats, sky_colour: Floats, sky: Floats) -> Pixels:
    joined = ground * (1 - sky[..., None]) + sky_colour * sky[..., None]
    return np.rint(np.clip(joined, 0, 1) ** (1 / _GAMMA) * 255).astype(np.uint8)
