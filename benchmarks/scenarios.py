"""What one block of calls does in each scenario, and what it brings back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, Protocol

from dayshift.benchmarks.opening import Opened, PlanTranslator, Translator
from dayshift.runtime.backends import Backend
from dayshift.runtime.backends.base import Array
from dayshift.runtime.image import Pixels


@dataclass
class Block:
    """One turn of one row.

    Attributes:
        times_ms: one latency per frame, timed around the whole call and by us, not by the engine.
        frames: how many images came out.
        seconds: of the whole block, without its untimed calls.
        cpu_s: processor time of the process in that time, all threads.
        run_queue_s: how long the calling thread was ready in that time and had no core.
        stages_ms: times of each stage, one value per frame.
        dropped: frames that arrived and were replaced by newer ones.
        events: the first frames' stages with their begin and end, for a picture.
    """

    times_ms: list[float]
    frames: int
    seconds: float
    cpu_s: float = 0.0
    run_queue_s: float = 0.0
    stages_ms: dict[str, list[float]] = field(default_factory=dict)
    dropped: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)


class Stopwatch:
    """Counts from its making: time, processor time, and time without a core."""

    def __init__(self) -> None:
        self._queue_at, self._cpu_at = _run_queue_wait_s(), time.process_time()
        self._started_at = time.perf_counter()

    def block(
        self,
        times_ms: list[float],
        *,
        frames: int | None = None,
        stages_ms: dict[str, list[float]] | None = None,
        seconds: float | None = None,
    ) -> Block:
        """Return the block that ends now, or ended after `seconds`."""
        elapsed = time.perf_counter() - self._started_at
        cpu_s, waited_s = time.process_time() - self._cpu_at, _run_queue_wait_s() - self._queue_at
        return Block(
            times_ms,
            len(times_ms) if frames is None else frames,
            elapsed if seconds is None else seconds,
            cpu_s,
            waited_s,
            stages_ms or {},
        )

    def since(self, at: float) -> float:
        """Return the seconds from the beginning until a moment of `perf_counter`."""
        return at - self._started_at


def _run_queue_wait_s() -> float:
    """Return how long this thread was ready to run and had no core, so far."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


class Calls(Protocol):
    """Anything that can be called for one time after the other."""

    def call(self) -> float:
        """Do it once and return the milliseconds."""
        ...


class Subject(Protocol):
    """A scenario on an opened model. One thread drives it."""

    def call(self) -> float:
        """Translate the next frame and return the milliseconds it took, for the warm-up."""
        ...

    def block(self, seconds: float) -> Block:
        """Run for about that long, at least one frame."""
        ...

    def close(self) -> None:
        """Free everything."""
        ...


class SingleStream:
    """One frame after the other, each when the last image is there."""

    def __init__(self, translator: Translator, frames: Sequence[Pixels]) -> None:
        self._translator = translator
        self._frames: Iterator[Pixels] = cycle(frames)

    def call(self) -> float:
        """Translate one frame."""
        frame = next(self._frames)
        started_at = time.perf_counter()
        self._translator.translate(frame)
        return (time.perf_counter() - started_at) * 1e3

    def block(self, seconds: float) -> Block:
        """Translate frames for that long."""
        times: list[float] = []
        stages: dict[str, list[float]] = {"preprocess": [], "infer": [], "postprocess": []}
        watch = Stopwatch()
        ends_at = time.perf_counter() + seconds
        while not times or time.perf_counter() < ends_at:
            frame = next(self._frames)
            call_at = time.perf_counter()
            translation = self._translator.translate(frame)
            times.append((time.perf_counter() - call_at) * 1e3)
            # Only times are kept: images would hold ever new memory, whose first touch is slow.
            stages["preprocess"].append(translation.preprocess_ms)
            stages["infer"].append(translation.infer_ms)
            stages["postprocess"].append(translation.postprocess_ms)
        return watch.block(times, stages_ms=stages)

    def close(self) -> None:
        """Free the engine."""
        self._translator.close()


class Batched(SingleStream):
    """Several frames per call; a frame's latency is that of its whole batch."""

    def __init__(self, opened: Opened, frames: Sequence[Pixels], batch: int) -> None:
        assert isinstance(opened.translator, PlanTranslator)
        super().__init__(opened.translator, frames)
        self._opened = opened
        self._batch = batch

    def call(self) -> float:
        """Translate one batch."""
        assert isinstance(self._opened.translator, PlanTranslator)
        frames = [next(self._frames) for _ in range(self._batch)]
        started_at = time.perf_counter()
        self._opened.translator.translate_batch(frames, self._opened.form)
        return (time.perf_counter() - started_at) * 1e3

    def block(self, seconds: float) -> Block:
        """Translate batches for that long."""
        watch = Stopwatch()
        times = calls(self, seconds)
        return watch.block(times, frames=len(times) * self._batch)


class EngineAlone:
    """The graph called back to back on one frame, nothing before and nothing after."""

    def __init__(self, backend: Backend, inputs: dict[str, Array]) -> None:
        self._backend = backend
        self._inputs = inputs

    def call(self) -> float:
        """Run the graph once."""
        started_at = time.perf_counter()
        self._backend.infer(self._inputs)
        return (time.perf_counter() - started_at) * 1e3

    def block(self, seconds: float) -> Block:
        """Run the graph for that long."""
        watch = Stopwatch()
        times = calls(self, seconds)
        return watch.block(times, stages_ms={"infer": times})

    def close(self) -> None:
        """Free the engine."""
        self._backend.close()


class Offline:
    """Several frames in flight, each of a thread of its own that waits for its lane of the model.

    Engines release Python's lock while they run, so a thread that waits for its engine is a request
    in flight, and the frames of the others are shrunk and applied meanwhile.
    """

    def __init__(self, translator: Translator, frames: Sequence[Pixels], streams: int) -> None:
        self._streams = [SingleStream(translator, frames) for _ in range(streams)]

    def call(self) -> float:
        """Translate one frame with one of the streams."""
        return self._streams[0].call()

    def block(self, seconds: float) -> Block:
        """Keep all streams busy for that long."""
        watch = Stopwatch()
        with ThreadPoolExecutor(len(self._streams)) as pool:
            parts = list(pool.map(lambda stream: calls(stream, seconds), self._streams))
        return watch.block([time_ms for part in parts for time_ms in part])

    def close(self) -> None:
        """Free the engine."""
        self._streams[0].close()


def calls(subject: Calls, seconds: float) -> list[float]:
    """Return the latencies of calls one after the other for that long, at least one."""
    ends_at = time.perf_counter() + seconds
    times = [subject.call()]
    while time.perf_counter() < ends_at:
        times.append(subject.call())
    return times
