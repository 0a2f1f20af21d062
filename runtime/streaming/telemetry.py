"""A stream's record for machines: JSON lines, and a page of metrics for Prometheus."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from dayshift.runtime.closing import Closing
from dayshift.runtime.errors import SinkError, UsageError
from dayshift.runtime.streaming.control import Control
from dayshift.runtime.streaming.events import Event
from dayshift.runtime.streaming.meter import STAGES, Delivery
from dayshift.runtime.streaming.status import Status

_LOOPBACK = "127.0.0.1"


class JsonLines(Closing):
    """Appends one JSON object per line: each event, the status each second, each frame if wanted.

    Every line has `kind` (event, status or frame) and `at_s`. A line that cannot be written ends
    the record, not the stream.

    Args:
        path: Appended to, so that a restarted stream goes on with its record.
        control: Of the stream.
        every_frame: Also write a line for each delivered frame.

    Raises:
        SinkError: The file cannot be opened.
    """

    def __init__(self, path: Path, control: Control, *, every_frame: bool = False) -> None:
        self._every_frame = every_frame
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Line by line: what was written before a power cut is there after it.
            self._file: TextIO | None = path.open("a", buffering=1, encoding="utf-8")
        except OSError as error:
            raise SinkError(
                f"cannot write {path} ({error.strerror}): name a file that you may write to"
            ) from error
        self._removals = [
            control.events.subscribe(self._on_event),
            control.subscribe_status(self._on_status),
        ]

    def on_delivery(self, delivery: Delivery) -> None:
        """Write a frame's line, where these are wanted."""
        if self._every_frame:
            stages = dict(zip(STAGES, (round(t, 3) for t in delivery.stages_ms), strict=True))
            self._write(
                "frame",
                time.time(),
                {
                    "index": delivery.index,
                    "latency_ms": round(delivery.latency_ms, 3),
                    "queue_age_ms": round(delivery.queue_age_ms, 3),
                    "stages_ms": stages,
                },
            )

    def close(self) -> None:
        """Complete the file."""
        for remove in self._removals:
            remove()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _on_event(self, event: Event) -> None:
        self._write("event", event.at_s, event.to_json())

    def _on_status(self, status: Status) -> None:
        self._write("status", status.at_s, status.to_json())

    def _write(self, kind: str, at_s: float, fields: dict[str, Any]) -> None:
        if self._file is None:
            return
        line = json.dumps({"kind": kind, **fields, "at_s": round(at_s, 3)}, allow_nan=False)
        try:
            self._file.write(line + "\n")
        except OSError:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None


@contextlib.contextmanager
def open_telemetry(
    control: Control,
    *,
    log: Path | None = None,
    every_frame: bool = False,
    metrics: str | None = None,
) -> Iterator[Callable[[Delivery], None] | None]:
    """Keep the records that were asked for; yields what is to be told of each delivery.

    Args:
        control: Of the stream.
        log: For JSON lines.
        every_frame: Also a line for each delivered frame.
        metrics: `[HOST:]PORT` to serve metrics at; the host is this machine alone by default.

    Raises:
        UsageError: `metrics` is no address, or frames are to be logged nowhere.
        SinkError: The file cannot be written, or the port is taken.
    """
    if every_frame and log is None:
        raise UsageError("--log-frames has no file to write to: add --log FILE")
    with contextlib.ExitStack() as stack:
        lines = None
        if log is not None:
            lines = stack.enter_context(JsonLines(log, control, every_frame=every_frame))
        if metrics is not None:
            stack.enter_context(serve_metrics(control, *_parse_address(metrics)))
        yield lines.on_delivery if lines and every_frame else None


def _parse_address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not int(port) < 65536:
        raise UsageError(f"got --metrics {text!r}: expected [HOST:]PORT, such as 9108")
    return host.strip("[]") or _LOOPBACK, int(port)


@contextlib.contextmanager
def serve_metrics(control: Control, host: str, port: int) -> Iterator[int]:
    """Serve a stream's status for Prometheus at `http://HOST:PORT/metrics`; yields the port.

    Args:
        control: Of the stream.
        host: Address to listen at.
        port: 0 takes a free one.

    Raises:
        MissingDependency: prometheus-client is not installed.
        SinkError: The port is taken, or the address is not this machine's.
    """
    from dayshift.runtime.streaming.metrics import start_server

    server, thread = start_server(control, host, port)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
