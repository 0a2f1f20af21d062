from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice, pairwise

import numpy as np
import pytest

from dayshift.runtime.errors import SourceError
from dayshift.runtime.frame import Frame
from dayshift.runtime.sources import CorruptFrame, Source, open_source
from dayshift.runtime.sources.faults import KINDS, Fault, FaultScript, random_faults
from dayshift.runtime.sources.rate import RateWatch
from dayshift.runtime.sources.supervised import SupervisedSource, Watch
from dayshift.runtime.streaming.backoff import Backoff
from dayshift.runtime.streaming.events import Event, Events, State

AT_ONCE = Backoff(first_s=0.001, cap_s=0.01)
QUICK = Watch(stalled_after_s=0.05, reopen_after_s=0.05, open_timeout_s=5, backoff=AT_ONCE)


class Scripted(Source):
    """A live source that does at each read what its script says: a size, an error or an event.

    Every reopening takes the next script; a script that is an error is a failed attempt.
    """

    name = "scripted"
    size = (32, 16)
    fps: Fraction | None = None
    frame_count = None
    is_live = True

    def __init__(self, *scripts: object) -> None:
        script, *self._rest = scripts
        assert isinstance(script, list)
        self._script: Iterator[object] = iter(script)
        self._index = 0
        self.closed = 0

    def read(self) -> Frame | None:
        step = next(self._script, (32, 16))
        if step is None or isinstance(step, Exception):
            if step is None:
                return None
            raise step
        if isinstance(step, threading.Event):
            assert step.wait(20)
            return self.read()
        assert isinstance(step, tuple)
        pixels = np.full((step[1], step[0], 3), self._index % 256, np.uint8)
        time.sleep(0.001)
        frame = Frame(pixels, self._index, time.perf_counter(), 0.0)
        self._index += 1
        return frame

    def close(self) -> None:
        self.closed += 1

    def reopen(self) -> Source:
        assert self.closed or self._rest
        if isinstance(self._rest[0], Exception):
            raise self._rest.pop(0)  # type: ignore[misc]
        return type(self)(*self._rest)


FINE = [(32, 16)] * 3


def states(events: Events) -> list[State]:
    """Return the states in order, each once in a row."""
    told = [event.state for event in events.recent]
    return [state for at, state in enumerate(told) if at == 0 or told[at - 1] is not state]


def watch(source: Source, events: Events, how: Watch = QUICK, **more: bool) -> SupervisedSource:
    return SupervisedSource(source, events, how, **more)


def take(source: Source, count: int) -> list[Frame]:
    frames = [source.read() for _ in range(count)]
    assert None not in frames
    return [frame for frame in frames if frame is not None]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if "dayshift" in thread.name] == []


def test_a_source_that_breaks_is_opened_again_and_its_numbers_and_times_go_on() -> None:
    events = Events()
    first = Scripted([*FINE, SourceError("unplugged")], SourceError("not there"), FINE)
    with watch(first, events, keeps_every=True) as source:
        frames = take(source, 6)
    assert [frame.index for frame in frames] == list(range(6))
    times = [frame.pts_s for frame in frames]
    assert times[0] == 0
    assert times == sorted(times, key=lambda pts_s: pts_s or 0.0)
    assert states(events) == [State.RUNNING, State.RECONNECTING, State.RUNNING]
    tried = [event for event in events.recent if event.state is State.RECONNECTING]
    assert [event.attempt for event in tried] == [1, 2]
    assert "unplugged; trying again in" in tried[0].message
    assert "not there; trying again in" in tried[1].message
    assert first.closed == 1


def test_a_source_that_gives_nothing_is_stalled_and_runs_again_where_it_recovers() -> None:
    events, recovered = Events(), threading.Event()
    events.subscribe(lambda event: recovered.set() if event.state is State.STALLED else None)
    slow = Watch(stalled_after_s=0.05, reopen_after_s=20)
    with watch(Scripted([*FINE, recovered, *FINE]), events, slow, keeps_every=True) as source:
        take(source, 6)
    assert states(events) == [State.RUNNING, State.STALLED, State.RUNNING]
    assert events.outage_count == len(events.outages) == 1
    assert "back after" in events.recent[-1].message


