"""The machine's own limits, measured: arithmetic in int8, bf16 and fp32, and memory.

Arithmetic is a stack of 3x3 convolutions that suits the engine as well as any: many channels, no
borders to speak of, everything in the caches. It is what this engine reaches on this machine and
not what the data sheet says. Memory is copying arrays much larger than the caches; the bytes read
and the bytes written both count.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np

from dayshift.benchmarks.scenarios import Block, Stopwatch, calls
from dayshift.runtime.backends.quiet_openvino import without_telemetry
from dayshift.runtime.errors import MissingDependency

PEAKS = ("int8", "bf16", "fp32", "memory")
_CHANNELS, _HEIGHT, _WIDTH, _LAYERS = 128, 48, 64, 4
_COPY_BYTES = 48 << 20
_HEAVY = "Convolution"
_TYPES = {"int8": ("i8", "u8"), "bf16": ("bf16",), "fp32": ("f32",)}


class Peak:
    """One limit as a subject; `work` is multiply-accumulates or bytes per call."""

    def __init__(self, kind: str, threads: int) -> None:
        self._run = _copies(threads) if kind == "memory" else _convolutions(kind)
        macs = _LAYERS * _CHANNELS**2 * 9 * _HEIGHT * _WIDTH
        self.work = 2 * _COPY_BYTES if kind == "memory" else macs

    def call(self) -> float:
        """Run once."""
        started_at = time.perf_counter()
        self._run()
        return (time.perf_counter() - started_at) * 1e3

    def block(self, seconds: float) -> Block:
        """Run for that long."""
        watch = Stopwatch()
        return watch.block(calls(self, seconds))

    def close(self) -> None:
        """Nothing but memory."""


def _copies(threads: int) -> Any:
    """Return a call that copies a large array, one part per core."""
    source, target = np.ones((2, _COPY_BYTES), np.uint8)
    edges = np.linspace(0, _COPY_BYTES, threads + 1).astype(int).tolist()
    parts = [slice(a, b) for a, b in pairwise(edges)]
    pool = ThreadPoolExecutor(threads)

    def run() -> None:
        for done in [pool.submit(np.copyto, target[part], source[part]) for part in parts]:
            done.result()

    return run


def _convolutions(kind: str) -> Any:
    """Return a call that runs the stack of convolutions in that precision.

    Raises:
        MissingDependency: OpenVINO is not here, or does not compute in that precision here.
    """
    try:
        with without_telemetry():
            import openvino
    except ImportError as error:
        raise MissingDependency(f"arithmetic peaks are measured with openvino: {error}") from error
    hint = "bf16" if kind == "bf16" else "f32"
    properties = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
    compiled = openvino.Core().compile_model(_stack(kind == "int8"), "CPU", properties)
    ran_in = {
        str(node.rt_info["runtimePrecision"].value)
        for node in compiled.get_runtime_model().get_ops()
        if "layerType" in node.rt_info and str(node.rt_info["layerType"].value) == _HEAVY
    }
    if not ran_in <= set(_TYPES[kind]):
        raise MissingDependency(f"openvino runs {kind} as {', '.join(sorted(ran_in))} here")
    request = compiled.create_infer_request()
    shape = (1, _CHANNELS, _HEIGHT, _WIDTH)
    tensor = openvino.Tensor(np.ones(shape, np.float32), shared_memory=True)
    request.set_input_tensor(tensor)
    return request.infer


def _stack(quantized: bool) -> Any:
    import openvino
    from openvino import opset13 as ops

    random = np.random.default_rng(0)
    x = parameter = ops.parameter([1, _CHANNELS, _HEIGHT, _WIDTH], np.float32)
    for _ in range(_LAYERS):
        values = random.normal(0, 0.03, (_CHANNELS, _CHANNELS, 3, 3)).astype(np.float32)
        weights = ops.constant(values)
        if quantized:
            x = _quantize(ops, x, 0.0, 6.0, 256)
            weights = _quantize(ops, weights, -0.1, 0.1, 255)
        x = ops.convolution(x, weights, [1, 1], [1, 1], [1, 1], [1, 1])
        x = ops.relu(x)
    return openvino.Model([x], [parameter])


def _quantize(ops: Any, x: Any, low: float, high: float, levels: int) -> Any:
    limits = [ops.constant(np.array([limit], np.float32)) for limit in (low, high, low, high)]
    return ops.fake_quantize(x, *limits, levels)
