"""Graphs on an engine, as the runtime runs them, before they are in a model folder."""

from __future__ import annotations

import time

import numpy as np

from dayshift.runtime.backends import Backend, BackendName, Precision, Shapes, open_backend
from dayshift.runtime.closing import Closing
from dayshift.runtime.image import Pixels
from dayshift.runtime.plan import FullPlan, MapsPlan, Plan
from dayshift.runtime.spec import FullForm, MapsForm

_LEAST_ROUNDS, _MOST_ROUNDS = 5, 200
_SECONDS = 1.0


class Runner(Closing):
    """One graph on one backend; compiled once per frame size, closed by its owner.

    Args:
        form: What the graph takes and gives.
        graph: The content of its file.
        precision: As for `open_backend`.
        backend: Where it runs.
    """

    def __init__(
        self,
        form: FullForm | MapsForm,
        graph: bytes,
        precision: Precision,
        backend: BackendName = "openvino",
    ) -> None:
        self._form = form
        self._graph = graph
        self._asked = precision
        self._backend = backend
        self._plans: dict[tuple[int, int], Plan] = {}

    def __call__(self, frame: Pixels) -> Pixels:
        """Translate a frame, or label map, at full strength."""
        return self._plan(frame).translate(frame, {}).image

    def precision(self, frame: Pixels) -> Precision:
        """Return what the engine computes in, as it tells it."""
        return self._plan(frame).backend.precision

    def infer_ms(self, frame: Pixels) -> float:
        """Return how long the engine itself takes for a frame once."""
        return self._plan(frame).translate(frame, {}).infer_ms

    def close(self) -> None:
        """Free the engines."""
        while self._plans:
            self._plans.popitem()[1].backend.close()

    def _plan(self, frame: Pixels) -> Plan:
        size = (frame.shape[0], frame.shape[1])
        if size not in self._plans:
            made = MapsPlan if isinstance(self._form, MapsForm) else FullPlan
            self._plans[size] = made(self._form, size, self._open)  # type: ignore[arg-type]
        return self._plans[size]

    def _open(self, shapes: Shapes) -> Backend:
        return open_backend(self._backend, self._graph, shapes, self._asked)


def time_ratio(runner: Runner, against: Runner, frame: Pixels) -> float:
    """Return the time of one runner over that of another: the median of interleaved pairs.

    In one process and turn by turn, so that what else the machine does falls on both.
    """
    for warm in (runner, against, runner, against):
        warm.infer_ms(frame)
    ratios: list[float] = []
    end = time.perf_counter() + _SECONDS
    while len(ratios) < _LEAST_ROUNDS or (len(ratios) < _MOST_ROUNDS and time.perf_counter() < end):
        ratios.append(runner.infer_ms(frame) / against.infer_ms(frame))
    return float(np.median(ratios))
