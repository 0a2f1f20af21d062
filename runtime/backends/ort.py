"""ONNX Runtime: the reference in fp32, and the engine that is there where no other is."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dayshift.runtime.backends.base import (
    Array,
    BackendName,
    Precision,
    Provider,
    Shapes,
    check_inputs,
    check_shapes,
    one_line,
)
from dayshift.runtime.backends.nvidia import nvidia_driver
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
# Parts of the names of the operators that hold nearly all of a network's arithmetic.
_HEAVY_OPERATORS = ("Conv", "MatMul", "Gemm")


@dataclass(frozen=True)
class _Provider:
    """An execution provider: what ONNX Runtime hands a graph to.

    Attributes:
        label: What a report calls the device.
        class_name: What ONNX Runtime calls it.
        package: What brings it.
        options: Its own; every value is text.
        computes: What it computes a graph of each precision in; None where only the session tells.
    """

    label: str
    class_name: str
    package: str
    options: Mapping[str, str] = field(default_factory=dict)
    computes: Mapping[Precision, Precision] | None = None


_PROVIDERS: dict[Provider, _Provider] = {
    "cpu": _Provider("CPU", "CPUExecutionProvider", "onnxruntime"),
    "cuda": _Provider(
        "CUDA",
        "CUDAExecutionProvider",
        "onnxruntime-gpu",
        {"use_tf32": "0"},  # fp32 means fp32
        {"fp32": "fp32", "fp16": "fp16", "int8": "fp32"},  # it has no int8 convolutions
    ),
    # Its own engine cache stays off: what lies there is native code, and nothing seals it.
    "tensorrt": _Provider(
        "TensorRT",
        "TensorrtExecutionProvider",
        "onnxruntime-gpu",
        {},
        {"fp32": "fp32", "fp16": "fp16", "int8": "int8"},
    ),
    "openvino": _Provider(
        "OpenVINO",
        "OpenVINOExecutionProvider",
        "onnxruntime-openvino",
        {"device_type": "CPU", "precision": "FP32"},  # else bf16 where the CPU has it
        {"fp32": "fp32", "fp16": "fp32", "int8": "int8"},
    ),
}


class OnnxRuntimeBackend:
    """A graph run by ONNX Runtime.

    Args:
        graph: The content of an ONNX file.
        shapes: The shape of every input.
        precision: What the graph is written in.
        provider: One of `PROVIDERS`; None takes CUDA where it is installed and works, else the CPU.
    """

    name: BackendName = "onnxruntime"
    artifact: Path | None = None

    def __init__(
        self,
        graph: bytes,
        shapes: Shapes,
        precision: Precision,
        *,
        lanes: int = 1,
        provider: Provider | None = None,
    ) -> None:
        if precision == "bf16":
            raise BackendError(
                "onnxruntime has no bf16 on a CPU: ask for precision fp32 or for backend openvino"
            )
        self.version: str = ort.__version__
        self._shapes = dict(shapes)
        chosen = _choose(provider)
        try:
            session, self.precision = _open_session(graph, precision, chosen, lanes)
        except Exception as error:  # its errors have no base in common but Exception
            raise BackendError(f"onnxruntime refused the graph: {one_line(error)}") from error
        sides = {item.name: item.shape for item in session.get_inputs()}
        taken = {n: [s if isinstance(s, int) else None for s in sides[n]] for n in sides}
        check_shapes(self.name, taken, shapes)
        self.device: str = _device_of(session)
        if provider is not None and chosen.label not in self.device:
            raise BackendError(
                f"onnxruntime ran nothing on {provider}, all on {self.device}: its libraries or "
                f"its device are missing; see the provider's requirements, or ask for another"
            )
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


def _choose(provider: Provider | None) -> _Provider:
    """Return the provider asked for, else the fastest that needs no build of its own.

    Raises:
        BackendError: This ONNX Runtime was built without it.
    """
    installed = ort.get_available_providers()
    if provider is None:
        cuda = _PROVIDERS["cuda"].class_name in installed and nvidia_driver() is not None
        return _PROVIDERS["cuda" if cuda else "cpu"]
    chosen = _PROVIDERS[provider]
    if chosen.class_name not in installed:
        has = ", ".join(name for name, item in _PROVIDERS.items() if item.class_name in installed)
        raise BackendError(
            f"this onnxruntime {ort.__version__} has no {provider} (it has {has}): "
            f"pip uninstall onnxruntime and pip install {chosen.package} in its place"
        )
    return chosen


def _open_session(
    graph: bytes, precision: Precision, provider: _Provider, lanes: int
) -> tuple[ort.InferenceSession, Precision]:
    """Open a session and tell what its arithmetic runs in.

    On the CPU a quantized graph runs in int8 only where ONNX Runtime fused its Q/DQ pairs into the
    operators between them; elsewhere it computes in fp32. Only the optimized graph tells, and that
    can only be had as a file.
    """
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    # Each caller's thread does its part of the work: with as many lanes as cores, all of it.
    options.intra_op_num_threads = max(1, allowed_cores() // lanes)
    # Its threads would spin between frames, on cores that decode, enlarge and encode meanwhile.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    quantized = b"DequantizeLinear" in graph
    if provider.computes is not None:
        written = "int8" if quantized else precision if precision == "fp16" else "fp32"
        session = _session(graph, options, provider)
        if provider.label in _device_of(session):
            return session, provider.computes[written]
        return _open_session(graph, precision, _PROVIDERS["cpu"], lanes)
    # CPU kernels for fp16 are few: around the rest it casts to fp32, and computes there.
    if not quantized:
        return _session(graph, options, provider), "fp32"
    with tempfile.TemporaryDirectory(prefix="dayshift-") as folder:
        optimized = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(optimized)
        session = _session(graph, options, provider)
        content = optimized.read_bytes()
    fused = any(operator in content for operator in _INT8_OPERATORS)
    return session, "int8" if fused else "fp32"


def _session(
    graph: bytes, options: ort.SessionOptions, provider: _Provider
) -> ort.InferenceSession:
    providers: list[object] = [(provider.class_name, dict(provider.options))]
    if provider.class_name != "CPUExecutionProvider":
        providers.append("CPUExecutionProvider")  # for what the first has no kernel for
    return ort.InferenceSession(graph, options, providers=providers)


def _device_of(session: ort.InferenceSession) -> str:
    """Tell which providers run the heavy operators, as the session recorded it."""
    label_of = {provider.class_name: provider.label for provider in _PROVIDERS.values()}
    if not hasattr(session, "get_provider_graph_assignment_info"):  # before 1.24
        return label_of[session.get_providers()[0]]
    nodes = [
        (part.ep_name, node.op_type)
        for part in session.get_provider_graph_assignment_info()
        for node in part.get_nodes()
    ]
    heavy = [ep for ep, operator in nodes if any(word in operator for word in _HEAVY_OPERATORS)]
    used = set(heavy or [ep for ep, _ in nodes])
    return " and ".join(label for name, label in label_of.items() if name in used) or "CPU"
