"""fp32 core to int8 core: symmetric Q/DQ on inputs and weights of convolutions, per channel.

This is what TensorRT's explicit quantization reads and what OpenVINO turns into int8 kernels. ONNX
Runtime's defaults also quantize convolution outputs and element-wise operations, which costs
several dB on image generators.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

Feed = dict[str, npt.NDArray[np.float32]]


class _Feeds(quantization.CalibrationDataReader):  # type: ignore[misc]  # untyped base
    def __init__(self, feeds: Iterable[Feed]) -> None:
        self._feeds: Iterator[Feed] = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def quantize_core(
    core: onnx.ModelProto, feeds: Iterable[Feed], *, percentile: float | None = 99.999
) -> onnx.ModelProto:
    """Return the int8 form of a core.

    Args:
        core: from `core_graph.export_core`.
        feeds: inputs of the core on real frames, by name, that set the ranges of the activations.
        percentile: of the absolute activations that sets a range; None takes the largest.
    """
    method = quantization.CalibrationMethod
    with tempfile.TemporaryDirectory() as folder:
        source, prepared, target = (
            Path(folder) / f"{name}.onnx" for name in ("core", "prepared", "int8")
        )
        onnx.save(core, source)
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        with contextlib.redirect_stdout(io.StringIO()):  # the calibrator prints
            quantization.quantize_static(
                str(prepared),
                str(target),
                _Feeds(feeds),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                per_channel=True,
                activation_type=quantization.QuantType.QInt8,
                weight_type=quantization.QuantType.QInt8,
                calibrate_method=method.MinMax if percentile is None else method.Percentile,
                extra_options=_options(percentile),
            )
        return onnx.load(str(target))


def _options(percentile: float | None) -> dict[str, Any]:
    options: dict[str, Any] = {
        "ActivationSymmetric": True,
        "WeightSymmetric": True,
        "QuantizeBias": False,
        "OpTypesToExcludeOutputQuantization": ["Conv", "Add"],
        "QDQOpTypePerChannelSupportToAxis": {"Conv": 0},
    }
    if percentile is not None:
        options["CalibPercentile"] = percentile
    return options
