"""TensorRT: the engine for NVIDIA GPUs, from a workstation's to a Jetson's."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dayshift.runtime.backends.base import (
    Array,
    BackendName,
    BuildOptions,
    OnBuildProgress,
    Precision,
    Shapes,
    check_inputs,
    one_line,
)
from dayshift.runtime.backends.cuda import Buffer, Graph, Stream, first_device
from dayshift.runtime.backends.trt_build import VERSION, log
from dayshift.runtime.backends.trt_cache import find_or_build
from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import BackendError

try:
    import tensorrt as trt
except ImportError as error:
    raise missing_dependency("tensorrt", error) from error

_CLOSED = "this backend was closed: open a new one"


class TensorRTBackend:
    """A graph built by TensorRT for this GPU, or found in the private cache of built engines.

    Args:
        graph: The content of an ONNX file; its types are the engine's.
        shapes: The shape of every input.
        precision: What the graph is written in.
        lanes: How many forks will run at a time; each brings a stream of its own, so that one
            frame's copies run beside another's arithmetic.
        options: How to build; None takes the best engine there is, and builds with the defaults.
        on_progress: Told of a build; what it raises ends that and is raised here.
    """

    name: BackendName = "tensorrt"

    def __init__(
        self,
        graph: bytes,
        shapes: Shapes,
        precision: Precision,
        *,
        lanes: int = 1,
        options: BuildOptions | None = None,
        on_progress: OnBuildProgress = lambda _: None,
    ) -> None:
        if precision == "bf16":
            raise BackendError(
                "tensorrt computes in what the graph is written in, and none is written in bf16: "
                "ask for precision fp16, int8 or fp32"
            )
        del lanes  # an engine serves any number
        device = first_device()
        found = find_or_build(graph, shapes, device, options, on_progress)
        self.version: str = VERSION
        self.device: str = device.name
        self.precision: Precision = found.precision
        self.artifact: Path | None = found.path
        self._shapes = dict(shapes)
        self._engine = found.engine
        self._lane: _Lane | None = _Lane(found.engine, shapes)

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the graph. The next call overwrites the results."""
        if self._lane is None:
            raise BackendError(_CLOSED)
        check_inputs(inputs, self._shapes)
        try:
            return self._lane.infer(inputs)
        except (BackendError, TypeError, ValueError) as error:
            raise BackendError(f"tensorrt failed to run the graph: {one_line(error)}") from error

    def fork(self) -> TensorRTBackend:
        """Return another lane on the same engine."""
        if self._lane is None:
            raise BackendError(_CLOSED)
        twin = copy.copy(self)
        twin._lane = _Lane(self._engine, self._shapes)
        return twin

    def close(self) -> None:
        """Free the lane and its memory on the device; the last one frees the engine."""
        if self._lane is not None:
            self._lane.close()
            self._lane = self._engine = None


class _Lane:
    """A context with its own stream and buffers, and its whole frame's work as one CUDA graph.

    Shapes and addresses never change here, so that upload, engine and download are recorded once
    and then launched by a single command.
    """

    def __init__(self, engine: Any, shapes: Shapes) -> None:
        self._engine = engine  # must outlive its context
        self._context = engine.create_execution_context()
        if self._context is None:
            raise BackendError(f"tensorrt cannot make room for the engine: {log().take()}")
        self._stream = Stream()
        for name, shape in shapes.items():
            if not self._context.set_input_shape(name, shape):
                raise BackendError(f"tensorrt refused the shape {shape} of {name}: {log().take()}")
        self._inputs = self._buffers(trt.TensorIOMode.INPUT)
        self._outputs = self._buffers(trt.TensorIOMode.OUTPUT)
        self._results = {name: buffer.array for name, buffer in self._outputs.items()}
        self._graph: Graph | None = None
        self._frames = 0

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Copy the inputs into page-locked memory, run, wait."""
        for name, array in inputs.items():
            np.copyto(self._inputs[name].array, array, casting="equiv")
        if self._graph is not None:
            self._graph.launch(self._stream)
        else:
            self._enqueue()
        self._stream.wait()
        self._frames += 1
        if self._frames == 1:
            self._record()
        return self._results

    def close(self) -> None:
        """Free everything, when its work is done."""
        self._stream.wait()
        if self._graph is not None:
            self._graph.close()
        for buffer in (*self._inputs.values(), *self._outputs.values()):
            buffer.close()
        self._stream.close()
        del self._context, self._engine  # in this order

    def _buffers(self, mode: trt.TensorIOMode) -> dict[str, Buffer]:
        """Make the buffers of all inputs or outputs and tell the context where they are."""
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        buffers = {}
        for name in names:
            if self._engine.get_tensor_mode(name) == mode:
                dtype = trt.nptype(self._engine.get_tensor_dtype(name))
                buffer = Buffer(tuple(self._context.get_tensor_shape(name)), dtype)
                self._context.set_tensor_address(name, buffer.device)
                buffers[name] = buffer
        return buffers

    def _enqueue(self) -> None:
        for buffer in self._inputs.values():
            buffer.upload(self._stream)
        if not self._context.execute_async_v3(self._stream.handle):
            raise BackendError(log().take())
        for buffer in self._outputs.values():
            buffer.download(self._stream)

    def _record(self) -> None:
        """Record the work for the frames to come; an engine that cannot be recorded runs without.

        TensorRT asks for one run before: it prepares what may not be recorded then.
        """
        self._stream.begin_capture()
        try:
            self._enqueue()
            self._graph = self._stream.end_capture()
        except BackendError:
            self._stream.discard_capture()
            log().take()
