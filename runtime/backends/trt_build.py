"""Building a TensorRT engine from an ONNX graph: one strongly typed path for 10.3 to 11.4.

Precision is in the graph (casts, Q/DQ) and never a flag: TensorRT 11 knows no other way, and 10.3
can do the same. TF32 is off, so that fp32 means fp32.
"""

from __future__ import annotations

import collections
import functools
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dayshift.runtime.backends.base import (
    BuildOptions,
    BuildProgress,
    OnBuildProgress,
    Precision,
    check_shapes,
    one_line,
)
from dayshift.runtime.backends.shapes import Ranges
from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import BackendError

try:
    import tensorrt as trt
except ImportError as error:
    raise missing_dependency("tensorrt", error) from error

VERSION: str = trt.__version__
_KEPT_ERRORS = 4
# How TensorRT's inspector writes a type, in the order in which the arithmetic decides.
_TYPE_WORDS: tuple[tuple[Precision, tuple[str, ...]], ...] = (
    ("int8", ("int8",)),
    ("fp16", ("fp16", "half")),
    ("bf16", ("bf16", "bfloat16")),
)
_HEAVY_LAYERS = ("conv", "gemm", "matmul", "matrix", "mlp")


class Log(trt.ILogger):  # type: ignore[misc]
    """Keeps TensorRT's last errors, which it tells to its logger only. One for the process."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self._errors: collections.deque[str] = collections.deque(maxlen=_KEPT_ERRORS)

    def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
        """Take a message; TensorRT calls this from any of its threads."""
        if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
            self._errors.append(msg)

    def take(self) -> str:
        """Return the errors since the last call in one line."""
        errors = [self._errors.popleft() for _ in range(len(self._errors))]
        return one_line(RuntimeError("\n".join(errors))) if errors else "it gave no reason"


@functools.cache
def log() -> Log:
    """Return the process's one log: TensorRT keeps the first it is given for all it makes."""
    return Log()


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0
    part: float = 0.0  # of the step at work, as its own phases tell

    @property
    def fraction(self) -> float:
        return min(1.0, (self.done + self.part) / max(1, self.steps))


class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
    """Folds TensorRT's nested phases into one fraction, and ends the build where told to.

    An exception must not cross TensorRT: it is kept in `error`, and the build asked to stop.
    """

    def __init__(self, on_progress: OnBuildProgress) -> None:
        trt.IProgressMonitor.__init__(self)
        self._on_progress = on_progress
        self._phases: dict[str, _Phase] = {}
        self._lock = threading.Lock()
        self._told = 0.0
        self.error: BaseException | None = None

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        """TensorRT begins a phase, inside another or as the outermost."""
        with self._lock:
            self._phases[phase_name] = _Phase(parent_phase, num_steps)
        self._tell(phase_name)

    def step_complete(self, phase_name: str, step: int) -> bool:
        """TensorRT ended a step. Returns False to end the build."""
        with self._lock:
            phase = self._phases.get(phase_name)
            if phase is not None:
                phase.done, phase.part = step + 1, 0.0
        self._tell(phase_name)
        return self.error is None

    def phase_finish(self, phase_name: str) -> None:
        """TensorRT ended a phase, done or not."""
        with self._lock:
            self._phases.pop(phase_name, None)

    def _tell(self, phase_name: str) -> None:
        try:
            with self._lock:
                self._told = max(self._told, self._fraction(phase_name))
                told = BuildProgress(phase_name, self._told)
            self._on_progress(told)
        except BaseException as error:  # Ctrl-C too: Python runs its handler in here
            if self.error is None:
                self.error = error

    def _fraction(self, phase_name: str) -> float:
        """Hand a phase's fraction up to the outermost and return that one's."""
        phase = self._phases.get(phase_name)
        if phase is None:
            return self._told
        while phase.parent is not None and (parent := self._phases.get(phase.parent)) is not None:
            parent.part = max(parent.part, phase.fraction)
            phase = parent
        return phase.fraction


@dataclass(frozen=True)
class BuildRequest:
    """What an engine is built from and for."""

    graph: bytes = field(repr=False)
    ranges: Ranges
    options: BuildOptions


@dataclass(frozen=True)
class Built:
    """What a build leaves: the engine and what TensorRT learnt about its kernels' speed."""

    plan: bytes = field(repr=False)
    timing_cache: bytes = field(repr=False)


