"""What varies a training image: crops, cameras, textures, exposure, colour.

Images are uint8 BGR (H, W, 3). Every function takes the random generator that it draws from.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from dayshift.runtime.image import Pixels
from dayshift.train.data.images import resize

_NIGHT_TINT_BGR = np.array([1.08, 1.0, 0.94], dtype=np.float32)
_DUSK_TINT_BGR = np.array([1.12, 0.98, 0.94], dtype=np.float32)  # skylight after sunset is blue


def random_crop(
    images: Sequence[Pixels], size: tuple[int, int], rng: np.random.Generator
) -> list[Pixels]:
    """Cut the same random region out of aligned images and resize it to `size` (height, width).

    The region keeps the aspect of `size` and is 80 to 125 % of it, as far as the images reach.
    Half of the time all are mirrored.
    """
    height, width = images[0].shape[:2]
    scale = min(rng.uniform(0.8, 1.25), height / size[0], width / size[1])
    h, w = int(size[0] * scale), int(size[1] * scale)
    top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    mirrored = rng.random() < 0.5
    crops = []
    for image in images:
        part = image[top : top + h, left : left + w]
        crop = resize(part, size)
        crops.append(np.ascontiguousarray(crop[:, ::-1] if mirrored else crop, dtype=np.uint8))
    return crops


class ColorJitter(BaseModel):
    """Random changes of colour, each drawn evenly from 1 ± its share; hue from ± its share.

    The factors are those of torchvision's transform of the same name, always in the order of the
    fields. Images that belong together are changed alike.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    brightness: float = Field(default=0.0, ge=0, le=1)
    contrast: float = Field(default=0.0, ge=0, le=1)
    saturation: float = Field(default=0.0, ge=0, le=1)
    hue: float = Field(default=0.0, ge=0, le=0.5)  # of the whole circle

    def __call__(self, images: Sequence[Pixels], rng: np.random.Generator) -> list[Pixels]:
        """Return the images with one draw of changes applied to all of them."""
        spread = np.array([self.brightness, self.contrast, self.saturation, self.hue])
        if not spread.any():
            return list(images)
        draws = rng.uniform(-spread, spread)
        return [_recolor(image, *(1 + draws[:3]), shift=draws[3]) for image in images]


def _recolor(
    image: Pixels, brightness: float, contrast: float, saturation: float, *, shift: float
) -> Pixels:
    x = cv2.convertScaleAbs(image, alpha=brightness)
    mean = float(cv2.cvtColor(x, cv2.COLOR_BGR2GRAY).mean())
    x = np.clip(x * np.float32(contrast) + np.float32(mean * (1 - contrast)), 0, 255)
    gray = cv2.cvtColor(x, cv2.COLOR_BGR2GRAY)[..., None]
    x = np.clip(x * np.float32(saturation) + gray * np.float32(1 - saturation), 0, 255)
    x = np.rint(x).astype(np.uint8)
    if shift:
        hsv = cv2.cvtColor(x, cv2.COLOR_BGR2HSV_FULL)
        hsv[..., 0] += np.uint8(round(shift * 256) % 256)  # the circle is 256 steps: it wraps
        x = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR_FULL)
    return np.asarray(x, dtype=np.uint8)


def vary_camera(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Return a daytime image as another camera would have taken it.

    Varies white balance, tone, haze, saturation and noise. Bridges from renderings to photos
    and keeps few cameras from being learned by heart.
    """
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    saturation = rng.uniform(0.7, 1.3)
    x = cv2.addWeighted(image, saturation, gray, 1 - saturation, 0)
    haze = rng.uniform(0, 0.3) if rng.random() < 0.4 else 0.0
    levels = np.linspace(0, 1, 256)[:, None] * rng.uniform(0.94, 1.06, 3) * rng.uniform(0.8, 1.15)
    levels = levels * (1 - haze) + haze * rng.uniform(0.75, 0.95) * rng.uniform(0.95, 1.05, 3)
    x = cv2.LUT(x, _to_levels(np.clip(levels, 0, 1) ** rng.uniform(0.75, 1.35)))
    noise = rng.integers(-128, 128, image.shape, dtype=np.int8)
    return np.asarray(
        cv2.addWeighted(x, 1, noise, rng.uniform(0, 0.07), 0, dtype=cv2.CV_8U), dtype=np.uint8
    )


def add_texture(images: Sequence[Pixels], photo: Pixels, rng: np.random.Generator) -> list[Pixels]:
    """Multiply the fine detail of a photo into aligned renderings, as if their surfaces had it.

    Reflectance scales day and night alike, so the set stays a valid one; renderings alone are too
    smooth and teach the network that texture is light.
    """
    luma = cv2.cvtColor(resize(photo, images[0].shape[:2]), cv2.COLOR_BGR2GRAY)
    luma = np.maximum(luma, 8)  # keeps the ratio below tame in shadows
    ratio = np.asarray(cv2.divide(luma, cv2.blur(luma, (5, 5)), dtype=cv2.CV_32F))
    ratio = 1 + (np.clip(ratio, 0.6, 1.6) - 1) * np.float32(rng.uniform(0.2, 0.7))
    detail = cv2.merge([ratio, ratio, ratio])
    return [np.asarray(cv2.multiply(i, detail, dtype=cv2.CV_8U), dtype=np.uint8) for i in images]


def darken_exposure(night: Pixels, power: tuple[float, float], rng: np.random.Generator) -> Pixels:
    """Regrade a night photo that its camera exposed like day, by a random power of that range.

    Traffic cameras lift lit roads by night to the brightness of day. A power curve on luma takes
    the exposure back, keeps black and lamps where they are, and cools the rest slightly. Not on
    each channel by itself: that would multiply saturation.
    """
    levels = (np.arange(256, dtype=np.float32) / 255) ** np.float32(rng.uniform(*power) - 1)
    fall = levels[cv2.cvtColor(night, cv2.COLOR_BGR2GRAY)]
    tinted = cv2.merge([fall * tint for tint in _NIGHT_TINT_BGR])
    return np.asarray(cv2.multiply(night, tinted, dtype=cv2.CV_8U), dtype=np.uint8)


def halfway(day: Pixels, night: Pixels) -> Pixels:
    """Return dusk as halfway in stops between aligned day and night: their geometric mean."""
    mean = np.sqrt(day.astype(np.float32) * night.astype(np.float32)) * _DUSK_TINT_BGR
    return np.asarray(np.clip(mean + 0.5, 0, 255), dtype=np.uint8)


def _to_levels(curve: npt.NDArray[np.float64]) -> Pixels:
    """Return a (256, 1, 3) look-up table for `cv2.LUT` from a curve (256, 3) in [0, 1]."""
    return np.asarray(np.clip(curve * 255 + 0.5, 0, 255), dtype=np.uint8)[:, None, :]
