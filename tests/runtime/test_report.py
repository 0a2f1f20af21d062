from __future__ import annotations

import json
import time
from dataclasses import dataclass

import numpy as np
import pytest

from dayshift.runtime.streaming.events import Events, State
from dayshift.runtime.streaming.meter import StreamMeter
from dayshift.runtime.streaming.report import Report


def add_one(meter: StreamMeter, *, capture_ms: float = 0.0) -> None:
    meter.add(
        index=0,
        captured_at=0.0,
        capture_ms=capture_ms,
        queue_age_ms=0.0,
        translation=Times(0, 0, 0),
        sink_ms=0.0,
    )


STAGES = ("capture", "preprocess", "infer", "postprocess", "sink")


@dataclass
class Times:
    preprocess_ms: float
    infer_ms: float
    postprocess_ms: float


class Engine:
    name = "tiny"
    backend_name = "openvino"
    backend_version = "2026.4"
    device = "CPU"
    precision_requested = "auto"
    precision = "int8"
    sha256 = "ab" * 32


def measure(count: int, *, frames_in: int | None = None) -> Report:
    """Frame n takes n ms in its first stage, n + 1000 in the next, and so on."""
    meter = StreamMeter()
    for n in range(count):
        meter.add(
            index=n,
            captured_at=time.perf_counter() - 1.0,
            capture_ms=n,
            queue_age_ms=5000.0 + n,
            translation=Times(1000.0 + n, 2000.0 + n, 3000.0 + n),
            sink_ms=4000.0 + n,
        )
    return meter.report(frames_in=frames_in or count, size=(1280, 720), model=Engine())


def test_the_json_has_exactly_the_fields_that_scripts_rely_on() -> None:
    result = json.loads(json.dumps(measure(10, frames_in=12).to_json(), allow_nan=False))
    assert set(result) == {
        "frames_in",
        "frames_out",
        "frames_dropped",
        "frames_repeated",
        "frames_placeholder",
        "outages",
        "seconds",
        "fps",
        "latency_ms",
        "queue_age_ms",
        "stages_ms",
        "backend",
        "backend_version",
        "precision_requested",
        "precision_actual",
        "device",
        "size",
        "model_sha256",
    }
    assert set(result["latency_ms"]) == {"p50", "p90", "p95", "p99", "max"}
    assert tuple(result["stages_ms"]) == STAGES
    assert all(set(stage) == {"p50", "p95", "p99"} for stage in result["stages_ms"].values())


def test_the_report_says_what_ran() -> None:
    result = measure(1).to_json()
    assert result["backend"] == "openvino"
    assert result["backend_version"] == "2026.4"
    assert (result["precision_requested"], result["precision_actual"]) == ("auto", "int8")
    assert (result["device"], result["size"]) == ("CPU", "1280x720")
    assert result["model_sha256"] == "ab" * 32


def test_frames_that_did_not_come_out_were_dropped() -> None:
    report = measure(10, frames_in=12)
    assert (report.frames_in, report.frames_out, report.frames_dropped) == (12, 10, 2)


def test_every_stage_has_its_own_percentiles() -> None:
    stages = measure(101).stages_ms
    for position, name in enumerate(STAGES):
        at = 1000.0 * position
        assert stages[name] == {"p50": at + 50, "p95": at + 95, "p99": at + 99}


def test_a_repeated_image_counts_as_delivered_and_has_no_latency() -> None:
    meter = StreamMeter()
    meter.add(
        index=0, captured_at=0.0, capture_ms=1.0, queue_age_ms=2.0, translation=None, sink_ms=3.0
    )
    report = meter.report(frames_in=1, size=(64, 48), model=Engine())
    assert (report.frames_out, report.frames_repeated) == (1, 1)
    assert report.latency_ms["max"] == 0


def test_a_status_is_of_the_last_seconds_and_its_json_is_plain() -> None:
    meter = StreamMeter()
    for _ in range(3):
        add_one(meter, capture_ms=7.0)
    events = Events()
    events.tell("stream", "street", State.RUNNING, "first image")
    status = meter.status(
        events=events,
        source_name="street",
        frames_in=5,
        frames_dropped=2,
        size=(64, 48),
        model=Engine(),
    )
    told = json.loads(json.dumps(status.to_json(), allow_nan=False))
    assert (told["state"], told["message"]) == ("running", "first image")
    assert (told["frames_in"], told["frames_out"], told["frames_dropped"]) == (5, 3, 2)
    assert told["stages_ms"]["capture"] == {"p50": 7.0, "p95": 7.0, "p99": 7.0}
    assert (told["model"], told["size"]) == ("tiny", "64x48")


def test_latency_counts_from_capture_to_now() -> None:
    latency = measure(10).latency_ms
    assert 1000 <= latency["p50"] <= latency["p90"] <= latency["p95"] <= latency["p99"]
    assert latency["p99"] <= latency["max"]


def test_the_rate_is_frames_out_per_second() -> None:
    meter = StreamMeter()
    time.sleep(0.05)
    for _ in range(10):
        add_one(meter)
    report = meter.report(frames_in=10, size=(64, 48), model=Engine())
    assert report.seconds >= 0.05
    assert report.fps == pytest.approx(10 / report.seconds, rel=0.02)


def test_a_run_without_a_frame_has_a_report() -> None:
    report = measure(0)
    assert (report.frames_out, report.fps) == (0, 0.0)
    assert set(report.latency_ms.values()) == {0.0}
    json.dumps(report.to_json(), allow_nan=False)


def test_a_long_stream_stays_in_bounded_memory_with_the_same_percentiles() -> None:
    meter = StreamMeter()
    values = np.random.default_rng(0).uniform(0, 100, 50_000)
    for value in values:
        add_one(meter, capture_ms=value)
    kept = meter._stages["capture"]._kept
    assert len(kept) < 40_000
    stage = meter.report(frames_in=50_000, size=(64, 48), model=Engine()).stages_ms["capture"]
    assert stage["p50"] == pytest.approx(np.percentile(values, 50), abs=2)
    assert stage["p95"] == pytest.approx(np.percentile(values, 95), abs=2)
