"""ONNX Runtime: the reference in fp32, and the engine that is there where no other is."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dayshift.runtime.backends.base import (
    Array,
    BackendName,
    Precision,
    Shapes,
    check_inputs,
    one_line,
)
from dayshift.runtime.cores import allowed_cores
from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import BackendError

try:
    import onnxruntime as ort
except ImportError as error:
    raise missing_dependency("onnxruntime", error) from error

_ERRORS_ONLY = 3
# What ONNX Runtime makes of a convolution or matrix product that it runs in int8.
_INT8_OPERATORS = (b"QLinearConv", b"QLinearMatMul", b"ConvInteger", b"MatMulInteger", b"QGemm")


class OnnxRuntimeBackend:
    """A graph run by ONNX Runtime on the CPU."""

    name: BackendName = "onnxruntime"
    device: str = "CPU"

    def __init__(
        self, graph: bytes, shapes: Shapes, precision: Precision, *, lanes: int = 1
    ) -> None:
        if precision == "bf16":
            raise BackendError(
                "onnxruntime has no bf16 on a CPU: ask for precision fp32 or for backend openvino"
            )
        self.version: str = ort.__version__
        self._shapes = dict(shapes)
        try:
            session, self.precision = _open_session(graph, lanes)
        except Exception as error:  # its errors have no base in common but Exception
            raise BackendError(f"onnxruntime refused the graph: {one_line(error)}") from error
        _check_shapes(session, shapes)
        self._session: ort.InferenceSession | None = session
        self._names = [output.name for output in session.get_outputs()]

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the graph. The results are the caller's."""
        if self._session is None:
            raise BackendError("this backend was closed: open a new one")
        check_inputs(inputs, self._shapes)
        try:
            results = self._session.run(self._names, dict(inputs))
        except Exception as error:
            raise BackendError(f"onnxruntime failed to run the graph: {one_line(error)}") from error
        return dict(zip(self._names, results, strict=True))

    def fork(self) -> OnnxRuntimeBackend:
        """Return another instance on the same session: a session serves many threads."""
        if self._session is None:
            raise BackendError("this backend was closed: open a new one")
        return copy.copy(self)

    def close(self) -> None:
        """Let go of the session; the last one frees it."""
        self._session = None


def _open_session(graph: bytes, lanes: int) -> tuple[ort.InferenceSession, Precision]:
    """Open a session and tell what its arithmetic runs in.

    A quantized graph runs in int8 only where ONNX Runtime fused its Q/DQ pairs into the operators
    between them; elsewhere it computes in fp32. Only the optimized graph tells, and that can only
    be had as a file.
    """
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    # Each caller's thread does its part of the work: with as many lanes as cores, all of it.
    options.intra_op_num_threads = max(1, allowed_cores() // lanes)
    # Its threads would spin between frames, on cores that decode, enlarge and encode meanwhile.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # CPU kernels for fp16 are few: around the rest it casts to fp32, and computes there.
    if b"DequantizeLinear" not in graph:
        return _session(graph, options), "fp32"
    with tempfile.TemporaryDirectory(prefix="dayshift-") as folder:
        optimized = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(optimized)
        session = _session(graph, options)
        content = optimized.read_bytes()
    fused = any(operator in content for operator in _INT8_OPERATORS)
    return session, "int8" if fused else "fp32"


def _session(graph: bytes, options: ort.SessionOptions) -> ort.InferenceSession:
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _check_shapes(session: ort.InferenceSession, shapes: Shapes) -> None:
    """Refuse what ONNX Runtime would only notice when it runs: wrong names, wrong fixed sides."""
    expected = {item.name: item.shape for item in session.get_inputs()}
    fits = expected.keys() == shapes.keys() and all(
        len(shape) == len(shapes[name])
        and all(
            not isinstance(side, int) or side == got
            for side, got in zip(shape, shapes[name], strict=True)
        )
        for name, shape in expected.items()
    )
    if not fits:
        raise BackendError(
            f"onnxruntime refused the shapes {dict(shapes)}: the graph takes {expected}"
        )
