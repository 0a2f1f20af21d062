"""Q/DQ as TensorRT reads it and OpenVINO runs it, and thresholds from real activations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import openvino as ov
import pytest
from onnx import numpy_helper

from dayshift.export.calibrate import (
    METHODS,
    Histogram,
    Method,
    collect_activations,
    expose,
    open_session,
)
from dayshift.export.checks import int8_faults
from dayshift.export.noise import measure_noise
from dayshift.export.qdq import find_convolutions, insert_qdq, quantize_weight
from dayshift.runtime.backends.ov_padding import round_before_padding
from dayshift.runtime.errors import ModelError

Feeds = Callable[[int], dict[str, np.ndarray]]


def _thresholds(net: onnx.ModelProto, feed: Feeds, method: Method = "minmax") -> dict[str, float]:
    sources = [c.source for c in find_convolutions(net)]
    activations = collect_activations(net, sources, [feed(0), feed(1)])
    return activations.thresholds(method)


def _run(model: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(open_session(model).run(["y"], inputs)[0])


def test_depthwise_blurs_are_not_among_the_convolutions_to_quantize(net: onnx.ModelProto) -> None:
    found = [(c.name, c.operator) for c in find_convolutions(net)]
    assert found == [
        ("first", "Conv"),
        ("down", "Conv"),
        ("up", "ConvTranspose"),
        ("last", "Conv"),
    ]


def test_the_int8_graph_is_symmetric_signed_and_per_channel(
    net: onnx.ModelProto, feed: Feeds
) -> None:
    quantized = insert_qdq(net, _thresholds(net, feed))
    onnx.checker.check_model(quantized, full_check=True)
    assert list(int8_faults(quantized)) == []
    weights = [
        node
        for node in quantized.graph.node
        if node.op_type == "DequantizeLinear" and len(node.attribute)
    ]
    axes = {node.input[0]: node.attribute[0].i for node in weights}
    assert axes == {
        "first_weight/levels": 0,
        "down_weight/levels": 0,
        "up_weight/levels": 1,
        "last_weight/levels": 0,
    }
    error = _run(quantized, feed(2)) - _run(net, feed(2))
    assert 0 < np.abs(error).mean() < 0.01


def test_readers_of_one_activation_share_its_pair(net: onnx.ModelProto, feed: Feeds) -> None:
    second = onnx.NodeProto()
    second.CopyFrom(
        next(n for n in net.graph.node if n.op_type == "Conv" and n.output[0] == "down")
    )
    second.output[0] = "again"
    net.graph.node.append(second)
    quantized = insert_qdq(net, _thresholds(net, feed))
    made = [n.input[0] for n in quantized.graph.node if n.op_type == "QuantizeLinear"]
    assert made.count("active") == 1


def test_a_layer_that_is_kept_float_has_no_pair(net: onnx.ModelProto, feed: Feeds) -> None:
    quantized = insert_qdq(net, _thresholds(net, feed), keep_float={"first", "up"})
    nodes = {node.output[0]: node for node in quantized.graph.node}
    assert list(nodes["first"].input[:2]) == ["padded", "first_weight"]
    assert list(nodes["up"].input[:2]) == ["joined", "up_weight"]
    assert nodes["down"].input[0] == "active/dequantized"


@pytest.mark.parametrize(("operator", "axis"), [("Conv", 0), ("ConvTranspose", 1)])
def test_weights_are_rounded_by_channel_and_never_divided_by_zero(operator: str, axis: int) -> None:
    weight = np.random.default_rng(0).normal(size=(4, 5, 3, 3)).astype(np.float32)
    weight[(slice(None),) * axis + (2,)] = 0
    levels, scales = quantize_weight(weight, axis)
    assert scales.shape == (weight.shape[axis],)
    assert np.abs(levels).max() == 127
    shape = [1] * 4
    shape[axis] = -1
    assert np.abs(levels * scales.reshape(shape) - weight).max() <= scales.max() / 2 + 1e-6


def test_faults_of_a_graph_are_named(net: onnx.ModelProto, feed: Feeds) -> None:
    quantized = insert_qdq(net, _thresholds(net, feed))
    for tensor in quantized.graph.initializer:
        if tensor.name == "active/zero":
            tensor.CopyFrom(numpy_helper.from_array(np.array(3, np.int8), tensor.name))
        if tensor.name == "up_active/scale":
            tensor.CopyFrom(numpy_helper.from_array(np.array(-1, np.float32), tensor.name))
    for node in quantized.graph.node:
        if node.op_type == "DequantizeLinear" and node.output[0] == "up_weight/dequantized":
            node.attribute[0].i = 0
        if node.op_type == "InstanceNormalization":
            node.input[0] = "padded/dequantized"
    faults = "\n".join(int8_faults(quantized))
    assert "QuantizeLinear active/levels has a zero point that is not int8 0" in faults
    assert "QuantizeLinear up_active/levels has no positive, constant scale" in faults
    assert "ConvTranspose up has no scale per channel on axis 1" in faults
    assert "InstanceNormalization normed has a quantized input" in faults


def test_the_bias_takes_back_the_mean_error_of_rounding(net: onnx.ModelProto, feed: Feeds) -> None:
    thresholds, feeds = _thresholds(net, feed), [feed(0), feed(1)]
    noise = measure_noise(net, thresholds, feeds)
    assert set(noise) == {"first", "down", "up", "last"}
    assert all(0 < part.ratio < 0.01 for part in noise.values())

    def mean_error(shift: dict[str, np.ndarray]) -> float:
        """Of the first convolution, whose input is the same in both graphs."""
        quantized = expose(insert_qdq(net, thresholds, bias_shift=shift), ["first"])
        runs = [
            open_session(model).run(["first"], inputs)[0].mean(axis=(0, 2, 3))
            for inputs in feeds
            for model in (expose(net, ["first"]), quantized)
        ]
        return float(np.abs(runs[0] - runs[1] + runs[2] - runs[3]).max())

    assert mean_error({}) > 1e-4
    assert mean_error({name: part.shift for name, part in noise.items()}) < 1e-5


@pytest.mark.parametrize(("mode", "moved"), [("reflect", 1), ("edge", 1), ("constant", 0)])
def test_openvino_pads_what_is_rounded_and_the_picture_stays(
    net: onnx.ModelProto, feed: Feeds, mode: str, moved: int
) -> None:
    net.graph.node[0].attribute[0].s = mode.encode()
    content = insert_qdq(net, _thresholds(net, feed)).SerializeToString()
    models = []
    for _ in range(2):
        models.append(ov.Core().read_model(content))
        models[-1].reshape({"x": [1, 3, 32, 48]})
    assert round_before_padding(models[0]) == moved
    padding = next(node for node in models[0].get_ops() if node.get_type_name() == "Pad")
    before = padding.input_value(0).get_node().get_type_name()
    assert before == ("Multiply" if moved else "Parameter")
    images = [
        ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(feed(2))[0]
        for model in models
    ]
    np.testing.assert_allclose(images[0], images[1], atol=1e-5)


def test_openvino_leaves_a_padding_that_others_read_too(net: onnx.ModelProto, feed: Feeds) -> None:
    net.graph.output.append(onnx.helper.make_tensor_value_info("padded", 1, None))
    quantized = insert_qdq(net, _thresholds(net, feed))
    assert round_before_padding(ov.Core().read_model(quantized.SerializeToString())) == 0


def test_a_histogram_widens_and_keeps_its_counts() -> None:
    histogram = Histogram()
    for values in (np.full(10, 0.5), np.full(30, 7.9), np.zeros(5), np.full(1, -100.0)):
        histogram.add(values.astype(np.float32))
    assert histogram.counts.sum() == 46
    assert histogram.largest == 100
    assert histogram.threshold("minmax") == 100


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_the_bulk_and_no_more_than_all(method: str) -> None:
    histogram = Histogram()
    rng = np.random.default_rng(1)
    histogram.add(np.append(rng.normal(size=100_000), [40.0]).astype(np.float32))
    threshold = histogram.threshold(method)  # type: ignore[arg-type]
    assert (threshold == 40) if method == "minmax" else (2 < threshold < 39)


def test_an_activation_that_is_always_zero_has_a_threshold() -> None:
    histogram = Histogram()
    histogram.add(np.zeros((1, 4, 8, 8), np.float32))
    assert all(histogram.threshold(method) > 0 for method in METHODS)


def test_an_activation_that_is_not_finite_is_refused(net: onnx.ModelProto, feed: Feeds) -> None:
    broken = feed(0)
    broken["x"][0, 0, 0, 0] = np.inf
    with pytest.raises(ModelError, match="not finite in float32"):
        collect_activations(net, ["padded"], [broken])
