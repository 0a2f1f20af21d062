from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Iterator
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


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """Let writes fail half-way, by the kernel's limit on a file's size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def write_span(sink: SegmentSink, clock: Clock, start_s: int, end_s: int) -> None:
    for index in range(start_s * 5, end_s * 5):
        clock.now = index / 5
        sink.write(image(), Frame(image(), index, 0.0, clock.now))
        time.sleep(0.003)  # the encoder's thread must not fall behind by a retry's time


def test_recording_goes_on_when_a_full_disk_has_space_again_and_the_gap_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    sink = SegmentSink(tmp_path, seconds=10, fps=Fraction(5), clock=clock)
    write_span(sink, clock, 0, 18)
    with full_disk():
        write_span(sink, clock, 18, 51)
    write_span(sink, clock, 51, 121)
    with pytest.raises(SinkError, match=r"segments .* has gaps: for \d+ s nothing could be"):
        sink.close()
    told = [record.message for record in caplog.records if "segments" in record.message]
    assert len(told) == 2
    assert "cannot write" in told[0]
    assert told[0].endswith("a new one is tried every 30 s")
    assert "nothing could be written" in told[1]
    first, broken_off, *others = counts(tmp_path)
    assert (first, len(list(tmp_path.glob("*.recording-*")))) == (50, 1)
    assert 0 < broken_off <= 50
    assert 0 < sum(others) <= 5 * 50


def test_what_broke_off_counts_among_those_that_are_kept(tmp_path: Path) -> None:
    clock = Clock()
    sink = SegmentSink(tmp_path, seconds=10, keep=2, fps=Fraction(5), clock=clock)
    write_span(sink, clock, 0, 18)
    with full_disk():
        write_span(sink, clock, 18, 51)
    write_span(sink, clock, 51, 121)
    with pytest.raises(SinkError, match="has gaps"):
        sink.close()
    whole, rest = counts(tmp_path)
    assert (whole, 0 < rest <= 50) == (50, True)


def test_a_disk_that_stays_full_ends_the_recording_after_a_day(tmp_path: Path) -> None:
    clock = Clock()
    sink = SegmentSink(tmp_path, seconds=10, fps=Fraction(5), clock=clock)
    write_span(sink, clock, 0, 11)
    with full_disk():
        write_span(sink, clock, 11, 51)
        with pytest.raises(SinkError, match="cannot write"):
            write_span(sink, clock, 86_500, 86_600)
        sink.abort()


def test_a_disk_that_is_full_from_the_start_is_an_error_at_once(tmp_path: Path) -> None:
    clock = Clock()
    sink = SegmentSink(tmp_path, fps=Fraction(5), clock=clock)
    with full_disk(), pytest.raises(SinkError, match="cannot write"):
        write_span(sink, clock, 0, 25)
    sink.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uri", ["segments://", "segments://x?seconds=0", "segments://x?size=3"])
def test_malformed_words_are_refused(uri: str) -> None:
    with pytest.raises(UsageError):
        open_sink(uri)
