"""The core: a trained network as an ONNX graph of floats, before any precision or form is chosen.

Rewrites that keep the function go first: spectral norm and batch norm are folded into the
convolutions they belong to, batch norm by the image's own statistics becomes the instance norm that
it is at batch size 1, layers that do nothing at test time go, and a convolution to a few channels
makes four pixels at a time. For gain_light, whose frame is small and whose time is short, the order
of a camera's pixels is folded into the first and last weights too.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator, Sequence

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import fusion

from dayshift.export.onnx_file import OPSET
from dayshift.runtime.errors import UsageError
from dayshift.runtime.spec import ControlName
from dayshift.train.checkpoint import NetworkRecord
from dayshift.train.networks.gain_light import GainLight
from dayshift.train.networks.inference import set_inference
from dayshift.train.networks.spade import SpadeGenerator

GAIN_LIGHT_CONTROLS: tuple[ControlName, ...] = ("strength", "lamps")

_GAIN_LIGHT_SIZE = (192, 320)
# Of convolutions that make an image, or a gain and a bias for one; they run at the image's size.
_IMAGE_CHANNELS = (3, 6)
_LARGEST_SIDE = 4096


def prepare(network: nn.Module, record: NetworkRecord | None = None) -> nn.Module:
    """Return a copy for deployment, the same function with everything folded that folds.

    Args:
        network: As `Checkpoint.network` gives it.
        record: How it behaves at test time.

    Raises:
        UsageError: Its dropout draws at test time: a graph gives one image for one frame.
    """
    if record is not None and record.dropout:
        raise UsageError(
            "this checkpoint's dropout draws at test time, so that a video would flicker, and a "
            "graph is the same every time: import it without --dropout"
        )
    deployed = copy.deepcopy(network).eval().cpu().float()
    set_inference(deployed, norm="running" if record is None else record.norm)
    _fold_batch_norm(deployed)
    if isinstance(deployed, GainLight):
        reorder_planes(deployed, pixel_order(deployed.config.fold))
    elif multiple_of(deployed) % 2 == 0:
        _widen_heads(deployed)
    return deployed


def export_core(deployed: nn.Module, size: tuple[int, int] | None = None) -> onnx.ModelProto:
    """Trace a prepared network.

    Args:
        deployed: From `prepare`.
        size: (height, width) that the graph is made for alone; None leaves both open.

    Returns:
        For gain_light a graph from `blocks`, float32 (1, 3 fold^2, H / fold, W / fold) in [0, 1]
        (H and W multiples of the stride), `strength` and `lamps`, float32 (1,), to `gain` and
        `light` of the same shape. The channels are the pixels of a block as they lie in a camera's
        picture: row by row, each pixel BGR. See `GainLight.of_blocks`.
        For others one from `x`, RGB in [-1, 1] or label planes, to `y`, RGB in [-1, 1], both
        float32 NCHW. Weights inside.
    """
    if isinstance(deployed, GainLight):
        fold = deployed.config.fold
        frame = torch.rand(1, 3, *_GAIN_LIGHT_SIZE)
        blocks = functional.pixel_unshuffle(frame, fold)
        examples: tuple[Tensor, ...] = (blocks, torch.ones(1), torch.ones(1))
        names = ["blocks", *GAIN_LIGHT_CONTROLS]
        inner = copy.copy(deployed)
        inner.__class__ = _OfBlocks
        return _trace(inner, examples, names, ["gain", "light"], deployed.config.stride // fold)
    multiple = multiple_of(deployed)
    # More than one step each way, and not square: sizes of one are taken for constants.
    height, width = size or (2 * max(multiple, 16), 3 * max(multiple, 16))
    planes = torch.rand(1, input_planes(deployed), height, width)
    return _trace(deployed, (planes,), ["x"], ["y"], None if size else multiple)


class _OfBlocks(GainLight):
    """The same network on blocks; its weights keep their names in the graph."""

    def forward(self, blocks: Tensor, strength: Tensor, lamps: Tensor) -> tuple[Tensor, Tensor]:
        return self.of_blocks(blocks, strength, lamps)


def multiple_of(network: nn.Module) -> int:
    """Return what height and width must be multiples of."""
    multiple = getattr(network, "multiple", None)
    if not isinstance(multiple, int):
        raise UsageError(
            f"cannot export a {type(network).__name__}: expected a network that makes images"
        )
    return multiple


def input_planes(network: nn.Module) -> int:
    """Return the channels of an image network's input."""
    if isinstance(network, SpadeGenerator):
        return network.config.label_planes
    planes = getattr(getattr(network, "config", None), "in_channels", 3)
    assert isinstance(planes, int)
    return planes


