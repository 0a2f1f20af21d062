"""A model, ready to translate frames on this machine.

`load` reads and verifies a model folder and decides how to run it. The engine is compiled once per
frame size, and the last few sizes are kept.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import cast, get_args

import numpy as np

from dayshift.runtime.backends import (
    BACKEND_NAMES,
    Backend,
    BackendName,
    Precision,
    Shapes,
    check_backend,
    check_precision,
    open_backend,
)
from dayshift.runtime.bundled import model_folder
from dayshift.runtime.errors import BackendError, MissingDependency, ModelError, UsageError
from dayshift.runtime.image import Pixels, check_labels, check_pixels
from dayshift.runtime.plan import FullPlan, Lanes, MapsPlan, Plan, Translation
from dayshift.runtime.spec import (
    FilePrecision,
    FormName,
    GraphFile,
    MapsForm,
    ModelSpec,
    load_spec,
    read_graph,
)

__all__ = ["Model", "Setup", "Translation", "load"]

# What a webcam gives, so that the engine of most streams is ready when `load` returns.
DEFAULT_SIZE = (720, 1280)
_KEPT_SIZES = 4

# From best to last resort. OpenVINO gains from int8; ONNX Runtime fuses few of the Q/DQ pairs that
# the int8 graphs have, and then computes in fp32 with extra work around it.
_BEST_PRECISION: dict[BackendName, tuple[FilePrecision, ...]] = {
    "openvino": ("int8", "fp32", "fp16"),
    "onnxruntime": ("fp32", "int8", "fp16"),
}


@dataclass(frozen=True)
class Setup:
    """How a model is run: what was asked, and what that came to."""

    backend: BackendName
    precision_requested: str
    precision: Precision
    form: FormName
    file: GraphFile
    reason: str


def load(
    model: str | Path,
    *,
    backend: str = "auto",
    precision: str = "auto",
    strength: float | None = None,
    form: str = "auto",
    size: tuple[int, int] = DEFAULT_SIZE,
    lanes: int = 1,
) -> Model:
    """Load a bundled model by name, or a model folder.

    With backend "auto", OpenVINO is taken where it works, else ONNX Runtime; `Model.selection` says
    which and why. What is asked for by name is had, or is an error.

    Args:
        model: A bundled name such as "day2night", or a folder.
        backend: "auto", "openvino" or "onnxruntime".
        precision: "auto", "fp32", "bf16", "fp16" or "int8".
        strength: How much of the effect, within the model's limits; the model's default when None.
        form: "auto", "full" or "maps".
        size: (height, width) of the frames to come. Other sizes work, and compile when they come.
        lanes: How many threads will call the model at a time. One frame has all cores, for the
            shortest latency; more share them, for the highest rate.

    Raises:
        UsageError: Unknown backend, precision or form; strength out of range.
        ModelError: The folder is missing, malformed, corrupt, or lacks what was asked for.
        MissingDependency: The engine's library is not installed.
        BackendError: The engine refuses the graph or the precision.
    """
    folder = model_folder(model)
    spec = load_spec(folder)
    if backend != "auto":
        name = check_backend(backend)
        setup = _set_up(spec, name, precision, form, f"backend {name} as asked")
        return Model(folder, spec, setup, strength=strength, size=size, lanes=lanes)
    failures: list[str] = []
    for name in BACKEND_NAMES:
        reason = "; ".join([*failures, f"backend {name}: the fastest that works here"])
        setup = _set_up(spec, name, precision, form, reason)
        try:
            return Model(folder, spec, setup, strength=strength, size=size, lanes=lanes)
        except (MissingDependency, BackendError) as error:
            failures.append(str(error))
    raise BackendError("no backend works here: " + "; ".join(failures))


class Model:
    """Translates frames, `lanes` at a time; more threads wait. `strength` may be set from any.

    Attributes:
        folder: The model folder.
        spec: What its `model.json` says; `name` is from there.
        sha256: Hash of the graph file in use.
        form: "maps" or "full".
        lanes: How many frames it translates at a time.
        backend_name: The engine in use.
        backend_version: Its own version.
        device: What it runs on.
        precision_requested: What `load` was asked for, perhaps "auto".
        precision: What the engine says it computes in.
        selection: One line on what was chosen and why.
    """

    def __init__(
        self,
        folder: Path,
        spec: ModelSpec,
        setup: Setup,
        *,
        strength: float | None = None,
        size: tuple[int, int] = DEFAULT_SIZE,
        lanes: int = 1,
    ) -> None:
        self.lanes = lanes
        self.folder = folder
        self.spec = spec
        self.form: FormName = setup.form
        self.sha256 = setup.file.sha256
        self.precision_requested = setup.precision_requested
        self._setup = setup
        self.strength = spec.controls.strength.default if strength is None else strength
        self._graph = read_graph(folder, setup.file)
        self._sizes: OrderedDict[tuple[int, int], Lanes] = OrderedDict()
        self._compiling = threading.Lock()
        self._is_closed = False
        engine = self._lanes_of(*(spec.forms.full.size or size)).backend
        self.backend_name: BackendName = engine.name
        self.backend_version = engine.version
        self.device = engine.device
        self.precision: Precision = engine.precision
        self.selection = self._describe()

    @property
    def name(self) -> str:
        """The model's own."""
        return self.spec.name

    @property
    def strength(self) -> float:
        """How much of the effect: 0 returns the frame unchanged, 1 is the full effect."""
        return self._strength

    @strength.setter
    def strength(self, value: float) -> None:
        control = self.spec.controls.strength
        # Written so that NaN fails too.
        if not control.minimum <= value <= control.maximum:
            raise UsageError(
                f"strength {value} is out of range: "
                f"expected {control.minimum:g} to {control.maximum:g}"
            )
        self._strength = float(value)

    def __call__(self, frame: Pixels) -> Pixels:
        """Translate a uint8 BGR frame (H, W, 3); the image has its shape and is the caller's."""
        return self.translate(frame).image

    def translate(self, frame: Pixels) -> Translation:
        """Translate a frame and tell how long each step took.

        A model that paints label maps takes those instead, uint8 (H, W).

        Raises:
            UsageError: It is not a uint8 BGR frame (H, W, 3) of at least 16x16.
            BackendError: The engine failed, or the model was closed.
        """
        label_count = self.spec.forms.full.label_count
        pixels = check_pixels(frame) if label_count is None else check_labels(frame, label_count)
        height, width = pixels.shape[:2]
        return self._lanes_of(height, width).translate(pixels, self._strength)

    def warm_up(self, height: int, width: int, count: int = 3) -> None:
        """Compile for a frame size and run it, so that the first frame is as fast as the rest."""
        frame = np.zeros((height, width, 3), np.uint8)
        for _ in range(count):
            self.translate(frame)

    def close(self) -> None:
        """Free the engines. Safe to call twice; frames are refused afterwards."""
        with self._compiling:
            self._is_closed = True
            while self._sizes:
                self._sizes.popitem()[1].close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _lanes_of(self, height: int, width: int) -> Lanes:
        """Return the plans for a frame size, compiling it when it is new."""
        size = (height, width)
        with self._compiling:
            if self._is_closed:
                raise BackendError(f"model {self.spec.name} was closed: load it again")
            if size not in self._sizes:
                # Room is made first: on a small device two large engines may not fit.
                while len(self._sizes) >= _KEPT_SIZES:
                    self._sizes.popitem(last=False)[1].close()
                self._sizes[size] = Lanes(self._compile(size), self.lanes)
            self._sizes.move_to_end(size)
            return self._sizes[size]

    def _compile(self, size: tuple[int, int]) -> Plan:
        form = self.spec.form(self.form)
        if isinstance(form, MapsForm):
            return MapsPlan(form, size, self._open)
        return FullPlan(form, size, self._open)

    def _open(self, shapes: Shapes) -> Backend:
        setup = self._setup
        return open_backend(setup.backend, self._graph, shapes, setup.precision, lanes=self.lanes)

    def _describe(self) -> str:
        setup = self._setup
        ran = "" if self.precision == setup.precision else f", which runs in {self.precision} here"
        return f"{setup.reason}{ran}"


