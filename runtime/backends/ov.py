"""OpenVINO: the CPU engine."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dayshift.runtime.backends.base import (
    Array,
    BackendName,
    Precision,
    Shapes,
    check_inputs,
    check_shapes,
    one_line,
)
from dayshift.runtime.backends.quiet_openvino import without_telemetry
from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import BackendError
from dayshift.runtime.spec import STATE_PREFIX

try:
    with without_telemetry():
        import openvino as ov

        from dayshift.runtime.backends.ov_cache import find_or_compile
        from dayshift.runtime.backends.ov_padding import round_before_padding
except ImportError as error:
    raise missing_dependency("openvino", error) from error

_PRECISION_OF_TYPE: dict[str, Precision] = {"f32": "fp32", "bf16": "bf16", "f16": "fp16"}
# The layers that hold nearly all of a network's arithmetic.
_HEAVY_LAYERS = ("Convolution", "Deconvolution", "FullyConnected", "MatMul")
_INT8_TYPES = ("i8", "u8")
_CLOSED = "this backend was closed: open a new one"


class OpenVINOBackend:
    """A graph compiled by OpenVINO for the CPU."""

    name: BackendName = "openvino"
    device: str = "CPU"
    artifact: Path | None = None

    def __init__(
        self, graph: bytes, shapes: Shapes, precision: Precision, *, lanes: int = 1
    ) -> None:
        self.version: str = ov.__version__.split("-")[0]
        core = _core()
        hint = _precision_hint(core, precision)
        try:
            compiled = _compile(core, graph, shapes, hint, lanes)
        except BackendError:
            raise
        except (
            Exception
        ) as error:  # the bindings raise whatever fits them: RuntimeError, KeyError, …
            raise BackendError(f"openvino refused the graph: {one_line(error)}") from error
        self.precision: Precision = _precision_of(compiled)
        self._shapes = dict(shapes)
        self._use(compiled)

    def _use(self, compiled: ov.CompiledModel) -> None:
        """Make a request of this instance's own."""
        self._compiled: ov.CompiledModel | None = compiled
        self._request: ov.InferRequest | None = compiled.create_infer_request()
        # The engine reads and writes arrays of ours, set once: setting a tensor for every frame
        # costs 0.1 ms, copying a small frame into one a twentieth of that. States are large, and a
        # stream brings them in the same arrays every time: those are read where they are.
        self._inputs = {port.any_name: _share(self._request, port) for port in compiled.inputs}
        self._outputs = {port.any_name: _share(self._request, port) for port in compiled.outputs}

    def fork(self) -> OpenVINOBackend:
        """Return another request on the same compiled graph."""
        if self._compiled is None:
            raise BackendError(_CLOSED)
        twin = copy.copy(self)
        twin._use(self._compiled)
        return twin

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the graph. The next call overwrites the results."""
        if self._request is None:
            raise BackendError(_CLOSED)
        check_inputs(inputs, self._shapes)
        try:
            for name, array in inputs.items():
                if name.startswith(STATE_PREFIX):
                    self._read_where_it_is(name, array)
                else:
                    np.copyto(self._inputs[name], array, casting="equiv")
            # Else it would copy all outputs into new arrays, which nobody reads.
            self._request.infer(share_outputs=True)
        except Exception as error:
            raise BackendError(f"openvino failed to run the graph: {one_line(error)}") from error
        return self._outputs

    def _read_where_it_is(self, name: str, array: Array) -> None:
        """Let the engine read a caller's array from now on, unless it does already."""
        assert self._request is not None
        if self._inputs[name] is not array:
            self._request.set_tensor(name, ov.Tensor(array, shared_memory=True))
            self._inputs[name] = array

    def close(self) -> None:
        """Free the request; the last one frees the engine."""
        self._request = self._compiled = None


@functools.cache
def _core() -> ov.Core:
    """Return the process's one core, which is never freed.

    The CPU plugin gives the thread that loads it a signal stack and unmaps that when the core is
    freed. Freed on another thread, or before a younger core, it leaves the thread with a stack that
    is gone, and the next signal (Ctrl-C) ends the process with a segmentation fault.
    """
    return ov.Core()


def _share(request: ov.InferRequest, port: ov.ConstOutput) -> Array:
    """Return a new array that the request uses for an input or output."""
    array = np.empty(tuple(port.shape), port.element_type.to_dtype())
    request.set_tensor(port, ov.Tensor(array, shared_memory=True))
    return array


def _precision_hint(core: ov.Core, precision: Precision) -> str:
    """Choose the float type to ask for.

    It is always named: left alone, OpenVINO takes bf16 where the CPU has it, without a word.
    """
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == "bf16":
        if "BF16" not in capabilities:
            has = ", ".join(capabilities)
            raise BackendError(
                f"this CPU has no bf16 (openvino lists {has}): ask for precision fp32 or int8"
            )
        return "bf16"
    if precision == "fp16" and "FP16" in capabilities:
        return "f16"
    return "f32"


def _compile(
    core: ov.Core, graph: bytes, shapes: Shapes, hint: str, lanes: int
) -> ov.CompiledModel:
    properties = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
    if lanes > 1:
        # A stream of its own for each lane: no frame waits for the threads of another.
        properties |= {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": str(lanes)}

    def compile_graph() -> ov.CompiledModel:
        model = core.read_model(graph)
        sides = {port.any_name: _sides(port.partial_shape) for port in model.inputs}
        check_shapes("openvino", sides, shapes)
        model.reshape({name: list(shape) for name, shape in shapes.items()})
        round_before_padding(model)
        return core.compile_model(model, "CPU", properties)

    return find_or_compile(core, graph, shapes, properties, compile_graph)


def _sides(shape: ov.PartialShape) -> list[int | None]:
    return [side.get_length() if side.is_static else None for side in shape]


def _precision_of(compiled: ov.CompiledModel) -> Precision:
    """Read from the compiled graph what its arithmetic runs in."""
    for node in compiled.get_runtime_model().get_ops():
        info = node.rt_info
        if (
            "layerType" in info
            and str(info["layerType"].value) in _HEAVY_LAYERS
            and str(info["runtimePrecision"].value) in _INT8_TYPES
        ):
            return "int8"
    hint = compiled.get_property("INFERENCE_PRECISION_HINT")
    return _PRECISION_OF_TYPE[hint.get_type_name()]