def test_a_read_that_never_returns_is_left_behind_and_closed_when_it_does() -> None:
    events, released = Events(), threading.Event()
    first = Scripted([*FINE, released], FINE)
    with watch(first, events, keeps_every=True) as source:
        take(source, 6)
        assert states(events) == [
            State.RUNNING,
            State.STALLED,
            State.RECONNECTING,
            State.RUNNING,
        ]
        assert first.closed == 0
        released.set()
    assert first.closed == 1


def test_damaged_frames_are_left_out_and_only_a_row_of_them_is_an_outage() -> None:
    events = Events()
    some = [CorruptFrame("damaged")] * 3
    many = [CorruptFrame("damaged")] * 31
    with watch(Scripted([*FINE, *some, *FINE, *many], FINE), events, keeps_every=True) as source:
        take(source, 9)
    assert states(events) == [State.RUNNING, State.RECONNECTING, State.RUNNING]
    assert events.outage_count == 1


def test_frames_keep_the_size_of_the_first_and_a_change_is_told_once() -> None:
    events = Events()
    script = [(32, 16), (64, 48), (64, 48), (32, 16)]
    with watch(Scripted(script), events, keeps_every=True) as source:
        frames = take(source, 4)
    assert {frame.pixels.shape for frame in frames} == {(16, 32, 3)}
    told = [event.message for event in events.recent if "64x48" in event.message]
    assert told == ["scripted: gives 64x48 now: scaled to 32x16"]


def test_a_good_end_is_an_end() -> None:
    events = Events()
    with watch(Scripted([*FINE, None]), events, keeps_every=True) as source:
        take(source, 3)
        assert source.read() is None


def test_a_source_that_stays_away_is_given_up_where_that_was_asked_for() -> None:
    away: list[object] = [SourceError("not there")] * 1000
    how = Watch(give_up_after_s=0.05, backoff=AT_ONCE)
    with (
        watch(Scripted([*FINE, SourceError("gone")], *away), Events(), how) as source,
        pytest.raises(SourceError, match=r"scripted did not come back within 0.05 s: .*not"),
    ):
        list(iter(source.read, None))


@pytest.mark.parametrize("trouble", ["stall", "away"])
def test_stop_ends_a_read_at_once_whatever_it_waits_for(trouble: str) -> None:
    released = threading.Event()
    script = [*FINE, released if trouble == "stall" else SourceError("gone")]
    patient = Watch(stalled_after_s=60, backoff=Backoff(first_s=60, cap_s=60))
    source = watch(Scripted(script), Events(), patient, keeps_every=True)
    take(source, 3)
    ended: list[Frame | None] = []
    reader = threading.Thread(target=lambda: ended.append(source.read()))
    reader.start()
    source.stop()
    reader.join(10)
    released.set()
    source.close()
    assert ended == [None]


def test_the_newest_frame_wins_where_every_one_is_not_wanted() -> None:
    with watch(open_source("synthetic://?size=64x48&fps=500"), Events()) as source:
        first = take(source, 1)[0]
        time.sleep(0.1)
        assert take(source, 2)[-1].index > first.index + 10


@pytest.mark.parametrize(("hint", "shown"), [("", ""), ("too dark", ": too dark")])
def test_a_rate_below_the_announced_one_is_told_when_it_begins_and_ends(
    hint: str, shown: str
) -> None:
    rate, told = RateWatch(Fraction(30), hint), []
    now = 0.0
    for fps in (30, 15, 15, 30, 30):
        for _ in range(fps * 6):
            now += 1 / fps
            told += [rate.note(now)]
    said = [line for line in told if line is not None]
    assert len(said) == 2
    assert said[0].endswith(f"where 30 are announced{shown}")
    assert said[1].endswith("frames/s again")


