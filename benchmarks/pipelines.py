"""End to end: from a source to a sink, every stage timed.

The stream is the runtime's own `run_pipeline`, with its source, model and sink watched.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from dayshift.benchmarks.opening import Translator
from dayshift.benchmarks.scenarios import Block, Stopwatch
from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.plan import Translation
from dayshift.runtime.sinks import open_sink
from dayshift.runtime.sinks.base import Sink
from dayshift.runtime.sources import open_source
from dayshift.runtime.sources.base import Source
from dayshift.runtime.stream_memory import Memory
from dayshift.runtime.streaming.pipeline import run_pipeline

STAGES = ("capture", "preprocess", "infer", "postprocess", "sink")
# The picture of a pipeline shows these, when the stream has its pace.
SKIPPED_FRAMES, DRAWN_FRAMES = 8, 10
_KEPT_FRAMES = 120
_LANES = {"dayshift-capture": "capture", "dayshift-translate": "translate"}
_FILE_FRAMES = 90
_LEAST_CAMERA_S = 1.0


class Replay(Source):
    """Frames from memory at a fixed rate, live as a camera's: what is not taken in time is lost."""

    def __init__(self, frames: Sequence[Pixels], fps: float) -> None:
        height, width = frames[0].shape[:2]
        self.name = f"replay at {fps:g} frames/s"
        self.size = (width, height)
        self.fps: Fraction | None = Fraction(fps).limit_denominator(1001)
        self.frame_count = None
        self.is_live = True
        self._frames = frames
        self._period_s = 1 / fps
        self._index = 0
        self._started_at = 0.0

    def read(self) -> Frame:
        """Wait until the next frame is due; one that is overdue by a period is skipped."""
        now = time.perf_counter()
        if self._index == 0:
            self._started_at = now
        self._index = max(self._index, int((now - self._started_at) / self._period_s))
        due_at = self._started_at + self._index * self._period_s
        time.sleep(max(0.0, due_at - now))
        pixels = self._frames[self._index % len(self._frames)]
        # Arrival is when the frame was due: a late wake-up is part of its age.
        frame = Frame(pixels, self._index, due_at, due_at - self._started_at)
        self._index += 1
        return frame

    def close(self) -> None:
        """There is nothing to release."""


class Log:
    """What every stage took, and when the stages of some frames began and ended, by thread."""

    def __init__(self) -> None:
        self.stages_ms: dict[str, list[float]] = {name: [] for name in STAGES}
        self.events: list[dict[str, Any]] = []
        self._started_at = time.perf_counter()
        self._lanes: dict[int, str] = {}

    def add(self, stage: str, number: int, begin: float, end: float) -> None:
        """Keep a stage of a frame, by its number among those that came to this stage."""
        self.stages_ms[stage].append((end - begin) * 1e3)
        if number < _KEPT_FRAMES:
            times = {"begin_ms": self._ms(begin), "end_ms": self._ms(end)}
            event = {"lane": self._lane(), "stage": stage, "number": number, **times}
            self.events.append(event)

    def window(self) -> list[dict[str, Any]]:
        """Return what all threads did while a few frames were translated, past the start."""
        begins = sorted(e["begin_ms"] for e in self.events if e["stage"] == "infer")
        if not begins:
            return []
        first = min(SKIPPED_FRAMES, max(0, len(begins) - DRAWN_FRAMES - 1))
        since, until = begins[first], max(event["end_ms"] for event in self.events)
        if first + DRAWN_FRAMES < len(begins):
            until = begins[first + DRAWN_FRAMES]
        return [e for e in self.events if e["end_ms"] > since and e["begin_ms"] < until]

    def _lane(self) -> str:
        """Name this thread by what it does and a number where several do it."""
        thread = threading.current_thread()
        name = _LANES.get(thread.name, "deliver")
        number = 1 + sum(lane.startswith(name) for lane in self._lanes.values())
        return self._lanes.setdefault(threading.get_ident(), f"{name} {number}")

    def _ms(self, at: float) -> float:
        return round((at - self._started_at) * 1e3, 3)


class _WatchedSource(Source):
    """A source whose reads are timed; the wait for a live one's next frame is not work."""

    def __init__(self, source: Source, log: Log) -> None:
        self.name, self.size, self.fps = source.name, source.size, source.fps
        self.frame_count, self.is_live = source.frame_count, source.is_live
        self._source, self._log = source, log
        self._numbers = itertools.count()

    def read(self) -> Frame | None:
        begin = time.perf_counter()
        frame = self._source.read()
        end = time.perf_counter()
        if frame is not None:
            begin = max(begin, frame.captured_at) if self.is_live else begin
            self._log.add("capture", next(self._numbers), begin, end)
        return frame

    def close(self) -> None:
        self._source.close()


