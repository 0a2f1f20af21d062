"""The core: a trained network as an ONNX graph of floats, before any precision or form is chosen.

Two rewrites that keep the function go first: batch norm is folded into the convolution before it,
and the channel order of the camera (BGR) is folded into the first and last weights, so that no
engine ever swaps channels.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator

import onnx
import torch
from torch import Tensor, nn
from torch.nn.utils import fusion

from dayshift.train.networks.gain_light import STRIDE, GainLight

OPSET = 20  # the newest that TensorRT 10.3, OpenVINO and ONNX Runtime all read
_EXAMPLE_SIZE = (184, 320)


class _HalfPrecision(nn.Module):
    """The network with fp16 weights and activations between float32 inputs and outputs."""

    def __init__(self, network: GainLight) -> None:
        super().__init__()
        self.network = network.half()

    def forward(self, frame: Tensor, strength: Tensor) -> tuple[Tensor, Tensor]:
        gain, light = self.network(frame.half(), strength)
        return gain, light


def prepare(network: GainLight) -> GainLight:
    """Return a copy for deployment, the same function: BGR in and out, batch norm folded."""
    deployed = copy.deepcopy(network).eval().cpu()
    _fold_batch_norm(deployed)
    _fold_channel_order(deployed)
    return deployed


def export_core(deployed: GainLight, *, half: bool = False) -> onnx.ModelProto:
    """Trace a prepared network.

    Returns: Graph with inputs `frame` float32 (1, 3, H, W) BGR in [0, 1] (H and W multiples of 8)
        and `strength` float32 (1,); outputs `gain` and `light`, float32 (1, 3, H, W) BGR in [0, 1].
        Weights inside.
    """
    module: nn.Module = _HalfPrecision(copy.deepcopy(deployed)) if half else deployed
    height, width = (torch.export.Dim(name, min=2, max=512) for name in ("rows", "columns"))
    with _quiet_exporter():
        program = torch.onnx.export(
            module.eval(),
            (torch.rand(1, 3, *_EXAMPLE_SIZE), torch.ones(1)),
            input_names=["frame", "strength"],
            output_names=["gain", "light"],
            dynamic_shapes=({2: STRIDE * height, 3: STRIDE * width}, None),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep back what torch 2.13 says of itself: torchvision is absent, its own calls are old."""
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            yield
    finally:
        log.setLevel(before)


def _fold_batch_norm(module: nn.Module) -> None:
    for child in module.modules():
        if isinstance(child, nn.Sequential):
            for index in range(len(child) - 1):
                conv, norm = child[index], child[index + 1]
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    child[index] = fusion.fuse_conv_bn_eval(conv, norm)
                    child[index + 1] = nn.Identity()


@torch.no_grad()
def _fold_channel_order(network: GainLight) -> None:
    """Reorder the stem's input planes and the heads' output planes from RGB to BGR.

    Space-to-depth by 2 makes 4 neighbouring planes of each colour, so blocks of 4 move together.
    """
    blue_first = [*range(8, 12), *range(4, 8), *range(4)]
    stem = network.stem[0]
    assert isinstance(stem, nn.Conv2d)
    stem.weight.copy_(stem.weight[:, blue_first])
    for head in (network.dimming, network.lamps):
        assert head.bias is not None
        head.weight.copy_(head.weight[blue_first])
        head.bias.copy_(head.bias[blue_first])