@pytest.mark.parametrize(
    ("attempt", "chance", "delay_s"), [(1, 0.0, 0.5), (2, 0.0, 1.0), (7, 0.0, 30.0), (9999, 0, 30)]
)
def test_backoff_doubles_up_to_its_cap(attempt: int, chance: float, delay_s: float) -> None:
    assert Backoff().delay_s(attempt, chance) == delay_s


def test_jitter_shortens_a_wait_and_never_beyond_its_part() -> None:
    backoff = Backoff(first_s=1.0, jitter=0.3)
    delays = {backoff.delay_s(1) for _ in range(100)}
    assert len(delays) > 50
    assert all(0.7 <= delay <= 1.0 for delay in delays)


# Faults on demand


def listen(faults: str, **options: object) -> tuple[list[Event], list[Frame]]:
    events = Events()
    more = "".join(f"&{name}={value}" for name, value in options.items())
    uri = f"synthetic://?size=64x48&fps=100&faults={faults}{more}"
    patient = Watch(stalled_after_s=1.0, reopen_after_s=20, backoff=AT_ONCE)
    with watch(open_source(uri), events, patient) as source:
        frames = list(iter(source.read, None))
    return list(events.recent), frames


@pytest.mark.parametrize(
    ("faults", "told"),
    [
        ("disconnect@0.1:0.1", [State.RUNNING, State.RECONNECTING, State.RUNNING]),
        ("stall@0.1:1.4", [State.RUNNING, State.STALLED, State.RUNNING]),
        ("corrupt@0.1:0.05", [State.RUNNING]),
    ],
)
def test_every_fault_that_can_be_ordered_is_survived(faults: str, told: list[State]) -> None:
    events, frames = listen(faults, frames=60)
    seen = [event.state for event in events]
    assert [state for at, state in enumerate(seen) if at == 0 or seen[at - 1] is not state] == told
    assert frames[-1].index == 59


def test_a_lost_frame_leaves_a_gap_and_a_resized_one_comes_back_to_size() -> None:
    _, lossy = listen("drop@0.1:0.1", frames=60)
    assert 60 - len(lossy) >= 8
    events, resized = listen("size@0.05:0.1", frames=60)
    assert {frame.pixels.shape for frame in resized} == {(48, 64, 3)}
    assert any("32x24 now" in event.message for event in events)


def make_clock(times: list[float]) -> Callable[[], float]:
    ticks = iter(times)
    return lambda: next(ticks)


def test_a_script_says_which_fault_is_on_and_how_long_it_lasts() -> None:
    faults = [Fault("stall", 2, 5), Fault("drop", 4, 5), Fault("size", 7, 8)]
    script = FaultScript(faults, make_clock([100, 101, 102, 104.5, 106, 107.5, 109]))
    seen = [script.current() for _ in range(7)]
    assert seen == [None, None, (faults[0], 3), (faults[0], 0.5), None, (faults[2], 0.5), None]


def test_random_faults_are_the_same_for_a_seed_and_have_no_end() -> None:
    first, again, other = (list(islice(random_faults(4, seed=s), 200)) for s in (1, 1, 2))
    assert first == again != other
    assert {fault.kind for fault in first} == set(KINDS)
    assert all(a.end_s < b.start_s for a, b in pairwise(first))
    assert first[-1].end_s / 200 == pytest.approx(6, rel=0.2)


def test_what_an_outage_leaves_behind_is_freed_at_once() -> None:
    """Cycles through a traceback would hold a source and a frame until a rare collection."""
    first = Scripted([*FINE, SourceError("unplugged")], SourceError("not there"), FINE)
    lost = weakref.ref(first)
    gc.disable()
    try:
        with watch(first, Events(), keeps_every=True) as source:
            del first
            take(source, 6)
            assert lost() is None
    finally:
        gc.enable()
