"""Streams that are interrupted and go on, and streams that end although something is stuck."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dayshift.runtime.frame import Frame
from dayshift.runtime.sinks import Sink, open_sink
from dayshift.runtime.sources import Source, open_source
from dayshift.runtime.sources.supervised import SupervisedSource, Watch
from dayshift.runtime.stream_memory import Memory
from dayshift.runtime.streaming.control import Control
from dayshift.runtime.streaming.events import Event, State
from dayshift.runtime.streaming.pipeline import run_pipeline

Pixels = npt.NDArray[np.uint8]


@dataclass
class Same:
    image: Pixels
    preprocess_ms: float = 0.0
    infer_ms: float = 0.0
    postprocess_ms: float = 0.0


class Identity:
    """A model that returns frames as they are, and does before each what a test wants."""

    name = backend_name = backend_version = "identity"
    device = precision_requested = precision = "none"
    sha256 = "ab" * 32
    strength = lamps = 1.0
    lanes = 1

    def __init__(self, before: Callable[[Pixels], object] = lambda frame: None) -> None:
        self.before = before

    def warm_up(self, height: int, width: int) -> None:
        pass

    def translate(self, frame: Pixels, memory: Memory | None = None) -> Same:
        self.before(frame)
        return Same(frame)


class Collector(Sink):
    """A sink that keeps what it gets."""

    name = "collector"

    def __init__(self, at: Callable[[Frame], object] = lambda frame: None) -> None:
        self.at = at
        self.frames: list[Frame] = []
        self.images: list[Pixels] = []
        self.end = ""

    def write(self, image: Pixels, frame: Frame) -> None:
        self.frames.append(frame)
        self.images.append(image)
        self.at(frame)

    def close(self) -> None:
        self.end = "closed"

    def abort(self) -> None:
        self.end = "aborted"


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """An event that lets go of whatever a test has stuck, at its end."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture(autouse=True)
def no_thread_is_left(released: threading.Event) -> Iterator[None]:
    yield
    released.set()
    for thread in threading.enumerate():
        if "dayshift" in thread.name:
            thread.join(10)
            assert not thread.is_alive(), thread.name


def watched(faults: str, control: Control, **more: object) -> Source:
    options = "".join(f"&{name}={value}" for name, value in more.items())
    first = open_source(f"synthetic://?size=64x48&fps=50&faults={faults}{options}")
    return SupervisedSource(first, control.events, Watch(stalled_after_s=0.3, reopen_after_s=60))


def test_sinks_get_placeholders_during_an_outage_and_the_time_axis_goes_on(tmp_path: Path) -> None:
    control, sink = Control(), Collector()
    source = watched("stall@0.3:1.5", control, frames=40)
    file = open_sink(tmp_path / "out.mp4", fps=source.fps)
    report = run_pipeline(source, Identity(), [sink, file], control=control)
    placeholders = [at for at, frame in enumerate(sink.frames) if frame.is_placeholder]
    assert report.frames_placeholder == len(placeholders) >= 2
    assert report.outages == 1
    assert report.frames_out == len(sink.frames) - len(placeholders)
    times = [frame.pts_s or 0.0 for frame in sink.frames]
    # A placeholder may be given while the frame that ends the outage is on its way.
    assert all(after - before > -0.2 for before, after in pairwise(times))
    assert times[-1] - times[0] > 1.5
    # Dimmed, with words across: not to be taken for the live picture, of which it was made.
    before = sink.images[placeholders[0] - 1]
    assert sink.images[placeholders[0]].mean() < before.mean() / 2
    assert sink.images[placeholders[0]].shape == before.shape
    with open_source(tmp_path / "out.mp4") as video:
        assert len(list(iter(video.read, None))) == len(sink.frames)


def test_the_time_is_up_for_a_camera_that_is_away_too() -> None:
    control, sink = Control(), Collector()
    source = watched("stall@0.3:3", control)
    run_pipeline(source, Identity(), [sink], duration_s=0.8, control=control)
    assert sink.end == "closed"
    states = [event.state for event in control.events.recent if event.part == "source"]
    assert states == [State.RUNNING, State.STALLED]  # it did not wait for the camera


def test_a_folder_of_images_gets_no_placeholders(tmp_path: Path) -> None:
    control = Control()
    source = watched("stall@0.3:1.5", control, frames=40)
    report = run_pipeline(source, Identity(), [open_sink(f"{tmp_path}/")], control=control)
    assert report.frames_placeholder > 0
    assert len(list(tmp_path.iterdir())) == report.frames_out


def test_an_engine_that_is_stuck_is_told_and_the_sinks_go_on(
    released: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dayshift.runtime.streaming.pipeline._STUCK_S", 0.2)
    control = Control()
    frames = iter(range(100))
    control.events.subscribe(lambda event: released.set() if event.state is State.STALLED else None)

    def get_stuck(frame: Pixels) -> None:
        if next(frames) == 3:
            released.wait(20)
            time.sleep(0.5)  # two placeholders are due

    sink = Collector()
    source = open_source("synthetic://?size=64x48&fps=50&frames=60")
    run_pipeline(source, Identity(get_stuck), [sink], control=control)
    engine = [event.state for event in control.events.recent if event.part == "engine"]
    assert engine == [State.STALLED, State.RUNNING]
    assert any(frame.is_placeholder for frame in sink.frames)


STUCK = {
    "source": "stall@0.3:2.5",
    "engine": "size@999",
}


@pytest.mark.parametrize("stuck", STUCK)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_completes_the_files_also_where_something_is_stuck(
    number: signal.Signals, stuck: str, tmp_path: Path, released: threading.Event
) -> None:
    control = Control()
    frames = iter(range(10_000))

    def get_stuck(frame: Pixels) -> None:
        if stuck == "engine" and next(frames) == 10:
            threading.Timer(0.2, signal.raise_signal, (number,)).start()
            released.wait(60)

    def interrupt(event: Event) -> None:
        if event.state is State.STALLED and stuck == "source":
            threading.Timer(0.1, signal.raise_signal, (number,)).start()

    control.events.subscribe(interrupt)
    handler = signal.signal(number, signal.default_int_handler)
    try:
        source = watched(STUCK[stuck], control)
        file, sink = open_sink(tmp_path / "out.mp4"), Collector()
        run_pipeline(source, Identity(get_stuck), [file, sink], control=control)
    finally:
        signal.signal(number, handler)
    assert sink.end == "closed"
    with open_source(tmp_path / "out.mp4") as video:
        assert len(list(iter(video.read, None))) == len(sink.frames) >= 5