def _set_up(spec: ModelSpec, backend: BackendName, precision: str, form: str, reason: str) -> Setup:
    """Choose form, precision and file for one backend."""
    form_name = _choose_form(spec, form, precision)
    files = spec.form(form_name).files
    if precision == "auto":
        chosen: Precision = next(p for p in _BEST_PRECISION[backend] if p in files)
        reason += f"; precision {chosen}: the best it has for {backend}"
    else:
        chosen = check_precision(precision)
        reason += f"; precision {chosen} as asked"
    file = files.get(_file_precision(chosen))
    refused = spec.refused.get(_file_precision(chosen))
    if file is None and refused is not None:
        raise ModelError(f"model {spec.name} was refused its {chosen} file: {refused}")
    if file is None:
        raise ModelError(
            f"model {spec.name} has no {chosen} file of form {form_name}: "
            f"it has {', '.join(files)}; ask for one of these or quantize it"
        )
    reason += f"; form {form_name}"
    return Setup(backend, precision, chosen, form_name, file, reason)


def _choose_form(spec: ModelSpec, form: str, precision: str) -> FormName:
    """Choose the form: maps are several times faster on a CPU, which is all the backends run on."""
    if form == "auto":
        maps = spec.forms.maps
        lacks = precision != "auto" and maps is not None and not _has(maps, precision)
        return "full" if maps is None or lacks else "maps"
    if form not in get_args(FormName):
        expected = ", ".join(get_args(FormName))
        raise UsageError(f"unknown form {form!r}: expected auto or one of {expected}")
    return cast(FormName, form)


def _has(form: MapsForm, precision: str) -> bool:
    """Say whether the form has the file that a precision asked for needs."""
    return _file_precision(check_precision(precision)) in form.files


def _file_precision(precision: Precision) -> FilePrecision:
    """Return which file holds the graph: bf16 is fp32's, computed in bf16."""
    return "fp32" if precision == "bf16" else precision
