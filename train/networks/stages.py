"""What two generators have inside that can be compared: four stages of each, by relative depth.

A *trunk* keeps one size between its way down and its way up: ResNets, UNIT's encoder and decoder,
the gain-and-light branch. Its stages are the trunk's input and its blocks at one, two and three
thirds. For two ResNets of nine blocks these are GAN-Compression's `model.9`, `12`, `15` and `18`.
A *U-Net* has the four places of OMGD. A stage of a trunk says nothing about one of a U-Net.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from dayshift.train.networks.gain_light import GainLight
from dayshift.train.networks.resnet import ResidualBlock, ResnetGenerator
from dayshift.train.networks.unet import UnetGenerator
from dayshift.train.networks.unit import Vae
from dayshift.train.networks.unit_2017 import SharedVae


class StageRecorder:
    """Records what a network's stages give, each time it runs.

    Attributes:
        kind: "trunk" or "unet"; None where the network has no stages known here.
    """

    def __init__(self, network: nn.Module) -> None:
        self.kind, stages = _stages(network)
        self._outputs: list[Tensor] = []
        # Not at the network's own start: a gain_light is run by `maps`, which passes its hooks by.
        for first in stages[:1]:
            first.register_forward_pre_hook(self._begin)
        for stage in _thirds(stages) if self.kind == "trunk" else stages:
            stage.register_forward_hook(self._record)

    def take(self) -> list[Tensor]:
        """Return the last run's outputs, (N, C, h, w) each, and forget them."""
        outputs, self._outputs = self._outputs, []
        return outputs

    def _begin(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._outputs = [inputs[0]] if self.kind == "trunk" else []

    def _record(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self._outputs.append(output)


class StageDistance(nn.Module):
    """How far a student's stages are from its teacher's, seen through an adapter for each.

    With `means`, OMGD's channel distillation: 1x1 convolution, batch norm and ReLU, then channels'
    means over the image are compared. Without, GAN Compression's: 1x1 convolution, every pixel.
    """

    def __init__(self, channels: Iterable[tuple[int, int]], *, means: bool) -> None:
        super().__init__()
        self.means = means
        self.adapters = nn.ModuleList(
            _channel_adapter(*both) if means else nn.Conv2d(*both, 1) for both in channels
        )

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Return mean squared distances, summed over the stages; the teacher takes no gradient."""
        terms = []
        for adapter, mine, theirs in zip(self.adapters, student, teacher, strict=True):
            a, b = adapter(mine).float(), theirs.detach().float()
            a, b = (a.mean((2, 3)), b.mean((2, 3))) if self.means else _same_size(a, b)
            terms.append(functional.mse_loss(a, b))
        return torch.stack(terms).sum()


def _channel_adapter(student: int, teacher: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(student, teacher, 1, bias=False), nn.BatchNorm2d(teacher), nn.ReLU(inplace=True)
    )


def _same_size(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Average the larger down to the smaller."""
    height, width = (min(sides) for sides in zip(a.shape[-2:], b.shape[-2:], strict=True))
    a, b = (functional.adaptive_avg_pool2d(x, (height, width)) for x in (a, b))
    return a, b


def _stages(network: nn.Module) -> tuple[str | None, Sequence[nn.Module]]:
    """Return the network's kind with a trunk's blocks, or a U-Net's places."""
    match network:
        case ResnetGenerator():
            return "trunk", [x for x in network.model if isinstance(x, ResidualBlock)]
        case GainLight():
            return "trunk", list(network.body)
        case Vae():
            encoder = _children(network, "enc.model")[-1]
            blocks = [*_children(encoder, "model"), *_children(network, "dec.model.0.model")]
            return "trunk", blocks
        case SharedVae():
            count = network.config.blocks
            down, up = _children(network, "enc"), _children(network, "dec")
            shared = [*_children(network, "enc_shared"), *_children(network, "dec_shared")]
            return "trunk", [*down[-count:], *shared, *up[:count]]
        case UnetGenerator():
            second = "1.model.3.model"
            places = (f"{second}.0", f"{second}.3.model.3.model.0", f"{second}.3.model.4")
            inside = network.model.model.get_submodule
            return "unet", [inside(place) for place in (*places, "1.model.4")]
    return None, ()


def _thirds(blocks: Sequence[nn.Module]) -> list[nn.Module]:
    """Return the blocks after which one, two and three thirds of them are done."""
    return [blocks[max(1, round(len(blocks) * third / 3)) - 1] for third in (1, 2, 3)]


def _children(network: nn.Module, name: str) -> list[nn.Module]:
    return list(network.get_submodule(name).children())
