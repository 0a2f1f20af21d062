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
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dayshift.train import losses
from dayshift.train.checkpoint import NetworkRecord
from dayshift.train.methods.relight_data import Batch
from dayshift.train.networks.gain_light import (
    GainLight,
    apply_gain_light,
    predict_maps,
)
from dayshift.train.networks.patchgan import PatchDiscriminator
from dayshift.train.recipe import Recipe

_PAIRED_POOL = 4


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

    def networks(self) -> dict[str, NetworkRecord]:
        """Return what is used once trained: the averaged generator."""
        settings = asdict(self.generator.config)
        return {"a_to_b": NetworkRecord("gain_light", "average", settings)}

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
