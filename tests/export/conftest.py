"""A small image network as ONNX text: every kind of layer that quantization must tell apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

_TEXT = """<ir_version: 10, opset_import: ["" : 20]>
net (float[1, 3, h, w] x) => (float[1, 3, h, w] y) {
    padded = Pad<mode = "reflect">(x, pads)
    first = Conv(padded, first_weight, first_bias)
    normed = InstanceNormalization(first, one, zero)
    active = Relu(normed)
    down = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(active, down_weight, down_bias)
    down_active = Relu(down)
    blurred = Conv<group = 8, pads = [1, 1, 1, 1]>(down_active, blur)
    joined = Add(down_active, blurred)
    up = ConvTranspose<strides = [2, 2], pads = [1, 1, 1, 1]>(joined, up_weight, up_bias)
    up_active = LeakyRelu<alpha = 0.2>(up)
    last = Conv<pads = [1, 1, 1, 1]>(up_active, last_weight)
    y = Tanh(last)
}"""


@pytest.fixture
def net() -> onnx.ModelProto:
    """Three plain convolutions, a transposed one, and a depthwise blur; norm, skip and padding."""
    rng = np.random.default_rng(5)

    def weight(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.4, shape).astype(np.float32)

    constants = {
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
        "first_weight": weight(8, 3, 3, 3),
        "first_bias": weight(8),
        "one": np.ones(8, np.float32),
        "zero": np.zeros(8, np.float32),
        "down_weight": weight(8, 8, 3, 3),
        "down_bias": weight(8),
        "blur": np.full((8, 1, 3, 3), 1 / 9, np.float32),
        "up_weight": weight(8, 6, 4, 4),
        "up_bias": weight(6),
        "last_weight": weight(3, 6, 3, 3) / 4,
    }
    model = parser.parse_model(_TEXT)
    model.graph.initializer.extend(
        numpy_helper.from_array(values, name) for name, values in constants.items()
    )
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture
def feed() -> Callable[[int], dict[str, np.ndarray]]:
    """Smooth random inputs of the network, by seed."""

    def make(seed: int) -> dict[str, np.ndarray]:
        import cv2

        coarse = np.random.default_rng(seed).uniform(-1, 1, (5, 6, 3)).astype(np.float32)
        return {"x": cv2.resize(coarse, (48, 32)).transpose(2, 0, 1)[None].copy()}

    return make
