from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dayshift.runtime.backends.base import Array, BackendName, Precision, Shapes
from dayshift.runtime.plan import MapsPlan
from dayshift.runtime.spec import GraphFile, MapsForm, State, next_state
from dayshift.runtime.stream_memory import Memory

SIZE = (120, 160)  # shrunk by 2
FORM = MapsForm(
    files={"fp32": GraphFile(path="maps.onnx", sha256="0" * 64, bytes=1)},
    short_side=60,
    states={"state_maps": State(channels=2, block=4)},
)


class Counting:
    """A backend whose state counts the frames of a stream, and that keeps what it was given."""

    name: BackendName = "onnxruntime"
    version = "1"
    device = "CPU"
    precision: Precision = "fp32"
    artifact: Path | None = None

    def __init__(self, shapes: Shapes) -> None:
        self.seen: list[Array] = []
        self.counts: list[float] = []
        self._maps = np.zeros(shapes["frame"], np.uint8)

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        state = inputs["state_maps"]
        self.seen.append(state)
        self.counts.append(float(state.max()))
        return {
            "gain": self._maps,
            "light": self._maps,
            next_state("state_maps"): state + np.float32(1),
        }

    def fork(self) -> Counting:
        return self

    def close(self) -> None:
        pass


@pytest.fixture
def plan() -> MapsPlan:
    return MapsPlan(FORM, SIZE, Counting)


def backend_of(plan: MapsPlan) -> Counting:
    assert isinstance(plan.backend, Counting)
    return plan.backend


def frame() -> npt.NDArray[np.uint8]:
    return np.zeros((*SIZE, 3), np.uint8)


def test_all_photos_bring_the_same_blank_states(plan: MapsPlan) -> None:
    for _ in range(3):
        plan.translate(frame(), {})
    photos = backend_of(plan).seen[-3:]
    assert all(state is photos[0] for state in photos)
    assert not photos[0].any()


def test_streams_leave_the_blank_states_blank(plan: MapsPlan) -> None:
    memory = Memory()
    controls = {"strength": 1.0}
    for _ in range(3):
        plan.translate(frame(), controls, memory)
    plan.translate(frame(), controls)
    plan.translate(frame(), controls, Memory())
    plan.translate(frame(), controls, memory)
    assert backend_of(plan).counts[-6:] == [0, 1, 2, 0, 0, 3]
