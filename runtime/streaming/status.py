"""How a stream does right now: what its overlay, page, log and metrics show."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from dayshift.runtime.streaming.events import State


@dataclass(frozen=True)
class Status:
    """A stream at one moment. Rates and times are those of the last seconds, counts of all.

    Attributes:
        state: What the stream is doing.
        at_s: Seconds since the epoch.
        seconds: Since the stream began.
        source: The source's name.
        size: Of its frames, as 1280x720.
        model: The model's name.
        backend: What runs it.
        precision: What that runs in.
        device: What it runs on.
        frames_in: Frames taken from the source.
        frames_out: Of those, translated and delivered to the sinks.
        frames_dropped: Of those, replaced by newer ones or skipped.
        frames_repeated: Images delivered once more, since the stream was frozen.
        frames_placeholder: Placeholders delivered during outages.
        outages: How often the stream was stalled or reconnecting.
        fps_in: Frames per second from the source: what it gives, not what it announces.
        fps_out: Translated images per second.
        frame_age_ms: Since the capture of the newest frame that was delivered.
        latency_ms: From capture until the last sink had the image: p50, p95, p99.
        queue_age_ms: How long frames waited for the model: p50, p95, p99.
        stages_ms: p50, p95, p99 of capture, preprocess, infer, postprocess and sink.
        step: The step of the adaptive policy's ladder, in words; empty at its top.
        message: The last event, in words.
    """

    state: State
    at_s: float
    seconds: float
    source: str
    size: str
    model: str
    backend: str
    precision: str
    device: str
    frames_in: int
    frames_out: int
    frames_dropped: int
    frames_repeated: int
    frames_placeholder: int
    outages: int
    fps_in: float
    fps_out: float
    frame_age_ms: float
    latency_ms: dict[str, float]
    queue_age_ms: dict[str, float]
    stages_ms: dict[str, dict[str, float]]
    step: str
    message: str

    def to_json(self) -> dict[str, Any]:
        """Return the status as plain data."""
        return {**asdict(self), "state": self.state.value}
