"""Plans: one form of a model, compiled and with its buffers, for one frame size.

A plan owns its backend. The image it returns is the caller's: no later call writes to it.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import LifoQueue
from typing import Protocol

import numpy as np

from dayshift.runtime.backends import Backend, Shapes
from dayshift.runtime.backends.base import Array
from dayshift.runtime.errors import ModelError, UsageError
from dayshift.runtime.image import (
    MapApplier,
    Pixels,
    crop,
    pad_frame,
    padded_size,
    shrink,
    shrink_factor,
)
from dayshift.runtime.spec import FullForm, MapsForm

OpenGraph = Callable[[Shapes], Backend]

# What the user has set, by the name of the graph's input; those that are not there are 1.
ControlValues = Mapping[str, float]


@dataclass(frozen=True)
class Translation:
    """A translated frame, and how long each step took on the calling thread."""

    image: Pixels
    preprocess_ms: float
    infer_ms: float
    postprocess_ms: float


class Plan(Protocol):
    """What a model does with frames of one size. One instance serves one thread."""

    backend: Backend

    def translate(self, frame: Pixels, controls: ControlValues) -> Translation:
        """Translate a frame of the plan's size."""
        ...

    def fork(self) -> Plan:
        """Return a plan for another thread, on the same compiled graph."""
        ...


class FullPlan:
    """Pads, lets the engine do everything, crops. Takes label maps where the form reads those.

    Raises:
        UsageError: The form has a fixed size, and frames of `size` do not fit into it.
    """

    def __init__(self, form: FullForm, size: tuple[int, int], open_graph: OpenGraph) -> None:
        self._padded = _graph_size(form, size)
        self._form = form
        blank = _blank(form, self._padded)
        self.backend = _open_checked(open_graph, blank, (1, *self._padded, 3), ("image",))

    def translate(self, frame: Pixels, controls: ControlValues) -> Translation:
        """Translate a frame, or label map, of the plan's size."""
        start = time.perf_counter()
        padded = pad_frame(frame, *self._padded)
        padded_at = time.perf_counter()
        outputs = self.backend.infer(graph_inputs(self._form, padded, controls))
        inferred_at = time.perf_counter()
        image = crop(outputs["image"][0], *frame.shape[:2]).copy()
        return _timed(image, start, padded_at, inferred_at)

    def fork(self) -> FullPlan:
        """Return a plan for another thread, on the same compiled graph."""
        twin = copy.copy(self)
        twin.backend = self.backend.fork()
        return twin


