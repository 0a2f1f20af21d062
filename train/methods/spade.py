"""SPADE (Park et al. 2019): photos from label maps.

    G: hinge + 10 feature matching + 10 VGG [+ 0.05 KL]       D: hinge       (section 3, appendix A)

Written from the paper. Where the authors' code differs from it, the code is followed:

* Adam has betas (0, 0.9); the paper says (0, 0.999).
* Spectral norm is on the generator's main convolutions and the discriminator's inner ones, not on
  every layer.
* 50 epochs at full rate; the paper trains Cityscapes and ADE20K for 200, the second half with a
  falling rate: schedule {constant_epochs = 100, decay_epochs = 100}.
* The KL term is summed over z; here it is averaged over the batch, there summed over it too.

VGG's weights are the user's file; without one the VGG term is off, and results are worse than the
published ones.
"""

from __future__ import annotations

import torch
from pydantic import JsonValue, NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.optim import Optimizer

from dayshift.runtime.errors import UsageError
from dayshift.train import losses
from dayshift.train.methods.base import (
    Adam,
    Batch,
    LinearDecay,
    NetworkChoice,
    Scheduled,
    Section,
    Stateless,
    Update,
    frozen,
)
from dayshift.train.methods.perceptual import LazyVgg
from dayshift.train.networks.initialize import initialize
from dayshift.train.networks.spade import SpadeGenerator, label_planes


class SpadeConfig(Section):
    """The defaults are those of the authors' code for Cityscapes.

    Attributes:
        labels: how many there are, from 0 to one less.
        dont_care: the number `labels` stands for pixels of no class, and has a plane of its own.
        instances: batches hold maps of instances; their edges are one more plane.
        vae: encode the photo's style as z; without, the image follows from the labels alone.
        latent: length of z.
        size: (height, width) of the images, which z binds the generator to.
        features: weight of feature matching.
        vgg: weight of the VGG term.
        vgg_weights: path of torchvision's VGG19 file; without one there is no such term.
        kl: weight of the KL term, with `vae` alone.
        g_optimizer: of the generator and the encoder, at half the base rate of 2e-4.
        d_optimizer: of the discriminator, at twice the base rate (two time scales).
    """

    labels: PositiveInt = 35
    dont_care: bool = False
    instances: bool = True
    vae: bool = False
    latent: PositiveInt = 256
    size: tuple[PositiveInt, PositiveInt] = (256, 512)
    generator: NetworkChoice = NetworkChoice(name="spade")
    discriminator: NetworkChoice = NetworkChoice(name="spade_discriminator")
    encoder: NetworkChoice = NetworkChoice(name="spade_encoder")
    features: NonNegativeFloat = 10.0
    vgg: NonNegativeFloat = 10.0
    vgg_weights: str = ""
    kl: NonNegativeFloat = 0.05
    g_optimizer: Adam = Adam(lr=1e-4, betas=(0.0, 0.9))
    d_optimizer: Adam = Adam(lr=4e-4, betas=(0.0, 0.9))
    schedule: LinearDecay = LinearDecay(constant_epochs=50, decay_epochs=0)

    @property
    def planes(self) -> int:
        """Planes of the generator's input."""
        return self.labels + self.dont_care + self.instances


class Spade(Scheduled, Stateless):
    """Batches hold "labels", "b", the photo, and "instances" if the config says so."""

    def __init__(self, config: SpadeConfig | None = None) -> None:
        self.config = config = config or SpadeConfig()
        self.schedule = config.schedule
        style: dict[str, JsonValue] = (
            {"latent": config.latent, "size": list(config.size)} if config.vae else {}
        )
        generator = config.generator.build(label_planes=config.planes, **style)
        if not isinstance(generator, SpadeGenerator):
            raise UsageError(f"SPADE got the generator {config.generator.name}, expected spade")
        self.generator = generator
        self.discriminator = config.discriminator.build(in_channels=config.planes + 3)
        self.modules: dict[str, nn.Module] = {
            "generator": self.generator,
            "discriminator": self.discriminator,
        }
        self.encoder = config.encoder.build(latent=config.latent) if config.vae else None
        if self.encoder:
            self.modules["encoder"] = self.encoder
        for network in self.modules.values():
            initialize(network, "xavier")
        makers = [self.generator, *([self.encoder] if self.encoder else [])]
        self.optimizers: dict[str, Optimizer] = {
            "generator": config.g_optimizer.build(*makers),
            "discriminator": config.d_optimizer.build(self.discriminator),
        }
        self.translators = {"labels_to_b": "generator"}
        self._vgg = LazyVgg("vgg19", config.vgg_weights) if config.vgg_weights else None

    def training_step(self, batch: Batch, step: int, update: Update) -> dict[str, Tensor]:
        """Update the generator (and encoder), then the discriminator on a new translation."""
        real, planes = batch["b"], self._planes(batch)
        generator_terms = self._generator_terms(planes, real)
        update("generator", torch.stack(list(generator_terms.values())).sum())
        with torch.no_grad():
            z = _draw(*self.encoder(real)) if self.encoder else None
            fake = self.generator(planes, z)
        seen_real, seen_fake = self._judge(planes, real, fake)
        scores = zip(seen_real, seen_fake, strict=True)
        sizes = [losses.hinge_discriminator(r[-1].float(), f[-1].float()) for r, f in scores]
        terms = {"d": torch.stack(sizes).mean()}
        update("discriminator", terms["d"])
        return {name: term.detach() for name, term in {**generator_terms, **terms}.items()}

    def _generator_terms(self, planes: Tensor, real: Tensor) -> dict[str, Tensor]:
        config, terms, z = self.config, {}, None
        if self.encoder:
            mean, log_variance = self.encoder(real)
            z = _draw(mean, log_variance)
            terms["kl"] = config.kl * losses.kl_normal(mean, log_variance)
        fake = self.generator(planes, z)
        with frozen(self.discriminator):
            seen_real, seen_fake = self._judge(planes, real, fake)
        gan = [losses.hinge_generator(features[-1].float()) for features in seen_fake]
        terms["g_gan"] = torch.stack(gan).mean()
        if config.features:
            terms["features"] = config.features * losses.feature_matching(seen_real, seen_fake)
        if self._vgg:
            terms["vgg"] = config.vgg * self._vgg.styles(real, fake)
        return terms

    def _planes(self, batch: Batch) -> Tensor:
        if self.config.instances and "instances" not in batch:
            raise UsageError(
                "SPADE got no maps of instances: give the data's folder of them, "
                "or set instances = false"
            )
        instances = batch["instances"] if self.config.instances else None
        return label_planes(batch["labels"], self.config.planes, instances)

    def _judge(
        self, planes: Tensor, real: Tensor, fake: Tensor
    ) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """Return what each layer of each size saw in the real and in the translated images.

        Both go through in one batch, lest a norm that looks at the batch tell them apart.
        """
        both = torch.cat([torch.cat([planes, real], 1), torch.cat([planes, fake], 1)])
        seen = [[layer.chunk(2) for layer in size] for size in self.discriminator(both)]
        return [[real for real, _ in s] for s in seen], [[fake for _, fake in s] for s in seen]


def _draw(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return z from N(mean, variance), each (N, latent)."""
    return mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
