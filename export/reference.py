"""The reference that exported graphs are held against: the network in PyTorch, float32."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import torch
from torch import nn

from dayshift.export.calibrate import open_session
from dayshift.runtime import image as pixels
from dayshift.runtime.spec import FullForm
from dayshift.train.data.images import to_image
from dayshift.train.networks.spade import SpadeGenerator, label_planes
from dayshift.train.translator import TorchTranslator

# ImageNet's mean and deviation, RGB in [0, 1].
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Translate = Callable[[pixels.Pixels], pixels.Pixels]


def torch_translator(network: nn.Module, multiple: int, *, edges: bool = False) -> Translate:
    """Return what translates frames, or label maps, as the network was trained: nothing folded.

    Args:
        network: As `Checkpoint.network` gives it, in eval mode.
        multiple: What height and width must be multiples of; label maps are padded and cropped.
        edges: The last plane of a label network holds edges.
    """
    if not isinstance(network, SpadeGenerator):
        return TorchTranslator(network)
    painter = network.cpu().float()

    @torch.no_grad()
    def paint(labels: pixels.Pixels) -> pixels.Pixels:
        height, width = labels.shape
        size = pixels.padded_size(height, width, multiple=multiple)
        planes = _planes(pixels.pad_frame(labels, *size), painter.config.label_planes, edges)
        return np.ascontiguousarray(to_image(painter(planes)[0])[:height, :width])

    return paint


def segmented_labels(
    segmenter: onnx.ModelProto, form: FullForm
) -> Callable[[pixels.Pixels], pixels.Pixels]:
    """Return what a segmenter finds in frames, as label maps (H, W), by ONNX Runtime."""
    session = open_session(segmenter)
    entry = session.get_inputs()[0].name
    mean, deviation = (np.array(v, np.float32) * 255 for v in (_MEAN, _DEVIATION))

    def labels(frame: pixels.Pixels) -> pixels.Pixels:
        size = form.size or pixels.padded_size(*frame.shape[:2], multiple=form.multiple)
        rgb = pixels.pad_frame(frame, *size)[..., ::-1].astype(np.float32)
        normal = np.ascontiguousarray(((rgb - mean) / deviation).transpose(2, 0, 1)[None])
        best = session.run(None, {entry: normal})[0][0].argmax(axis=0).astype(np.uint8)
        rows, columns = (
            (np.arange(side) * length // side)
            for side, length in zip(size, best.shape, strict=True)
        )
        return np.ascontiguousarray(best[rows][:, columns])

    return labels


def _planes(labels: pixels.Pixels, count: int, edges: bool) -> torch.Tensor:
    known = torch.from_numpy(labels.astype(np.int64))[None].clamp(max=count - 1 - int(edges))
    return label_planes(known, count, known if edges else None)
