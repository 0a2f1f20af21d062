"""Relight: supervised by exact renderings and fixed cameras, then adversarial on real photos.

Three kinds of sample share every batch, and one forward pass, so that batch norm sees one
population:

* rendered: exact day, dusk and night of one scene. L1, gradients, and a discriminator that also
  sees the source (Pix2Pix, Isola et al. 2017): which windows are lit is not to be guessed from L1,
  which would light none.
* paired: day and night of one fixed camera, aligned but for traffic, the night regraded to night's
  exposure; some are asked for dusk, halfway between the two in stops. L1 between averages of 4x4
  pixels, where moved cars weigh little.
* photos: days without a partner. A discriminator compares all real translations with real nights.

An edge-aware smoothness of the gain on all of them keeps structure.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from dayshift.runtime.image import Pixels
from dayshift.train import data, losses
from dayshift.train.networks.gain_light import (
    GainLight,
    apply_gain_light,
    predict_maps,
)
from dayshift.train.networks.patchgan import PatchDiscriminator
from dayshift.train.recipe import Recipe

Mask = npt.NDArray[np.float32]  # (H, W) in [0, 1]

_DAYLIT_MEAN = 70  # a night photo whose mean level is above this was exposed as if it were day
_PAIRED_POOL = 4


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
        self.triples = data.Triples.load(root / section.triples)
        self.pairs = data.Pairs.load(root / section.pairs, root, section.tiers)
        self.days = _by_source(data.list_images([root / section.days], section.photos))
        self.nights = _by_source(data.list_images([root / section.nights], section.photos))

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
            small=_to_tensor([data.resize_area(f, small_size) for f in frames]),
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
        images = data.random_crop([self.triples.day[index], target], self._size, rng)
        if rng.random() < 0.5:
            images = data.add_texture(images, self._photo(rng), rng)
        return data.vary_camera(images[0], rng), images[1], 0.5 if is_dusk else 1.0

    def _paired(self, rng: np.random.Generator) -> tuple[Pixels, Pixels, float, Mask]:
        days, nights = self.pairs.scenes[int(rng.integers(len(self.pairs.scenes)))]
        day, night = days[int(rng.integers(len(days)))], nights[int(rng.integers(len(nights)))]
        day, night = data.random_crop([day, night], self._size, rng)
        # What is equally bright by day and by night is a caption that the camera's owner burnt in.
        change = np.abs(day.astype(np.int16) - night).max(axis=2)
        caption = (change < 12) & ((night.min(axis=2) > 200) | (night.max(axis=2) < 12))
        counts = (~caption).astype(np.float32)
        target, strength = self._regrade(night, rng), 1.0
        if rng.random() < self.recipe.batch.dusk_share:
            target, strength = data.halfway(day, target), 0.5
        return data.vary_camera(day, rng), target, strength, counts

    def _regrade(self, night: Pixels, rng: np.random.Generator) -> Pixels:
        return data.darken_exposure(night, self.recipe.data.regrade, rng)

    def _photo(self, rng: np.random.Generator) -> Pixels:
        source = self.days[int(rng.integers(len(self.days)))]
        image = data.random_crop([source[int(rng.integers(len(source)))]], self._size, rng)[0]
        return data.vary_camera(image, rng)

    def _night(self, rng: np.random.Generator) -> Pixels:
        source = self.nights[int(rng.integers(len(self.nights)))]
        image = data.random_crop([source[int(rng.integers(len(source)))]], self._size, rng)[0]
        return self._regrade(image, rng) if image.mean() > _DAYLIT_MEAN else image


class Relight:
    """Networks, optimizers and the update rule."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        section = recipe.network
        torch.manual_seed(recipe.optimizer.seed)
        self.generator = GainLight(section.generator()).to(device)
        self.generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub
        self.average = copy.deepcopy(self.generator).requires_grad_(False).eval()
        self.d_rendered = PatchDiscriminator(6, section.discriminator_width).to(device)
        self.d_photos = PatchDiscriminator(3, section.discriminator_width).to(device)
        rates = recipe.optimizer
        self.generator_optimizer = torch.optim.Adam(
            self.generator.parameters(), lr=rates.generator_lr, betas=(0.5, 0.999)
        )
        self.discriminator_optimizer = torch.optim.Adam(
            [*self.d_rendered.parameters(), *self.d_photos.parameters()],
            lr=rates.discriminator_lr,
            betas=(0.0, 0.99),
        )

    def training_step(self, batch: Batch, step: int) -> dict[str, float]:
        """Update every network once; return the loss terms by name."""
        self._prepare(step)
        batch = Batch(**{k: v.to(self.device) for k, v in vars(batch).items()})
        with torch.autocast(self.device.type, torch.bfloat16):
            gain, light = predict_maps(self.generator, batch.small, batch.strength)
        fake = apply_gain_light(batch.frame, gain.float(), light.float())
        adversarial = step >= self.recipe.optimizer.supervised_steps
        terms: dict[str, Tensor] = {}
        if adversarial:
            terms["discriminator"] = self._discriminator_loss(batch, fake.detach())
            _update(self.discriminator_optimizer, terms["discriminator"])
        generator_terms = self._generator_terms(batch, fake, (gain, light), adversarial)
        _update(self.generator_optimizer, torch.stack(list(generator_terms.values())).sum())
        self._average_weights(step)
        return {k: float(v.detach()) for k, v in {**terms, **generator_terms}.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return all that a run needs to go on exactly."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Invert `state_dict`."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        names = (
            "generator",
            "average",
            "d_rendered",
            "d_photos",
            "generator_optimizer",
            "discriminator_optimizer",
        )
        return {name: getattr(self, name) for name in names}

    def _generator_terms(
        self, batch: Batch, fake: Tensor, maps: tuple[Tensor, Tensor], adversarial: bool
    ) -> dict[str, Tensor]:
        weights, n = self.recipe.loss, self.recipe.batch.rendered
        m = n + self.recipe.batch.paired
        gain, light = maps
        pool = _PAIRED_POOL
        terms = {
            "rendered_l1": weights.rendered_l1 * losses.night_l1(fake[:n], batch.target[:n]),
            "rendered_gradient": weights.rendered_gradient
            * losses.gradient_l1(fake[:n], batch.target[:n]),
            "paired_l1": weights.paired_l1
            * losses.night_l1(
                functional.avg_pool2d(fake[n:m], pool),
                functional.avg_pool2d(batch.target[n:], pool),
                functional.avg_pool2d(batch.weight, pool),
            ),
            "smoothness": weights.smoothness * losses.edge_aware_smoothness(gain, batch.small),
        }
        if adversarial:
            # On photos nothing but the discriminator asks for light: it must be worth its place.
            terms["photo_light"] = weights.photo_light * light[n:].mean()
            with torch.autocast(self.device.type, torch.bfloat16):
                rendered = self.d_rendered(_judged(torch.cat([batch.frame[:n], fake[:n]], 1)))
                photos = self.d_photos(_judged(self._nights_of(batch, fake)))
            terms["rendered_gan"] = weights.rendered_gan * losses.hinge_generator(rendered.float())
            terms["photo_gan"] = weights.photo_gan * losses.hinge_generator(photos.float())
        return terms

    def _discriminator_loss(self, batch: Batch, fake: Tensor) -> Tensor:
        n = self.recipe.batch.rendered
        with torch.autocast(self.device.type, torch.bfloat16):
            pairs = [
                torch.cat([batch.frame[:n], image], 1) for image in (batch.target[:n], fake[:n])
            ]
            rendered = self.d_rendered(_judged(torch.cat(pairs))).float().chunk(2)
            translated = self._nights_of(batch, fake)
            nights = torch.cat([batch.nights[: len(translated)], translated])
            photos = self.d_photos(_judged(nights)).float().chunk(2)
        return losses.hinge_discriminator(*rendered) + losses.hinge_discriminator(*photos)

    def _nights_of(self, batch: Batch, fake: Tensor) -> Tensor:
        """Return the photos translated to full night; there are no real dusks to judge by."""
        n = self.recipe.batch.rendered
        return fake[n:][batch.strength[n:] == 1]

    def _prepare(self, step: int) -> None:
        rates = self.recipe.optimizer
        share = step / rates.steps
        fall = min(1.0, 2 * (1 - share))
        self.generator_optimizer.param_groups[0]["lr"] = rates.generator_lr * fall
        self.discriminator_optimizer.param_groups[0]["lr"] = rates.discriminator_lr * fall
        # Batch norm fixed for the last part: what is trained then is what runs after folding.
        self.generator.train(share < rates.freeze_norm_at)

    @torch.no_grad()
    def _average_weights(self, step: int) -> None:
        decay = min(self.recipe.optimizer.ema, (step + 1) / (step + 10))
        mine = self.generator.state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(mine[name], 1 - decay)


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    nn.utils.clip_grad_norm_(parameters, 10.0)
    optimizer.step()


def _judged(image: Tensor) -> Tensor:
    """Return what a discriminator sees: [-1, 1], at half size, as maps change nothing finer."""
    return functional.avg_pool2d(image, 2) * 2 - 1


def _to_tensor(images: list[Pixels]) -> Tensor:
    stacked = np.stack(images)[..., ::-1].transpose(0, 3, 1, 2)  # BGR HWC to RGB CHW
    return torch.from_numpy(np.ascontiguousarray(stacked, dtype=np.float32) / np.float32(255))


def _by_source(paths: list[Path]) -> list[list[Pixels]]:
    """Group photos by the source in their name, TIER_SOURCE_…: large ones must not drown small."""
    groups: dict[str, list[Pixels]] = {}
    for path in paths:
        groups.setdefault("_".join(path.stem.split("_")[:2]), []).append(data.read_image(path))
    return list(groups.values())
