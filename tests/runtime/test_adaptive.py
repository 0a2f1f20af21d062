from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from dayshift.runtime.stream_memory import Memory
from dayshift.runtime.streaming.adaptive import Governor, Step, make_ladder, translate_scaled

Pixels = npt.NDArray[np.uint8]
LADDER = make_ladder()


class Rig:
    """A governor and a machine whose frames take what a test says, on a clock of their own."""

    def __init__(self, cost_s: Callable[[Step], float], *, fps: float = 30.0) -> None:
        self.governor = Governor(fps, LADDER)
        self.cost_s = cost_s
        self.fps = fps
        self.now = 0.0
        self.steps = [self.governor.step]
        self.told: list[str] = []

    def run(self, seconds: float) -> Step:
        until = self.now + seconds
        while self.now < until:
            cost_s = self.cost_s(self.governor.step)
            self.now += max(1 / self.fps * self.governor.step.every, cost_s)
            told = self.governor.note(self.now, cost_s)
            if told is not None:
                self.told.append(told)
                self.steps.append(self.governor.step)
        return self.governor.step


def by_area(full_s: float) -> Callable[[Step], float]:
    return lambda step: full_s * step.scale**2


def test_a_machine_that_keeps_up_stays_at_full_quality() -> None:
    rig = Rig(by_area(0.030))
    assert rig.run(600).is_full
    assert rig.told == []


@pytest.mark.parametrize(
    ("full_s", "ends_at"),
    [(0.05, Step(0.75)), (0.1, Step(0.5)), (0.2, Step(0.5, every=2)), (9.0, LADDER[-1])],
)
def test_a_machine_that_is_too_slow_goes_down_as_far_as_it_must(
    full_s: float, ends_at: Step
) -> None:
    rig = Rig(by_area(full_s))
    rig.run(60 if full_s < 1 else 300)
    # Later it may be trying the step above.
    assert ends_at in rig.steps
    assert all(step.scale >= ends_at.scale and step.every <= ends_at.every for step in rig.steps)
    assert f"{full_s * 1e3:.0f} ms of 33 ms" in rig.told[0]


def test_it_goes_up_again_when_there_is_time() -> None:
    rig = Rig(by_area(0.1))
    rig.run(30)
    assert not rig.governor.step.is_full
    rig.cost_s = by_area(0.01)
    assert rig.run(120).is_full
    assert rig.told[-1] == "full quality: there is time again"


def test_it_does_not_swing_where_the_step_above_is_just_too_slow() -> None:
    """The estimate says that the step above would do; it does not. Tries become rare."""
    rig = Rig(lambda step: 0.034 if step.is_full else 0.010)
    rig.run(1800)
    up = [index for index, (a, b) in enumerate(pairwise(rig.steps)) if b.scale > a.scale]
    assert len(up) <= 1800 / 120 + 8


def test_one_late_frame_is_no_reason() -> None:
    frames = iter(range(10**6))
    rig = Rig(lambda step: 0.5 if next(frames) % 40 == 7 else 0.02)
    rig.run(60)
    assert rig.told == []


@pytest.mark.parametrize("every", [1, 2, 3])
def test_left_out_frames_leave_an_even_rate(every: int) -> None:
    governor = Governor(30, [Step(every=every)])
    taken = [index for index in range(90) if not governor.skips(index / 30)]
    assert taken == list(range(0, 90, every))


def test_a_cheaper_precision_comes_before_a_smaller_size() -> None:
    ladder = make_ladder(cheaper_precision="int8")
    assert ladder[:2] == (Step(), Step(precision="int8"))
    assert all(step.precision == "int8" for step in ladder[1:])
    assert str(ladder[-1]) == "50% of the size, int8, one frame of 3"
    assert str(ladder[0]) == "full quality"


@dataclass
class Same:
    image: Pixels
    preprocess_ms: float = 1.0
    infer_ms: float = 2.0
    postprocess_ms: float = 3.0


class Watched:
    name = backend_name = backend_version = device = precision_requested = precision = "x"
    sha256 = "ab" * 32
    strength = lamps = 1.0
    lanes = 1

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def warm_up(self, height: int, width: int) -> None:
        pass

    def translate(self, frame: Pixels, memory: Memory | None = None) -> Same:
        self.shapes.append(frame.shape)
        return Same(frame)


@pytest.mark.parametrize(
    ("scale", "shape"), [(1.0, (48, 80, 3)), (0.5, (24, 40, 3)), (0.1, (16, 16, 3))]
)
def test_a_scaled_frame_comes_back_in_its_own_size(scale: float, shape: tuple[int, ...]) -> None:
    model, frame = Watched(), np.full((48, 80, 3), 120, np.uint8)
    translated = translate_scaled(model, frame, scale, Memory())
    assert model.shapes == [shape]
    assert translated.image.shape == frame.shape
    assert np.abs(translated.image.astype(int) - 120).max() <= 1
    assert translated.infer_ms == 2.0
