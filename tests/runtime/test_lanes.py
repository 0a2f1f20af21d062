"""Several frames at a time: in the engine, in the model, in the pipeline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dayshift.runtime.backends import open_backend
from dayshift.runtime.cores import allowed_cores, lanes_for
from dayshift.runtime.errors import BackendError, SourceError
from dayshift.runtime.frame import Frame
from dayshift.runtime.model import load
from dayshift.runtime.sinks import Sink
from dayshift.runtime.sources import Source, open_source
from dayshift.runtime.stream_memory import Memory
from dayshift.runtime.streaming.capture import Capture
from dayshift.runtime.streaming.control import Control
from dayshift.runtime.streaming.pipeline import run_pipeline
from dayshift.runtime.streaming.translating import Translating

Pixels = npt.NDArray[np.uint8]
Street = Callable[[int, int], Pixels]


@dataclass
class Same:
    image: Pixels
    preprocess_ms: float = 0.0
    infer_ms: float = 0.0
    postprocess_ms: float = 0.0


class Model:
    """Returns frames as they are, and does before each what a test wants."""

    name = "same"
    backend_name = "none"
    backend_version = "1.2"
    device = "CPU"
    precision_requested = "auto"
    precision = "int8"
    sha256 = "ab" * 32
    strength = lamps = 1.0

    def __init__(self, lanes: int, before: Callable[[Pixels], object] = lambda frame: None) -> None:
        self.lanes = lanes
        self.before = before
        self.threads: set[int] = set()

    def warm_up(self, height: int, width: int) -> None:
        pass

    def translate(self, frame: Pixels, memory: Memory | None = None) -> Same:
        self.threads.add(threading.get_ident())
        self.before(frame)
        return Same(frame)


class Collector(Sink):
    name = "collector"

    def __init__(self) -> None:
        self.indices: list[int] = []
        self.end = ""

    def write(self, image: Pixels, frame: Frame) -> None:
        self.indices.append(frame.index)

    def close(self) -> None:
        self.end = "closed"

    def abort(self) -> None:
        self.end = "aborted"


class Breaking(Source):
    """A source that fails at its fifth frame."""

    def __init__(self, source: Source) -> None:
        self.name, self.size, self.fps = source.name, source.size, source.fps
        self.frame_count, self.is_live = source.frame_count, source.is_live
        self._source = source

    def read(self) -> Frame | None:
        frame = self._source.read()
        if frame is not None and frame.index == 4:
            raise SourceError("the cable is out")
        return frame

    def close(self) -> None:
        self._source.close()


def street_source(frames: int = 40) -> Source:
    return open_source(f"synthetic://?size=64x48&fps=100&frames={frames}&pace=0")


def feed(frame: Pixels) -> dict[str, npt.NDArray[np.generic]]:
    return {"frame": frame[None], "strength": np.ones(1, np.float32)}


# The pipeline


def test_as_many_frames_are_translated_at_a_time_as_the_model_has_lanes() -> None:
    together = threading.Barrier(3)
    model = Model(3, lambda frame: together.wait(timeout=20))  # breaks unless three are there
    report = run_pipeline(street_source(30), model, [], policy="every")
    assert (report.frames_out, len(model.threads)) == (30, 3)


def test_results_keep_the_order_of_their_frames() -> None:
    delays = np.random.default_rng(3).uniform(0, 0.004, 200)
    count = iter(delays)
    model, sink = Model(4, lambda frame: time.sleep(next(count))), Collector()
    run_pipeline(street_source(), model, [sink], policy="every")
    assert sink.indices == list(range(40))


def test_the_newest_frame_is_translated_alone_and_by_all_cores() -> None:
    model = Model(3)
    run_pipeline(street_source(10), model, [], policy="latest")
    assert len(model.threads) == 1


def test_no_more_frames_are_read_than_were_asked_for() -> None:
    sink = Collector()
    report = run_pipeline(street_source(), Model(3), [sink], policy="every", max_frames=7)
    assert (report.frames_in, sink.indices) == (7, list(range(7)))


def test_an_error_in_one_lane_ends_the_others_and_the_run() -> None:
    calls = iter(range(100))

    def fail_at_the_sixth(frame: Pixels) -> None:
        if next(calls) == 5:
            raise BackendError("the engine is gone")

    sink = Collector()
    with pytest.raises(BackendError, match="the engine is gone"):
        run_pipeline(street_source(), Model(3, fail_at_the_sixth), [sink], policy="every")
    assert sink.end == "aborted"
    assert sink.indices == list(range(len(sink.indices)))


def test_a_source_that_breaks_off_ends_the_run() -> None:
    sink = Collector()
    with pytest.raises(SourceError, match="the cable is out"):
        run_pipeline(Breaking(street_source()), Model(3), [sink], policy="every")
    assert sink.end == "aborted"


def test_a_lane_that_is_stuck_is_seen_while_another_goes_on() -> None:
    stuck, other, go_on = threading.Event(), threading.Event(), threading.Event()
    calls = iter(range(100))

    def hold_the_first(frame: Pixels) -> None:
        if next(calls) == 0:
            stuck.set()
            assert go_on.wait(timeout=20)
        other.set()

    with Capture(street_source(10), "every", takers=2) as capture:
        translating = Translating(capture, Model(2, hold_the_first), Control(), None)
        capture.start()
        translating.start()
        assert stuck.wait(timeout=20)
        assert other.wait(timeout=20)
        time.sleep(0.05)  # the other lane is done by now, and waits for its turn
        busy_s = translating.busy_s
        go_on.set()
        while translating.results.get() is not None:
            pass
        assert translating.end(20)
    assert busy_s >= 0.05
    assert translating.busy_s == 0


# The model and its engine


def test_a_fork_computes_the_same_beside_its_origin(
    backend: str, pristine_model: Path, street: Street
) -> None:
    graph = (pristine_model / "maps.fp32.onnx").read_bytes()
    shapes = {"frame": (1, 32, 40, 3), "strength": (1,)}
    engine = open_backend(backend, graph, shapes, "fp32", lanes=2)
    forks = [engine, engine.fork()]
    frames = [street(32, 40), street(32, 40) // 3]

    def light(lane: int) -> list[Pixels]:
        return [forks[lane].infer(feed(frames[lane]))["light"].copy() for _ in range(50)]

    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(light, range(2)))
    alone = [light(0)[0], light(1)[0]]
    assert not np.array_equal(alone[0], alone[1])
    for lane in range(2):
        assert all(np.array_equal(result, alone[lane]) for result in together[lane])


def test_a_fork_outlives_its_origin_and_a_closed_one_has_no_forks(
    backend: str, pristine_model: Path, street: Street
) -> None:
    graph = (pristine_model / "maps.fp32.onnx").read_bytes()
    shapes = {"frame": (1, 32, 40, 3), "strength": (1,)}
    engine = open_backend(backend, graph, shapes, "fp32", lanes=2)
    fork = engine.fork()
    engine.close()
    result = fork.infer(feed(street(32, 40)))
    assert result["gain"].shape == (1, 32, 40, 3)
    with pytest.raises(BackendError, match="was closed"):
        engine.fork()


@pytest.mark.parametrize("form", ["maps", "full"])
def test_a_model_with_lanes_translates_as_one_without(
    form: str, backend: str, pristine_model: Path, street: Street
) -> None:
    frames = [np.roll(street(61, 83), shift, axis=1) for shift in range(12)]
    with load(pristine_model, backend=backend, form=form, precision="fp32") as model:
        expected = [model(frame) for frame in frames]
    with (
        load(pristine_model, backend=backend, form=form, precision="fp32", lanes=3) as model,
        ThreadPoolExecutor(5) as threads,  # two wait
    ):
        got = list(threads.map(model, frames))
    # Another number of threads may sum in another order.
    for a, b in zip(got, expected, strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1


def test_a_closed_model_with_lanes_refuses_frames(pristine_model: Path, street: Street) -> None:
    model = load(pristine_model, lanes=2)
    model(street(48, 64))
    model.close()
    with pytest.raises(BackendError, match="was closed: load it again"):
        model(street(48, 64))


def test_every_shares_the_cores_out_and_latest_does_not() -> None:
    assert lanes_for("latest") == 1
    assert 1 <= lanes_for("every") <= allowed_cores()
