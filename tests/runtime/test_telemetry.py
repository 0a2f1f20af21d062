from __future__ import annotations

import json
import socket
import urllib.request
from pathlib import Path

import pytest

from dayshift.runtime.errors import SinkError, UsageError
from dayshift.runtime.streaming.control import Control
from dayshift.runtime.streaming.events import Events, State
from dayshift.runtime.streaming.meter import Delivery, StreamMeter
from dayshift.runtime.streaming.status import Status
from dayshift.runtime.streaming.telemetry import open_telemetry, serve_metrics


class Engine:
    name = "tiny"
    backend_name, backend_version, device = "openvino", "1", "CPU"
    precision_requested, precision, sha256 = "auto", "int8", "ab" * 32


def make_status(events: Events) -> Status:
    meter = StreamMeter()
    meter.add(
        index=0, captured_at=0.0, capture_ms=7.0, queue_age_ms=2.0, translation=None, sink_ms=3.0
    )
    return meter.status(
        events=events,
        source_name="rtsp://***@cam/1",
        frames_in=5,
        frames_dropped=2,
        size=(64, 48),
        model=Engine(),
    )


DELIVERY = Delivery(3, 1.0, 20.0, 1.5, (1.0, 2.0, 3.0, 4.0, 5.0))


def read_lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_record_has_a_line_for_each_event_second_and_frame(tmp_path: Path) -> None:
    path, control = tmp_path / "logs" / "stream.jsonl", Control()
    with open_telemetry(control, log=path, every_frame=True) as on_delivery:
        assert on_delivery is not None
        control.events.tell("source", "camera", State.STALLED, "no frame")
        control.publish(make_status(control.events))
        on_delivery(DELIVERY)
        # Line by line: nothing waits in a buffer for the power to fail.
        assert [line["kind"] for line in read_lines(path)] == ["event", "status", "frame"]
    control.events.tell("source", "camera", State.RUNNING, "back")
    event, status, frame = read_lines(path)
    assert (event["state"], event["message"]) == ("stalled", "no frame")
    assert (status["frames_in"], status["state"]) == (5, "stalled")
    assert frame["stages_ms"] == {
        "capture": 1.0,
        "preprocess": 2.0,
        "infer": 3.0,
        "postprocess": 4.0,
        "sink": 5.0,
    }
    assert all(isinstance(line["at_s"], float) for line in (event, status, frame))


def test_a_restarted_stream_goes_on_with_its_record(tmp_path: Path) -> None:
    path = tmp_path / "stream.jsonl"
    for message in ("one", "two"):
        control = Control()
        with open_telemetry(control, log=path) as on_delivery:
            assert on_delivery is None
            control.events.tell("stream", "s", State.RUNNING, message)
    assert [line["message"] for line in read_lines(path)] == ["one", "two"]


@pytest.mark.parametrize("address", ["9108x", "host", "1.2.3.4:", "99999", ""])
def test_a_wrong_address_for_metrics_is_a_usage_error(address: str) -> None:
    with (
        pytest.raises(UsageError, match=r"expected \[HOST:\]PORT"),
        open_telemetry(Control(), metrics=address),
    ):
        pass


def test_frames_need_a_file() -> None:
    with (
        pytest.raises(UsageError, match="add --log FILE"),
        open_telemetry(Control(), every_frame=True),
    ):
        pass


def test_a_record_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="cannot write"), open_telemetry(Control(), log=tmp_path):
        pass


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        return str(page.read().decode())


def test_prometheus_reads_the_state_and_the_status() -> None:
    control = Control()
    with serve_metrics(control, "127.0.0.1", 0) as port:
        assert 'dayshift_state{dayshift_state="starting"} 1.0' in scrape(port)
        control.events.tell("source", "camera", State.STALLED, "no frame")
        control.publish(make_status(control.events))
        page = scrape(port)
    assert 'dayshift_state{dayshift_state="stalled"} 1.0' in page
    assert "dayshift_frames_in_total 5.0" in page
    assert "dayshift_frames_dropped_total 2.0" in page
    assert 'dayshift_time_ms{of="capture",quantile="0.95"} 7.0' in page
    assert 'model="tiny"' in page
    assert 'source="rtsp://***@cam/1"' in page


def test_the_port_is_free_again_afterwards_and_a_taken_one_is_an_error() -> None:
    with (
        serve_metrics(Control(), "127.0.0.1", 0) as port,
        pytest.raises(SinkError, match=r"cannot serve metrics at 127\.0\.0\.1"),
        serve_metrics(Control(), "127.0.0.1", port),
    ):
        pass
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
