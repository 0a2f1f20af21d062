from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from dayshift.runtime.errors import SinkError, SourceError, UsageError
from dayshift.runtime.frame import Frame
from dayshift.runtime.model import load
from dayshift.runtime.sinks import Sink, StreamStopped, open_sink
from dayshift.runtime.sinks.video import VideoSink
from dayshift.runtime.sources import Source, open_source
from dayshift.runtime.stream_memory import Memory
from dayshift.runtime.streaming.control import Control
from dayshift.runtime.streaming.events import State
from dayshift.runtime.streaming.meter import Delivery
from dayshift.runtime.streaming.pipeline import run_pipeline

Pixels = npt.NDArray[np.uint8]


@dataclass
class Halved:
    image: Pixels
    preprocess_ms: float = 1.0
    infer_ms: float = 2.0
    postprocess_ms: float = 3.0


class Halver:
    """A model that halves every level, and does what a test wants before each frame."""

    name = "tiny"
    backend_name = "none"
    backend_version = "1.2"
    device = "CPU"
    precision_requested = "auto"
    precision = "int8"
    sha256 = "ab" * 32
    strength = lamps = 1.0
    lanes = 1

    def __init__(self, before: Callable[[int], object] = lambda count: None) -> None:
        self.before = before
        self.count = 0
        self.warmed_up: list[tuple[int, int]] = []

    def warm_up(self, height: int, width: int) -> None:
        self.warmed_up.append((height, width))

    def translate(self, frame: Pixels, memory: Memory | None = None) -> Halved:
        self.before(self.count)
        self.count += 1
        return Halved(frame // 2)


class Collector(Sink):
    """A sink that keeps the numbers of its frames, and does what a test wants at each."""

    name = "collector"

    def __init__(self, at: Callable[[int], object] = lambda index: None) -> None:
        self.at = at
        self.indices: list[int] = []
        self.images: list[Pixels] = []
        self.ends: list[str] = []

    def write(self, image: Pixels, frame: Frame) -> None:
        self.indices.append(frame.index)
        self.images.append(image)
        self.at(frame.index)

    def close(self) -> None:
        self.ends.append("closed")

    def abort(self) -> None:
        self.ends.append("aborted")


class Watched(Source):
    """A source that notes when it is closed, and does what a test wants before each frame."""

    def __init__(
        self, source: Source, before: Callable[[int], object] = lambda index: None
    ) -> None:
        self.name, self.size, self.fps = source.name, source.size, source.fps
        self.frame_count, self.is_live = source.frame_count, source.is_live
        self.before = before
        self.closed = 0
        self._source = source
        self._index = 0

    def read(self) -> Frame | None:
        assert not self.closed
        self.before(self._index)
        self._index += 1
        return self._source.read()

    def close(self) -> None:
        self.closed += 1
        self._source.close()


def street(frames: int = 30, *, pace: int = 0, fps: int = 100) -> Source:
    return open_source(f"synthetic://?size=64x48&fps={fps}&frames={frames}&pace={pace}")


def endless(*, pace: int = 0) -> Source:
    return open_source(f"synthetic://?size=64x48&fps=200&pace={pace}")


def fail_at(number: int, error: BaseException) -> Callable[[int], None]:
    def fail(at: int) -> None:
        if at >= number:  # `latest` may drop the very frame
            raise error

    return fail


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def count_frames(path: Path) -> int:
    with open_source(path) as source:
        return len(list(iter(source.read, None)))


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if "dayshift" in thread.name] == []


# What comes out


