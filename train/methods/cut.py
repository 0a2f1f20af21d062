"""CUT and FastCUT (Park et al. 2020): one generator, unpaired images, contrastive patches.

    CUT:      L_GAN + (L_PatchNCE(a, G(a)) + L_PatchNCE(b, G(b))) / 2
    FastCUT:  L_GAN + 10 L_PatchNCE(a, G(a))                                     (equation 5)

Where the authors' code differs from the paper, the code is followed:

* The two contrastive terms of CUT are averaged; the paper adds them with weight 1 each.
* The key takes no gradient, and the discriminator's loss is halved.
* FastCUT mirrors the source half of the time and the features back, which the paper leaves out.
* 400 epochs for CUT, 200 for FastCUT.

The code has one Adam for the generator and one, made after the first batch, for the patch
networks; with equal rates and betas one Adam for both is the same. The patch networks' sizes are
asked of the generator before training, and not of the first batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional
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
from dayshift.train.networks.initialize import initialize

_FASTCUT: dict[str, Any] = {
    "nce": 10.0,
    "nce_identity": False,
    "flip": True,
    "schedule": {"constant_epochs": 150, "decay_epochs": 50},
}


class CutConfig(Section):
    """The defaults are those of the authors' code for CUT; `variant` fastcut has its own.

    Attributes:
        variant: whose defaults the fields have that are not given.
        generator: one whose `features` can be compared: a ResNet, or gain_light_image.
        gan_weight: weight of the adversarial term.
        nce: weight of the contrastive terms.
        nce_identity: compare b with G(b) too.
        flip: mirror the source half of the time; its patches must find the same partners.
        layers: of the generator's features; None takes the generator's own choice.
        patches: random places per layer, the same in source and translation.
        length: of the vectors that are compared.
        temperature: divides their similarities.
    """

    variant: Literal["cut", "fastcut"] = "cut"
    generator: NetworkChoice = NetworkChoice(name="cut_resnet_9blocks")
    discriminator: NetworkChoice = NetworkChoice(name="cut_patchgan_70")
    gan: losses.GanKind = "lsgan"
    gan_weight: NonNegativeFloat = 1.0
    nce: NonNegativeFloat = 1.0
    nce_identity: bool = True
    flip: bool = False
    layers: tuple[int, ...] | None = None
    patches: PositiveInt = 256
    length: PositiveInt = 256
    temperature: PositiveFloat = 0.07
    optimizer: Adam = Adam()
    schedule: LinearDecay = LinearDecay(constant_epochs=200, decay_epochs=200)

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_variant(cls, given: Any) -> Any:
        fast = isinstance(given, dict) and given.get("variant") == "fastcut"
        return {**_FASTCUT, **given} if fast else given


@runtime_checkable
class PatchGenerator(Protocol):
    """A generator whose features can be compared patch by patch."""

    patch_layers: tuple[int, ...]

    def features(self, x: Tensor, layers: Iterable[int]) -> list[Tensor]:
        """Return the features of some layers, each (N, C, h, w), in rising order."""
        ...


class Cut(Scheduled, Stateless):
    """Batches hold "a" and "b", not aligned."""

    def __init__(self, config: CutConfig | None = None) -> None:
        self.config = config = config or CutConfig()
        self.schedule = config.schedule
        self.generator = config.generator.build()
        self.discriminator = config.discriminator.build()
        if not isinstance(self.generator, PatchGenerator):
            raise UsageError(
                f"CUT got the generator {config.generator.name}, expected one with features to "
                "compare: a resnet or gain_light_image"
            )
        self.features = self.generator.features
        self.layers = config.layers or self.generator.patch_layers
        self.patch_networks = PatchNetworks(self._channels(), config.length)
        self.modules: dict[str, nn.Module] = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "patch_networks": self.patch_networks,
        }
        for network in self.modules.values():
            initialize(network, "xavier")
        self.optimizers: dict[str, Optimizer] = {
            "generator": config.optimizer.build(self.generator, self.patch_networks),
            "discriminator": config.optimizer.build(self.discriminator),
        }
        self.translators = {"a_to_b": "generator"}

    def training_step(self, batch: Batch, step: int, update: Update) -> dict[str, Tensor]:
        """Update the discriminator, then the generator together with the patch networks."""
        config, real_a, real_b = self.config, batch["a"], batch["b"]
        flipped = config.flip and float(torch.rand(())) < 0.5
        source = real_a.flip(-1) if flipped else real_a
        sources = torch.cat([source, real_b]) if config.nce_identity else source
        fakes = self.generator(sources)
        fake_b = fakes[: len(real_a)]
        scores = self.discriminator(real_b), self.discriminator(fake_b.detach())
        terms = {"d": 0.5 * losses.discriminator_gan(config.gan, *scores)}
        update("discriminator", terms["d"])
        with frozen(self.discriminator):
            gan = losses.generator_gan(config.gan, self.discriminator(fake_b))
        terms["g_gan"] = config.gan_weight * gan
        share = 0.5 if config.nce_identity else 1.0
        terms["nce"] = share * config.nce * self._nce(real_a, fake_b, flipped=flipped)
        if config.nce_identity:
            idt_b = fakes[len(real_a) :]
            terms["nce_identity"] = share * config.nce * self._nce(real_b, idt_b)
        lowered = [term for name, term in terms.items() if name != "d"]
        update("generator", torch.stack(lowered).sum())
        return {name: term.detach() for name, term in terms.items()}

    def _channels(self) -> list[int]:
        self.generator.eval()  # this image is none to take statistics of
        with torch.no_grad():
            features = self.features(torch.zeros(1, 3, 64, 64), self.layers)
        self.generator.train()
        return [feature.shape[1] for feature in features]

    def _nce(self, source: Tensor, translation: Tensor, *, flipped: bool = False) -> Tensor:
        """Return the contrastive loss, averaged over layers."""
        queries = self.features(translation, self.layers)
        if flipped:
            queries = [query.flip(-1) for query in queries]
        with torch.no_grad():
            keys = self.features(source, self.layers)
        terms = []
        for mlp, query, key in zip(self.patch_networks.mlps, queries, keys, strict=True):
            places = torch.randperm(query.shape[-2] * query.shape[-1])[: self.config.patches]
            places = places.to(query.device)
            q, k = (mlp(pixels_at(feature, places)) for feature in (query, key))
            q, k = functional.normalize(q, dim=-1), functional.normalize(k, dim=-1)
            terms.append(losses.patch_nce(q, k, self.config.temperature))
        return torch.stack(terms).mean()


class PatchNetworks(nn.Module):
    """A network of two layers for each layer of features (the paper's H_l)."""

    def __init__(self, channels: Iterable[int], length: int) -> None:
        super().__init__()
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(c, length), nn.ReLU(), nn.Linear(length, length))
            for c in channels
        )


def pixels_at(features: Tensor, places: Tensor) -> Tensor:
    """Return (N, places, C) of features (N, C, h, w), places counted row by row."""
    return features.flatten(2)[:, :, places].transpose(1, 2)
