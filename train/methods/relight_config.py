"""Settings of `methods.relight`."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from dayshift.train.methods.base import Section
from dayshift.train.networks.gain_light import GainLightConfig


class RelightNetworks(Section):
    """Generator, see `networks.gain_light.GainLightConfig`, and the discriminators' width."""

    channels: tuple[PositiveInt, PositiveInt, PositiveInt] = (32, 64, 96)
    blocks: PositiveInt = 4
    short_side: PositiveInt = 240
    fold: PositiveInt = 4
    saturation: PositiveFloat = 1.0
    warmth: PositiveFloat = 1.0
    exposure: PositiveFloat = 1.0
    discriminator_width: PositiveInt = 32

    def generator(self) -> GainLightConfig:
        """Return the generator's part."""
        return GainLightConfig(**self.model_dump(exclude={"discriminator_width"}))


class RelightWeights(Section):
    """Weights of the loss terms.

    `photo_features` above 0 needs SqueezeNet's weights, see `metrics.weights`.
    """

    rendered_l1: NonNegativeFloat = 40.0
    rendered_gradient: NonNegativeFloat = 20.0
    rendered_gan: NonNegativeFloat = 1.0
    paired_l1: NonNegativeFloat = 30.0
    photo_gan: NonNegativeFloat = 0.5
    photo_features: NonNegativeFloat = 0.0
    smoothness: NonNegativeFloat = 0.3
    lattice: NonNegativeFloat = 0.0
    photo_coarse: NonNegativeFloat = 20.0
    photo_light: NonNegativeFloat = 0.3
    consistency: NonNegativeFloat = 10.0
    teacher: NonNegativeFloat = 100.0


class RelightConfig(Section):
    """Adam at two time scales (Heusel et al. 2017); rates fall linearly over the second half.

    Attributes:
        steps: of the whole run.
        supervised_steps: before the discriminators join.
        freeze_norm_at: share of the steps after which batch norm is fixed.
        start: checkpoint of an earlier run of this method whose networks this one goes on with.
        teacher: checkpoint of a network whose maps this one learns, with `weights.teacher`.
    """

    network: RelightNetworks = RelightNetworks()
    weights: RelightWeights = RelightWeights()
    steps: PositiveInt = 5000
    supervised_steps: int = Field(default=800, ge=0)
    generator_lr: PositiveFloat = 5e-4
    discriminator_lr: PositiveFloat = 4e-4
    freeze_norm_at: float = Field(default=0.8, gt=0, le=1)
    start: str = ""
    teacher: str = ""
