"""fp32 to fp16: the convolutions and what lies between them in half precision, norms in float.

Engines compute in the types that the graph has, so the types are the precision. Two kinds of
islands stay float32: operators whose sums or quotients half precision cannot hold, norms above all
(onnxruntime #10079, TensorRT #2691), and nodes whose values came close to its limit on real frames.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_HEAVY = frozenset({"Conv", "ConvTranspose"})
# Exact or harmless in half precision: they move, select, pad or add.
_LIGHT = frozenset(
    {
        *("Add", "Clip", "Concat", "DepthToSpace", "Gather", "Identity", "LeakyRelu", "Pad"),
        *("Relu", "Reshape", "Resize", "Slice", "SpaceToDepth", "Transpose"),
    }
)
# The largest finite half is 65504; frames to come may be eight times what calibration saw.
SAFE_RANGE = 65504 / 8


def half_nodes(model: onnx.ModelProto, largest: Mapping[str, float]) -> set[int]:
    """Return the positions of the nodes that go to half precision.

    Args:
        model: A float32 graph.
        largest: By tensor, the largest absolute value seen on real frames.
    """
    nodes = model.graph.node
    before, after = _between(model)
    return {
        index
        for index, node in enumerate(nodes)
        if (node.op_type in _HEAVY or (node.op_type in _LIGHT and index in before & after))
        and all(largest.get(name, 0.0) < SAFE_RANGE for name in (*node.input, *node.output))
    }


def to_half(model: onnx.ModelProto, half: Collection[int]) -> onnx.ModelProto:
    """Return the graph with these nodes in float16, with casts where the types meet.

    Inputs and outputs of the graph keep their types.
    """
    types = _types(model)
    writer = _Writer(model, types)
    for index, node in enumerate(model.graph.node):
        writer.add(node, is_half=index in half)
    return writer.finish()


def _between(model: onnx.ModelProto) -> tuple[set[int], set[int]]:
    """Return the nodes that come after some convolution, and those that come before one."""
    nodes = model.graph.node
    fed: set[str] = set()
    after = set()
    for index, node in enumerate(nodes):
        if node.op_type in _HEAVY or fed & set(node.input):
            fed.update(node.output)
            after.add(index)
    feeding: set[str] = set()
    before = set()
    for index in reversed(range(len(nodes))):
        if nodes[index].op_type in _HEAVY or feeding & set(nodes[index].output):
            feeding.update(nodes[index].input)
            before.add(index)
    return before, after


def _types(model: onnx.ModelProto) -> dict[str, int]:
    """Return the element type of every tensor."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


class _Writer:
    def __init__(self, model: onnx.ModelProto, types: Mapping[str, int]) -> None:
        self._model = onnx.ModelProto()
        self._model.CopyFrom(model)
        self._types = types
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._made_half: set[str] = set()
        self._present: set[str] = set()
        self._nodes: list[onnx.NodeProto] = []

    def add(self, node: onnx.NodeProto, *, is_half: bool) -> None:
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        for position, name in enumerate(node.input):
            if self._types.get(name) == TensorProto.FLOAT:
                # Scales and regions of a Resize are float32 whatever its image is.
                wants_half = is_half and not (node.op_type == "Resize" and position > 0)
                copied.input[position] = self._as(name, half=wants_half)
        self._nodes.append(copied)
        if is_half:
            floats = [name for name in node.output if self._types.get(name) == TensorProto.FLOAT]
            self._made_half.update(floats)

    def finish(self) -> onnx.ModelProto:
        graph = self._model.graph
        del graph.node[:], graph.value_info[:]
        graph.node.extend(self._nodes)
        read = {name for node in graph.node for name in node.input}
        kept = [tensor for name, tensor in self._constants.items() if name in read]
        del graph.initializer[:]
        graph.initializer.extend(kept)
        onnx.checker.check_model(self._model, full_check=True)
        return self._model

    def _as(self, name: str, *, half: bool) -> str:
        """Return the name of a tensor's form in the wanted type, made where it is not there yet."""
        if (name in self._made_half) == half:
            return name
        wanted = f"{name}/{'fp16' if half else 'fp32'}"
        if wanted in self._present:
            return wanted
        self._present.add(wanted)
        if name in self._constants:
            values = numpy_helper.to_array(self._constants[name]).astype(np.float16)
            self._constants[wanted] = numpy_helper.from_array(values, wanted)
        else:
            to = TensorProto.FLOAT16 if half else TensorProto.FLOAT
            self._nodes.append(helper.make_node("Cast", [name], [wanted], wanted, to=to))
        return wanted
