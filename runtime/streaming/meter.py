"""What is measured of a stream: of all of it for its report, of its last seconds for its status."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dayshift.runtime.streaming.events import Events
from dayshift.runtime.streaming.report import Described, Report, Timed
from dayshift.runtime.streaming.status import Status
from dayshift.runtime.timing import Latency, Samples

Stage = Literal["capture", "preprocess", "infer", "postprocess", "sink"]

STAGES: tuple[Stage, ...] = ("capture", "preprocess", "infer", "postprocess", "sink")
_WINDOW_S = 5.0
# 5 s at 200 frames per second; faster streams are looked at over less.
_WINDOW_FRAMES = 1000


@dataclass(frozen=True)
class Delivery:
    """What one delivered frame took, in milliseconds.

    Attributes:
        index: The frame's number in the source.
        delivered_at: `perf_counter` seconds.
        latency_ms: From capture until the last sink had the image.
        queue_age_ms: How long the frame waited for the model.
        stages_ms: One time for each of `STAGES`, in their order.
    """

    index: int
    delivered_at: float
    latency_ms: float
    queue_age_ms: float
    stages_ms: tuple[float, ...]


class StreamMeter:
    """Collects the times of a stream in bounded memory, on the thread that delivers.

    Attributes:
        frames_out: Frames delivered.
        frames_repeated: Of those, repeated because the stream was frozen.
        frames_placeholder: Placeholders delivered besides.
    """

    def __init__(self) -> None:
        self.frames_out = 0
        self.frames_repeated = 0
        self.frames_placeholder = 0
        self._started_at = time.perf_counter()
        self._latency = Samples()
        self._queue_age = Samples()
        self._stages = {stage: Samples() for stage in STAGES}
        self._recent: deque[Delivery] = deque(maxlen=_WINDOW_FRAMES)
        self._arrivals: deque[tuple[float, int]] = deque(maxlen=6)
        self._newest_captured_at: float | None = None

    def add(
        self,
        *,
        index: int,
        captured_at: float,
        capture_ms: float,
        queue_age_ms: float,
        translation: Timed | None,
        sink_ms: float,
    ) -> Delivery:
        """Count a frame that has just been delivered; `translation` is None for a repeated one."""
        now = time.perf_counter()
        work = translation
        stages_ms = (
            capture_ms,
            *(
                (work.preprocess_ms, work.infer_ms, work.postprocess_ms)
                if work
                else (0.0, 0.0, 0.0)
            ),
            sink_ms,
        )
        delivery = Delivery(index, now, (now - captured_at) * 1e3, queue_age_ms, stages_ms)
        self.frames_out += 1
        self.frames_repeated += translation is None
        self._newest_captured_at = captured_at
        self._recent.append(delivery)
        if translation is not None:
            self._latency.add(delivery.latency_ms)
            self._queue_age.add(queue_age_ms)
            for stage, time_ms in zip(STAGES, stages_ms, strict=True):
                self._stages[stage].add(time_ms)
        return delivery

    def report(
        self, *, frames_in: int, size: tuple[int, int], model: Described, outages: int = 0
    ) -> Report:
        """Sum up a run that ends now."""
        seconds = time.perf_counter() - self._started_at
        stages = {stage: samples.summarize() for stage, samples in self._stages.items()}
        return Report(
            frames_in=frames_in,
            frames_out=self.frames_out,
            frames_dropped=frames_in - self.frames_out,
            frames_repeated=self.frames_repeated,
            frames_placeholder=self.frames_placeholder,
            outages=outages,
            seconds=round(seconds, 3),
            fps=round(self.frames_out / seconds, 3) if seconds > 0 else 0.0,
            latency_ms=_fields(self._latency.summarize(), "p50", "p90", "p95", "p99", "max"),
            queue_age_ms=_fields(self._queue_age.summarize(), "p50", "p95", "p99", "max"),
            stages_ms={stage: _fields(of, "p50", "p95", "p99") for stage, of in stages.items()},
            backend=model.backend_name,
            backend_version=model.backend_version,
            precision_requested=model.precision_requested,
            precision_actual=model.precision,
            device=model.device,
            size=f"{size[0]}x{size[1]}",
            model_sha256=model.sha256,
        )

    def status(
        self,
        *,
        events: Events,
        source_name: str,
        frames_in: int,
        frames_dropped: int,
        size: tuple[int, int],
        model: Described,
        step: str = "",
    ) -> Status:
        """Say how the stream does, over its last seconds."""
        now = time.perf_counter()
        while self._recent and now - self._recent[0].delivered_at > _WINDOW_S:
            self._recent.popleft()
        recent = tuple(self._recent)
        self._arrivals.append((now, frames_in))
        fps_in = _rate(self._arrivals[0], self._arrivals[-1])
        captured_at = self._newest_captured_at
        events_so_far = events.recent
        return Status(
            state=events.state,
            at_s=time.time(),
            seconds=round(now - self._started_at, 3),
            source=source_name,
            size=f"{size[0]}x{size[1]}",
            model=model.name,
            backend=model.backend_name,
            precision=model.precision,
            device=model.device,
            frames_in=frames_in,
            frames_out=self.frames_out,
            frames_dropped=frames_dropped,
            frames_repeated=self.frames_repeated,
            frames_placeholder=self.frames_placeholder,
            outages=events.outage_count,
            fps_in=round(fps_in, 2),
            fps_out=round(_rate_of(recent), 2),
            frame_age_ms=round((now - captured_at) * 1e3, 1) if captured_at else 0.0,
            latency_ms=_percentiles([of.latency_ms for of in recent]),
            queue_age_ms=_percentiles([of.queue_age_ms for of in recent]),
            stages_ms={
                stage: _percentiles([of.stages_ms[position] for of in recent])
                for position, stage in enumerate(STAGES)
            },
            step=step,
            message=events_so_far[-1].message if events_so_far else "",
        )


def _fields(latency: Latency, *names: str) -> dict[str, float]:
    return {name: round(getattr(latency, name), 3) for name in names}


def _percentiles(times_ms: Sequence[float]) -> dict[str, float]:
    values = np.percentile(times_ms, (50, 95, 99)) if times_ms else (0.0, 0.0, 0.0)
    return {f"p{p}": round(float(v), 2) for p, v in zip((50, 95, 99), values, strict=True)}


def _rate(first: tuple[float, int], last: tuple[float, int]) -> float:
    seconds = last[0] - first[0]
    return (last[1] - first[1]) / seconds if seconds > 0 else 0.0


def _rate_of(recent: Sequence[Delivery]) -> float:
    if len(recent) < 2:
        return 0.0
    seconds = recent[-1].delivered_at - recent[0].delivered_at
    return (len(recent) - 1) / seconds if seconds > 0 else 0.0
