from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from dayshift.runtime.errors import SourceError, UsageError
from dayshift.runtime.frame import Frame
from dayshift.runtime.model import Model, load
from dayshift.runtime.sources import Source, open_source
from dayshift.runtime.streaming.control import Control, Settings
from dayshift.runtime.streaming.events import State
from dayshift.runtime.streaming.stream import stream


class Watched(Source):
    """Twenty frames at 200 per second, with a note when the source is closed."""

    def __init__(self, *, is_live: bool, before: Callable[[], object] = lambda: None) -> None:
        self._source = open_source(f"synthetic://?size=64x48&fps=200&frames=20&pace={is_live:d}")
        self.name, self.size, self.fps = self._source.name, self._source.size, self._source.fps
        self.frame_count, self.is_live = self._source.frame_count, is_live
        self.before = before
        self.closed = 0

    def read(self) -> Frame | None:
        self.before()
        return self._source.read()

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if "dayshift" in thread.name] == []


@pytest.fixture
def model(pristine_model: Path) -> Iterator[Model]:
    with load(pristine_model) as loaded:
        yield loaded


def test_every_frame_of_a_file_comes_translated_and_in_order(model: Model) -> None:
    source = Watched(is_live=False)
    results = list(stream(source, model))
    assert [result.index for result in results] == list(range(20))
    for result in results:
        assert np.array_equal(result.image, model(result.frame.pixels))
        assert result.image is result.translation.image
    assert source.closed == 1


def test_a_result_is_not_overwritten_by_the_next(model: Model) -> None:
    results = stream(Watched(is_live=False), model)
    first = next(results)
    before = first.image.copy()
    list(results)
    assert np.array_equal(first.image, before)


def test_a_slow_loop_gets_the_newest_frame_of_a_live_source(model: Model) -> None:
    indices = []
    for result in stream(Watched(is_live=True), model):
        indices.append(result.index)
        time.sleep(0.03)
    assert len(indices) < 20
    assert indices == sorted(set(indices))
    assert indices[-1] == 19


def test_a_slow_loop_gets_every_frame_where_it_says_so(model: Model) -> None:
    indices = []
    for result in stream(Watched(is_live=True), model, policy="every"):
        indices.append(result.index)
        time.sleep(0.01)
    assert indices == list(range(20))


def test_latency_holds_the_time_in_the_model(model: Model) -> None:
    for result in stream(Watched(is_live=False), model):
        translation = result.translation
        inside = translation.preprocess_ms + translation.infer_ms + translation.postprocess_ms
        assert result.latency_ms >= inside > 0


def test_leaving_the_loop_stops_the_thread_and_closes_the_source(model: Model) -> None:
    source = Watched(is_live=False)
    results = stream(source, model)
    next(results)
    assert any(thread.name == "dayshift-capture" for thread in threading.enumerate())
    results.close()
    assert source.closed == 1


def test_a_source_can_be_named(model: Model, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "day.png"), np.full((48, 64, 3), 200, np.uint8))
    for source in (str(tmp_path), tmp_path, tmp_path / "day.png"):
        assert [result.frame.name for result in stream(source, model)] == ["day.png"]


def test_a_source_that_breaks_off_is_raised_in_the_loop(model: Model) -> None:
    def fail() -> None:
        raise SourceError("broke")

    source = Watched(is_live=False, before=fail)
    with pytest.raises(SourceError, match="broke"):
        list(stream(source, model))
    assert source.closed == 1


def test_an_error_in_the_model_closes_the_source() -> None:
    class Broken(Model):
        def __init__(self) -> None: ...

        def warm_up(self, height: int, width: int, count: int = 1) -> None:
            raise RuntimeError("cold")

    source = Watched(is_live=False)
    with pytest.raises(RuntimeError, match="cold"):
        next(stream(source, Broken()))
    assert source.closed == 1


@pytest.mark.parametrize(
    ("source", "policy", "error", "complaint"),
    [
        ("nope.mp4", None, SourceError, "no file or folder 'nope.mp4'"),
        ("ftp://x", None, UsageError, "no source has the scheme 'ftp'"),
        (
            "synthetic://",
            "newest",
            UsageError,
            "no policy 'newest': expected latest, every or adaptive",
        ),
    ],
)
def test_wrong_words_are_raised_when_the_loop_starts(
    source: str, policy: str | None, error: type[Exception], complaint: str, model: Model
) -> None:
    with pytest.raises(error, match=complaint):
        next(stream(source, model, policy=policy))


def test_a_named_live_source_heals_and_tells_whoever_listens(model: Model) -> None:
    control = Control()
    source = "synthetic://?size=64x48&fps=100&frames=60&faults=disconnect@0.2:0.1"
    indices = [result.index for result in stream(source, model, control=control)]
    assert indices == sorted(set(indices))
    states = [event.state for event in control.events.recent]
    assert State.RECONNECTING in states
    assert states[-1] is State.RUNNING


def test_a_control_turns_the_strength_and_ends_the_loop(model: Model) -> None:
    control, strengths = Control(), []
    for result in stream(Watched(is_live=False), model, control=control):
        strengths.append(model.strength)
        control.change(strength=0.25)
        if result.index == 5:
            control.stop()
    assert strengths[0] == 1.0
    assert set(strengths[1:]) == {0.25}
    assert 6 <= len(strengths) < 20


def test_a_control_turns_the_lamps_of_a_model_that_has_them(lit_model: Path) -> None:
    control, lamps, levels = Control(), [], []
    with load(lit_model, size=(48, 64)) as lit:
        for result in stream(Watched(is_live=False), lit, control=control):
            lamps.append(lit.lamps)
            levels.append(result.image.mean())
            control.change(lamps=0.0)
            if result.index == 3:
                control.stop()
    assert lamps[0] == 1.0
    assert set(lamps[1:]) == {0.0}
    assert levels[-1] < levels[0] - 10


def test_lamps_wanted_of_a_model_without_them_end_the_loop_in_a_line(model: Model) -> None:
    with pytest.raises(UsageError, match="model tiny has no control for lamps: leave it"):
        next(stream(Watched(is_live=False), model, control=Control(Settings(lamps=0.5))))
