"""An exponential moving average of weights: what is used once trained (Karras et al. 2018)."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class WeightAverage:
    """Averaged twins of some modules, in eval mode.

    Attributes:
        modules: the twins by name.
    """

    def __init__(self, modules: Mapping[str, nn.Module], decay: float) -> None:
        self.modules = {
            name: copy.deepcopy(module).requires_grad_(False).eval()
            for name, module in modules.items()
        }
        self._sources = dict(modules)
        self._decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step`, counted from 0; early ones are soon forgotten."""
        decay = min(self._decay, (step + 1) / (step + 10))
        for name, twin in self.modules.items():
            mine: dict[str, Tensor] = self._sources[name].state_dict()
            floats: tuple[list[Tensor], list[Tensor]] = ([], [])
            for key, value in twin.state_dict().items():
                if value.is_floating_point():
                    floats[0].append(value)
                    floats[1].append(mine[key])
                else:
                    value.copy_(mine[key])
            torch._foreach_lerp_(floats[0], floats[1], 1 - decay)
