"""The model as Triton's Python backend runs it: OpenVINO, compiled for each frame size.

`dayshift serve-repository` copies this file into the repository as `model.py`. It runs inside
Triton, where dayshift need not be installed: numpy and openvino are all that it needs.
"""

from __future__ import annotations

import json
import os
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

# Or the import forks a process that tells Google Analytics of it.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
import openvino as ov  # noqa: E402

_KEPT_SHAPES = 4
# What Triton's sequence batcher tells of a stream; the names stand in config.pbtxt.
_START, _STREAM = "START", "CORRID"


class TritonPythonModel:
    """One instance of the model: a process of its own, which is given a few requests at a time."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the graph and the parameters of config.pbtxt."""
        config = json.loads(args["model_config"])
        told = {key: item["string_value"] for key, item in config["parameters"].items()}
        instances = sum(int(group["count"]) for group in config["instance_group"])
        cores = len(os.sched_getaffinity(0))
        self._is_batched = config["max_batch_size"] > 0
        self._outputs = [output["name"] for output in config["output"]]
        self._kept_streams = int(told["kept_streams"])
        self._state_of = json.loads(told["states"])  # an output: the input of the next frame
        self._properties = {
            "PERFORMANCE_HINT": "LATENCY",
            # Left alone, OpenVINO takes bf16 where the CPU has it, without a word.
            "INFERENCE_PRECISION_HINT": told["float_type"],
            "INFERENCE_NUM_THREADS": int(told["threads"]) or max(1, cores // instances),
        }
        folder = Path(args["model_repository"]) / args["model_version"]
        self._core = ov.Core()
        self._graph = (folder / "model.onnx").read_bytes()
        # Of each shape that came, a request and the shapes of its inputs.
        self._requests: OrderedDict[Any, Any] = OrderedDict()
        self._states: OrderedDict[int, dict[str, Any]] = OrderedDict()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request; those of a batch run through the graph together."""
        inputs = [
            {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            for request in requests
        ]
        if self._is_batched and len(requests) > 1:
            return self._answer_together(inputs)
        return [self._answer(item) for item in inputs]

    def _answer(self, inputs: dict[str, Any]) -> Any:
        start, stream = inputs.pop(_START, None), inputs.pop(_STREAM, None)
        try:
            if stream is None:
                return self._response(self._run(inputs))
            key = int(stream.flat[0])
            state = {} if start.flat[0] else self._states.get(key, {})
            outputs = self._run(inputs, state)
        except Exception as error:  # a request that fails must not take the others with it
            return triton.InferenceResponse(error=triton.TritonError(" ".join(str(error).split())))
        self._states[key] = {name: outputs[out].copy() for out, name in self._state_of.items()}
        self._states.move_to_end(key)
        while len(self._states) > self._kept_streams:
            self._states.popitem(last=False)
        return self._response(outputs)

    def _answer_together(self, inputs: list[dict[str, Any]]) -> list[Any]:
        """Run the requests of a batch, which are of one shape, as one."""
        try:
            outputs = self._run({n: np.concatenate([i[n] for i in inputs]) for n in inputs[0]})
        except Exception:
            return [self._answer(item) for item in inputs]  # one of them is to blame
        ends = np.cumsum([len(next(iter(item.values()))) for item in inputs])[:-1]
        parts = {name: np.split(outputs[name], ends) for name in self._outputs}
        return [self._response({n: p[i] for n, p in parts.items()}) for i in range(len(inputs))]

    def _run(self, inputs: dict[str, Any], state: dict[str, Any] | None = None) -> dict[str, Any]:
        # Triton has no tensors without a side: a value for each frame comes as (N, 1).
        shapes = {name: array.shape for name, array in inputs.items()}
        request, ports = self._request(tuple(sorted(shapes.items())))
        fed = {name: array.reshape(ports[name]) for name, array in inputs.items()}
        for name in ports.keys() - fed.keys():
            kept = (state or {}).get(name)
            fed[name] = np.zeros(ports[name], np.float32) if kept is None else kept
        request.infer(fed)
        return {port.any_name: request.get_tensor(port).data for port in request.model_outputs}

    def _request(self, shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> Any:
        """Return a request for frames of these shapes, compiled when new, and its input shapes."""
        if shapes not in self._requests:
            while len(self._requests) >= _KEPT_SHAPES:
                self._requests.popitem(last=False)
            model = self._core.read_model(self._graph)
            rank = {port.any_name: len(port.partial_shape) for port in model.inputs}
            self._fix_shapes(model, {name: list(shape[: rank[name]]) for name, shape in shapes})
            compiled = self._core.compile_model(model, "CPU", self._properties)
            ports = {port.any_name: tuple(port.shape) for port in compiled.inputs}
            self._requests[shapes] = (compiled.create_infer_request(), ports)
        self._requests.move_to_end(shapes)
        return self._requests[shapes]

    def _fix_shapes(self, model: Any, shapes: dict[str, list[int]]) -> None:
        """Give the inputs their shapes: a state has that of the next, which follows from a frame's.

        Any graph broadcasts a state of one value a side, which is how the next one's is found.
        """
        sides = {name: model.input(name).partial_shape for name in self._state_of.values()}
        single = {n: [1 if s.is_dynamic else s.get_length() for s in sides[n]] for n in sides}
        model.reshape(shapes | single)
        found = {name: list(model.output(after).shape) for after, name in self._state_of.items()}
        model.reshape(shapes | found)

    def _response(self, outputs: dict[str, Any]) -> Any:
        return triton.InferenceResponse(
            output_tensors=[triton.Tensor(name, outputs[name]) for name in self._outputs]
        )
