"""Arithmetic and bytes of graphs, against numbers worked out by hand and by PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper

from dayshift.benchmarks.roofline import count_work, limit_ms
from dayshift.runtime.bundled import model_folder
from dayshift.runtime.model_files import load_spec


def graph(operator: str, weights: tuple[int, ...], **attributes: Any) -> bytes:
    """One operator on (1, 4, H, W) with float weights."""
    initializer = onnx.numpy_helper.from_array(np.ones(weights, np.float32), "w")
    node = helper.make_node(operator, ["x", "w"], ["y"], **attributes)
    ends = [
        helper.make_tensor_value_info(name, T.FLOAT, [1, None, "h", "w"]) for name in ("x", "y")
    ]
    model = helper.make_model(
        helper.make_graph([node], "g", ends[:1], ends[1:], [initializer]),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    return bytes(model.SerializeToString())


def test_a_convolution_counts_every_weight_once_per_output_pixel() -> None:
    work = count_work(graph("Conv", (8, 4, 3, 3), pads=[1, 1, 1, 1]), {"x": (1, 4, 10, 12)})
    assert work.macs == 8 * 4 * 9 * 10 * 12
    assert work.weight_bytes == 8 * 4 * 9 * 4
    assert work.io_bytes == (4 + 8) * 10 * 12 * 4


def test_a_transposed_convolution_counts_every_weight_once_per_input_pixel() -> None:
    """Not per output pixel: three quarters of those products are with inserted zeros."""
    transposed = graph("ConvTranspose", (4, 8, 4, 4), strides=[2, 2], pads=[1, 1, 1, 1])
    assert count_work(transposed, {"x": (1, 4, 10, 12)}).macs == 4 * 8 * 16 * 10 * 12


def test_a_grouped_convolution_counts_its_own_channels_only() -> None:
    work = count_work(graph("Conv", (4, 1, 3, 3), group=4), {"x": (1, 4, 10, 12)})
    assert work.macs == 4 * 9 * 8 * 10


def test_the_bundled_models_arithmetic_is_what_pytorch_counts() -> None:
    eager = pytest.importorskip("dayshift.benchmarks.eager", reason="needs torch and onnx")
    folder = model_folder("day2night")
    spec = load_spec(folder)
    form = spec.forms.maps
    assert form is not None
    shapes = {"frame": (1, 144, 256, 3), "strength": (1,)}
    module = eager.module_of_model(folder, spec, form, (1280, 720))
    content = (folder / form.files["fp32"].path).read_bytes()
    # The means over blocks that decide what changed: PyTorch's module has no memory.
    blocks = (176 // 4) * (288 // 4)
    assert count_work(content, shapes).macs == eager.count_macs(module, shapes) + blocks * 48 * 3


def test_pytorch_with_the_weights_of_the_graph_makes_the_graphs_images() -> None:
    pytest.importorskip("torch")
    from dayshift.benchmarks.cases import Case
    from dayshift.benchmarks.opening import open_case
    from dayshift.runtime.quality import psnr

    frame = np.random.default_rng(0).integers(0, 256, (180, 320, 3), np.uint8)
    images = [
        open_case(Case("day2night", backend, "fp32", (320, 180))).translator.translate(frame).image
        for backend in ("pytorch", "onnxruntime")
    ]
    assert psnr(*images) > 70


def test_the_limit_is_the_slower_of_arithmetic_and_memory() -> None:
    work = {"macs": 10**9, "weight_bytes": 10**6, "io_bytes": 10**6}
    assert limit_ms(work, macs_per_s=1e11, bytes_per_s=1e10) == pytest.approx(10)
    assert limit_ms(work, macs_per_s=1e14, bytes_per_s=1e8) == pytest.approx(20)
