"""The page of metrics that Prometheus reads, by its own client library."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from wsgiref.simple_server import WSGIServer

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import SinkError
from dayshift.runtime.streaming.control import Control
from dayshift.runtime.streaming.events import State
from dayshift.runtime.streaming.status import Status

try:
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        Metric,
        StateSetMetricFamily,
    )
    from prometheus_client.registry import Collector
except ImportError as error:
    raise missing_dependency("prometheus_client", error) from error

_COUNTERS = {
    "frames_in": "Frames taken from the source",
    "frames_out": "Frames translated and delivered",
    "frames_dropped": "Frames replaced by newer ones or skipped",
    "frames_repeated": "Images delivered once more, since the stream was frozen",
    "frames_placeholder": "Placeholders delivered during outages",
    "outages": "Times that the stream was stalled or reconnecting",
}
_GAUGES = {
    "seconds": "Seconds since the stream began",
    "fps_in": "Frames per second from the source",
    "fps_out": "Translated images per second",
    "frame_age_ms": "Milliseconds since the capture of the newest frame delivered",
}


def start_server(control: Control, host: str, port: int) -> tuple[WSGIServer, threading.Thread]:
    """Start the server on a thread of its own.

    Raises:
        SinkError: The port is taken, or the address is not this machine's.
    """
    registry = CollectorRegistry()
    registry.register(_StatusCollector(control))
    try:
        return start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise SinkError(
            f"cannot serve metrics at {host}:{port} ({error.strerror}): name another --metrics PORT"
        ) from error


class _StatusCollector(Collector):
    """Reads the status at each scrape: nothing is counted twice, and nothing between scrapes."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def collect(self) -> Iterator[Metric]:
        state = StateSetMetricFamily("dayshift_state", "What the stream is doing")
        now = self._control.events.state
        state.add_metric([], {each.value: each is now for each in State})
        yield state
        status = self._control.status
        if status is not None:
            yield from _describe(status)


def _describe(status: Status) -> Iterator[Metric]:
    for name, text in _COUNTERS.items():
        yield CounterMetricFamily(f"dayshift_{name}", text, value=getattr(status, name))
    for name, text in _GAUGES.items():
        yield GaugeMetricFamily(f"dayshift_{name}", text, value=getattr(status, name))
    info = ("source", "size", "model", "backend", "precision", "device")
    about = GaugeMetricFamily("dayshift_info", "What is running, as labels", labels=info)
    about.add_metric([getattr(status, name) for name in info], 1)
    yield about
    times = GaugeMetricFamily(
        "dayshift_time_ms",
        "Milliseconds over the last seconds: latency, queue age, and each stage",
        labels=("of", "quantile"),
    )
    rows = {"latency": status.latency_ms, "queue_age": status.queue_age_ms, **status.stages_ms}
    for name, percentiles in rows.items():
        for percentile, value in percentiles.items():
            times.add_metric([name, f"0.{percentile[1:]}"], value)
    yield times
