"""Pix2Pix (Isola et al. 2017): a conditional GAN and L1, on aligned pairs.

    G* = arg min_G max_D  E[log D(a, b)] + E[log(1 - D(a, G(a)))]  +  100 E[|b - G(a)|]    (eq. 4)

The noise z is dropout alone. Where the authors' code differs from the paper, the code is followed:

* The innermost layer has no batch norm: at batch size 1 it would be all zeros (the paper's errata).
* 100 epochs at full rate and 100 with a falling one; the paper has a number for each data set.

The generator maximises log D(a, G(a)) and does not minimise log(1 - D); the discriminator's loss is
halved, which slows it (both section 3.3). At test time batch norm takes the image's own statistics
and dropout draws (section 3.3): `networks.inference.set_inference` does that.
"""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

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
from dayshift.train.networks.initialize import initialize


class Pix2PixConfig(Section):
    """The defaults are those of the authors' code.

    Attributes:
        generator: image to image: unet_256, unet_128, resnet_9blocks, gain_light_image, ….
        discriminator: sees source and target stacked, 6 channels.
        l1: weight of L1.
    """

    generator: NetworkChoice = NetworkChoice(name="unet_256")
    discriminator: NetworkChoice = NetworkChoice(
        name="patchgan_70", settings={"in_channels": 6, "norm": "batch"}
    )
    gan: losses.GanKind = "vanilla"
    l1: NonNegativeFloat = 100.0
    optimizer: Adam = Adam()
    schedule: LinearDecay = LinearDecay()


class Pix2Pix(Scheduled, Stateless):
    """Batches hold "a" and "b", aligned."""

    def __init__(self, config: Pix2PixConfig | None = None) -> None:
        self.config = config = config or Pix2PixConfig()
        self.schedule = config.schedule
        self.generator = config.generator.build()
        self.discriminator = config.discriminator.build()
        for network in (self.generator, self.discriminator):
            initialize(network, "normal")
        self.modules: dict[str, nn.Module] = {
            "generator": self.generator,
            "discriminator": self.discriminator,
        }
        self.optimizers: dict[str, Optimizer] = {
            name: config.optimizer.build(module) for name, module in self.modules.items()
        }
        self.translators = {"a_to_b": "generator"}

    def training_step(self, batch: Batch, step: int, update: Update) -> dict[str, Tensor]:
        """Update the discriminator, then the generator."""
        real_a, real_b = batch["a"], batch["b"]
        fake_b = self.generator(real_a)
        terms = {"d": self._discriminator_loss(real_a, real_b, fake_b.detach())}
        update("discriminator", terms["d"])
        with frozen(self.discriminator):
            fake_scores = self.discriminator(torch.cat([real_a, fake_b], 1))
        terms["g_gan"] = losses.generator_gan(self.config.gan, fake_scores)
        terms["g_l1"] = self.config.l1 * functional.l1_loss(fake_b, real_b)
        update("generator", terms["g_gan"] + terms["g_l1"])
        return {name: term.detach() for name, term in terms.items()}

    def _discriminator_loss(self, real_a: Tensor, real_b: Tensor, fake_b: Tensor) -> Tensor:
        fake_scores = self.discriminator(torch.cat([real_a, fake_b], 1))
        real_scores = self.discriminator(torch.cat([real_a, real_b], 1))
        return 0.5 * losses.discriminator_gan(self.config.gan, real_scores, fake_scores)
