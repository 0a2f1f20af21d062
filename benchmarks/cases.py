"""Cases: what a benchmark measures, one row each, and which of them a request comes to.

A *scenario* says how frames arrive:

    engine          the graph alone, called back to back: what benchmark_app and trtexec measure
    single-stream   the next frame when the last image is there: latency of the model alone
    offline         as many frames in flight as there are streams: throughput
    camera          frames at a fixed rate, the newest wins: age of the image at the sink
    file            decode, translate, encode, every frame
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from dayshift.runtime.backends import BACKEND_NAMES, PRECISIONS, PROVIDERS
from dayshift.runtime.bundled import model_folder
from dayshift.runtime.errors import ModelError, UsageError
from dayshift.runtime.model_files import load_spec
from dayshift.runtime.spec import ModelSpec

Scenario = Literal["engine", "single-stream", "offline", "camera", "file"]
SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)
TORCH_BACKENDS = ("pytorch", "torch.compile")
BACKENDS: tuple[str, ...] = (*BACKEND_NAMES, *TORCH_BACKENDS)

# What each backend has of its own; "bf16" is fp32's graph, computed in bf16.
_PRECISIONS: dict[str, tuple[str, ...]] = {
    "onnxruntime": ("fp32", "fp16", "int8"),
    "tensorrt": ("fp32", "fp16", "int8"),
    "pytorch": ("fp32", "bf16"),
    "torch.compile": ("fp32",),
}
# Other places where OpenVINO may run; a row says why there is no figure.
_OPENVINO_DEVICES = ("GPU", "NPU")
FULL_SIZES_WH = ((320, 180), (640, 360), (1920, 1080), (3840, 2160))
CAMERA_FPS = 30.0


def usable_cores() -> int:
    """Count the cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Case:
    """One row to measure.

    Attributes:
        model: a bundled name, a model folder, a checkpoint file, or the name of a network, which
            then has random weights.
        backend: one of `BACKENDS`; onnxruntime may name a provider after a colon.
        precision: as for `load`; of the PyTorch backends fp32 or bf16.
        size_wh: width and height of the frames.
        scenario: how frames arrive.
        threads: cores the process may use.
        streams: frames in flight, of `offline`.
        batch: frames per call, of the PyTorch backends.
        device: a device other than the backend's own choice.
        form: as for `load`.
    """

    model: str
    backend: str
    precision: str
    size_wh: tuple[int, int]
    scenario: Scenario = "single-stream"
    threads: int = 1
    streams: int = 1
    batch: int = 1
    device: str = ""
    form: str = "auto"

    @property
    def size(self) -> str:
        """The size as people write it: 1280x720."""
        return f"{self.size_wh[0]}x{self.size_wh[1]}"

    def as_json(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Case:
        """Return the case that `as_json` described."""
        return cls(**{**fields, "size_wh": tuple(fields["size_wh"])})


@dataclass(frozen=True)
class Request:
    """What was asked for; empty means everything that makes sense."""

    models: tuple[str, ...]
    backends: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    sizes_wh: tuple[tuple[int, int], ...] = ()
    scenarios: tuple[Scenario, ...] = ()
    full: bool = False

    def check(self) -> None:
        """Refuse unknown words before anything is started.

        Raises:
            UsageError: A backend, precision or scenario is unknown, or there is no model.
        """
        if not self.models:
            raise UsageError("no model to measure: name one, as in dayshift bench day2night")
        for words, known, what in (
            (self.backends, BACKENDS, "backend"),
            (self.precisions, PRECISIONS, "precision"),
            (self.scenarios, SCENARIOS, "scenario"),
        ):
            for word in words:
                if word not in known:
                    raise UsageError(
                        f"unknown {what} {word!r}: expected some of {', '.join(known)}"
                    )


def plan_cases(request: Request) -> list[Case]:
    """Return every row of a request, the most telling one of each model first.

    Raises:
        UsageError: A word of the request is unknown, or a model is nothing we know.
        ModelError: A model folder is malformed.
    """
    request.check()
    cases = [case for model in request.models for case in _cases_of(model, request)]
    return list(dict.fromkeys(cases))


def _cases_of(model: str, request: Request) -> Iterator[Case]:
    sizes = request.sizes_wh or ((1280, 720),)
    spec = model_spec(model)
    plan = _model_cases(model, spec, request, sizes) if spec else _network_cases(model, sizes)
    for case in plan:
        asked = not request.scenarios or case.scenario in request.scenarios
        if asked and (not request.backends or case.backend.split(":")[0] in request.backends):
            yield case
    if request.full:
        yield from _scaling_cases(model, spec, request, sizes[0])


def model_spec(model: str) -> ModelSpec | None:
    """Return what a model folder says of itself; None for a checkpoint or a network's name.

    Raises:
        UsageError: It is none of these.
        ModelError: The folder is malformed.
    """
    if model.endswith(".safetensors"):
        return None
    try:
        return load_spec(model_folder(model))
    except ModelError as error:
        if not str(error).startswith("no model"):
            raise
        if is_network(model):
            return None
        raise UsageError(
            f"{error}; a checkpoint (.safetensors) or a network such as resnet_9blocks will do too"
        ) from error


def is_network(name: str) -> bool:
    """Say whether `name` is a network of ours; without PyTorch there is none."""
    try:
        from dayshift.train.networks.presets import NETWORK_NAMES
    except ImportError:
        return name.isidentifier() and "_" in name
    return name in NETWORK_NAMES


def _model_cases(
    model: str, spec: ModelSpec, request: Request, sizes: tuple[tuple[int, int], ...]
) -> Iterator[Case]:
    cores = usable_cores()
    if spec.forms.full.size is not None:
        sizes = (spec.forms.full.size[::-1],)
    for size in sizes:
        main = Case(model, main_backend(request), "auto", size, threads=cores)
        for backend in request.backends or BACKENDS:
            for precision in _precisions_of(backend, spec, request):
                yield dataclasses.replace(main, backend=backend, precision=precision)
        yield dataclasses.replace(main, scenario="engine")
        yield dataclasses.replace(main, scenario="offline", streams=cores)
        if spec.forms.full.input == "frame":
            yield dataclasses.replace(main, scenario="camera")
            yield dataclasses.replace(main, scenario="file")
    for provider in PROVIDERS:
        if provider != "cpu":
            yield Case(model, f"onnxruntime:{provider}", "auto", sizes[0], threads=cores)
    for device in _OPENVINO_DEVICES:
        yield Case(model, "openvino", "auto", sizes[0], threads=cores, device=device)


def _network_cases(model: str, sizes: tuple[tuple[int, int], ...]) -> Iterator[Case]:
    """A network or checkpoint runs in PyTorch alone, as the authors' scripts run it."""
    for size in sizes:
        for scenario in ("single-stream", "camera", "file"):
            yield Case(model, "pytorch", "fp32", size, scenario, usable_cores())


def _scaling_cases(
    model: str, spec: ModelSpec | None, request: Request, size_wh: tuple[int, int]
) -> Iterator[Case]:
    """Size, threads, streams and batch, each by itself."""
    cores = usable_cores()
    if spec is None:
        yield Case(model, "pytorch", "fp32", (256, 256), threads=cores)
        yield Case(model, "torch.compile", "fp32", size_wh, threads=cores)
        return
    fixed = spec.forms.full.size
    size_wh = fixed[::-1] if fixed else size_wh
    main = Case(model, main_backend(request), "auto", size_wh, threads=cores)
    for other in () if fixed else FULL_SIZES_WH:
        yield dataclasses.replace(main, size_wh=other)
    for threads in _doubling(cores):
        yield dataclasses.replace(main, threads=threads)
    for streams in (*_doubling(cores), 2 * cores):
        yield dataclasses.replace(main, scenario="offline", streams=streams)
    for batch in (2, 4):
        yield dataclasses.replace(main, backend="pytorch", precision="fp32", batch=batch)


def main_backend(request: Request) -> str:
    """Return the backend that scenarios and scaling are shown with: the first that is here."""
    from dayshift.benchmarks.machine import is_installed

    wanted = [name for name in BACKEND_NAMES if not request.backends or name in request.backends]
    return next((name for name in wanted if is_installed(name)), (*wanted, "openvino")[0])


def _precisions_of(backend: str, spec: ModelSpec, request: Request) -> tuple[str, ...]:
    """Return what was asked for, else what the model has files for and the backend can use."""
    if request.precisions and backend in TORCH_BACKENDS:
        return tuple(p for p in _PRECISIONS[backend] if p in request.precisions)
    if request.precisions:
        return request.precisions
    forms = (spec.forms.full, spec.forms.maps)
    has = {precision for form in forms if form is not None for precision in form.files}
    possible = _PRECISIONS.get(backend, PRECISIONS)
    if backend in TORCH_BACKENDS:
        return possible
    return tuple(p for p in possible if p in has or (p == "bf16" and "fp32" in has))


def _doubling(most: int) -> list[int]:
    """Return 1, 2, 4, … up to `most`, which is always one of them."""
    values = [1]
    while values[-1] < most:
        values.append(min(2 * values[-1], most))
    return values