def _trace(
    module: nn.Module,
    examples: tuple[Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    multiple: int | None,
) -> onnx.ModelProto:
    """Export with the dynamo exporter; height and width stay open where a multiple is given."""
    shapes = None
    if multiple is not None:
        rows, columns = (
            torch.export.Dim(name, min=2, max=_LARGEST_SIDE // multiple)
            for name in ("rows", "columns")
        )
        # A side in its own name where it may be anything: 1 * rows is no dimension to torch.
        sides = (
            {2: rows, 3: columns} if multiple == 1 else {2: multiple * rows, 3: multiple * columns}
        )
        shapes = (sides, *[None] * (len(examples) - 1))
    with _quiet_exporter():
        program = torch.onnx.export(
            module.eval(),
            examples,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
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
                if not isinstance(norm, nn.BatchNorm2d):
                    continue
                if isinstance(conv, nn.Conv2d):
                    child[index] = fusion.fuse_conv_bn_eval(conv, norm)
                elif isinstance(conv, nn.ConvTranspose2d):
                    child[index] = fusion.fuse_conv_bn_eval(conv, norm, transpose=True)
                else:
                    continue
                child[index + 1] = nn.Identity()


def _widen_heads(network: nn.Module) -> None:
    """Let convolutions to an image make blocks of 2x2 pixels, and spread those afterwards.

    Engines compute 16 channels at a time and throw 13 of them away for RGB, at 49 taps for a pixel
    if it is 7x7. To 12 channels, by an 8x8 kernel in steps of two, it is 64 taps for four pixels.
    """
    for module in list(network.modules()):
        for name, child in module.named_children():
            if (
                type(child) is nn.Conv2d
                and child.out_channels in _IMAGE_CHANNELS
                and min(child.kernel_size) > 1
                and (child.stride, child.dilation, child.groups) == ((1, 1), (1, 1), 1)
                and child.padding_mode == "zeros"
            ):
                setattr(module, name, nn.Sequential(_of_blocks(child), nn.PixelShuffle(2)))


@torch.no_grad()
def _of_blocks(conv: nn.Conv2d) -> nn.Conv2d:
    """Return the convolution that makes a plane for each pixel of a 2x2 block."""
    height, width = conv.kernel_size
    channels = conv.out_channels
    wide = nn.Conv2d(
        conv.in_channels,
        channels * 4,
        (height + 1, width + 1),
        stride=2,
        padding=conv.padding,  # type: ignore[arg-type]
        bias=conv.bias is not None,
    )
    weight = torch.zeros(channels, 2, 2, conv.in_channels, height + 1, width + 1)
    for y in (0, 1):
        for x in (0, 1):
            weight[:, y, x, :, y : y + height, x : x + width] = conv.weight
    wide.weight.copy_(weight.flatten(0, 2))
    if conv.bias is not None:
        assert wide.bias is not None
        wide.bias.copy_(conv.bias.repeat_interleave(4))
    return wide


def pixel_order(fold: int) -> list[int]:
    """Return, of each plane in a camera picture's order, which it is in space-to-depth's.

    That goes colour by colour in RGB. As a block's pixels lie in a picture, row by row and each
    BGR, nothing but rows of blocks must change places around the network.
    """
    pixels = fold**2
    return [colour * pixels + pixel for pixel in range(pixels) for colour in (2, 1, 0)]


@torch.no_grad()
def reorder_planes(network: GainLight, order: Sequence[int]) -> None:
    """Reorder the planes that the stem reads and those that the heads make and the grade mixes.

    Args:
        network: Changed in place.
        order: Of each plane, which it was.
    """
    stem = network.stem[0]
    assert isinstance(stem, nn.Conv2d)
    stem.weight.copy_(stem.weight[:, order])
    for head in (network.dimming, network.lamps):
        assert head.bias is not None
        head.weight.copy_(head.weight[order])
        head.bias.copy_(head.bias[order])
    network.grade.copy_(network.grade[order][:, order])
