"""The engines that a model runs on: one for each frame size."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dayshift.runtime.backends import (
    Backend,
    BuildOptions,
    OnBuildProgress,
    Precision,
    Shapes,
    open_backend,
)
from dayshift.runtime.backends.nvidia import nvidia_driver
from dayshift.runtime.choice import Setup
from dayshift.runtime.errors import BackendError
from dayshift.runtime.graph_inputs import full_shapes
from dayshift.runtime.memory import no_more_than_free
from dayshift.runtime.model_files import read_graph
from dayshift.runtime.plan import FullPlan, Lanes, MapsPlan, Plan
from dayshift.runtime.spec import FullForm, MapsForm, ModelSpec

_KEPT_SIZES = 4


def _say_nothing(_: object) -> None:
    """Take a message that nobody wants."""


@dataclass(frozen=True)
class Building:
    """What to do about an engine that TensorRT must build, which takes minutes.

    Attributes:
        options: How to build; None takes the best engine there is, else builds with the defaults.
        smallest: (height, width) of the least frames, and
        largest: of the greatest, that one engine is to take; by default each size has its own.
        on_progress: Told of the build, perhaps from another thread; what it raises ends the build.
        in_background: Run on another backend meanwhile, where one works, and swap when it is ready.
        on_change: Told in one line when the swap was made, or will not be, from another thread.
    """

    options: BuildOptions | None = None
    smallest: tuple[int, int] | None = None
    largest: tuple[int, int] | None = None
    on_progress: OnBuildProgress = _say_nothing
    in_background: bool = False
    on_change: Callable[[str], None] = _say_nothing


class Engines:
    """The compiled graphs of one setup. Any thread may call.

    Attributes:
        setup: What they are.
        first: The backend for the first size: its name, version, device and precision.
    """

    def __init__(
        self,
        model: tuple[Path, ModelSpec],
        setup: Setup,
        *,
        size: tuple[int, int],
        lanes: int,
        building: Building,
    ) -> None:
        folder, self._spec = model
        self.setup = setup
        self._lanes = lanes
        self._building = building
        self._graph = read_graph(folder, setup.file)
        self._sizes: OrderedDict[tuple[int, int], Lanes] = OrderedDict()
        self._compiling = threading.Lock()
        self._is_closed = False
        self.first: Backend = self.lanes_of(*size).backend

    @property
    def precision(self) -> Precision:
        """What the engine says it computes in."""
        return self.first.precision

    @property
    def description(self) -> str:
        """What was chosen and why, in one line."""
        asked, ran = self.setup.precision, self.precision
        return self.setup.reason + ("" if asked == ran else f", which runs in {ran} here")

    def lanes_of(self, height: int, width: int) -> Lanes:
        """Return the plans for a frame size, compiling it when it is new.

        Raises:
            BackendError: The engine refuses, or these engines were closed.
        """
        size = (height, width)
        with self._compiling:
            if self._is_closed:
                raise BackendError(f"model {self._spec.name} was closed: load it again")
            if size not in self._sizes:
                # Room is made first: on a small device two large engines may not fit.
                while len(self._sizes) >= _KEPT_SIZES:
                    self._sizes.popitem(last=False)[1].close()
                self._sizes[size] = Lanes(self._compile(size), self._lanes)
            self._sizes.move_to_end(size)
            return self._sizes[size]

    def close(self) -> None:
        """Free the engines. Safe to call twice."""
        with self._compiling:
            self._is_closed = True
            while self._sizes:
                self._sizes.popitem()[1].close()

    def _compile(self, size: tuple[int, int]) -> Plan:
        form = self._spec.form(self.setup.form)
        on_gpu = self.setup.backend == "tensorrt" or nvidia_driver() is not None
        with contextlib.nullcontext() if on_gpu else no_more_than_free():
            if isinstance(form, MapsForm):
                return MapsPlan(form, size, self._open)
            return FullPlan(form, size, self._open)

    def _open(self, shapes: Shapes) -> Backend:
        return open_backend(
            self.setup.backend,
            self._graph,
            shapes,
            self.setup.precision,
            lanes=self._lanes,
            options=options_for(self._spec.form(self.setup.form), self._building),
            on_progress=self._building.on_progress,
        )


def options_for(form: FullForm | MapsForm, building: Building) -> BuildOptions | None:
    """Return what TensorRT is asked for, with the ends of a range as shapes.

    Raises:
        UsageError: The form does not take frames of these sizes.
    """
    ends = (building.smallest, building.largest)
    if not isinstance(form, FullForm) or ends == (None, None):
        return building.options
    smallest, largest = (
        None if end is None else full_shapes(form, end, other)
        for end, other in zip(ends, reversed(ends), strict=True)
    )
    options = building.options or BuildOptions()
    return dataclasses.replace(options, smallest=smallest, largest=largest)