def build(
    request: BuildRequest, timing_cache: bytes = b"", on_progress: OnBuildProgress = lambda _: None
) -> Built:
    """Build an engine. Takes seconds to an hour, without holding Python's lock.

    Args:
        request: The graph, its shapes and the options.
        timing_cache: What an earlier build of this TensorRT on this device left; may be empty.
        on_progress: Told at every step; what it raises ends the build and is raised here.

    Raises:
        BackendError: TensorRT refuses the graph or the shapes, or cannot build.
    """
    builder = _made(trt.Builder, log())
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = _made(trt.OnnxParser, network, log())
    if not parser.parse(request.graph):
        reasons = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise BackendError(f"tensorrt refused the graph: {_joined(reasons)}")
    _check_inputs(network, request.ranges)
    config = builder.create_builder_config()
    _configure(config, request.options)
    _add_profile(builder, network, config, request.ranges)
    timings = _set_timing_cache(config, timing_cache)  # must live as long as the build
    monitor = Monitor(on_progress)
    config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    if monitor.error is not None:
        raise monitor.error
    if plan is None:
        raise BackendError(f"tensorrt could not build an engine: {log().take()}")
    return Built(bytes(plan), bytes(timings.serialize()))


def deserialize(plan: bytes) -> trt.ICudaEngine | None:
    """Return the engine of a plan that this user's cache vouches for, None where it is unfit.

    Raises:
        BackendError: TensorRT cannot run here at all.
    """
    runtime = _made(trt.Runtime, log())
    runtime.engine_host_code_allowed = False
    return runtime.deserialize_cuda_engine(plan)


def inspect(engine: trt.ICudaEngine) -> str:
    """Return TensorRT's own report on the layers of an engine, as JSON."""
    inspector = engine.create_engine_inspector()
    return str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def precision_of(report: str) -> Precision:
    """Read from the inspector's report what the heavy layers compute in: the lowest among them."""
    layers = json.loads(report).get("Layers", [])
    found = " ".join(
        _types(layer)
        for layer in layers
        if isinstance(layer, dict)
        and any(word in str(layer.get("LayerType", "")).lower() for word in _HEAVY_LAYERS)
    )
    return next((name for name, words in _TYPE_WORDS if any(w in found for w in words)), "fp32")


def _types(layer: Mapping[str, object]) -> str:
    """Return the words for the type of a layer's weights, else of its inputs."""
    weights = layer.get("Weights")
    if isinstance(weights, dict) and "Type" in weights:
        return str(weights["Type"]).lower()
    inputs = layer.get("Inputs")
    tensors = inputs if isinstance(inputs, list) else []
    formats = [item.get("Format/Datatype") for item in tensors if isinstance(item, dict)]
    return " ".join(str(text) for text in formats).lower()


def _made(kind: Callable[..., Any], *arguments: object) -> Any:
    """Make one of TensorRT's objects; its bindings raise TypeError where the library refuses."""
    try:
        return kind(*arguments)
    except (TypeError, RuntimeError) as error:
        raise BackendError(
            f"tensorrt {VERSION} cannot start ({one_line(error)}): {log().take()}"
        ) from error


def _joined(reasons: list[str]) -> str:
    return one_line(RuntimeError("\n".join(reasons))) if reasons else log().take()


def _check_inputs(network: trt.INetworkDefinition, ranges: Ranges) -> None:
    """Refuse shapes that the graph does not take, before minutes are spent on them."""
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    taken = {item.name: [None if side == -1 else side for side in item.shape] for item in inputs}
    for end in ("smallest", "largest"):
        shapes = {name: getattr(item, end) for name, item in ranges.items()}
        check_shapes("tensorrt", taken, shapes)


def _configure(config: trt.IBuilderConfig, options: BuildOptions) -> None:
    config.builder_optimization_level = options.optimization_level
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.clear_flag(trt.BuilderFlag.TF32)
    if options.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS


def _add_profile(
    builder: trt.Builder,
    network: trt.INetworkDefinition,
    config: trt.IBuilderConfig,
    ranges: Ranges,
) -> None:
    """Tell the range of every input with a free side. Where all are fixed, nothing is told."""
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    free = [tensor.name for tensor in inputs if -1 in tuple(tensor.shape)]
    if not free:
        return
    profile = builder.create_optimization_profile()
    for name in free:
        item = ranges[name]
        profile.set_shape(name, item.smallest, item.best, item.largest)
    config.add_optimization_profile(profile)


def _set_timing_cache(config: trt.IBuilderConfig, content: bytes) -> trt.ITimingCache:
    """Start from what is known of kernels' speed; of another TensorRT or device: from nothing."""
    timings = config.create_timing_cache(content)
    if timings is None or not config.set_timing_cache(timings, False):
        timings = config.create_timing_cache(b"")
        config.set_timing_cache(timings, False)
        log().take()
    return timings