class MapsPlan:
    """Pads, shrinks, lets the engine make the small maps, enlarges and applies them."""

    def __init__(self, form: MapsForm, size: tuple[int, int], open_graph: OpenGraph) -> None:
        self._padded = padded_size(*size, multiple=form.multiple, short_side=form.short_side)
        self._factor = shrink_factor(*self._padded, form.short_side)
        small = (self._padded[0] // self._factor, self._padded[1] // self._factor, 3)
        self._form = form
        blank = graph_inputs(form, np.zeros(small, np.uint8))
        self.backend = _open_checked(open_graph, blank, (1, *small), ("gain", "light"))
        self._size = size
        self._apply = MapApplier(*size, self._factor)

    def translate(self, frame: Pixels, controls: ControlValues) -> Translation:
        """Translate a frame of the plan's size."""
        start = time.perf_counter()
        small = shrink(pad_frame(frame, *self._padded), self._factor)
        shrunk_at = time.perf_counter()
        maps = self.backend.infer(graph_inputs(self._form, small, controls))
        inferred_at = time.perf_counter()
        # The frame is not padded here: of the enlarged maps only what it covers is used.
        image = self._apply(frame, maps["gain"][0], maps["light"][0])
        return _timed(image, start, shrunk_at, inferred_at)

    def fork(self) -> MapsPlan:
        """Return a plan for another thread, on the same compiled graph."""
        twin = copy.copy(self)
        twin.backend = self.backend.fork()
        twin._apply = MapApplier(*self._size, self._factor)
        return twin


class Lanes:
    """One plan for each frame that is translated at a time. Any thread may call.

    Attributes:
        backend: Of the first plan; the others are its forks.
    """

    def __init__(self, plan: Plan, count: int) -> None:
        self.backend = plan.backend
        self._count = count
        # The plan that was used last has its buffers in a cache.
        self._free: LifoQueue[Plan] = LifoQueue()
        for lane in (plan, *(plan.fork() for _ in range(count - 1))):
            self._free.put(lane)

    def translate(self, frame: Pixels, controls: ControlValues) -> Translation:
        """Translate a frame of the plans' size, as soon as a plan is free."""
        plan = self._free.get()
        try:
            return plan.translate(frame, controls)
        finally:
            self._free.put(plan)

    def close(self) -> None:
        """Free the engine when all plans are; frames are refused afterwards."""
        plans = [self._free.get() for _ in range(self._count)]
        for plan in plans:
            plan.backend.close()
            self._free.put(plan)


def full_shapes(form: FullForm, size: tuple[int, int]) -> Shapes:
    """Return the shape of every input that the graph is given for frames of `size`.

    Raises:
        UsageError: The form has a fixed size, and frames of `size` do not fit into it.
    """
    return {name: array.shape for name, array in _blank(form, _graph_size(form, size)).items()}


def _blank(form: FullForm, padded: tuple[int, int]) -> dict[str, Array]:
    """Return inputs without content, of what the form reads."""
    channels = () if form.input == "labels" else (3,)
    return graph_inputs(form, np.zeros((*padded, *channels), np.uint8))


def _graph_size(form: FullForm, size: tuple[int, int]) -> tuple[int, int]:
    """Return the (height, width) that the graph is given for frames of `size`."""
    if form.size is None:
        return padded_size(*size, multiple=form.multiple, short_side=form.short_side)
    if size[0] > form.size[0] or size[1] > form.size[1]:
        raise UsageError(
            f"got frames of {size[1]}x{size[0]}, but this model was exported for "
            f"{form.size[1]}x{form.size[0]} and takes no larger ones: give it smaller frames, or "
            "export it for this size"
        )
    return form.size


def _open_checked(
    open_graph: OpenGraph,
    blank: dict[str, Array],
    image_shape: tuple[int, ...],
    outputs: tuple[str, ...],
) -> Backend:
    """Open the graph and run it once: engines allocate on their first call.

    Raises:
        ModelError: An output is missing, or is not uint8 in the image's shape.
    """
    backend = open_graph({name: array.shape for name, array in blank.items()})
    got = backend.infer(blank)
    if any(
        name not in got or got[name].shape != image_shape or got[name].dtype != np.uint8
        for name in outputs
    ):
        found = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in got.items())
        backend.close()
        raise ModelError(
            f"the graph gives {found}: expected {' and '.join(outputs)} as uint8 {image_shape}"
        )
    return backend


def graph_inputs(
    form: FullForm | MapsForm, pixels: Pixels, controls: ControlValues | None = None
) -> dict[str, Array]:
    """Return what a form's graph reads for a frame, or label map, of the graph's own size."""
    if isinstance(form, FullForm) and form.input == "labels":
        return {"labels": pixels[None]}
    values = controls or {}
    inputs: dict[str, Array] = {"frame": pixels[None]}
    for name in form.controls:
        inputs[name] = np.array([values.get(name, 1.0)], np.float32)
    return inputs


def _timed(image: Pixels, start: float, prepared_at: float, inferred_at: float) -> Translation:
    end = time.perf_counter()
    return Translation(
        image=image,
        preprocess_ms=(prepared_at - start) * 1e3,
        infer_ms=(inferred_at - prepared_at) * 1e3,
        postprocess_ms=(end - inferred_at) * 1e3,
    )