def test_every_frame_is_translated_in_order() -> None:
    model, sink = Halver(), Collector()
    report = run_pipeline(street(), model, [sink], policy="every")
    assert sink.indices == list(range(30))
    assert (report.frames_in, report.frames_out, report.frames_dropped) == (30, 30, 0)
    expected = [frame.pixels // 2 for frame in iter(street().read, None)]
    assert all(np.array_equal(*pair) for pair in zip(sink.images, expected, strict=True))


def test_the_model_is_warmed_up_for_the_size_of_the_source() -> None:
    model = Halver()
    run_pipeline(street(1), model, [])
    assert model.warmed_up == [(48, 64)]


def test_source_and_sinks_are_closed_once_the_run_is_over() -> None:
    source, sinks = Watched(street()), [Collector(), Collector()]
    run_pipeline(source, Halver(), sinks)
    assert source.closed == 1
    assert [sink.ends for sink in sinks] == [["closed"], ["closed"]]


def test_compose_makes_the_image_that_all_sinks_get() -> None:
    sinks = [Collector(), Collector()]
    run_pipeline(
        street(3), Halver(), sinks, compose=lambda frame, image: np.hstack([frame.pixels, image])
    )
    for sink in sinks:
        assert [image.shape for image in sink.images] == [(48, 128, 3)] * 3
        assert np.array_equal(sink.images[0][:, 64:], sink.images[0][:, :64] // 2)


def test_progress_counts_to_what_was_promised() -> None:
    calls: list[tuple[int, int | None]] = []
    run_pipeline(street(4), Halver(), [], on_progress=lambda *call: calls.append(call))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_progress_expects_no_more_than_it_was_allowed() -> None:
    calls: list[tuple[int, int | None]] = []
    run_pipeline(
        endless(), Halver(), [], max_frames=2, on_progress=lambda *call: calls.append(call)
    )
    assert calls == [(1, 2), (2, 2)]


def test_a_file_becomes_a_file_with_a_real_model(pristine_model: Path, tmp_path: Path) -> None:
    day, night = tmp_path / "day.mp4", tmp_path / "night.mp4"
    with open_sink(day, fps=Fraction(25)) as sink:
        for frame in iter(street(20, fps=25).read, None):
            sink.write(frame.pixels, frame)
    with load(pristine_model) as model, open_source(day) as source:
        report = run_pipeline(source, model, [open_sink(night, fps=source.fps)])
        assert report.to_json()["model_sha256"] == model.sha256
    with open_source(night) as source:
        assert (source.size, source.fps, source.frame_count) == ((64, 48), Fraction(25), 20)
        back = source.read()
    first = street(1).read()
    assert back is not None
    assert first is not None
    with load(pristine_model) as model:
        assert cv2.PSNR(model(first.pixels), back.pixels) > 25


# Policies


def test_latest_drops_what_a_slow_model_has_no_time_for() -> None:
    sink = Collector()
    model = Halver(lambda count: time.sleep(0.03))
    report = run_pipeline(street(60, pace=1, fps=200), model, [sink], policy="latest")
    assert report.frames_in == 60
    assert report.frames_out == len(sink.indices) < 60
    assert report.frames_dropped == 60 - len(sink.indices)
    assert sink.indices == sorted(set(sink.indices))
    assert sink.indices[-1] == 59


def test_latest_takes_the_newest_frame_and_not_the_next() -> None:
    """While the first frame is translated, nine more are handed over: the last of them is next."""
    began = threading.Event()
    handed_over = threading.Semaphore(0)

    def wait_for_nine(count: int) -> None:
        began.set()
        if count == 0:
            for _ in range(10):
                handed_over.acquire()

    def note_the_one_before(index: int) -> None:
        if index > 0:
            assert began.wait(10)
            handed_over.release()

    sink = Collector()
    source = Watched(endless(pace=1), note_the_one_before)
    run_pipeline(source, Halver(wait_for_nine), [sink], policy="latest", max_frames=11)
    assert sink.indices[0] == 0
    assert sink.indices[1] >= 9


def test_latest_does_not_translate_ahead_of_a_slow_sink() -> None:
    """While an image is being written, one more may be ready, and no others are made."""
    model = Halver()
    ahead: list[int] = []

    def look(index: int) -> None:
        time.sleep(0.02)
        ahead.append(model.count - len(sink.indices))

    sink = Collector(look)
    run_pipeline(endless(pace=1), model, [sink], policy="latest", max_frames=60)
    assert max(ahead) <= 1


def test_every_makes_a_fast_source_wait_for_a_slow_sink() -> None:
    """What is read and not yet written never grows beyond the two queues and the hands."""
    reads = 0
    ahead: list[int] = []

    def count(index: int) -> None:
        nonlocal reads
        reads = index + 1

    def look(index: int) -> None:
        time.sleep(0.005)
        ahead.append(reads - index)

    report = run_pipeline(Watched(street(60), count), Halver(), [Collector(look)], policy="every")
    assert (report.frames_out, report.frames_dropped) == (60, 0)
    assert max(ahead) <= 4 + 4 + 3


def test_a_live_source_keeps_up_by_default_and_a_file_is_complete() -> None:
    slow = Halver(lambda count: time.sleep(0.02))
    live = run_pipeline(street(40, pace=1, fps=200), slow, [])
    file = run_pipeline(street(10), slow, [])
    assert live.frames_dropped > 0
    assert (file.frames_out, file.frames_dropped) == (10, 0)


def test_latest_plays_a_file_at_its_own_speed() -> None:
    started_at = time.perf_counter()
    report = run_pipeline(street(11, fps=50), Halver(), [], policy="latest")
    assert time.perf_counter() - started_at >= 10 / 50
    assert report.frames_in == 11


def test_an_unknown_policy_touches_nothing(tmp_path: Path) -> None:
    source, sink = Watched(street()), Collector()
    with pytest.raises(UsageError, match=r"no policy 'newest': expected latest, every or adaptive"):
        run_pipeline(source, Halver(), [sink], policy="newest")
    assert (source.closed, sink.ends) == (0, [])


# Control


@pytest.mark.parametrize(("name", "other"), [("strength", "lamps"), ("lamps", "strength")])
def test_a_models_control_can_be_turned_while_the_stream_runs(name: str, other: str) -> None:
    control, seen = Control(), []
    model = Halver(lambda count: seen.append(getattr(model, name)))
    sink = Collector(lambda index: control.change(**{name: 0.25}))
    run_pipeline(street(), model, [sink], policy="every", control=control)
    assert seen[0] == getattr(model, other) == 1.0
    assert seen[-1] == 0.25


def test_a_frozen_stream_repeats_its_last_image_and_translates_nothing() -> None:
    control, model = Control(), Halver()

    def freeze_and_thaw(index: int) -> None:
        control.change(is_frozen=10 <= index < 20)

    sink = Collector(freeze_and_thaw)
    report = run_pipeline(street(40), model, [sink], policy="every", control=control)
    assert sink.indices == list(range(40))
    assert report.frames_out == 40
    assert 0 < report.frames_repeated == 40 - model.count
    repeated = [a is b for a, b in zip(sink.images, sink.images[1:], strict=False)]
    assert sum(repeated) == report.frames_repeated
    assert sink.images[-1] is not sink.images[-2]


def test_a_stop_completes_the_files(tmp_path: Path) -> None:
    control = Control()
    sink = Collector(lambda index: control.stop() if index == 5 else None)
    file = open_sink(tmp_path / "out.mp4")
    report = run_pipeline(endless(), Halver(), [sink, file], policy="every", control=control)
    assert sink.ends == ["closed"]
    assert count_frames(tmp_path / "out.mp4") == report.frames_out == report.frames_in


def test_a_run_tells_how_it_begins_and_ends() -> None:
    control = Control()
    run_pipeline(street(3), Halver(), [], control=control)
    assert [event.state for event in control.events.recent] == ["starting", "running", "ended"]
    assert control.status is not None
    assert control.status.model == "tiny"


def test_a_run_that_fails_says_so_to_whoever_listens() -> None:
    control, model = Control(), Halver(fail_at(3, ZeroDivisionError("broke")))
    with pytest.raises(ZeroDivisionError):
        run_pipeline(street(), model, [], control=control)
    assert control.events.state is State.FAILED
    assert control.events.recent[-1].message == "broke"


def test_each_delivery_is_told_with_its_times() -> None:
    deliveries: list[Delivery] = []
    run_pipeline(street(5), Halver(), [], policy="every", on_delivery=deliveries.append)
    assert [delivery.index for delivery in deliveries] == list(range(5))
    assert all(delivery.stages_ms[1:4] == (1.0, 2.0, 3.0) for delivery in deliveries)
    assert all(0 <= delivery.queue_age_ms <= delivery.latency_ms for delivery in deliveries)


# Ends


@pytest.mark.parametrize("policy", ["latest", "every"])
def test_a_duration_ends_an_endless_source(policy: str) -> None:
    report = run_pipeline(endless(pace=1), Halver(), [], policy=policy, duration_s=0.2)
    assert 0 < report.frames_out <= 41
    assert report.frames_in == report.frames_out + report.frames_dropped


@pytest.mark.parametrize("policy", ["latest", "every"])
def test_a_number_of_frames_ends_an_endless_source(policy: str) -> None:
    report = run_pipeline(endless(), Halver(), [], policy=policy, max_frames=7)
    assert report.frames_in == 7


def test_a_sink_can_end_the_stream_and_the_others_are_completed(tmp_path: Path) -> None:
    window = Collector(fail_at(5, StreamStopped()))
    file = open_sink(tmp_path / "out.mp4")
    report = run_pipeline(endless(), Halver(), [window, file], policy="every")
    assert window.ends == ["closed"]
    assert count_frames(tmp_path / "out.mp4") == report.frames_out >= 6


@pytest.mark.parametrize("policy", ["latest", "every"])
def test_ctrl_c_in_the_model_completes_the_files(policy: str, tmp_path: Path) -> None:
    model = Halver(fail_at(5, KeyboardInterrupt()))
    report = run_pipeline(endless(), model, [open_sink(tmp_path / "out.mp4")], policy=policy)
    assert names_in(tmp_path) == ["out.mp4"]
    assert count_frames(tmp_path / "out.mp4") == report.frames_out == 5
    assert report.frames_in == report.frames_out + report.frames_dropped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_completes_the_files_and_is_handled_as_before_afterwards(
    number: signal.Signals, tmp_path: Path
) -> None:
    handler = signal.signal(number, signal.default_int_handler)
    try:
        sink = Collector(lambda index: signal.raise_signal(number) if index == 5 else None)
        file = open_sink(tmp_path / "out.mp4")
        report = run_pipeline(endless(), Halver(), [sink, file], policy="every")
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, handler)
    assert sink.ends == ["closed"]
    assert count_frames(tmp_path / "out.mp4") == report.frames_out == report.frames_in


def test_a_second_ctrl_c_aborts(tmp_path: Path) -> None:
    def interrupt_twice(index: int) -> None:
        if index == 5:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    sink = Collector(interrupt_twice)
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(endless(), Halver(), [VideoSink(tmp_path / "out.mp4"), sink], policy="every")
    assert sink.ends == ["aborted"]
    assert names_in(tmp_path) == []


def test_a_run_in_another_thread_leaves_signals_alone() -> None:
    handlers: list[object] = []
    sink = Collector(lambda index: handlers.append(signal.getsignal(signal.SIGINT)))
    thread = threading.Thread(target=run_pipeline, args=(street(2), Halver(), [sink]))
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)] * 2


