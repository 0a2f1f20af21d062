"""A model, ready to translate frames on this machine.

`load` reads and verifies a model folder and decides how to run it. The engine is compiled once per
frame size, and the last few sizes are kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dayshift.runtime.backends import BackendName, Precision
from dayshift.runtime.bundled import model_folder
from dayshift.runtime.choice import Setup, setups
from dayshift.runtime.closing import Closing
from dayshift.runtime.engine_swap import EnginesInUse
from dayshift.runtime.engines import Building
from dayshift.runtime.errors import (
    BackendError,
    MissingDependency,
    UsageError,
)
from dayshift.runtime.image import Pixels, check_labels, check_pixels
from dayshift.runtime.model_files import load_spec
from dayshift.runtime.plan import Translation
from dayshift.runtime.spec import ControlName, FormName, ModelSpec
from dayshift.runtime.stream_memory import Memory

__all__ = ["Building", "Memory", "Model", "Translation", "load"]

# What a webcam gives, so that the engine of most streams is ready when `load` returns.
DEFAULT_SIZE = (720, 1280)


def load(
    model: str | Path,
    *,
    backend: str = "auto",
    precision: str = "auto",
    strength: float | None = None,
    lamps: float | None = None,
    form: str = "auto",
    size: tuple[int, int] = DEFAULT_SIZE,
    lanes: int = 1,
    building: Building | None = None,
) -> Model:
    """Load a bundled model by name, or a model folder.

    With backend "auto", TensorRT is taken where there is an NVIDIA GPU and it works, else OpenVINO,
    else ONNX Runtime; `Model.selection` says which and why. What is asked for by name is had, or is
    an error.

    Args:
        model: A bundled name such as "day2night", or a folder.
        backend: "auto", "tensorrt", "openvino" or "onnxruntime", the last perhaps with a provider:
            "onnxruntime:cuda".
        precision: "auto", "fp32", "bf16", "fp16" or "int8".
        strength: How much of the effect, within the model's limits; the model's default when None.
        lamps: Share of the artificial light that burns, in models that have the control.
        form: "auto", "full" or "maps".
        size: (height, width) of the frames to come. Other sizes work, and compile when they come.
        lanes: How many threads will call the model at a time. One frame has all cores, for the
            shortest latency; more share them, for the highest rate. A model with a memory has one,
            since each frame needs what the one before it left.
        building: What to do where TensorRT must build first. By default `load` waits for it.

    Raises:
        UsageError: Unknown backend, precision or form; strength or lamps out of range, or lamps of
            a model without them.
        ModelError: The folder is missing, malformed, corrupt, or lacks what was asked for.
        MissingDependency: The engine's library is not installed.
        BackendError: The engine refuses the graph or the precision.
    """
    folder = model_folder(model)
    spec = load_spec(folder)
    building = building or Building()
    failures: list[str] = []
    for setup in setups(spec, backend, precision, form):
        told = dataclasses.replace(setup, reason="; ".join([*failures, setup.reason]))
        try:
            return Model(
                folder,
                spec,
                told,
                strength=strength,
                lamps=lamps,
                size=size,
                lanes=lanes,
                building=building,
            )
        except (MissingDependency, BackendError) as error:
            if backend != "auto":
                raise
            failures.append(str(error))
    raise BackendError("no backend works here: " + "; ".join(failures))


class Model(Closing):
    """Translates frames, `lanes` at a time; more threads wait. Any may set `strength` and `lamps`.

    While TensorRT builds in the background, what the attributes say of the engine is true of the
    one that runs until then; afterwards, of TensorRT's.

    Attributes:
        folder: The model folder.
        spec: What its `model.json` says; `name` is from there.
        lanes: How many frames it translates at a time; one where it has a memory.
    """

    def __init__(
        self,
        folder: Path,
        spec: ModelSpec,
        setup: Setup,
        *,
        strength: float | None = None,
        lamps: float | None = None,
        size: tuple[int, int] = DEFAULT_SIZE,
        lanes: int = 1,
        building: Building | None = None,
    ) -> None:
        self.lanes = 1 if spec.has_memory else lanes
        self.folder = folder
        self.spec = spec
        self._values: dict[str, float] = {}
        self.strength = spec.controls.strength.default if strength is None else strength
        if lamps is not None:
            self.lamps = lamps
        elif spec.controls.lamps is not None:
            self.lamps = spec.controls.lamps.default
        self._engines = EnginesInUse(
            (folder, spec),
            setup,
            size=spec.forms.full.size or size,
            lanes=self.lanes,
            building=building or Building(),
        )

    @property
    def name(self) -> str:
        """The model's own."""
        return self.spec.name

    @property
    def has_memory(self) -> bool:
        """Whether an image depends on the frames of its stream that came before."""
        return self.spec.has_memory

    @property
    def sha256(self) -> str:
        """Hash of the graph file in use."""
        return self._engines.now.setup.file.sha256

    @property
    def form(self) -> FormName:
        """Which way of cutting the model into a graph is in use."""
        return self._engines.now.setup.form

    @property
    def backend_name(self) -> BackendName:
        """The engine in use."""
        return self._engines.now.first.name

    @property
    def backend_version(self) -> str:
        """The engine's own version."""
        return self._engines.now.first.version

    @property
    def device(self) -> str:
        """What the engine runs on."""
        return self._engines.now.first.device

    @property
    def precision_requested(self) -> str:
        """What `load` was asked for, perhaps "auto"."""
        return self._engines.now.setup.precision_requested

    @property
    def precision(self) -> Precision:
        """What the engine says it computes in."""
        return self._engines.now.precision

    @property
    def artifact(self) -> Path | None:
        """Where the engine in use lies in the private cache; None where none is kept."""
        return self._engines.now.first.artifact

    @property
    def selection(self) -> str:
        """One line on what was chosen and why."""
        return self._engines.now.description

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those that the form in use has files of."""
        return tuple(self.spec.form(self.form).files)

    @property
    def strength(self) -> float:
        """How much of the effect: 0 returns the frame unchanged, 1 is the full effect."""
        return self._values["strength"]

    @strength.setter
    def strength(self, value: float) -> None:
        self._turn("strength", value)

    @property
    def lamps(self) -> float:
        """The share of the artificial light that burns; 1 in models without the control."""
        return self._values.get("lamps", 1.0)

    @lamps.setter
    def lamps(self, value: float) -> None:
        self._turn("lamps", value)

    def _turn(self, name: ControlName, value: float) -> None:
        control = self.spec.controls.strength if name == "strength" else self.spec.controls.lamps
        if control is None:
            raise UsageError(f"model {self.name} has no control for lamps: leave it")
        # Written so that NaN fails too.
        if not control.minimum <= value <= control.maximum:
            raise UsageError(
                f"{name} {value} is out of range: "
                f"expected {control.minimum:g} to {control.maximum:g}"
            )
        # A new dict: a frame that is on its way keeps the values that it began with.
        self._values = {**self._values, name: float(value)}

    def __call__(self, frame: Pixels) -> Pixels:
        """Translate a uint8 BGR frame (H, W, 3); the image has its shape and is the caller's."""
        return self.translate(frame).image

    def translate(self, frame: Pixels, memory: Memory | None = None) -> Translation:
        """Translate a frame and tell how long each step took.

        A model that paints label maps takes those instead, uint8 (H, W).

        Args:
            frame: Translated by itself, unless
            memory: is given: then as the next of the stream that has it, without flicker where the
                model is made for that. Each stream has a memory of its own.

        Raises:
            UsageError: It is not a uint8 BGR frame (H, W, 3) of at least 16x16.
            BackendError: The engine failed, or the model was closed.
        """
        label_count = self.spec.forms.full.label_count
        pixels = check_pixels(frame) if label_count is None else check_labels(frame, label_count)
        height, width = pixels.shape[:2]
        return self._engines.lanes_of(height, width).translate(pixels, self._values, memory)

    def open_stream(self) -> Callable[[Pixels], Pixels]:
        """Return what translates the frames of one stream, in order, with a memory of its own."""
        memory = Memory()
        return lambda frame: self.translate(frame, memory).image

    def warm_up(self, height: int, width: int, count: int = 3) -> None:
        """Compile for a frame size and run it, so that the first frame is as fast as the rest."""
        frame = np.zeros((height, width, 3), np.uint8)
        for _ in range(count):
            self.translate(frame)

    def close(self) -> None:
        """Free the engines. Safe to call twice; frames are refused afterwards."""
        self._engines.close()
