"""What must hold of the graphs that precision was written into, checked by program."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from dayshift.export.qdq import CHANNEL_AXIS

_NORMS = frozenset(
    {"InstanceNormalization", "BatchNormalization", "LayerNormalization", "GroupNormalization"}
)


def int8_faults(model: onnx.ModelProto) -> Iterator[str]:
    """Yield what is wrong with a Q/DQ graph, a line each.

    TensorRT's explicit quantization asks for zero points of 0 and positive scales; a weight has a
    scale for each output channel; and nothing quantizes the input of a norm.
    """
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            yield from _pair_faults(node, constants)
        if node.op_type in _NORMS and _is_dequantized(node.input[0], producers):
            yield f"{node.op_type} {node.output[0]} has a quantized input"
        if node.op_type in CHANNEL_AXIS and _is_dequantized(node.input[1], producers):
            if not _is_dequantized(node.input[0], producers):
                yield f"{node.op_type} {node.output[0]} has an int8 weight and a float input"
            yield from _weight_faults(node, producers[node.input[1]], constants)


def fp16_faults(model: onnx.ModelProto, islands: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield each convolution that computes in float32, those named in `islands` excepted."""
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    for node in model.graph.node:
        if (
            node.op_type in CHANNEL_AXIS
            and types.get(node.input[1]) == TensorProto.FLOAT
            and node.output[0] not in islands
        ):
            yield f"{node.op_type} {node.output[0]} is float32"


def _pair_faults(node: onnx.NodeProto, constants: dict[str, np.ndarray]) -> Iterator[str]:
    scale, zero = (constants.get(name) for name in node.input[1:3])
    if scale is None or not (scale > 0).all() or not np.isfinite(scale).all():
        yield f"{node.op_type} {node.output[0]} has no positive, constant scale"
    if zero is None or zero.dtype != np.int8 or zero.any():
        yield f"{node.op_type} {node.output[0]} has a zero point that is not int8 0"


def _weight_faults(
    node: onnx.NodeProto, pair: onnx.NodeProto, constants: dict[str, np.ndarray]
) -> Iterator[str]:
    axis = next((a.i for a in pair.attribute if a.name == "axis"), 1)
    levels, scale = (constants.get(name) for name in pair.input[:2])
    expected = CHANNEL_AXIS[node.op_type]
    if axis != expected or levels is None or scale is None or scale.shape != (levels.shape[axis],):
        yield f"{node.op_type} {node.output[0]} has no scale per channel on axis {expected}"


def _is_dequantized(name: str, producers: dict[str, onnx.NodeProto]) -> bool:
    return name in producers and producers[name].op_type == "DequantizeLinear"
