"""CycleGAN (Zhu et al. 2017): two generators that undo each other, on unpaired images.

    L = L_GAN(g_ab, d_b) + L_GAN(g_ba, d_a) + 10 L_cyc(g_ab, g_ba) + 5 L_identity      (eq. 3, 5.2)

Where the authors' code differs from the paper, the code is followed:

* The identity term is on; the paper uses it for paintings to photos only (section 5.2).
* The pool returns the present image half of the time; the paper speaks of a history alone.

Least squares in the place of the logarithm, the pool of 50 and the halved loss of the
discriminators are in section 4. For images of 128x128 the paper has 6 residual blocks.
"""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat
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
    State,
    Update,
    frozen,
)
from dayshift.train.methods.image_pool import ImagePool
from dayshift.train.networks.initialize import initialize


class CycleGanConfig(Section):
    """The defaults are those of the authors' code.

    Attributes:
        generator: of both directions: resnet_9blocks, resnet_6blocks, gain_light_image, ….
        discriminator: of both domains.
        cycle: weight of the cycle terms.
        identity: times `cycle` is the weight of the identity terms; 0 computes none.
        pool_size: translations of the past that each discriminator may be shown.
    """

    generator: NetworkChoice = NetworkChoice(name="resnet_9blocks")
    discriminator: NetworkChoice = NetworkChoice(name="patchgan_70")
    gan: losses.GanKind = "lsgan"
    cycle: NonNegativeFloat = 10.0
    identity: NonNegativeFloat = 0.5
    pool_size: int = Field(default=50, ge=0)
    optimizer: Adam = Adam()
    schedule: LinearDecay = LinearDecay()


class CycleGan(Scheduled):
    """Batches hold "a" and "b", not aligned. d_b judges what g_ab makes."""

    def __init__(self, config: CycleGanConfig | None = None) -> None:
        self.config = config = config or CycleGanConfig()
        self.schedule = config.schedule
        self.g_ab, self.g_ba = config.generator.build(), config.generator.build()
        self.d_a, self.d_b = config.discriminator.build(), config.discriminator.build()
        self.modules: dict[str, nn.Module] = {
            "g_ab": self.g_ab,
            "g_ba": self.g_ba,
            "d_a": self.d_a,
            "d_b": self.d_b,
        }
        for network in self.modules.values():
            initialize(network, "normal")
        self.optimizers: dict[str, Optimizer] = {
            "generators": config.optimizer.build(self.g_ab, self.g_ba),
            "discriminators": config.optimizer.build(self.d_a, self.d_b),
        }
        self.translators = {"a_to_b": "g_ab", "b_to_a": "g_ba"}
        self.pools = {"a": ImagePool(config.pool_size), "b": ImagePool(config.pool_size)}

    def training_step(self, batch: Batch, step: int, update: Update) -> dict[str, Tensor]:
        """Update both generators, then both discriminators on what was made before."""
        real_a, real_b = batch["a"], batch["b"]
        fake_b, fake_a = self.g_ab(real_a), self.g_ba(real_b)
        generator_terms = self._generator_terms(real_a, real_b, fake_a, fake_b)
        update("generators", sum(generator_terms.values(), start=fake_a.new_zeros(())))
        pooled_a, pooled_b = self.pools["a"].exchange(fake_a), self.pools["b"].exchange(fake_b)
        terms = {
            "d_a": self._discriminator_loss(self.d_a, real_a, pooled_a),
            "d_b": self._discriminator_loss(self.d_b, real_b, pooled_b),
        }
        update("discriminators", terms["d_a"] + terms["d_b"])
        return {name: term.detach() for name, term in {**generator_terms, **terms}.items()}

    def extra_state(self) -> State:
        """Return the images of both pools."""
        return {
            f"pool_{domain}/{index}": image
            for domain, pool in self.pools.items()
            for index, image in enumerate(pool.state())
        }

    def load_extra_state(self, state: State) -> None:
        """Fill both pools."""
        for domain, pool in self.pools.items():
            images = (state.get(f"pool_{domain}/{index}") for index in range(pool.size))
            pool.load([image for image in images if isinstance(image, Tensor)])

    def _generator_terms(
        self, real_a: Tensor, real_b: Tensor, fake_a: Tensor, fake_b: Tensor
    ) -> dict[str, Tensor]:
        l1, config = functional.l1_loss, self.config
        rec_a, rec_b = self.g_ba(fake_b), self.g_ab(fake_a)
        with frozen(self.d_a, self.d_b):
            terms = {
                "g_gan_ab": losses.generator_gan(config.gan, self.d_b(fake_b)),
                "g_gan_ba": losses.generator_gan(config.gan, self.d_a(fake_a)),
            }
        terms["cycle_a"] = config.cycle * l1(rec_a, real_a)
        terms["cycle_b"] = config.cycle * l1(rec_b, real_b)
        if config.identity:
            weight = config.cycle * config.identity
            terms["identity_a"] = weight * l1(self.g_ba(real_a), real_a)
            terms["identity_b"] = weight * l1(self.g_ab(real_b), real_b)
        return terms

    def _discriminator_loss(self, d: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * losses.discriminator_gan(self.config.gan, d(real), d(fake))
