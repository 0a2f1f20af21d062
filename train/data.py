"""Photos for training: rendered triples, fixed-camera pairs, unpaired photos.

Images are read and resized by OpenCV, as in deployment, and stay uint8 BGR (H, W, 3) until they
become a batch. Every sample is a function of a random generator, so that a resumed run sees what an
uninterrupted one would have.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dayshift.runtime.errors import DayshiftError
from dayshift.runtime.image import Pixels

_NIGHT_TINT_BGR = np.array([1.08, 1.0, 0.94], dtype=np.float32)
_DUSK_TINT_BGR = np.array([1.12, 0.98, 0.94], dtype=np.float32)  # skylight after sunset is blue
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


class DataError(DayshiftError):
    """Training data is missing or unreadable; the message names the file and what to do."""


def read_image(path: Path) -> Pixels:
    """Read a BGR image (H, W, 3).

    Raises:
        DataError: The file is missing or not an image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"cannot read {path} as an image: remove it or replace it by a JPEG or PNG")
    return np.asarray(image, dtype=np.uint8)


def list_images(folders: Iterable[Path], pattern: str = "*") -> list[Path]:
    """Return the images directly in `folders` whose names match `pattern`, sorted.

    Raises:
        DataError: A folder is missing, or no image matches in any of them.
    """
    folders = list(folders)
    paths: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"no folder {folder}: give the folder that holds it with --data")
        paths += [p for p in folder.glob(pattern) if p.suffix.lower() in SUFFIXES]
    if not paths:
        raise DataError(f"no image matches {pattern!r} in {', '.join(map(str, folders))}")
    return sorted(paths)


@dataclass(frozen=True)
class Triples:
    """The same scene and camera by day, dusk and night, pixel-exact: lists of equal length."""

    day: list[Pixels]
    dusk: list[Pixels]
    night: list[Pixels]

    @classmethod
    def load(cls, root: Path, split: str = "train") -> Triples:
        """Read `root`/{day,dusk,night}/`split`; names that lack one of the three are left out."""
        folders = [root / time / split for time in ("day", "dusk", "night")]
        names = set.intersection(*({p.name for p in list_images([f])} for f in folders))
        if not names:
            raise DataError(f"no image name is in all of {', '.join(map(str, folders))}")
        day, dusk, night = ([read_image(f / n) for n in sorted(names)] for f in folders)
        return cls(day, dusk, night)


@dataclass(frozen=True)
class Pairs:
    """Days and nights of fixed cameras: any two of one scene are aligned but for traffic."""

    scenes: list[tuple[list[Pixels], list[Pixels]]]

    @classmethod
    def load(cls, table: Path, root: Path, tiers: Sequence[str]) -> Pairs:
        """Read a table with columns day, night, scene, tier, whose paths are relative to `root`."""
        if not table.is_file():
            raise DataError(
                f"no table {table}: expected a CSV with columns day, night, scene, tier"
            )
        days: dict[str, set[str]] = defaultdict(set)
        nights: dict[str, set[str]] = defaultdict(set)
        with table.open(newline="") as lines:
            for row in csv.DictReader(lines):
                if row["tier"] in tiers:
                    days[row["scene"]].add(row["day"])
                    nights[row["scene"]].add(row["night"])
        if not days:
            raise DataError(f"no row of {table} has a tier in {list(tiers)}")
        return cls(
            [
                (
                    [read_image(root / p) for p in sorted(days[s])],
                    [read_image(root / p) for p in sorted(nights[s])],
                )
                for s in sorted(days)
            ]
        )


def resize_area(image: Pixels, size: tuple[int, int]) -> Pixels:
    """Return the image at a smaller `size` (height, width) by averaging areas."""
    return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), dtype=np.uint8)


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
        how = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
        crop = np.asarray(cv2.resize(part, size[::-1], interpolation=how))
        crops.append(np.ascontiguousarray(crop[:, ::-1] if mirrored else crop, dtype=np.uint8))
    return crops


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
    luma = cv2.cvtColor(resize_area(photo, images[0].shape[:2]), cv2.COLOR_BGR2GRAY)
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
