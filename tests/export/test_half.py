"""fp16 graphs: convolutions in half precision, norms and unsafe ranges in float islands."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto

from dayshift.export.calibrate import open_session
from dayshift.export.checks import fp16_faults
from dayshift.export.half import half_nodes, to_half

Feeds = Callable[[int], dict[str, np.ndarray]]


def _types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}


def test_convolutions_go_to_half_and_norms_stay_float(net: onnx.ModelProto, feed: Feeds) -> None:
    half = to_half(net, half_nodes(net, {}))
    types = _types(half)
    assert all(types[name] == TensorProto.FLOAT16 for name in ("first", "down", "up", "last"))
    assert types["joined"] == TensorProto.FLOAT16
    assert types["normed"] == types["y"] == types["x"] == TensorProto.FLOAT
    assert list(fp16_faults(half)) == []
    before, after = (open_session(model).run(["y"], feed(0))[0] for model in (net, half))
    assert 0 < np.abs(before - after).max() < 0.01


def test_what_comes_before_the_first_and_after_the_last_convolution_stays_float(
    net: onnx.ModelProto,
) -> None:
    half = to_half(net, half_nodes(net, {}))
    operators = {
        node.output[0]: (node.op_type, node.input[0])
        for node in half.graph.node
        if node.op_type in ("Pad", "Tanh")
    }
    assert operators == {"padded": ("Pad", "x"), "y": ("Tanh", "last/fp32")}


def test_a_layer_whose_values_come_near_the_limit_is_an_island(net: onnx.ModelProto) -> None:
    half = to_half(net, half_nodes(net, {"joined": 20_000.0}))
    types = _types(half)
    assert types["up"] == types["joined"] == TensorProto.FLOAT
    assert types["down"] == TensorProto.FLOAT16
    assert list(fp16_faults(half)) == ["ConvTranspose up is float32"]
    assert list(fp16_faults(half, frozenset({"up"}))) == []
