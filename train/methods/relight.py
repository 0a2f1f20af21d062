"""Relight: supervised by exact renderings and fixed cameras, then adversarial on real photos.

Three kinds of sample share every batch, and one forward pass, so that batch norm sees one
population:

* rendered: exact day, dusk and night of one scene. L1, gradients, and a discriminator that also
  sees the source (Pix2Pix, Isola et al. 2017): which windows are lit is not to be guessed from L1,
  which would light none.
* paired: day and night of one fixed camera, aligned but for traffic, the night regraded to night's
  exposure; some are asked for dusk, halfway between the two in stops. L1 between averages of 4x4
  pixels, where moved cars weigh little.
* photos: days without a partner, held coarsely to what `data.relit` makes of them. Discriminators
  compare all real translations to night with real nights: one sees pixels, the other what a
  pretrained network sees (Projected GANs, Sauer et al. 2021), and that is what lights the lamps.

An edge-aware smoothness of the maps on all of them keeps structure. The photos are seen a second
time, moved a little and with another noise: their maps must move along and else stay, which is what
a video's next frame asks for.

A small network learns of a large, finished one what no discriminator teaches it: the maps, of every
sample (`teacher`; the "intermediate" distillation of Li et al. 2020 at the last stage).

A grade (`network.saturation` and so on) is laid over what the network has learned: losses see its
pictures, and the teacher's, without. A student would learn it only with a loss of fine detail.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from dayshift.runtime.errors import UsageError
from dayshift.train import losses
from dayshift.train.checkpoint import load_checkpoint, load_weights
from dayshift.train.methods.base import Batch, State, Update, frozen
from dayshift.train.methods.relight_config import RelightConfig
from dayshift.train.methods.relight_views import judged, shifted, small_motions
from dayshift.train.metrics.features import CaffeSqueezeNet
from dayshift.train.metrics.weights import weights_folder
from dayshift.train.networks.feature_critic import FeatureCritic
from dayshift.train.networks.gain_light import GainLight, apply_gain_light
from dayshift.train.networks.patchgan import PatchGan, PatchGanConfig

_PAIRED_POOL = 4  # cars have moved
_PHOTO_POOL = 4


class Relight:
    """Networks, optimizers and the update rule.

    Raises:
        WeightsError: A pretrained network is asked for whose weights are not there.
        CheckpointError: The file of the start or of the teacher is missing or damaged.
        UsageError: It holds a network of another kind.
    """

    def __init__(self, config: RelightConfig) -> None:
        self.config = config
        self.generator = GainLight(config.network.generator())
        self.generator.applies_grade = False
        width = config.network.discriminator_width
        self.d_rendered, self.d_photos = (
            PatchGan(PatchGanConfig(channels, width, norm="spectral", widest=4))
            for channels in (6, 3)
        )
        self.modules: dict[str, nn.Module] = {
            "generator": self.generator,
            "d_rendered": self.d_rendered,
            "d_photos": self.d_photos,
        }
        self._teacher = _load_teacher(Path(config.teacher)) if config.teacher else None
        self.critic: FeatureCritic | None = None
        if config.weights.photo_features:
            self._features = CaffeSqueezeNet(weights_folder())  # in no checkpoint
            self.modules["critic"] = self.critic = FeatureCritic()
        if config.start:
            self._go_on_from(Path(config.start))
        self._critics = [module for name, module in self.modules.items() if name != "generator"]
        self.optimizers: dict[str, Optimizer] = {
            "generator": torch.optim.Adam(
                self.generator.parameters(), lr=config.generator_lr, betas=(0.5, 0.999)
            ),
            "discriminators": torch.optim.Adam(
                [parameter for critic in self._critics for parameter in critic.parameters()],
                lr=config.discriminator_lr,
                betas=(0.0, 0.99),
            ),
        }
        self.translators = {"a_to_b": "generator"}

    def _go_on_from(self, path: Path) -> None:
        """Take the weights of every network that the checkpoint has, of a generator the average."""
        checkpoint = load_checkpoint(path)
        for name, module in self.modules.items():
            if state := checkpoint.part(f"ema.{name}") or checkpoint.part(name):
                load_weights(module, state, f"{path}, {name}")

    def total_steps(self, steps_per_epoch: int) -> int:
        """Return the recipe's steps; epochs mean nothing to mixed batches."""
        return self.config.steps

    def learning_rate_factor(self, step: int, steps_per_epoch: int) -> float:
        """Return 1 over the first half, then a straight line to 0."""
        return min(1.0, 2 * (1 - step / self.config.steps))

    def training_step(self, batch: Batch, step: int, update: Update) -> dict[str, Tensor]:
        """Update the discriminators, then the generator; return the loss terms by name.

        Args:
            batch: see `relight_data`.
            step: updates done.
            update: lowers a loss.
        """
        # Batch norm fixed for the last part: what is trained then is what runs after folding.
        self.generator.train(step / self.config.steps < self.config.freeze_norm_at)
        gain, light = self.generator.maps(batch["small"], batch["strength"], batch["lamps"])
        fake = apply_gain_light(batch["frame"], gain.float(), light.float())
        adversarial = step >= self.config.supervised_steps
        terms: dict[str, Tensor] = {}
        if adversarial:
            terms["discriminator"] = self._discriminator_loss(batch, fake.detach())
            update("discriminators", terms["discriminator"])
        with frozen(*self._critics):
            generator_terms = self._generator_terms(batch, fake, (gain, light), adversarial)
            update("generator", torch.stack(list(generator_terms.values())).sum())
        return {name: term.detach() for name, term in {**terms, **generator_terms}.items()}

    def extra_state(self) -> State:
        """Return nothing: all is in weights and optimizers."""
        return {}

    def load_extra_state(self, state: State) -> None:
        """Do nothing."""

    def _generator_terms(
        self, batch: Batch, fake: Tensor, maps: tuple[Tensor, Tensor], adversarial: bool
    ) -> dict[str, Tensor]:
        weights, n, m = self.config.weights, _rendered(batch), _aligned(batch)
        pool = _PAIRED_POOL
        terms = {
            "rendered_l1": weights.rendered_l1 * losses.night_l1(fake[:n], batch["target"][:n]),
            "rendered_gradient": weights.rendered_gradient
            * losses.gradient_l1(fake[:n], batch["target"][:n]),
            "paired_l1": weights.paired_l1
            * losses.night_l1(
                functional.avg_pool2d(fake[n:m], pool),
                functional.avg_pool2d(batch["target"][n:m], pool),
                functional.avg_pool2d(batch["weight"], pool),
            ),
            "photo_coarse": weights.photo_coarse
            * losses.night_l1(
                functional.avg_pool2d(fake[m:], _PHOTO_POOL),
                functional.avg_pool2d(batch["target"][m:], _PHOTO_POOL),
            ),
            "smoothness": weights.smoothness * _roughness(maps, batch["small"]),
            "lattice": weights.lattice * self._lattice(maps),
        }
        if self._teacher is not None:
            terms["teacher"] = weights.teacher * self._ignorance(batch, maps)
        if adversarial:
            terms |= self._adversarial_terms(batch, fake, maps)
        return terms

    def _adversarial_terms(
        self, batch: Batch, fake: Tensor, maps: tuple[Tensor, Tensor]
    ) -> dict[str, Tensor]:
        weights, n = self.config.weights, _rendered(batch)
        rendered = self.d_rendered(judged(torch.cat([batch["frame"][:n], fake[:n]], 1)))
        nights = _nights_of(batch, fake)
        photos = self.d_photos(judged(nights))
        terms = {
            # On photos nothing but discriminators asks for light: it must be worth its place.
            "photo_light": weights.photo_light * maps[1][n:].mean(),
            "consistency": weights.consistency * self._inconsistency(batch, maps),
            "rendered_gan": weights.rendered_gan * losses.hinge_generator(rendered.float()),
            "photo_gan": weights.photo_gan * losses.hinge_generator(photos.float()),
        }
        if self.critic is not None:
            seen = self._feature_scores(nights)
            terms["photo_features"] = weights.photo_features * losses.hinge_generator(seen)
        return terms

    def _feature_scores(self, images: Tensor) -> Tensor:
        """Return what the critic says of what SqueezeNet sees in images (N, 3, H, W) in [0, 1]."""
        assert self.critic is not None
        bgr = shifted(images).flip(1) * 255
        scores: Tensor = self.critic(self._features.to(images.device)(bgr))
        return scores

    def _lattice(self, maps: tuple[Tensor, Tensor]) -> Tensor:
        fold = self.generator.config.fold
        return torch.stack([losses.lattice(losses.root(m.float()), fold) for m in maps]).sum()

    def _ignorance(self, batch: Batch, maps: tuple[Tensor, Tensor]) -> Tensor:
        """Return how far the maps are from the teacher's, who sees the frame at its own size."""
        assert self._teacher is not None
        teacher = self._teacher.to(batch["small"].device)
        small_size = batch["small"].shape[-2:]
        finer = teacher.config.short_side / self.generator.config.short_side
        sides = [round(side * finer) for side in small_size]
        seen = functional.interpolate(batch["frame"], sides, mode="area")
        with torch.no_grad():
            taught = teacher.maps(seen, batch["strength"], batch["lamps"])
        differences = [
            functional.l1_loss(
                losses.root(mine.float()),
                losses.root(functional.interpolate(theirs.float(), small_size, mode="area")),
            )
            for mine, theirs in zip(maps, taught, strict=True)
        ]
        return torch.stack(differences).sum()

    def _inconsistency(self, batch: Batch, maps: tuple[Tensor, Tensor]) -> Tensor:
        """Return how much the maps of the photos change when camera and noise do a little."""
        n = _aligned(batch)
        small = batch["small"][n:]
        grid = small_motions(small)
        moved = functional.grid_sample(small, grid, padding_mode="border", align_corners=False)
        noisy = moved + torch.randn_like(moved) * 0.015
        again = self.generator.maps(noisy.clamp(0, 1), batch["strength"][n:], batch["lamps"][n:])
        inside = (..., slice(8, -8), slice(8, -8))
        differences = [
            losses.root(
                functional.grid_sample(before[n:].float(), grid, align_corners=False)[inside]
            )
            - losses.root(after.float()[inside])
            for before, after in zip(maps, again, strict=True)
        ]
        return torch.stack([difference.abs().mean() for difference in differences]).sum()

    def _discriminator_loss(self, batch: Batch, fake: Tensor) -> Tensor:
        n = _rendered(batch)
        pairs = [
            torch.cat([batch["frame"][:n], image], 1) for image in (batch["target"][:n], fake[:n])
        ]
        rendered = self.d_rendered(judged(torch.cat(pairs))).float().chunk(2)
        translated = _nights_of(batch, fake)
        nights = torch.cat([batch["nights"][: len(translated)], translated])
        photos = self.d_photos(judged(nights)).float().chunk(2)
        loss = losses.hinge_discriminator(*rendered) + losses.hinge_discriminator(*photos)
        if self.critic is not None:
            # All real nights: of translated ones, one in a batch is all that is sure to come.
            scores = self._feature_scores(torch.cat([batch["nights"], translated]))
            real, made = scores[: len(batch["nights"])], scores[len(batch["nights"]) :]
            loss = loss + losses.hinge_discriminator(real, made)
        return loss


def _load_teacher(path: Path) -> GainLight:
    network = load_checkpoint(path).network()
    if not isinstance(network, GainLight):
        raise UsageError(
            f"the teacher {path} is a {type(network).__name__}, expected one of the method relight"
        )
    network.applies_grade = False
    return network.requires_grad_(False).eval()


def _rendered(batch: Batch) -> int:
    """Return how many samples, the first ones, are rendered."""
    return len(batch["target"]) - len(batch["nights"])


def _aligned(batch: Batch) -> int:
    """Return how many samples, the first ones, are rendered or paired; the rest are photos."""
    return _rendered(batch) + len(batch["weight"])


def _nights_of(batch: Batch, fake: Tensor) -> Tensor:
    """Return the photos translated to full, lit night; there are no other real ones to judge by."""
    n = _rendered(batch)
    return fake[n:][(batch["strength"][n:] == 1) & (batch["lamps"][n:] == 1)]


def _roughness(maps: tuple[Tensor, Tensor], small: Tensor) -> Tensor:
    """Return how much the maps change where the frame does not; of light, by its root."""
    gain, light = maps
    of_light = losses.edge_aware_smoothness(losses.root(light.float()), small)
    return losses.edge_aware_smoothness(gain, small) + of_light