class _WatchedModel:
    """A translator whose stages are timed, seen as the pipeline wants it."""

    def __init__(self, model: Translator, log: Log) -> None:
        self._model, self._log = model, log
        self._numbers = itertools.count()
        self.name, self.lanes, self.strength, self.lamps = model.name, model.lanes, 1.0, 1.0
        self.backend_name, self.backend_version = str(model.backend_name), model.backend_version
        self.device, self.precision = model.device, str(model.precision)
        self.precision_requested, self.sha256 = model.precision_requested, model.sha256

    def warm_up(self, height: int, width: int) -> None:
        self._model.warm_up(height, width)

    def translate(self, frame: Pixels, memory: Memory | None = None) -> Translation:
        number, begin = next(self._numbers), time.perf_counter()
        translation = self._model.translate(frame, memory)
        for stage in ("preprocess", "infer", "postprocess"):
            end = begin + getattr(translation, f"{stage}_ms") / 1e3
            self._log.add(stage, number, begin, end)
            begin = end
        return translation


class _WatchedSink(Sink):
    """A sink whose writes are timed, and each image's age when it has been written."""

    def __init__(self, sink: Sink, log: Log) -> None:
        self.name = sink.name
        self._sink, self._log = sink, log
        self.ages_ms: list[float] = []
        self.last_at = 0.0

    def write(self, image: Pixels, frame: Frame) -> None:
        begin = time.perf_counter()
        self._sink.write(image, frame)
        self.last_at = time.perf_counter()
        self._log.add("sink", len(self.ages_ms), begin, self.last_at)
        self.ages_ms.append((self.last_at - frame.captured_at) * 1e3)

    def close(self) -> None:
        self._sink.close()

    def abort(self) -> None:
        self._sink.abort()


class Stream:
    """The runtime's pipeline, from a source to a sink that are opened for every block.

    Args:
        translator: the model.
        frame: any frame of the right size, for the warm-up.
        open_ends: returns source and sink of a block.
        is_live: the newest frame wins, for the block's seconds; otherwise every frame, as many as
            a block has.
    """

    def __init__(
        self,
        translator: Translator,
        frame: Pixels,
        open_ends: Callable[[], tuple[Source, Sink]],
        *,
        is_live: bool,
    ) -> None:
        self._translator = translator
        self._frame = frame
        self._open_ends = open_ends
        self._is_live = is_live

    def call(self) -> float:
        """Translate one frame, outside of any stream."""
        started_at = time.perf_counter()
        self._translator.translate(self._frame)
        return (time.perf_counter() - started_at) * 1e3

    def block(self, seconds: float) -> Block:
        """Stream for that long from a live source, or a fixed number of frames from a file."""
        source, sink = self._open_ends()
        log = Log()
        watched = _WatchedSink(sink, log)
        watch = Stopwatch()
        report = run_pipeline(
            _WatchedSource(source, log),
            _WatchedModel(self._translator, log),
            [watched],
            policy="latest" if self._is_live else "every",
            duration_s=max(seconds, _LEAST_CAMERA_S) if self._is_live else None,
            max_frames=None if self._is_live else _FILE_FRAMES,
        )
        # Until the last image: completing the file afterwards is not the stream's pace.
        seconds = watch.since(watched.last_at)
        block = watch.block(watched.ages_ms, stages_ms=log.stages_ms, seconds=seconds)
        block.dropped, block.events = report.frames_dropped, log.window()
        return block

    def close(self) -> None:
        """Free the engine."""
        self._translator.close()


def camera_ends(frames: Sequence[Pixels], fps: float) -> Callable[[], tuple[Source, Sink]]:
    """Return how to open a camera at that rate and a sink that takes everything at once."""

    def open_ends() -> tuple[Source, Sink]:
        source = Replay(frames, fps)
        return source, open_sink("null://", size=source.size, fps=source.fps)

    return open_ends


def file_ends(clip: str, size_wh: tuple[int, int], sink: str) -> Callable[[], tuple[Source, Sink]]:
    """Return how to open a video to read and a sink for its images."""

    def open_ends() -> tuple[Source, Sink]:
        source = open_source(clip, size=size_wh)
        return source, open_sink(sink, size=source.size, fps=source.fps)

    return open_ends
