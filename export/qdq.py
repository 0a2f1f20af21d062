"""Q/DQ: an fp32 graph becomes int8 by pairs of QuantizeLinear and DequantizeLinear.

Symmetric and signed, zero points 0: one scale for an activation, one per output channel for a
weight. Only the inputs and weights of convolutions get a pair. That is what TensorRT's explicit
quantization reads, and what OpenVINO turns into int8 kernels; norms, additions and activations in
between stay float, since quantizing those costs image generators several dB.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from dayshift.export.calibrate import LEVELS

# The axis of a weight's output channels.
CHANNEL_AXIS = {"Conv": 0, "ConvTranspose": 1}

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Convolution:
    """A convolution whose weight is a constant: what int8 pays for.

    Attributes:
        name: The tensor it makes; the same in every graph around one core.
        operator: "Conv" or "ConvTranspose".
        source: The activation it reads.
        weight: The name of its weight.
    """

    name: str
    operator: str
    source: str
    weight: str


def find_convolutions(model: onnx.ModelProto) -> list[Convolution]:
    """Return the convolutions that may be quantized, in the order in which they run.

    Depthwise ones are not among them: they are blurs of resampling, cheap, and one filter weight
    rounded is a shift of the whole picture's brightness.
    """
    shapes = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    return [
        Convolution(node.output[0], node.op_type, node.input[0], node.input[1])
        for node in model.graph.node
        if node.op_type in CHANNEL_AXIS and node.input[1] in shapes and _group(node) == 1
    ]


def quantize_weight(weight: Floats, axis: int) -> tuple[npt.NDArray[np.int8], Floats]:
    """Return a weight in int8 and its scales, one for each channel along `axis`."""
    others = tuple(other for other in range(weight.ndim) if other != axis)
    largest = np.abs(weight).max(axis=others)
    scales = (np.where(largest > 0, largest, 1.0) / LEVELS).astype(np.float32)
    levels = np.rint(weight / _along(scales, axis, weight.ndim))
    return np.clip(levels, -LEVELS, LEVELS).astype(np.int8), scales


def insert_qdq(
    model: onnx.ModelProto,
    thresholds: Mapping[str, float],
    *,
    keep_float: Collection[str] = (),
    bias_shift: Mapping[str, Floats] | None = None,
) -> onnx.ModelProto:
    """Return the int8 form of an fp32 graph.

    Args:
        model: Any graph around the core; opset 13 or newer.
        thresholds: By activation, the absolute value that the largest level stands for.
        keep_float: Names of convolutions that stay float.
        bias_shift: By convolution, what to add to its bias, one value per output channel.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    chosen = {c.name: c for c in find_convolutions(result) if c.name not in keep_float}
    writer = _Writer(result)
    for node in model.graph.node:
        copied = writer.copy(node)
        convolution = chosen.get(node.output[0])
        if convolution is None:
            continue
        writer.shift_bias(copied, (bias_shift or {}).get(convolution.name))
        copied.input[0] = writer.activation(convolution.source, thresholds[convolution.source])
        copied.input[1] = writer.weight(convolution)
    return writer.finish()


class _Writer:
    """Rewrites a graph in place, node by node, with the pairs before the nodes that read them."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._pairs: dict[str, str] = {}
        self._nodes: list[onnx.NodeProto] = []

    def copy(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """Append a copy of the node, after whatever its inputs will need."""
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        self._nodes.append(copied)
        return copied

    def activation(self, name: str, threshold: float) -> str:
        """Return the dequantized form of an activation; readers of one tensor share one pair."""
        if name in self._pairs:
            return self._pairs[name]
        scale = self._constant(f"{name}/scale", np.array(threshold / LEVELS, np.float32))
        zero = self._constant(f"{name}/zero", np.array(0, np.int8))
        levels, floats = f"{name}/levels", f"{name}/dequantized"
        self._before_last(
            helper.make_node("QuantizeLinear", [name, scale, zero], [levels], f"{name}/Q"),
            helper.make_node("DequantizeLinear", [levels, scale, zero], [floats], f"{name}/DQ"),
        )
        self._pairs[name] = floats
        return floats

    def weight(self, convolution: Convolution) -> str:
        """Return the dequantized form of a weight, stored in int8."""
        name, axis = convolution.weight, CHANNEL_AXIS[convolution.operator]
        floats = f"{name}/dequantized"
        if floats in self._pairs:
            return floats
        levels, scales = quantize_weight(numpy_helper.to_array(self._constants[name]), axis)
        inputs = [
            self._constant(f"{name}/levels", levels),
            self._constant(f"{name}/scale", scales),
            self._constant(f"{name}/zero", np.zeros(scales.shape, np.int8)),
        ]
        self._before_last(
            helper.make_node("DequantizeLinear", inputs, [floats], f"{name}/DQ", axis=axis)
        )
        self._pairs[floats] = floats
        return floats

    def shift_bias(self, node: onnx.NodeProto, shift: Floats | None) -> None:
        """Add to the bias of a convolution, which may have none yet."""
        if shift is None:
            return
        has_bias = len(node.input) > 2 and node.input[2]
        bias = numpy_helper.to_array(self._constants[node.input[2]]) if has_bias else 0
        name = self._constant(f"{node.output[0]}/bias", (bias + shift).astype(np.float32))
        node.input[:] = [*node.input[:2], name]

    def finish(self) -> onnx.ModelProto:
        """Put the nodes in, and drop constants that nothing reads any more."""
        graph = self._model.graph
        del graph.node[:]
        graph.node.extend(self._nodes)
        read = {name for node in graph.node for name in node.input}
        kept = [tensor for name, tensor in self._constants.items() if name in read]
        del graph.initializer[:]
        graph.initializer.extend(kept)
        return self._model

    def _before_last(self, *nodes: onnx.NodeProto) -> None:
        self._nodes[-1:-1] = nodes

    def _constant(self, name: str, values: npt.NDArray[np.generic]) -> str:
        self._constants[name] = numpy_helper.from_array(values, name)
        return name


def _group(node: onnx.NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)


def _along(values: Floats, axis: int, ndim: int) -> Floats:
    shape = [1] * ndim
    shape[axis] = -1
    return values.reshape(shape)
