"""Batches for `methods.relight`: rendered, paired and unpaired samples, by their number.

| key | type, shape | meaning |
|---|---|---|
| frame | float32 (N, 3, H, W) | RGB in [0, 1]; in the order rendered, paired, photos |
| small | float32 (N, 3, h, w) | the frame as the branch sees it |
| strength | float32 (N,) | 1 is night, 0.5 dusk |
| lamps | float32 (N,) | share of the artificial light that burns |
| target | float32 (N, 3, H, W) | what the frame should become; of photos only coarsely |
| weight | float32 (paired, 1, H, W) | 0 on captions burnt into the pictures |
| nights | float32 (paired + photos, 3, H, W) | real nights for the discriminator |
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from dayshift.runtime.image import Pixels
from dayshift.train.data import augment, cameras, relit
from dayshift.train.data.images import list_images, read_image, resize, source_of
from dayshift.train.methods.base import Batch, Section

Mask = npt.NDArray[np.float32]  # (H, W) in [0, 1]

_DAYLIT_MEAN = 70  # a night photo whose mean level is above this was exposed as if it were day


class RelightDataSection(Section):
    """Where the pictures are, relative to the data folder, and what a batch is made of.

    Attributes:
        rendered: folders with day/train and some of the hours' HOUR/train.
        hours: the strength and the lamps that lead to each hour of a rendered scene.
        night_share: of the rendered samples that have a night; the others share the rest.
        photos: name pattern of the unpaired photos.
        tiers: of the pairs.
        regrade: range of the power that takes back a camera's exposure where it shot night as
            bright as day.
        shrink: the branch sees the frame shrunk by this.
    """

    layout: Literal["relight"] = "relight"
    rendered: tuple[str, ...] = ("synth",)
    hours: dict[str, tuple[float, float]] = Field(default={"dusk": (0.5, 1.0), "night": (1.0, 1.0)})
    night_share: float = Field(default=0.6, ge=0, le=1)
    pairs: str = "paired/pairs_train.csv"
    days: str = "day/train"
    nights: str = "night/train"
    photos: str = "A_*"
    tiers: tuple[str, ...] = ("A",)
    regrade: tuple[float, float] = (2.2, 2.8)
    licence: str = ""
    rendered_count: PositiveInt = 3
    paired_count: PositiveInt = 2
    photo_count: PositiveInt = 2
    height: PositiveInt = 256
    width: PositiveInt = 320
    shrink: float = Field(default=1.6, gt=1)
    dusk_share: float = Field(default=0.35, ge=0, le=1)
    dim_share: float = Field(default=0.2, ge=0, le=1)


class Sample(NamedTuple):
    """A frame, uint8 BGR, and what it should become at that strength with those lamps."""

    frame: Pixels
    target: Pixels
    strength: float
    lamps: float = 1.0


class RelightData:
    """All pictures of a recipe in memory, and batches of them by step number."""

    def __init__(self, section: RelightDataSection, root: Path, seed: int) -> None:
        """Read all pictures.

        Raises:
            DataError: A folder or picture is missing.
        """
        self.section, self._seed = section, seed
        self.renderings = [
            scene
            for folder in section.rendered
            for scene in cameras.load_renderings(root / folder, section.hours)
        ]
        self.pairs = cameras.Pairs.load(root / section.pairs, root, section.tiers)
        days = _by_source(list_images([root / section.days], section.photos))
        self.days = [relit.RelitPhotos(source) for source in days]
        self.nights = _by_source(list_images([root / section.nights], section.photos))

    @property
    def images_per_batch(self) -> int:
        """Return the samples of a batch."""
        return self.section.rendered_count + self.section.paired_count + self.section.photo_count

    def batches_per_epoch(self, world: int) -> int:
        """Return how many batches see as many photos as there are."""
        return max(1, sum(map(len, self.days)) // (self.section.photo_count * world))

    def batches(self, start: int, rank: int, world: int) -> Iterator[Batch]:
        """Yield batches without end, each made while the one before is trained on."""
        with ThreadPoolExecutor(1) as loader:
            numbers = (rank + world * place for place in itertools.count(start))
            upcoming = loader.submit(self.batch, next(numbers))
            for number in numbers:
                batch = upcoming.result()
                upcoming = loader.submit(self.batch, number)
                yield batch

    def facts(self) -> dict[str, Any]:
        """Return how many pictures of each kind there are."""
        return {
            "renderings": len(self.renderings),
            "scenes": len(self.pairs.scenes),
            "days": sum(map(len, self.days)),
            "nights": sum(map(len, self.nights)),
        }

    def batch(self, number: int) -> dict[str, Tensor]:
        """Return a batch; it depends on the seed and its number alone."""
        rng = np.random.default_rng((self._seed, number))
        sizes = self.section
        samples = [self._rendered(rng) for _ in range(sizes.rendered_count)]
        paired = [self._paired(rng) for _ in range(sizes.paired_count)]
        # One is at full night, or the discriminator of photos would have nothing to judge.
        photos = [self._photo(rng, is_night=i == 0) for i in range(sizes.photo_count)]
        drawn = [*samples, *(sample for sample, _ in paired), *photos]
        frames = [sample.frame for sample in drawn]
        small_size = (round(sizes.height / sizes.shrink), round(sizes.width / sizes.shrink))
        return {
            "frame": _to_tensor(frames),
            "small": _to_tensor([resize(f, small_size) for f in frames]),
            "strength": torch.tensor([sample.strength for sample in drawn]),
            "lamps": torch.tensor([sample.lamps for sample in drawn]),
            "target": _to_tensor([sample.target for sample in drawn]),
            "weight": torch.from_numpy(np.stack([counts for _, counts in paired])[:, None]),
            "nights": _to_tensor([self._night(rng) for _ in frames[sizes.rendered_count :]]),
        }

    @property
    def _size(self) -> tuple[int, int]:
        return self.section.height, self.section.width

    def _rendered(self, rng: np.random.Generator) -> Sample:
        scene = self.renderings[int(rng.integers(len(self.renderings)))]
        hours = [hour for hour in scene.others if hour != "night"]
        if not hours or ("night" in scene.others and rng.random() < self.section.night_share):
            hours = ["night"]
        hour = hours[int(rng.integers(len(hours)))]
        images = augment.random_crop([scene.day, scene.others[hour]], self._size, rng)
        if rng.random() < 0.5:
            images = augment.add_texture(images, self._photo(rng).frame, rng)
        return Sample(augment.vary_camera(images[0], rng), images[1], *self.section.hours[hour])

    def _paired(self, rng: np.random.Generator) -> tuple[Sample, Mask]:
        days, nights = self.pairs.scenes[int(rng.integers(len(self.pairs.scenes)))]
        day, night = days[int(rng.integers(len(days)))], nights[int(rng.integers(len(nights)))]
        day, night = augment.random_crop([day, night], self._size, rng)
        # What is equally bright by day and by night is a caption that the camera's owner burnt in.
        change = np.abs(day.astype(np.int16) - night).max(axis=2)
        caption = (change < 12) & ((night.min(axis=2) > 200) | (night.max(axis=2) < 12))
        counts = (~caption).astype(np.float32)
        target, strength = self._regrade(night, rng), 1.0
        if rng.random() < self.section.dusk_share:
            target, strength = augment.halfway(day, target), 0.5
        return Sample(augment.vary_camera(day, rng), target, strength), counts

    def _regrade(self, night: Pixels, rng: np.random.Generator) -> Pixels:
        return augment.darken_exposure(night, self.section.regrade, rng)

    def _photo(self, rng: np.random.Generator, *, is_night: bool = False) -> Sample:
        source = self.days[int(rng.integers(len(self.days)))]
        photo = source[int(rng.integers(len(source)))]
        target, strength, lamps = photo.night, 1.0, 1.0
        if is_night:
            pass
        elif rng.random() < self.section.dusk_share:
            target, strength = photo.dusk, 0.5
        elif rng.random() < self.section.dim_share:
            target, lamps = photo.dim, relit.DIM_LAMPS
        day, target = augment.random_crop([photo.day, target], self._size, rng)
        return Sample(augment.vary_camera(day, rng), target, strength, lamps)

    def _night(self, rng: np.random.Generator) -> Pixels:
        source = self.nights[int(rng.integers(len(self.nights)))]
        image = augment.random_crop([source[int(rng.integers(len(source)))]], self._size, rng)[0]
        return self._regrade(image, rng) if image.mean() > _DAYLIT_MEAN else image


def _to_tensor(images: list[Pixels]) -> Tensor:
    stacked = np.stack(images)[..., ::-1].transpose(0, 3, 1, 2)  # BGR HWC to RGB CHW
    return torch.from_numpy(np.ascontiguousarray(stacked, dtype=np.float32) / np.float32(255))


def _by_source(paths: list[Path]) -> list[list[Pixels]]:
    """Group photos by the source in their name, TIER_SOURCE_…: large ones must not drown small.

    Years are left out: lta21 and lta26 are the same cameras.
    """
    groups: dict[str, list[Pixels]] = {}
    for path in paths:
        source = source_of(path).rstrip("0123456789")
        groups.setdefault(source, []).append(read_image(path))
    return list(groups.values())
