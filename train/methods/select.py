"""The methods by name."""

from __future__ import annotations

from dayshift.train.methods.base import Method
from dayshift.train.methods.cut import Cut, CutConfig
from dayshift.train.methods.cyclegan import CycleGan, CycleGanConfig
from dayshift.train.methods.pix2pix import Pix2Pix, Pix2PixConfig
from dayshift.train.methods.spade import Spade, SpadeConfig
from dayshift.train.methods.unit import Unit, UnitConfig

MethodConfig = Pix2PixConfig | CycleGanConfig | UnitConfig | SpadeConfig | CutConfig


def build_method(config: MethodConfig) -> Method:
    """Return a method with fresh weights, drawn from torch's global generator, on the CPU.

    Raises:
        UsageError: A network's name or setting is not known, or is not one the method can train.
    """
    match config:
        case Pix2PixConfig():
            return Pix2Pix(config)
        case CycleGanConfig():
            return CycleGan(config)
        case UnitConfig():
            return Unit(config)
        case SpadeConfig():
            return Spade(config)
        case CutConfig():
            return Cut(config)
