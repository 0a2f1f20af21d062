from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dayshift.runtime.errors import SinkError
from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.sinks import Sink, StreamStopped, open_sink
from dayshift.runtime.sinks.group import SinkGroup
from dayshift.runtime.sources import open_source
from dayshift.runtime.streaming.ends import told
from dayshift.runtime.streaming.events import Events, State

PIXELS = np.full((48, 64, 3), 90, np.uint8)


class Failing(Sink):
    """A sink that fails from its third image on, in its writing or its closing."""

    def __init__(self, name: str = "failing", *, error: Exception | None = None) -> None:
        self.name = name
        self.error = error
        self.written = 0
        self.ends: list[str] = []

    def write(self, image: Pixels, frame: Frame) -> None:
        if self.error is not None and self.written == 2:
            raise self.error
        self.written += 1

    def close(self) -> None:
        self.ends.append("closed")

    def abort(self) -> None:
        self.ends.append("aborted")


class Stuck(Failing):
    def close(self) -> None:
        raise SinkError("stuck")


def write_five(group: SinkGroup) -> None:
    for index in range(5):
        group.write(PIXELS, Frame(PIXELS, index, 0.0, index / 25))


def test_a_sink_that_fails_is_completed_and_the_others_go_on(tmp_path: Path) -> None:
    events = Events()
    broken, fine = Failing(error=SinkError("disk full")), Failing("fine")
    group = SinkGroup([broken, fine, open_sink(tmp_path / "out.mp4")], events)
    write_five(group)
    group.close()
    assert (broken.written, broken.ends) == (2, ["closed"])
    assert (fine.written, fine.ends) == (5, ["closed"])
    with open_source(tmp_path / "out.mp4") as video:
        assert len(list(iter(video.read, None))) == 5
    assert [str(failure) for failure in group.failures] == ["disk full"]
    told = [(event.part, event.name, event.state) for event in events.recent]
    assert told == [("sink", "failing", State.FAILED)]


def test_any_exception_of_a_sink_is_kept_from_the_others() -> None:
    fine = Failing("fine")
    group = SinkGroup([Stuck(error=ZeroDivisionError()), fine], Events())
    write_five(group)
    assert fine.written == 5


def test_a_sink_that_cannot_be_completed_is_aborted() -> None:
    stuck, fine = Stuck(), Failing("fine")
    group = SinkGroup([stuck, fine], Events())
    write_five(group)
    group.close()
    assert (stuck.ends, fine.ends) == (["aborted"], ["closed"])
    assert [str(failure) for failure in group.failures] == ["stuck"]


def test_a_stream_that_lost_a_sink_does_not_call_itself_complete() -> None:
    events = Events()
    with told(events, "camera"):
        group = SinkGroup([Stuck("out.mp4"), Failing("fine")], events)
        group.close()
    assert events.recent[-1].message == "ended, complete except out.mp4"


def test_the_last_sink_takes_the_stream_with_it() -> None:
    group = SinkGroup([Failing(error=SinkError("disk full"))], Events())
    with pytest.raises(SinkError, match="no sink is left: disk full"):
        write_five(group)


def test_a_stream_that_is_stopped_from_one_sink_reaches_the_others_first() -> None:
    fine = Failing("fine")
    group = SinkGroup([Failing(error=StreamStopped()), fine], Events())
    with pytest.raises(StreamStopped):
        write_five(group)
    assert fine.written == 3
    group.abort()
    assert fine.ends == ["aborted"]
