"""A TensorRT without a GPU: what dayshift calls of it, computed by ONNX Runtime.

It has nothing that NVIDIA's bindings lack (`test_trt_api.py` holds that). The environment steers
it, so that other processes can be steered too:

* FAKE_TENSORRT_VERSION: what it says it is.
* FAKE_TENSORRT_BUILDS: a file to which every finished build adds a line.
* FAKE_TENSORRT_STEP_S: how long each of a build's six steps takes.
"""

from __future__ import annotations

import enum
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from cuda.bindings import runtime as cudart

if TYPE_CHECKING:  # a runtime that may not import these still imports TensorRT
    import onnx

__version__ = os.environ.get("FAKE_TENSORRT_VERSION", "10.3.0")

_MAGIC = b"FAKEPLAN"


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 1


class BuilderFlag(enum.IntEnum):
    TF32 = 7


class ProfilingVerbosity(enum.IntEnum):
    LAYER_NAMES_ONLY = 0
    DETAILED = 2


class HardwareCompatibilityLevel(enum.IntEnum):
    NONE = 0
    AMPERE_PLUS = 1


class TensorIOMode(enum.IntEnum):
    INPUT = 1
    OUTPUT = 2


class LayerInformationFormat(enum.IntEnum):
    ONELINE = 0
    JSON = 1


class DataType(enum.IntEnum):
    FLOAT = 0
    HALF = 1
    UINT8 = 5


def nptype(trt_type: DataType) -> Any:
    return {0: np.float32, 1: np.float16, 5: np.uint8}[trt_type]


def _type_of(value: onnx.ValueInfoProto) -> DataType:
    numbers = {1: DataType.FLOAT, 2: DataType.UINT8, 10: DataType.HALF}  # ONNX's
    return numbers[value.type.tensor_type.elem_type]


class ILogger:
    class Severity(enum.IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2

    INTERNAL_ERROR = Severity.INTERNAL_ERROR
    ERROR = Severity.ERROR
    WARNING = Severity.WARNING

    def __init__(self) -> None:
        self._made = True

    def log(self, severity: Severity, msg: str) -> None:
        raise NotImplementedError


class IProgressMonitor:
    def __init__(self) -> None:
        self._made = True

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        raise NotImplementedError

    def step_complete(self, phase_name: str, step: int) -> bool:
        raise NotImplementedError

    def phase_finish(self, phase_name: str) -> None:
        raise NotImplementedError


class IHostMemory(bytes):
    """Made by the library only; gives its bytes as a buffer."""


class ITimingCache:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def serialize(self) -> IHostMemory:
        return IHostMemory(self._content or f"timings of {__version__}".encode())


class ITensor:
    def __init__(self, value: onnx.ValueInfoProto) -> None:
        self.name = value.name
        self.dtype = _type_of(value)
        sides = value.type.tensor_type.shape.dim
        self.shape = tuple(side.dim_value if side.HasField("dim_value") else -1 for side in sides)


class INetworkDefinition:
    def __init__(self, flags: int) -> None:
        assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
        self._graph = b""
        self._inputs: list[ITensor] = []

    @property
    def num_inputs(self) -> int:
        return len(self._inputs)

    def get_input(self, index: int) -> ITensor:
        return self._inputs[index]


class ParserError:
    def __init__(self, text: str) -> None:
        self._text = text

    def desc(self) -> str:
        return self._text


class OnnxParser:
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network = network
        self._errors: list[ParserError] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]

    def parse(self, model: bytes, path: str | None = None) -> bool:
        import onnx

        try:
            graph = onnx.load_from_string(model).graph
        except Exception:
            self._errors.append(ParserError("Failed to parse the ONNX model.\nIn node -1"))
            return False
        self._network._graph = model
        self._network._inputs = [ITensor(value) for value in graph.input]
        return True


class IOptimizationProfile:
    def __init__(self) -> None:
        self._ranges: dict[str, Sequence[Sequence[int]]] = {}

    def set_shape(
        self, input: str, min: Sequence[int], opt: Sequence[int], max: Sequence[int]
    ) -> None:
        self._ranges[input] = [list(min), list(opt), list(max)]