INTERRUPTED = """
import sys
from dataclasses import dataclass
from dayshift.runtime.streaming.pipeline import run_pipeline
from dayshift.runtime.sinks import open_sink
from dayshift.runtime.sources import open_source

@dataclass
class Same:
    image: object
    preprocess_ms = infer_ms = postprocess_ms = 0.0

class Identity:
    strength = lamps = 1.0
    name = backend_name = backend_version = device = precision_requested = precision = sha256 = ""
    lanes = 1
    def warm_up(self, height, width): pass
    def translate(self, frame, memory=None): return Same(frame)

report = run_pipeline(
    open_source("synthetic://?size=64x48&fps=50"),
    Identity(),
    [open_sink(sys.argv[1])],
    on_progress=lambda done, expected: print(done, flush=True),
)
print("out", report.frames_out)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_sigint_from_outside_completes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    command = [sys.executable, "-c", INTERRUPTED, str(path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        for _ in range(5):
            run.stdout.readline()
        run.send_signal(signal.SIGINT)
        output, errors = run.communicate(timeout=30)
    assert (run.returncode, errors) == (0, "")
    assert names_in(tmp_path) == ["out.mp4"]
    assert output.splitlines()[-1] == f"out {count_frames(path)}"


# Errors


@pytest.mark.parametrize("policy", ["latest", "every"])
@pytest.mark.parametrize("part", ["source", "model", "sink", "compose", "progress"])
def test_an_error_anywhere_aborts_the_sinks_and_is_raised(
    part: str, policy: str, tmp_path: Path
) -> None:
    cause = ValueError("the cause")
    error = SourceError("broke")
    error.__cause__ = cause
    fails: dict[str, Callable[[int], object]] = dict.fromkeys(
        ("source", "model", "sink", "compose", "progress"), lambda number: None
    )
    fails[part] = fail_at(3, error)

    def compose(frame: Frame, image: Pixels) -> Pixels:
        fails["compose"](frame.index)
        return image

    def on_progress(done: int, expected: int | None) -> None:
        fails["progress"](done)

    source = Watched(endless(pace=1), fails["source"])
    sink, file = Collector(fails["sink"]), VideoSink(tmp_path / "out.mp4")
    with pytest.raises(SourceError, match="broke") as caught:
        run_pipeline(
            source,
            Halver(fails["model"]),
            [file, sink],
            policy=policy,
            on_progress=on_progress,
            compose=compose,
        )
    assert caught.value is error
    assert caught.value.__cause__ is cause
    assert (sink.ends, source.closed) == (["aborted"], 1)
    assert names_in(tmp_path) == []


def test_a_model_that_cannot_warm_up_leaves_nothing(tmp_path: Path) -> None:
    class Cold(Halver):
        def warm_up(self, height: int, width: int) -> None:
            raise RuntimeError("cold")

    source, file = Watched(street()), open_sink(tmp_path / "out.mp4")
    with pytest.raises(RuntimeError, match="cold"):
        run_pipeline(source, Cold(), [file])
    assert source.closed == 1
    assert names_in(tmp_path) == []


def test_a_sink_that_cannot_be_closed_aborts_the_others(tmp_path: Path) -> None:
    class Stuck(Collector):
        def close(self) -> None:
            raise SinkError("stuck")

    stuck, file = Stuck(), VideoSink(tmp_path / "out.mp4")
    with pytest.raises(SinkError, match="stuck"):
        run_pipeline(street(), Halver(), [stuck, file])
    assert stuck.ends == ["aborted"]
    assert names_in(tmp_path) == []


def test_a_sink_that_cannot_be_aborted_hides_neither_the_error_nor_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Stuck(Collector):
        def abort(self) -> None:
            raise SinkError("stuck")

    with pytest.raises(ZeroDivisionError):
        run_pipeline(
            street(),
            Halver(fail_at(3, ZeroDivisionError())),
            [Stuck(), VideoSink(tmp_path / "out.mp4")],
        )
    assert names_in(tmp_path) == []
    assert "aborting collector failed" in caplog.text


def test_a_truncated_video_leaves_no_output(tmp_path: Path) -> None:
    day = tmp_path / "day.mp4"
    noise = np.random.default_rng(0).integers(0, 256, (30, 96, 160, 3), np.uint8)
    with VideoSink(day) as sink:
        for index, pixels in enumerate(noise):
            sink.write(pixels, Frame(pixels, index, 0.0, index / 25))
    day.write_bytes(day.read_bytes()[: day.stat().st_size // 2])
    with pytest.raises(SourceError, match=r"breaks off after 1\d of 30 frames"):
        run_pipeline(open_source(day), Halver(), [VideoSink(tmp_path / "night.mp4")])
    assert names_in(tmp_path) == ["day.mp4"]
