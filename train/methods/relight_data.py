"""Batches for `methods.relight`: rendered, paired and unpaired samples, by step number."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dayshift.runtime.image import Pixels
from dayshift.train.data import augment, cameras
from dayshift.train.data.images import list_images, read_image, resize
from dayshift.train.recipe import Recipe

Mask = npt.NDArray[np.float32]  # (H, W) in [0, 1]

_DAYLIT_MEAN = 70  # a night photo whose mean level is above this was exposed as if it were day


@dataclass
class Batch:
    """Samples in the order rendered, paired, photos. All images (N, 3, H, W) RGB in [0, 1]."""

    frame: Tensor
    small: Tensor  # the frame as the branch sees it
    strength: Tensor  # (N,)
    target: Tensor  # of the rendered and paired samples
    weight: Tensor  # (paired, 1, H, W): 0 on captions burnt into the pictures
    nights: Tensor  # real nights for the discriminator, as many as paired and photos


class RelightData:
    """All pictures of a recipe in memory, and batches of them by step number."""

    def __init__(self, recipe: Recipe, root: Path) -> None:
        section = recipe.data
        self.recipe = recipe
        self.triples = cameras.Triples.load(root / section.triples)
        self.pairs = cameras.Pairs.load(root / section.pairs, root, section.tiers)
        self.days = _by_source(list_images([root / section.days], section.photos))
        self.nights = _by_source(list_images([root / section.nights], section.photos))

    def counts(self) -> dict[str, int]:
        """Return how many pictures of each kind there are."""
        return {
            "triples": len(self.triples.day),
            "scenes": len(self.pairs.scenes),
            "days": sum(map(len, self.days)),
            "nights": sum(map(len, self.nights)),
        }

    def batch(self, step: int) -> Batch:
        """Return the batch of a step; it depends on the recipe's seed and the step alone."""
        rng = np.random.default_rng((self.recipe.optimizer.seed, step))
        sizes = self.recipe.batch
        samples = [self._rendered(rng) for _ in range(sizes.rendered)]
        paired = [self._paired(rng) for _ in range(sizes.paired)]
        photos = [self._photo(rng) for _ in range(sizes.photos)]
        frames = [s[0] for s in samples] + [s[0] for s in paired] + photos
        strengths = [s[2] for s in samples] + [s[2] for s in paired] + [1.0] * sizes.photos
        small_size = (round(sizes.height / sizes.shrink), round(sizes.width / sizes.shrink))
        return Batch(
            frame=_to_tensor(frames),
            small=_to_tensor([resize(f, small_size) for f in frames]),
            strength=torch.tensor(strengths),
            target=_to_tensor([s[1] for s in samples] + [s[1] for s in paired]),
            weight=torch.from_numpy(np.stack([s[3] for s in paired])[:, None]),
            nights=_to_tensor([self._night(rng) for _ in range(sizes.paired + sizes.photos)]),
        )

    @property
    def _size(self) -> tuple[int, int]:
        return self.recipe.batch.height, self.recipe.batch.width

    def _rendered(self, rng: np.random.Generator) -> tuple[Pixels, Pixels, float]:
        index = int(rng.integers(len(self.triples.day)))
        is_dusk = rng.random() < self.recipe.batch.dusk_share
        target = (self.triples.dusk if is_dusk else self.triples.night)[index]
        images = augment.random_crop([self.triples.day[index], target], self._size, rng)
        if rng.random() < 0.5:
            images = augment.add_texture(images, self._photo(rng), rng)
        return augment.vary_camera(images[0], rng), images[1], 0.5 if is_dusk else 1.0

    def _paired(self, rng: np.random.Generator) -> tuple[Pixels, Pixels, float, Mask]:
        days, nights = self.pairs.scenes[int(rng.integers(len(self.pairs.scenes)))]
        day, night = days[int(rng.integers(len(days)))], nights[int(rng.integers(len(nights)))]
        day, night = augment.random_crop([day, night], self._size, rng)
        # What is equally bright by day and by night is a caption that the camera's owner burnt in.
        change = np.abs(day.astype(np.int16) - night).max(axis=2)
        caption = (change < 12) & ((night.min(axis=2) > 200) | (night.max(axis=2) < 12))
        counts = (~caption).astype(np.float32)
        target, strength = self._regrade(night, rng), 1.0
        if rng.random() < self.recipe.batch.dusk_share:
            target, strength = augment.halfway(day, target), 0.5
        return augment.vary_camera(day, rng), target, strength, counts

    def _regrade(self, night: Pixels, rng: np.random.Generator) -> Pixels:
        return augment.darken_exposure(night, self.recipe.data.regrade, rng)

    def _photo(self, rng: np.random.Generator) -> Pixels:
        source = self.days[int(rng.integers(len(self.days)))]
        image = augment.random_crop([source[int(rng.integers(len(source)))]], self._size, rng)[0]
        return augment.vary_camera(image, rng)

    def _night(self, rng: np.random.Generator) -> Pixels:
        source = self.nights[int(rng.integers(len(self.nights)))]
        image = augment.random_crop([source[int(rng.integers(len(source)))]], self._size, rng)[0]
        return self._regrade(image, rng) if image.mean() > _DAYLIT_MEAN else image


def _to_tensor(images: list[Pixels]) -> Tensor:
    stacked = np.stack(images)[..., ::-1].transpose(0, 3, 1, 2)  # BGR HWC to RGB CHW
    return torch.from_numpy(np.ascontiguousarray(stacked, dtype=np.float32) / np.float32(255))


def _by_source(paths: list[Path]) -> list[list[Pixels]]:
    """Group photos by the source in their name, TIER_SOURCE_…: large ones must not drown small."""
    groups: dict[str, list[Pixels]] = {}
    for path in paths:
        groups.setdefault("_".join(path.stem.split("_")[:2]), []).append(read_image(path))
    return list(groups.values())