class IBuilderConfig:
    def __init__(self) -> None:
        self.builder_optimization_level = 3
        self.profiling_verbosity = ProfilingVerbosity.LAYER_NAMES_ONLY
        self.hardware_compatibility_level = HardwareCompatibilityLevel.NONE
        self.progress_monitor: IProgressMonitor | None = None
        self._profiles: list[IOptimizationProfile] = []
        self._timing_cache: ITimingCache | None = None
        self._cleared: set[BuilderFlag] = set()

    def clear_flag(self, flag: BuilderFlag) -> None:
        self._cleared.add(flag)

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self._profiles.append(profile)
        return len(self._profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
        return ITimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        ours = cache._content in (b"", f"timings of {__version__}".encode())
        if ours or ignore_mismatch:
            self._timing_cache = cache
        return ours or ignore_mismatch


class Builder:
    def __init__(self, logger: ILogger) -> None:
        if not getattr(logger, "_made", False):
            raise TypeError("tensorrt.ILogger.__init__() must be called")
        self._logger = logger

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        return INetworkDefinition(flags)

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None:
        inputs = [network.get_input(index) for index in range(network.num_inputs)]
        ranges = config._profiles[0]._ranges if config._profiles else {}
        if any(-1 in tensor.shape and tensor.name not in ranges for tensor in inputs):
            self._logger.log(ILogger.ERROR, "Network has dynamic inputs, but no profile")
            return None
        if not _steps(config.progress_monitor):
            return None
        if os.environ.get("FAKE_TENSORRT_BUILDS"):
            with Path(os.environ["FAKE_TENSORRT_BUILDS"]).open("a") as log:
                log.write(f"{os.getpid()}\n")
        facts = {
            "version": __version__,
            "ranges": ranges,
            "level": config.builder_optimization_level,
            "compatible": config.hardware_compatibility_level,
            "tf32": BuilderFlag.TF32 not in config._cleared,
            "known": bool(config._timing_cache and config._timing_cache._content),
        }
        return IHostMemory(_MAGIC + json.dumps(facts).encode() + b"\n" + network._graph)


def _steps(monitor: IProgressMonitor | None) -> bool:
    """Go through a build of two steps, each of three; False where the monitor ends it."""
    if monitor is None:
        return True
    if not getattr(monitor, "_made", False):
        raise TypeError("tensorrt.IProgressMonitor.__init__() must be called")
    monitor.phase_start("Building Engine", None, 2)
    for outer in range(2):
        inner = f"Tactics {outer}"
        monitor.phase_start(inner, "Building Engine", 3)
        for step in range(3):
            time.sleep(float(os.environ.get("FAKE_TENSORRT_STEP_S", "0")))
            if not monitor.step_complete(inner, step):
                return False
        monitor.phase_finish(inner)
        if not monitor.step_complete("Building Engine", outer):
            return False
    monitor.phase_finish("Building Engine")
    return True


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        self._logger = logger
        self.engine_host_code_allowed = True

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        assert not self.engine_host_code_allowed
        if not serialized_engine.startswith(_MAGIC):
            self._logger.log(ILogger.ERROR, "Serialization assertion magicTag failed")
            return None
        head, _, graph = serialized_engine.removeprefix(_MAGIC).partition(b"\n")
        facts = json.loads(head)
        if facts["version"] != __version__:
            self._logger.log(ILogger.ERROR, "The engine plan file is of another version")
            return None
        return ICudaEngine(facts, graph)


class ICudaEngine:
    def __init__(self, facts: dict[str, Any], graph: bytes) -> None:
        import onnx
        import onnxruntime as ort

        self._facts = facts
        options = ort.SessionOptions()
        options.log_severity_level = 4
        self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        model = onnx.load_from_string(graph)
        self._operators = [node.op_type for node in model.graph.node]
        self._half = any(i.data_type == 10 for i in model.graph.initializer)
        self._inputs = {value.name: ITensor(value) for value in model.graph.input}
        self._outputs = {value.name: ITensor(value) for value in model.graph.output}

    @property
    def num_io_tensors(self) -> int:
        return len(self._inputs) + len(self._outputs)

    def get_tensor_name(self, index: int) -> str:
        names: list[str] = [*self._inputs, *self._outputs]
        return names[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self._inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return {**self._inputs, **self._outputs}[name].dtype

    def create_execution_context(self) -> IExecutionContext:
        return IExecutionContext(self)

    def create_engine_inspector(self) -> EngineInspector:
        return EngineInspector(self)


class EngineInspector:
    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine

    def get_engine_information(self, format: LayerInformationFormat) -> str:
        assert format == LayerInformationFormat.JSON
        quantized = "QuantizeLinear" in self._engine._operators
        word = "Int8" if quantized else "Half" if self._engine._half else "Float"
        layer = {"Name": "conv", "LayerType": "CaskConvolution", "Weights": {"Type": word}}
        copy = {"Name": "copy", "LayerType": "Reformat", "Inputs": [{"Format/Datatype": "Int8"}]}
        return json.dumps({"Layers": [copy, layer], "facts": self._engine._facts})


class IExecutionContext:
    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        low, _, high = self._engine._facts["ranges"].get(name, (shape, shape, shape))
        self._shapes[name] = tuple(shape)
        return all(a <= side <= b for a, side, b in zip(low, shape, high, strict=True))

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self._shapes:
            return self._shapes[name]
        feeds: dict[str, Any] = {
            key: np.zeros(shape, nptype(self._engine.get_tensor_dtype(key)))
            for key, shape in self._shapes.items()
        }
        return tuple(self._engine._session.run([name], feeds)[0].shape)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        cudart.enqueue(stream_handle, self._run)
        return True

    def _run(self) -> None:
        engine = self._engine
        feeds = {name: self._view(name) for name in engine._inputs}
        results = engine._session.run(list(engine._outputs), feeds)
        for name, result in zip(engine._outputs, results, strict=True):
            self._view(name)[...] = result

    def _view(self, name: str) -> Any:
        memory = cudart.memory_at(self._addresses[name])
        dtype = nptype(self._engine.get_tensor_dtype(name))
        return np.frombuffer(memory, dtype).reshape(self.get_tensor_shape(name))
