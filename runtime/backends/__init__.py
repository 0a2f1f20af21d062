"""Backends: engines that run a graph, behind one protocol.

`open_backend` imports an engine only when it is asked for. To add one: a module with a class that
follows `base.Backend`, its name in `base.LocalName`, a branch in `open_backend`.
"""

from __future__ import annotations

from typing import get_args

from dayshift.runtime.backends.base import (
    Backend,
    BackendName,
    BuildOptions,
    BuildProgress,
    LocalName,
    OnBuildProgress,
    Precision,
    Provider,
    Shapes,
)
from dayshift.runtime.backends.server_address import EXPECTED, is_server, parse_server
from dayshift.runtime.errors import UsageError
from dayshift.runtime.graph_check import check_graph

# The engines of this machine.
BACKEND_NAMES: tuple[LocalName, ...] = get_args(LocalName)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# "onnxruntime:cuda" asks for one of these.
PROVIDERS: tuple[Provider, ...] = get_args(Provider)

__all__ = [
    "BACKEND_NAMES",
    "PRECISIONS",
    "PROVIDERS",
    "Backend",
    "BackendName",
    "BuildOptions",
    "BuildProgress",
    "LocalName",
    "OnBuildProgress",
    "Precision",
    "Shapes",
    "check_backend",
    "check_precision",
    "open_backend",
]


def check_backend(name: str) -> BackendName:
    """Return which backend `name` asks for: one of this machine's, or "kserve" for a server.

    "onnxruntime" may have a provider after a colon; a server is named by its address.

    Raises:
        UsageError: There is no such backend, or an address is malformed.
    """
    if is_server(name):
        parse_server(name)
        return "kserve"
    base, colon, provider = name.partition(":")
    if base not in BACKEND_NAMES or (
        colon and (base != "onnxruntime" or provider not in PROVIDERS)
    ):
        expected = ", ".join(BACKEND_NAMES)
        providers = ", ".join(f"onnxruntime:{provider}" for provider in PROVIDERS)
        raise UsageError(
            f"unknown backend {name!r}: expected auto or one of {expected}, {providers}, {EXPECTED}"
        )
    return base


def check_precision(precision: str) -> Precision:
    """Return `precision` if it is one.

    Raises:
        UsageError: There is no such precision.
    """
    if precision not in PRECISIONS:
        expected = ", ".join(PRECISIONS)
        raise UsageError(f"unknown precision {precision!r}: expected auto or one of {expected}")
    return precision


def open_backend(
    name: str,
    graph: bytes,
    shapes: Shapes,
    precision: str,
    *,
    lanes: int = 1,
    options: BuildOptions | None = None,
    on_progress: OnBuildProgress = lambda _: None,
) -> Backend:
    """Compile an ONNX graph for fixed input shapes.

    Args:
        name: One of `BACKEND_NAMES`; "onnxruntime" may name one of `PROVIDERS` after a colon. Or
            the address of a server that serves this graph.
        graph: The content of an ONNX file: what was verified is what is compiled.
        shapes: The shape of every input, by name.
        precision: "fp16" and "int8" say what the graph holds; "fp32" and "bf16" take an fp32 graph
            and say what to compute it in.
        lanes: How many forks will run at a time. One is compiled for the latency of a frame; more
            share the cores, for the rate of all.
        options: How TensorRT builds an engine; the others compile in a moment and pay no heed.
        on_progress: Told of TensorRT's build; what it raises ends that and is raised here.

    Raises:
        UsageError: Unknown backend or precision.
        ModelError: The graph reaches out of its file, or has operators that are not ONNX's own.
        MissingDependency: The engine's library cannot be imported.
        BackendError: The engine refuses the graph, the shapes or the precision.
    """
    backend, checked = check_backend(name), check_precision(precision)
    check_graph(graph)
    if backend == "kserve":
        from dayshift.runtime.backends.kserve import KServeBackend

        return KServeBackend(parse_server(name), graph, shapes, checked)
    if backend == "tensorrt":
        from dayshift.runtime.backends.trt import TensorRTBackend

        return TensorRTBackend(graph, shapes, checked, options=options, on_progress=on_progress)
    if backend == "openvino":
        from dayshift.runtime.backends.ov import OpenVINOBackend

        return OpenVINOBackend(graph, shapes, checked, lanes=lanes)
    from dayshift.runtime.backends.ort import OnnxRuntimeBackend

    provider = next((item for item in PROVIDERS if name.endswith(f":{item}")), None)
    return OnnxRuntimeBackend(graph, shapes, checked, lanes=lanes, provider=provider)
