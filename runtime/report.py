"""What is measured of a stream, and the report about it that scripts read."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any, Protocol

from dayshift.runtime.timing import Samples


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
        frames_out: Of those, translated and delivered to every sink.
        frames_dropped: The others: replaced by newer ones, or on their way when the run broke off.
        seconds: From the first read to the last sink closed.
        fps: `frames_out` per second.
        latency_ms: From capture until the last sink had the image: p50, p90, p95, p99, max.
        stages_ms: p50 and p95 of `capture` (decoding, without the wait for a live source's next
            frame), `preprocess`, `infer`, `postprocess` and `sink` (composing included).
        precision_actual: What the engine ran in.
        size: Of the source's frames, as 1280x720.
        model_sha256: Of the graph that ran.
    """

    frames_in: int
    frames_out: int
    frames_dropped: int
    seconds: float
    fps: float
    latency_ms: dict[str, float]
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


class StreamMeter:
    """Collects the times of a stream in bounded memory, on the thread that delivers."""

    def __init__(self) -> None:
        self.frames_out = 0
        self._started_at = time.perf_counter()
        self._latency = Samples()
        self._stages = {
            stage: Samples() for stage in ("capture", "preprocess", "infer", "postprocess", "sink")
        }

    def add(
        self, *, captured_at: float, capture_ms: float, translation: Timed, sink_ms: float
    ) -> None:
        """Count a frame that has just been delivered."""
        self.frames_out += 1
        self._latency.add((time.perf_counter() - captured_at) * 1e3)
        self._stages["capture"].add(capture_ms)
        self._stages["preprocess"].add(translation.preprocess_ms)
        self._stages["infer"].add(translation.infer_ms)
        self._stages["postprocess"].add(translation.postprocess_ms)
        self._stages["sink"].add(sink_ms)

    def report(self, *, frames_in: int, size: tuple[int, int], model: Described) -> Report:
        """Sum up a run that ends now."""
        seconds = time.perf_counter() - self._started_at
        latency = self._latency.summarize()
        stages = {stage: samples.summarize() for stage, samples in self._stages.items()}
        return Report(
            frames_in=frames_in,
            frames_out=self.frames_out,
            frames_dropped=frames_in - self.frames_out,
            seconds=round(seconds, 3),
            fps=round(self.frames_out / seconds, 3) if seconds > 0 else 0.0,
            latency_ms={
                "p50": round(latency.p50, 3),
                "p90": round(latency.p90, 3),
                "p95": round(latency.p95, 3),
                "p99": round(latency.p99, 3),
                "max": round(latency.max, 3),
            },
            stages_ms={
                stage: {"p50": round(of.p50, 3), "p95": round(of.p95, 3)}
                for stage, of in stages.items()
            },
            backend=model.backend_name,
            backend_version=model.backend_version,
            precision_requested=model.precision_requested,
            precision_actual=model.precision,
            device=model.device,
            size=f"{size[0]}x{size[1]}",
            model_sha256=model.sha256,
        )
