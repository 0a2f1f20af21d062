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
from dayshift.runtime.errors import ModelError
from dayshift.runtime.graph_inputs import (
    ControlValues,
    blank_inputs,
    graph_inputs,
    graph_size,
)
from dayshift.runtime.image import (
    MapApplier,
    Pixels,
    Shrinker,
    crop,
    pad_frame,
    padded_size,
    shrink_factor,
)
from dayshift.runtime.spec import FullForm, MapsForm, next_state
from dayshift.runtime.stream_memory import Memory

OpenGraph = Callable[[Shapes], Backend]


@dataclass(frozen=True)
class Translation:
    """A translated frame, and how long each step took on the calling thread."""

    image: Pixels
    preprocess_ms: float
    infer_ms: float
    postprocess_ms: float


class Plan(Protocol):
    """What a model does with frames of one size. One instance serves one thread.

    Attributes:
        backend: What the graph runs on.
        form: What goes into the graph.
        engine: Stands for the compiled graph; the same in all forks.
        blank_states: What goes in where there is no frame before.
    """

    backend: Backend

    @property
    def form(self) -> FullForm | MapsForm:
        """What goes into the graph."""
        ...

    @property
    def engine(self) -> object:
        """Stands for the compiled graph; the same in all forks."""
        ...

    @property
    def blank_states(self) -> Mapping[str, Array]:
        """What goes in where there is no frame before; the same arrays for all photos."""
        ...

    def translate(
        self, frame: Pixels, controls: ControlValues, memory: Memory | None = None
    ) -> Translation:
        """Translate a frame of the plan's size, the next of the stream that has the memory."""
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
        self._padded = graph_size(form, size)
        self.form = form
        self.engine = object()
        self.backend, self.blank_states = _open_checked(open_graph, form, self._padded, ("image",))

    def translate(
        self, frame: Pixels, controls: ControlValues, memory: Memory | None = None
    ) -> Translation:
        """Translate a frame, or label map, of the plan's size."""
        start = time.perf_counter()
        padded = pad_frame(frame, *self._padded)
        padded_at = time.perf_counter()
        outputs = _infer(self, padded, controls, memory)
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
        small = (self._padded[0] // self._factor, self._padded[1] // self._factor)
        self.form = form
        self.engine = object()
        self.backend, self.blank_states = _open_checked(open_graph, form, small, ("gain", "light"))
        self._size = size
        self._shrink, self._apply = Shrinker(), MapApplier(*size, self._factor)

    def translate(
        self, frame: Pixels, controls: ControlValues, memory: Memory | None = None
    ) -> Translation:
        """Translate a frame of the plan's size."""
        start = time.perf_counter()
        small = self._shrink(frame, self._padded, self._factor)
        shrunk_at = time.perf_counter()
        maps = _infer(self, small, controls, memory)
        inferred_at = time.perf_counter()
        # The frame is not padded here: of the enlarged maps only what it covers is used.
        image = self._apply(frame, maps["gain"][0], maps["light"][0])
        return _timed(image, start, shrunk_at, inferred_at)

    def fork(self) -> MapsPlan:
        """Return a plan for another thread, on the same compiled graph."""
        twin = copy.copy(self)
        twin.backend = self.backend.fork()
        twin._shrink, twin._apply = Shrinker(), MapApplier(*self._size, self._factor)
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

    def translate(
        self, frame: Pixels, controls: ControlValues, memory: Memory | None = None
    ) -> Translation:
        """Translate a frame of the plans' size, as soon as a plan is free; see `Plan`."""
        plan = self._free.get()
        try:
            return plan.translate(frame, controls, memory)
        finally:
            self._free.put(plan)

    def close(self) -> None:
        """Free the engine when all plans are; frames are refused afterwards."""
        plans = [self._free.get() for _ in range(self._count)]
        for plan in plans:
            plan.backend.close()
            self._free.put(plan)


def _open_checked(
    open_graph: OpenGraph,
    form: FullForm | MapsForm,
    size: tuple[int, int],
    images: tuple[str, ...],
) -> tuple[Backend, dict[str, Array]]:
    """Open the graph and run it once: engines allocate on their first call.

    Returns the states of no frame before too. They stay the same arrays, as engines read states
    where they are.

    Raises:
        ModelError: An output is missing, or is not of the type and shape that it should have.
    """
    blank = blank_inputs(form, size)
    backend = open_graph({name: array.shape for name, array in blank.items()})
    got = backend.infer(blank)
    expected: dict[str, tuple[object, tuple[int, ...]]] = {
        name: (np.uint8, (1, *size, 3)) for name in images
    }
    expected |= {next_state(name): (np.float32, blank[name].shape) for name in form.states}
    if any(
        name not in got or (got[name].dtype, got[name].shape) != wanted
        for name, wanted in expected.items()
    ):
        found = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in got.items())
        states = "".join(f", {next_state(name)} as what {name} is" for name in form.states)
        backend.close()
        raise ModelError(
            f"the graph gives {found}: expected {' and '.join(images)} as uint8 "
            f"{(1, *size, 3)}{states}"
        )
    return backend, {name: blank[name] for name in form.states}


def _infer(
    plan: Plan, pixels: Pixels, controls: ControlValues, memory: Memory | None
) -> dict[str, Array]:
    """Run a plan's graph from what the memory recalls; it keeps what the graph returns."""
    states = {} if memory is None else memory.recall(plan.engine, controls)
    inputs = graph_inputs(plan.form, pixels, controls, states or plan.blank_states)
    outputs = plan.backend.infer(inputs)
    if memory is not None:
        memory.keep({name: outputs[next_state(name)] for name in plan.form.states})
    return outputs


def _timed(image: Pixels, start: float, prepared_at: float, inferred_at: float) -> Translation:
    end = time.perf_counter()
    return Translation(
        image=image,
        preprocess_ms=(prepared_at - start) * 1e3,
        infer_ms=(inferred_at - prepared_at) * 1e3,
        postprocess_ms=(end - inferred_at) * 1e3,
    )
