from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dayshift.runtime.errors import SinkError, UsageError
from dayshift.runtime.frame import Frame
from dayshift.runtime.sinks import open_sink
from dayshift.runtime.sinks.segments import SegmentSink
from dayshift.runtime.sources import open_source


def image(size: int = 64) -> np.ndarray:
    return np.full((48, size, 3), 90, np.uint8)


def frame(index: int) -> Frame:
    return Frame(image(), index, 0.0, index / 25)


def counts(folder: Path) -> list[int]:
    """How many frames each segment has, oldest first."""
    found = []
    # Of one second's names the plain one is the first: "-" would sort before ".".
    paths = sorted(folder.glob("*.mp4"), key=lambda path: path.name.replace(".", " "))
    for path in paths:
        with open_source(path) as source:
            found.append(len(list(iter(source.read, None))))
    return found


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def write(sink: SegmentSink, clock: Clock, frames: int) -> None:
    for index in range(frames):
        clock.now = index / 25
        sink.write(image(), frame(index))


def test_a_segment_ends_after_its_time_and_no_frame_is_lost(tmp_path: Path) -> None:
    clock = Clock()
    with SegmentSink(tmp_path, seconds=1, fps=Fraction(25), clock=clock) as sink:
        write(sink, clock, 60)
    assert counts(tmp_path) == [25, 25, 10]


def test_only_so_many_segments_are_kept_and_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.mp4").write_text("not a segment")
    clock = Clock()
    with SegmentSink(tmp_path, seconds=1, keep=2, clock=clock) as sink:
        write(sink, clock, 110)
    (tmp_path / "mine.mp4").unlink()
    assert counts(tmp_path) == [25, 10]


def test_what_a_kill_left_behind_counts_among_those_that_are_kept(tmp_path: Path) -> None:
    clock = Clock()
    left = tmp_path / "segment-20200101-000000.recording-1.mp4"
    left.write_bytes(b"of a process that was killed")
    with SegmentSink(tmp_path, seconds=1, keep=2, clock=clock) as sink:
        write(sink, clock, 60)
    assert not left.exists()
    assert counts(tmp_path) == [25, 10]


def test_another_size_begins_another_segment(tmp_path: Path) -> None:
    with open_sink(f"segments://{tmp_path}") as sink:
        sink.write(image(64), frame(0))
        sink.write(image(96), frame(1))
        sink.write(image(96), frame(2))
    assert counts(tmp_path) == [1, 2]


def test_an_aborted_run_keeps_all_segments(tmp_path: Path) -> None:
    sink = open_sink(f"segments://{tmp_path}?seconds=600&keep=3")
    sink.write(image(), frame(0))
    sink.abort()
    assert counts(tmp_path) == [1]


def test_a_segment_that_cannot_be_completed_is_an_error(tmp_path: Path) -> None:
    sink = open_sink(f"segments://{tmp_path}/there")
    sink.write(image(), frame(0))
    (part,) = (tmp_path / "there").iterdir()
    part.rename(tmp_path / "elsewhere.mp4")
    with pytest.raises(SinkError, match="cannot write"):
        sink.close()


@pytest.mark.parametrize("uri", ["segments://", "segments://x?seconds=0", "segments://x?size=3"])
def test_malformed_words_are_refused(uri: str) -> None:
    with pytest.raises(UsageError):
        open_sink(uri)
