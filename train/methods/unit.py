"""UNIT (Liu et al. 2017): two auto-encoders over one latent space, two discriminators.

    L = GAN + recon + KL(z) + cycle recon + KL(z of the translation), for both domains    (eq. 3-7)

`version` "current" is the recipe of the authors' present code, "2017" the published one for day to
night; they differ in nearly everything:

                      current                             2017
    latent            made one by the cycle terms         made one by shared layers too
    generator         unit: 4x4 strides, layer norm       unit_2017: 3x3 strides, dropout
    GAN               least squares, weight 1             cross-entropy, weight 10
    recon, cycle      L1, 10 and 10                       L1, 100 and 100
    KL, KL of cycle   0.01 and 0.01                       0.1 and 0.1
    rate              1e-4, halved each 100 000 steps     1e-4
    steps             1 000 000                           500 000

Where code and paper differ, the code is followed: the KL term is mean(mu^2), without the factor 1/2
and averaged over the latent; a discriminator's scores are averaged per size and summed over sizes.
The code of 2017 takes its direct KL twice over a joint batch of both domains, which is the sum over
domains here.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from pydantic import NonNegativeFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from dayshift.runtime.errors import UsageError
from dayshift.train import losses
from dayshift.train.methods.base import (
    Adam,
    Batch,
    NetworkChoice,
    Section,
    Stateless,
    Update,
    frozen,
)
from dayshift.train.methods.perceptual import LazyVgg
from dayshift.train.networks.initialize import initialize
from dayshift.train.networks.unit import Vae
from dayshift.train.networks.unit_2017 import SharedVae

_VERSION_2017: dict[str, Any] = {
    "generator": {"name": "unit_2017"},
    "discriminator": {"name": "unit_2017_discriminator"},
    "gan": "vanilla",
    "gan_weight": 10.0,
    "recon": 100.0,
    "kl": 0.1,
    "cycle": 100.0,
    "kl_cycle": 0.1,
    "halve_every": None,
    "steps": 500_000,
}


class UnitConfig(Section):
    """The defaults are those of the authors' present code; `version` 2017 has its own.

    Attributes:
        version: whose defaults the fields have that are not given.
        generator: unit or unit_2017, of both domains.
        gan_weight: weight of the adversarial terms; the others are named after theirs.
        vgg: weight of the perceptual terms, which the authors use for street scenes.
        vgg_weights: path of torchvision's VGG16 file; without one there are no such terms.
        halve_every: steps after which the rate is halved, again and again.
        steps: of the whole run.
    """

    version: Literal["current", "2017"] = "current"
    generator: NetworkChoice = NetworkChoice(name="unit")
    discriminator: NetworkChoice = NetworkChoice(name="unit_discriminator")
    gan: losses.GanKind = "lsgan"
    gan_weight: NonNegativeFloat = 1.0
    recon: NonNegativeFloat = 10.0
    kl: NonNegativeFloat = 0.01
    cycle: NonNegativeFloat = 10.0
    kl_cycle: NonNegativeFloat = 0.01
    vgg: NonNegativeFloat = 1.0
    vgg_weights: str = ""
    optimizer: Adam = Adam(lr=1e-4, weight_decay=1e-4)
    halve_every: PositiveInt | None = 100_000
    steps: PositiveInt = 1_000_000

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_version(cls, given: Any) -> Any:
        old = isinstance(given, dict) and given.get("version") == "2017"
        return {**_VERSION_2017, **given} if old else given


class Unit(Stateless):
    """Batches hold "a" and "b", not aligned.

    The module a_to_b holds the encoder of a and the decoder of b, b_to_a the other two, so that
    each is a translator by itself. d_b judges what a_to_b makes.
    """

    def __init__(self, config: UnitConfig | None = None) -> None:
        self.config = config = config or UnitConfig()
        self.a_to_b, self.b_to_a = (_generator(config.generator) for _ in range(2))
        self.d_a, self.d_b = (config.discriminator.build() for _ in range(2))
        for vae in (self.a_to_b, self.b_to_a):
            initialize(vae, "kaiming")
        for discriminator in (self.d_a, self.d_b):
            initialize(discriminator, "normal")
        if isinstance(self.a_to_b, SharedVae) and isinstance(self.b_to_a, SharedVae):
            self.b_to_a.share_with(self.a_to_b)
        self.modules: dict[str, nn.Module] = {
            "a_to_b": self.a_to_b,
            "b_to_a": self.b_to_a,
            "d_a": self.d_a,
            "d_b": self.d_b,
        }
        self.optimizers: dict[str, Optimizer] = {
            "generators": config.optimizer.build(self.a_to_b, self.b_to_a),
            "discriminators": config.optimizer.build(self.d_a, self.d_b),
        }
        self.translators = {"a_to_b": "a_to_b", "b_to_a": "b_to_a"}
        self._vgg = LazyVgg("vgg16", config.vgg_weights) if config.vgg_weights else None

    def total_steps(self, steps_per_epoch: int) -> int:
        """Return the recipe's steps, whatever the epoch."""
        return self.config.steps

    def learning_rate_factor(self, step: int, steps_per_epoch: int) -> float:
        """Return 1, halved every so many steps."""
        every = self.config.halve_every
        return 0.5 ** (step // every) if every else 1.0

    def training_step(self, batch: Batch, step: int, update: Update) -> dict[str, Tensor]:
        """Update both discriminators, then both generators; the latent noise is drawn anew."""
        real = _Pair(batch["a"], batch["b"])
        with torch.no_grad():
            z = _Pair(_noisy(self.a_to_b.encode(real.a)), _noisy(self.b_to_a.encode(real.b)))
            fake = _Pair(self.b_to_a.decode(z.b), self.a_to_b.decode(z.a))
        discriminator_terms = {
            "d_a": self._discriminator_loss(self.d_a, real.a, fake.a),
            "d_b": self._discriminator_loss(self.d_b, real.b, fake.b),
        }
        update("discriminators", discriminator_terms["d_a"] + discriminator_terms["d_b"])
        generator_terms = self._generator_terms(real)
        update("generators", torch.stack(list(generator_terms.values())).sum())
        terms = {**discriminator_terms, **generator_terms}
        return {name: term.detach() for name, term in terms.items()}

    def _generator_terms(self, real: _Pair) -> dict[str, Tensor]:
        """Return what the generators lower: recon, kl, cycle, kl_cycle, GAN and VGG terms."""
        config, l1 = self.config, functional.l1_loss
        encode_a, decode_b = self.a_to_b.encode, self.a_to_b.decode
        encode_b, decode_a = self.b_to_a.encode, self.b_to_a.decode
        mean = _Pair(encode_a(real.a), encode_b(real.b))
        z = _Pair(_noisy(mean.a), _noisy(mean.b))
        fake = _Pair(decode_a(z.b), decode_b(z.a))
        # Of the translations: b's image in domain a is encoded by a, and becomes b again.
        again = _Pair(encode_b(fake.b), encode_a(fake.a))
        with frozen(self.d_a, self.d_b):
            gan_a, gan_b = self._fool(self.d_a, fake.a), self._fool(self.d_b, fake.b)
        terms = {
            "recon_a": config.recon * l1(decode_a(z.a), real.a),
            "recon_b": config.recon * l1(decode_b(z.b), real.b),
            "kl_a": config.kl * losses.kl_unit_variance(mean.a),
            "kl_b": config.kl * losses.kl_unit_variance(mean.b),
            "cycle_a": config.cycle * l1(decode_a(_noisy(again.a)), real.a),
            "cycle_b": config.cycle * l1(decode_b(_noisy(again.b)), real.b),
            "kl_cycle_a": config.kl_cycle * losses.kl_unit_variance(again.a),
            "kl_cycle_b": config.kl_cycle * losses.kl_unit_variance(again.b),
            "g_gan_a": config.gan_weight * gan_a,
            "g_gan_b": config.gan_weight * gan_b,
        }
        if self._vgg:
            terms["vgg_a"] = config.vgg * self._vgg.content(real.b, fake.a)
            terms["vgg_b"] = config.vgg * self._vgg.content(real.a, fake.b)
        return terms

    def _discriminator_loss(self, d: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        """Return least squares or cross-entropy, summed over sizes, real and fake added."""
        sizes = zip(d(real), d(fake), strict=True)
        terms = [losses.discriminator_gan(self.config.gan, *scores) for scores in sizes]
        return self.config.gan_weight * torch.stack(terms).sum()

    def _fool(self, d: nn.Module, fake: Tensor) -> Tensor:
        terms = [losses.generator_gan(self.config.gan, scores) for scores in d(fake)]
        return torch.stack(terms).sum()


class _Pair(NamedTuple):
    """Something of domain a and of domain b."""

    a: Tensor
    b: Tensor


def _generator(choice: NetworkChoice) -> Vae | SharedVae:
    network = choice.build()
    if not isinstance(network, Vae | SharedVae):
        raise UsageError(f"UNIT got the generator {choice.name}, expected unit or unit_2017")
    return network


def _noisy(mean: Tensor) -> Tensor:
    """Return a latent drawn from N(mean, 1), the reparameterisation of the paper's section 3."""
    return mean + torch.randn_like(mean)
