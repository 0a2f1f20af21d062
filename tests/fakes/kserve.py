"""A server that speaks KServe's protocol, version 2, over gRPC, in this process.

It runs real graphs on OpenVINO, shares memory as Triton does, and fails as it is told to.
"""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections.abc import Mapping
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype

from dayshift.runtime.backends import Backend, open_backend


@dataclass
class Behaviour:
    """What the server is and does.

    Attributes:
        facts: Parameters of the model's configuration; None is a server without such.
        shares: It can map memory of this host.
        has_memory: Its model keeps the state of each stream.
        delay_s: Before each answer.
        requests: What came, for the test to look at.
        regions: Memory that it maps, by name.
    """

    facts: Mapping[str, str] | None = None
    shares: bool = True
    has_memory: bool = False
    delay_s: float = 0.0
    requests: list[Any] = field(default_factory=list)
    regions: dict[str, mmap.mmap] = field(default_factory=dict)


class FakeServer:
    """Serves one graph as "tiny"."""

    def __init__(self, graph: bytes, outputs: tuple[str, ...], behaviour: Behaviour) -> None:
        self._service = _Service(graph, outputs, behaviour)
        self._server: grpc.Server | None = None
        self.port = 0
        self.start()

    def start(self) -> None:
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)]
        self._server = grpc.server(futures.ThreadPoolExecutor(4), options=options)
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self._service, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def stop(self) -> None:
        """End as a killed server does: what it mapped is gone."""
        if self._server is not None:
            self._server.stop(0).wait()
        self._server = None
        self._service.behaviour.regions.clear()

    def address(self, **options: object) -> str:
        query = "&".join(f"{key}={value}" for key, value in options.items())
        return f"kserve+grpc://127.0.0.1:{self.port}/tiny?{query}".rstrip("?")


class _Service(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    def __init__(self, graph: bytes, outputs: tuple[str, ...], behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._graph = graph
        self._outputs = outputs
        self._engines: dict[tuple[int, ...], Backend] = {}
        self._running = threading.Lock()

    def ServerMetadata(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerMetadataResponse(name="fake", version="2.99.0")

    def ModelMetadata(self, request: Any, context: Any) -> Any:
        if request.name != "tiny":
            context.abort(grpc.StatusCode.NOT_FOUND, f"unknown model: '{request.name}'")
        frame = [1, -1, -1, 3]
        tensor = service_pb2.ModelMetadataResponse.TensorMetadata
        return service_pb2.ModelMetadataResponse(
            name="tiny",
            inputs=[
                tensor(name="frame", datatype="UINT8", shape=frame),
                tensor(name="strength", datatype="FP32", shape=[1]),
            ],
            outputs=[tensor(name=name, datatype="UINT8", shape=frame) for name in self._outputs],
        )

    def ModelConfig(self, request: Any, context: Any) -> Any:
        if self.behaviour.facts is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such extension")
        config = model_config_pb2.ModelConfig(name="tiny")
        for key, value in (self.behaviour.facts or {}).items():
            config.parameters[key].string_value = value
        if self.behaviour.has_memory:
            config.sequence_batching.SetInParent()
        return service_pb2.ModelConfigResponse(config=config)

    def SystemSharedMemoryRegister(self, request: Any, context: Any) -> Any:
        if not self.behaviour.shares:
            context.abort(grpc.StatusCode.INTERNAL, "Unable to open shared memory region")
        descriptor = os.open(Path("/dev/shm") / request.key.lstrip("/"), os.O_RDWR)
        self.behaviour.regions[request.name] = mmap.mmap(descriptor, request.byte_size)
        os.close(descriptor)
        return service_pb2.SystemSharedMemoryRegisterResponse()

    def SystemSharedMemoryUnregister(self, request: Any, context: Any) -> Any:
        self.behaviour.regions.pop(request.name, None)
        return service_pb2.SystemSharedMemoryUnregisterResponse()

    def ModelInfer(self, request: Any, context: Any) -> Any:
        self.behaviour.requests.append(request)
        time.sleep(self.behaviour.delay_s)
        raw = iter(request.raw_input_contents)
        inputs = {}
        for port in request.inputs:
            content = self._region(port, context) or next(raw)
            array = np.frombuffer(content, triton_to_np_dtype(port.datatype))
            inputs[port.name] = array.reshape(list(port.shape))
        results = self._run(inputs)
        response = service_pb2.ModelInferResponse(model_name="tiny")
        for wanted in request.outputs:
            array = results[wanted.name]
            output = response.outputs.add(
                name=wanted.name, datatype=np_to_triton_dtype(array.dtype.type), shape=array.shape
            )
            region = self._region(wanted, context)
            if region is None:
                response.raw_output_contents.append(array.tobytes())
            else:
                region[:] = array.tobytes()
                output.parameters["shared_memory_region"].CopyFrom(
                    wanted.parameters["shared_memory_region"]
                )
        return response

    def _run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run the graph, for one client at a time."""
        shape = inputs["frame"].shape
        with self._running:
            if shape not in self._engines:
                shapes = {name: array.shape for name, array in inputs.items()}
                self._engines[shape] = open_backend("openvino", self._graph, shapes, "fp32")
            return {name: a.copy() for name, a in self._engines[shape].infer(inputs).items()}

    def _region(self, port: Any, context: Any) -> memoryview | None:
        """Return the shared memory of an input or output, None where it is sent."""
        if "shared_memory_region" not in port.parameters:
            return None
        name = port.parameters["shared_memory_region"].string_param
        if name not in self.behaviour.regions:
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"Unable to find shared memory region: '{name}'"
            )
        size = port.parameters["shared_memory_byte_size"].int64_param
        offset = port.parameters["shared_memory_offset"].int64_param
        return memoryview(self.behaviour.regions[name])[offset : offset + size]
