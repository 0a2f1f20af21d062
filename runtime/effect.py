"""What a model's controls are at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dayshift.runtime.spec import Controls, ModelSpec


@dataclass(frozen=True)
class Effect:
    """What a model's controls are at.

    Attributes:
        strength: 0 returns the frame unchanged, 1 is the full effect.
        lamps: The share of the artificial light that burns; None where the model has no such
            control.
    """

    strength: float = 1.0
    lamps: float | None = None

    def within(self, controls: Controls) -> Effect:
        """Return the nearest that a model with these controls can be turned to."""
        strength = controls.strength.nearest(self.strength)
        if self.lamps is None or controls.lamps is None:
            return Effect(strength)
        return Effect(strength, controls.lamps.nearest(self.lamps))


class Turnable(Protocol):
    """A model with controls."""

    @property
    def spec(self) -> ModelSpec:
        """What its `model.json` says."""
        ...

    @property
    def strength(self) -> float:
        """How much of the effect."""
        ...

    @property
    def lamps(self) -> float:
        """The share of the artificial light that burns; of no meaning without the control."""
        ...


def effect_of(model: Turnable) -> Effect:
    """Return what a model is at now."""
    has_lamps = model.spec.controls.lamps is not None
    return Effect(model.strength, model.lamps if has_lamps else None)
