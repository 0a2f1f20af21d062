"""How the published methods draw their first weights."""

from __future__ import annotations

from typing import Literal

from torch import nn

from dayshift.train.networks.gain_light import GainLight
from dayshift.train.networks.spectral import SpectralConv2d

Initialization = Literal["normal", "xavier", "kaiming"]

_GAIN = 0.02


def initialize(module: nn.Module, kind: Initialization) -> None:
    """Draw all convolutions' and linear layers' weights anew; biases become 0.

    Args:
        module: changed in place. Batch norm's weights become N(1, 0.02).
        kind: "normal" is N(0, 0.02) (Pix2Pix, CycleGAN, UNIT's discriminator), "xavier" is Glorot's
            times 0.02 (CUT, SPADE), "kaiming" is He's by fan-in (UNIT's generator). A GainLight
            keeps its own start, from which the first gradients see a picture.
    """
    if isinstance(module, GainLight):
        return
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            weight = part.weight_orig if isinstance(part, SpectralConv2d) else part.weight
            match kind:
                case "normal":
                    nn.init.normal_(weight, 0.0, _GAIN)
                case "xavier":
                    nn.init.xavier_normal_(weight, gain=_GAIN)
                case "kaiming":
                    nn.init.kaiming_normal_(weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d) and part.affine:
            nn.init.normal_(part.weight, 1.0, _GAIN)
            nn.init.zeros_(part.bias)
