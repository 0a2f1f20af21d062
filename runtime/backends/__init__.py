"""Backends: engines that run a graph, behind one protocol.

`open_backend` imports an engine only when it is asked for. To add one: a module with a class that
follows `base.Backend`, its name in `base.BackendName`, a branch in `import_backend`.
"""

from __future__ import annotations

from typing import Protocol, get_args

from dayshift.runtime.backends.base import Backend, BackendName, Precision, Shapes
from dayshift.runtime.errors import UsageError

BACKEND_NAMES: tuple[BackendName, ...] = get_args(BackendName)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

__all__ = [
    "BACKEND_NAMES",
    "PRECISIONS",
    "Backend",
    "BackendName",
    "Opener",
    "Precision",
    "Shapes",
    "check_backend",
    "check_precision",
    "import_backend",
    "open_backend",
]


def check_backend(name: str) -> BackendName:
    """Return `name` if it is a backend.

    Raises:
        UsageError: There is no such backend.
    """
    if name not in BACKEND_NAMES:
        expected = ", ".join(BACKEND_NAMES)
        raise UsageError(f"unknown backend {name!r}: expected auto or one of {expected}")
    return name


def check_precision(precision: str) -> Precision:
    """Return `precision` if it is one.

    Raises:
        UsageError: There is no such precision.
    """
    if precision not in PRECISIONS:
        expected = ", ".join(PRECISIONS)
        raise UsageError(f"unknown precision {precision!r}: expected auto or one of {expected}")
    return precision


class Opener(Protocol):
    """A backend's class, as far as opening a graph with it goes."""

    def __call__(
        self, graph: bytes, shapes: Shapes, precision: Precision, *, lanes: int = 1
    ) -> Backend:
        """Compile a graph; see `open_backend`."""
        ...


def import_backend(name: BackendName) -> Opener:
    """Import one engine and return its backend class.

    Raises:
        MissingDependency: The engine's library cannot be imported.
    """
    if name == "openvino":
        from dayshift.runtime.backends.ov import OpenVINOBackend

        return OpenVINOBackend
    from dayshift.runtime.backends.ort import OnnxRuntimeBackend

    return OnnxRuntimeBackend


def open_backend(
    name: str, graph: bytes, shapes: Shapes, precision: str, *, lanes: int = 1
) -> Backend:
    """Compile an ONNX graph for fixed input shapes.

    Args:
        name: One of `BACKEND_NAMES`.
        graph: The content of an ONNX file: what was verified is what is compiled.
        shapes: The shape of every input, by name.
        precision: "fp16" and "int8" say what the graph holds; "fp32" and "bf16" take an fp32 graph
            and say what to compute it in.
        lanes: How many forks will run at a time. One is compiled for the latency of a frame; more
            share the cores, for the rate of all.

    Raises:
        UsageError: Unknown backend or precision.
        MissingDependency: The engine's library cannot be imported.
        BackendError: The engine refuses the graph, the shapes or the precision.
    """
    opener = import_backend(check_backend(name))
    return opener(graph, shapes, check_precision(precision), lanes=lanes)
