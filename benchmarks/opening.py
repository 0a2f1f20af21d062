"""Opens what a case names, so that every scenario can drive it the same way.

Model folders on a runtime engine go through `load`, exactly as users have them. PyTorch takes the
engine's place inside the same plan: shrinking, enlarging and applying are the runtime's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dayshift.benchmarks.cases import TORCH_BACKENDS, Case, model_spec
from dayshift.runtime.backends import Backend, Shapes
from dayshift.runtime.backends.quiet_openvino import without_telemetry
from dayshift.runtime.bundled import model_folder
from dayshift.runtime.cores import lanes_for
from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import MissingDependency
from dayshift.runtime.graph_inputs import graph_inputs
from dayshift.runtime.image import (
    MapApplier,
    Pixels,
    crop,
    pad_frame,
    padded_size,
    shrink,
    shrink_factor,
)
from dayshift.runtime.model import load
from dayshift.runtime.plan import FullPlan, MapsPlan, Plan, Translation
from dayshift.runtime.spec import FullForm, MapsForm, ModelSpec
from dayshift.runtime.stream_memory import Memory

if TYPE_CHECKING:
    from dayshift.benchmarks.eager import TorchBackend


class Translator(Protocol):
    """What a scenario drives; `Model` is one."""

    lanes: int

    @property
    def backend_version(self) -> str:
        """As the engine gives it."""
        ...

    @property
    def device(self) -> str:
        """Such as CPU."""
        ...

    @property
    def precision_requested(self) -> str:
        """As asked for, or auto."""
        ...

    @property
    def sha256(self) -> str:
        """Of the graph, or of the checkpoint."""
        ...

    @property
    def name(self) -> str:
        """The model's own."""
        ...

    @property
    def backend_name(self) -> str:
        """The engine in use."""
        ...

    @property
    def precision(self) -> str:
        """What the engine says it computes in."""
        ...

    @property
    def form(self) -> str:
        """Either maps or full."""
        ...

    def translate(self, frame: Pixels, memory: Memory | None = None) -> Translation:
        """Translate a uint8 BGR frame (H, W, 3)."""
        ...

    def warm_up(self, height: int, width: int) -> None:
        """Run a frame of that size."""
        ...

    def close(self) -> None:
        """Free the engine."""
        ...


@dataclass
class Opened:
    """A translator, and what is known of it besides its own attributes."""

    translator: Translator
    form: FullForm | MapsForm
    engine_shapes: dict[str, tuple[int, ...]]
    has_trained_weights: bool = True
    macs: int | None = None  # where there is no graph to count them in
    notes: list[str] = field(default_factory=list)


def open_case(case: Case) -> Opened:
    """Open the model of a case at its size.

    Raises:
        MissingDependency: The backend's library, or the device asked for, is not here.
        DayshiftError: The model or the engine refuses.
    """
    spec = model_spec(case.model)
    height, width = case.size_wh[1], case.size_wh[0]
    if case.backend in TORCH_BACKENDS:
        return _open_torch(case, spec)
    if spec is None:
        raise MissingDependency(
            f"{case.model} has no graph for {case.backend}: dayshift export makes a model folder"
        )
    _check_device(case)
    model = load(
        case.model,
        backend=case.backend,
        precision=case.precision,
        form=case.form,
        size=(height, width),
        lanes=_lanes(case),
    )
    form = spec.form(model.form)
    return Opened(model, form, engine_shapes(form, (height, width)))


def _lanes(case: Case) -> int:
    """Return how many frames the scenario has in flight."""
    if case.scenario == "file":
        return lanes_for("every")
    return case.streams if case.scenario == "offline" else 1


class _Shapes(Exception):
    """Carries the shapes that a plan opens its graph with."""

    def __init__(self, shapes: Shapes) -> None:
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}


