"""How near a row is to the limit of its machine.

    limit = max(arithmetic / peak arithmetic, bytes / peak memory bandwidth)

after Williams, Waterman and Patterson, "Roofline", 2009. Arithmetic is multiply-accumulates of
convolutions and matrix products. A transposed convolution counts every input pixel once per weight,
the products that are really made: counted over its output, as if the inserted zeros were data, it
would be stride squared times as many. Bytes are those nobody can avoid: weights, inputs, outputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dayshift.runtime.backends.quiet_openvino import without_telemetry

# Where the axes of one output channel (of one input channel, transposed) begin in the weights.
_WEIGHT_AXES = {
    "Convolution": 1,
    "ConvolutionBackpropData": 1,
    "GroupConvolution": 2,
    "GroupConvolutionBackpropData": 2,
}


@dataclass(frozen=True)
class Work:
    """What a graph must do for one frame.

    Attributes:
        macs: multiply-accumulates.
        weight_bytes: of all weights as they are stored.
        io_bytes: of inputs and outputs.
        activation_bytes: of every intermediate tensor of four axes, written and read once: what
            moves when nothing is fused and nothing stays in a cache.
    """

    macs: int
    weight_bytes: int
    io_bytes: int
    activation_bytes: int


def count_work(graph: bytes, shapes: Mapping[str, tuple[int, ...]]) -> Work:
    """Count the work of an ONNX graph at fixed input shapes.

    OpenVINO reads the graph: it knows every shape once those of the inputs are fixed.

    Raises:
        ImportError: There is no OpenVINO.
    """
    with without_telemetry():
        import openvino

    model = openvino.Core().read_model(graph)
    model.reshape({name: list(shape) for name, shape in shapes.items()})
    macs = weight_bytes = activation_bytes = 0
    for node in model.get_ops():
        kind = node.get_type_name()
        if kind == "Constant":
            weight_bytes += _bytes(node.output(0))
        elif kind not in ("Parameter", "Result"):
            macs += _macs(node, kind)
            activation_bytes += sum(2 * _bytes(o) for o in node.outputs() if _axes(o) == 4)
    io_bytes = sum(_bytes(port) for port in (*model.inputs, *model.outputs))
    return Work(macs, weight_bytes, io_bytes, activation_bytes)


def _macs(node: Any, kind: str) -> int:
    if kind not in _WEIGHT_AXES and kind != "MatMul":
        return 0
    data, weights = (_sides(node.input_value(i)) for i in (0, 1))
    output = _sides(node.output(0))
    if kind == "MatMul":
        inner = data[-2 if node.get_attributes()["transpose_a"] else -1]
        return math.prod(output) * int(inner)
    placed = data if "Backprop" in kind else output
    # One product per weight that a pixel meets: all weights but the axes of the pixel's channels.
    return math.prod(placed) * math.prod(weights[_WEIGHT_AXES[kind] :])


def _sides(port: Any) -> tuple[int, ...]:
    return tuple(int(side) for side in port.get_shape())


def _axes(port: Any) -> int:
    return len(port.get_shape()) if port.get_partial_shape().is_static else 0


def _bytes(port: Any) -> int:
    if not port.get_partial_shape().is_static:
        return 0
    return math.prod(_sides(port)) * max(1, int(port.get_element_type().size))


def limit_ms(work: Mapping[str, int], macs_per_s: float, bytes_per_s: float) -> float:
    """Return the least milliseconds that arithmetic and unavoidable bytes allow."""
    moved = work["weight_bytes"] + work["io_bytes"]
    return 1e3 * max(work["macs"] / macs_per_s, moved / bytes_per_s)
