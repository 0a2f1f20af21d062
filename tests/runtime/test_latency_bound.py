"""How old a frame can be when it is delivered, shown without a clock: in steps that the test makes.

Under `latest` a frame waits at three places at most, each of which holds one: for the model, where
a newer one takes its place; in the model; and for the sinks. No frame is older than one period of
the camera, one translation and two writes; see docs/reliability.md.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from dayshift.runtime.frame import Frame
from dayshift.runtime.sinks import Sink
from dayshift.runtime.sources import Source
from dayshift.runtime.stream_memory import Memory
from dayshift.runtime.streaming.pipeline import run_pipeline

Pixels = npt.NDArray[np.uint8]
PIXELS = np.zeros((16, 16, 3), np.uint8)
CAMERA_FPS, MODEL_FPS, SINK_FPS = 30, 5, 30


class World:
    """A clock that only moves when camera, model and sink have all done their part of a tick."""

    def __init__(self, ticks: int) -> None:
        self.now = 0
        self.ticks = ticks
        self._changed = threading.Condition()

    def sleep_until(self, tick: int) -> bool:
        """Wait for a tick; False where the world has ended before."""
        with self._changed:
            self._changed.wait_for(lambda: self.now >= tick or self.now >= self.ticks)
            return self.now < self.ticks

    def tick(self) -> None:
        with self._changed:
            self.now += 1
            self._changed.notify_all()


@dataclass
class Same:
    image: Pixels
    preprocess_ms: float = 0.0
    infer_ms: float = 0.0
    postprocess_ms: float = 0.0


class Camera(Source):
    """Gives a frame at every tick, numbered by it."""

    name, size, fps, frame_count, is_live = "camera", (16, 16), Fraction(30), None, True

    def __init__(self, world: World) -> None:
        self.world = world
        self.index = -1

    def read(self) -> Frame | None:
        self.index += 1
        if not self.world.sleep_until(self.index):
            return None
        return Frame(PIXELS, self.index, 0.0, self.index / CAMERA_FPS)

    def close(self) -> None:
        pass


class SlowModel:
    """Takes six ticks for a frame: 5 frames/s where the camera gives 30."""

    name = backend_name = backend_version = device = precision_requested = precision = "slow"
    sha256 = "ab" * 32
    strength = lamps = 1.0
    lanes = 1

    def __init__(self, world: World) -> None:
        self.world = world

    def warm_up(self, height: int, width: int) -> None:
        pass

    def translate(self, frame: Pixels, memory: Memory | None = None) -> Same:
        self.world.sleep_until(self.world.now + CAMERA_FPS // MODEL_FPS)
        return Same(frame)


class Ages(Sink):
    """Notes how many ticks old each frame is when it is delivered."""

    name = "ages"

    def __init__(self, world: World) -> None:
        self.world = world
        self.ages: list[int] = []
        self.indices: list[int] = []

    def write(self, image: Pixels, frame: Frame) -> None:
        self.ages.append(self.world.now - frame.index)
        self.indices.append(frame.index)

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


def test_a_model_of_5_fps_delivers_no_frame_older_than_two_of_its_own_frame_times() -> None:
    world = World(ticks=240)
    camera, sink = Camera(world), Ages(world)
    settled = threading.Event()

    def run_the_world() -> None:
        while world.now < world.ticks:
            # Threads get the processor many times over before the next tick comes.
            settled.wait(0.004)
            world.tick()

    clock = threading.Thread(target=run_the_world)
    clock.start()
    report = run_pipeline(camera, SlowModel(world), [sink], policy="latest")
    clock.join()
    model_ticks = CAMERA_FPS // MODEL_FPS
    assert len(sink.ages) >= 20
    assert max(sink.ages[:-1]) < 2 * model_ticks
    assert report.frames_in == report.frames_out + report.frames_dropped
    assert report.frames_dropped >= 3 * report.frames_out
    # None was queued: every frame that was taken was the newest of its time.
    assert sink.indices == sorted(set(sink.indices))
