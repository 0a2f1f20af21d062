"""The report about a stream that scripts read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Protocol


class Timed(Protocol):
    """A translation, as far as its times go."""

    @property
    def preprocess_ms(self) -> float:
        """Milliseconds before the engine."""
        ...

    @property
    def infer_ms(self) -> float:
        """Milliseconds in the engine."""
        ...

    @property
    def postprocess_ms(self) -> float:
        """Milliseconds after the engine."""
        ...


class Described(Protocol):
    """A model, as far as a report names it."""

    @property
    def name(self) -> str:
        """The model's own."""
        ...

    @property
    def backend_name(self) -> str:
        """Such as openvino."""
        ...

    @property
    def backend_version(self) -> str:
        """As the engine gives it."""
        ...

    @property
    def device(self) -> str:
        """Such as CPU."""
        ...

    @property
    def precision_requested(self) -> str:
        """As asked for, or auto."""
        ...

    @property
    def precision(self) -> str:
        """What the engine runs in."""
        ...

    @property
    def sha256(self) -> str:
        """Of the graph."""
        ...


@dataclass(frozen=True)
class Report:
    """One run of a stream; the field names are those of its JSON.

    Attributes:
        frames_in: Frames taken from the source.
        frames_out: Of those, translated and delivered to the sinks.
        frames_dropped: The others: replaced by newer ones, skipped by the adaptive policy, or on
            their way when the run broke off.
        frames_repeated: Of those delivered, images repeated because the stream was frozen.
        frames_placeholder: Images delivered besides, to bridge outages.
        outages: How often the stream was stalled or reconnecting.
        seconds: From the first read to the last sink closed.
        fps: `frames_out` per second.
        latency_ms: From capture until the last sink had the image: p50, p90, p95, p99, max.
        queue_age_ms: How long frames waited for the model, ready to be taken: p50, p95, p99, max.
        stages_ms: p50, p95, p99 of `capture` (decoding, without the wait for a live source's next
            frame), `preprocess`, `infer`, `postprocess` and `sink` (composing included).
        precision_actual: What the engine ran in.
        size: Of the source's frames, as 1280x720.
        model_sha256: Of the graph that ran.
    """

    frames_in: int
    frames_out: int
    frames_dropped: int
    frames_repeated: int
    frames_placeholder: int
    outages: int
    seconds: float
    fps: float
    latency_ms: dict[str, float]
    queue_age_ms: dict[str, float]
    stages_ms: dict[str, dict[str, float]]
    backend: str
    backend_version: str
    precision_requested: str
    precision_actual: str
    device: str
    size: str
    model_sha256: str

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data for `json.dumps`."""
        return dataclasses.asdict(self)
