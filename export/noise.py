"""What rounding one convolution's input and weight to int8 does to its output, layer by layer.

Every convolution runs beside its rounded twin on the same float activations, all in one graph: the
mean of the difference is what its bias can take back, the rest is the noise it adds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dayshift.export.calibrate import Feed, open_session
from dayshift.export.qdq import Floats, find_convolutions, insert_qdq

_AXES = "noise/axes"
_TWIN = "/rounded"


@dataclass(frozen=True)
class Noise:
    """Of one convolution.

    Attributes:
        shift: What to add to each output channel to take the mean error back.
        ratio: Power of the noise that is left, over the variance of the output.
    """

    shift: Floats
    ratio: float


def measure_noise(
    model: onnx.ModelProto, thresholds: Mapping[str, float], feeds: Iterable[Feed]
) -> dict[str, Noise]:
    """Return the noise of every convolution that may be quantized, by name.

    Args:
        model: The float32 graph.
        thresholds: As for `insert_qdq`.
        feeds: Real inputs of the graph.
    """
    names = [c.name for c in find_convolutions(model)]
    session = open_session(_twin_graph(model, thresholds, names))
    outputs = [f"{name}/{what}" for name in names for what in ("mean", "power", "variance")]
    totals: list[Floats] | None = None
    count = 0
    for feed in feeds:
        values = session.run(outputs, feed)
        totals = values if totals is None else [a + b for a, b in zip(totals, values, strict=True)]
        count += 1
    assert totals is not None, "no feeds"
    result = {}
    for index, name in enumerate(names):
        mean, power, variance = (total / count for total in totals[3 * index : 3 * index + 3])
        left = np.maximum(power - mean**2, 0).sum()
        result[name] = Noise(
            mean.astype(np.float32), float(left / max(float(variance.sum()), 1e-12))
        )
    return result


def _twin_graph(
    model: onnx.ModelProto, thresholds: Mapping[str, float], names: Collection[str]
) -> onnx.ModelProto:
    """Return the graph with every convolution twice, and how the two differ as outputs."""
    rounded = insert_qdq(model, thresholds)
    graph = onnx.ModelProto()
    graph.CopyFrom(rounded)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    present = {tensor.name for tensor in graph.graph.initializer}
    floats = {node.output[0]: node for node in model.graph.node}
    nodes: list[onnx.NodeProto] = []
    for node in graph.graph.node:
        if node.output[0] not in names:
            nodes.append(node)
            continue
        name = node.output[0]
        twin = onnx.NodeProto()
        twin.CopyFrom(node)
        twin.name, twin.output[0] = name + _TWIN, name + _TWIN
        weight = floats[name].input[1]
        if weight not in present:
            present.add(weight)
            graph.graph.initializer.append(weights[weight])
        nodes.extend([twin, floats[name], *_statistics(name)])
        graph.graph.output.extend(
            helper.make_tensor_value_info(f"{name}/{what}", TensorProto.FLOAT, None)
            for what in ("mean", "power", "variance")
        )
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    graph.graph.initializer.append(numpy_helper.from_array(np.array([0, 2, 3], np.int64), _AXES))
    return graph


def _statistics(name: str) -> list[onnx.NodeProto]:
    """Return the nodes from a convolution and its twin to one number per channel."""

    def node(operator: str, inputs: list[str], what: str) -> onnx.NodeProto:
        made = helper.make_node(operator, inputs, [f"{name}/{what}"], f"{name}/{what}")
        if operator == "ReduceMean":
            made.attribute.append(helper.make_attribute("keepdims", int(what == "center")))
        return made

    return [
        node("Sub", [name, name + _TWIN], "difference"),
        node("ReduceMean", [f"{name}/difference", _AXES], "mean"),
        node("Mul", [f"{name}/difference"] * 2, "squared"),
        node("ReduceMean", [f"{name}/squared", _AXES], "power"),
        node("ReduceMean", [name, _AXES], "center"),
        node("Sub", [name, f"{name}/center"], "centered"),
        node("Mul", [f"{name}/centered"] * 2, "centered_squared"),
        node("ReduceMean", [f"{name}/centered_squared", _AXES], "variance"),
    ]