def engine_shapes(form: FullForm | MapsForm, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """Return the shapes a form's graph is opened with for frames of (height, width)."""

    def tell(shapes: Shapes) -> Backend:
        raise _Shapes(shapes)

    try:
        if isinstance(form, MapsForm):
            MapsPlan(form, size, tell)
        else:
            FullPlan(form, size, tell)
    except _Shapes as told:
        return told.shapes
    raise AssertionError("a plan opens its graph when it is made")


def _check_device(case: Case) -> None:
    """Tell what is not here from what is here and fails.

    Raises:
        MissingDependency: The provider or device is not here, or the runtime does not use it.
    """
    name, _, provider = case.backend.partition(":")
    try:
        if provider:
            import onnxruntime

            names = [str(n).casefold() for n in onnxruntime.get_available_providers()]
            if f"{provider}executionprovider" not in names:
                raise MissingDependency(f"this onnxruntime was built without {provider}")
        if not case.device:
            return
        with without_telemetry():
            import openvino
    except ImportError as error:
        raise missing_dependency(name, error) from error
    seen = [str(name).split(".")[0] for name in openvino.Core().available_devices]
    if case.device in seen:
        raise MissingDependency(
            f"openvino sees {case.device}, but dayshift runs it on the processor only"
        )
    raise MissingDependency(f"openvino sees no {case.device} here, only {', '.join(seen)}")


class PlanTranslator:
    """A plan with a backend that the runtime does not know, seen as a translator."""

    def __init__(self, plan: Plan, name: str, *, form: str, requested: str, sha256: str) -> None:
        self.plan = plan
        self.name = name
        self.lanes = 1
        self.form = form
        self.precision_requested = requested
        self.sha256 = sha256
        self.backend_name: str = plan.backend.name
        self.backend_version = plan.backend.version
        self.device = plan.backend.device
        self.precision: str = plan.backend.precision

    def translate(self, frame: Pixels, memory: Memory | None = None) -> Translation:
        """Translate a frame of the plan's size at full strength."""
        return self.plan.translate(frame, {}, memory)

    def translate_batch(self, frames: Sequence[Pixels], form: FullForm | MapsForm) -> list[Pixels]:
        """Translate several frames with one call of the engine.

        Only PyTorch's rows do this: a model folder's graphs take one frame, as a camera gives it.
        """
        height, width = frames[0].shape[:2]
        padded = padded_size(height, width, multiple=form.multiple, short_side=form.short_side)
        inputs = [pad_frame(frame, *padded) for frame in frames]
        controls = graph_inputs(form, frames[0])
        if not isinstance(form, MapsForm):
            images = self.plan.backend.infer({**controls, "frame": np.stack(inputs)})["image"]
            return [crop(image, height, width).copy() for image in images]
        factor = shrink_factor(*padded, form.short_side)
        small = np.stack([shrink(frame, factor) for frame in inputs])
        maps = self.plan.backend.infer({**controls, "frame": small})
        apply = MapApplier(height, width, factor)
        return [apply(f, g, m) for f, g, m in zip(frames, maps["gain"], maps["light"], strict=True)]

    def warm_up(self, height: int, width: int) -> None:
        """Run one blank frame; opening the plan ran another."""
        self.translate(np.zeros((height, width, 3), np.uint8))

    def close(self) -> None:
        """Free the engine."""
        self.plan.backend.close()


def _open_torch(case: Case, spec: ModelSpec | None) -> Opened:
    """Put PyTorch into the plan of a form."""
    try:
        from dayshift.benchmarks.eager import TorchBackend, count_macs
    except ImportError as error:
        raise MissingDependency(
            f"PyTorch and ONNX are not here ({error}): pip install 'dayshift[train,export]'"
        ) from error

    form, module, is_trained, sha256 = _torch_parts(case, spec)
    size = (case.size_wh[1], case.size_wh[0])
    shapes = engine_shapes(form, size)
    macs = count_macs(module, shapes)

    def open_graph(_: Shapes) -> TorchBackend:
        return TorchBackend(module, case.precision, compiled=case.backend == "torch.compile")

    kind = MapsPlan if isinstance(form, MapsForm) else FullPlan
    plan = kind(form, size, open_graph)  # type: ignore[arg-type]
    name = "maps" if isinstance(form, MapsForm) else "full"
    model_name = spec.name if spec else Path(case.model).stem
    translator = PlanTranslator(
        plan, model_name, form=name, requested=case.precision, sha256=sha256
    )
    if case.batch > 1:
        shapes["frame"] = (case.batch, *shapes["frame"][1:])
    notes = [] if is_trained else ["random weights: their times are those of trained ones"]
    return Opened(translator, form, shapes, is_trained, macs, notes)


def _torch_parts(case: Case, spec: ModelSpec | None) -> tuple[FullForm | MapsForm, Any, bool, str]:
    """Return form, module, whether its weights are trained, and the hash of where they are from."""
    from dayshift.benchmarks import eager

    if spec is not None:
        form: FullForm | MapsForm = spec.forms.full
        if case.form != "full" and spec.forms.maps is not None:
            form = spec.forms.maps
        form = form.model_copy(update={"states": {}})  # the network alone has no memory
        module = eager.module_of_model(model_folder(case.model), spec, form, case.size_wh)
        return form, module, True, form.files["fp32"].sha256
    module, is_trained = eager.module_of_network(case.model)
    if isinstance(module, eager.MapsModule):
        maps = MapsForm.model_construct(multiple=1, short_side=module.short_side)
        return maps, module, is_trained, _file_sha256(case.model)
    form = FullForm.model_construct(multiple=module.multiple)
    return form, module, is_trained, _file_sha256(case.model)


def _file_sha256(model: str) -> str:
    import hashlib

    path = Path(model)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
