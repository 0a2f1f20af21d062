"""What systemd hears of a stream, over a real Unix datagram socket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.sinks.base import Sink
from dayshift.runtime.sources import open_source
from dayshift.runtime.stream_memory import Memory
from dayshift.runtime.streaming.control import Control
from dayshift.runtime.streaming.events import State
from dayshift.runtime.streaming.pipeline import run_pipeline
from dayshift.runtime.streaming.service import told_to_service
from dayshift.runtime.streaming.status import Status

STATUS = Status(
    state=State.RUNNING, at_s=0, seconds=1, source="camera", size="64x48", model="m", backend="b",
    precision="int8", device="d", frames_in=9, frames_out=9, frames_dropped=0, frames_repeated=0,
    frames_placeholder=0, outages=0, fps_in=30, fps_out=29.7, frame_age_ms=1, latency_ms={},
    queue_age_ms={}, stages_ms={}, step="", message="first image",
)  # fmt: skip


class Systemd:
    """The service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.settimeout(60)
        self.heard: list[list[str]] = []

    def hear(self) -> list[str]:
        self.heard.append(self._socket.recv(4096).decode().split("\n"))
        return self.heard[-1]

    def hear_until(self, line: str) -> None:
        while line not in self.hear():
            pass

    def hear_all(self) -> list[list[str]]:
        """Return what is still there to read."""
        self._socket.setblocking(False)
        told = []
        try:
            while True:
                told.append(self.hear())
        except BlockingIOError:
            return told
        finally:
            self._socket.settimeout(60)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    path = str(tmp_path / "notify")
    manager = Systemd(path if request.param == "path" else f"@dayshift-test-{os.getpid()}")
    yield manager
    manager.close()


def test_ready_comes_with_the_first_image_and_stopping_with_the_end(systemd: Systemd) -> None:
    control = Control()
    with told_to_service(control, systemd.environment):
        control.events.tell("stream", "camera", State.STARTING, "starting with camera")
        control.events.tell("source", "camera", State.RUNNING, "opened")
        assert systemd.hear_all() == []
        control.events.tell("stream", "camera", State.RUNNING, "first image")
        control.events.tell("stream", "camera", State.ENDED, "ended,\neverything is complete")
        assert systemd.hear_all() == [
            ["READY=1", "STATUS=first image"],
            ["STOPPING=1", "STATUS=ended, everything is complete"],
        ]
    control.events.tell("stream", "camera", State.RUNNING, "another one")
    assert systemd.hear_all() == []


def test_only_progress_feeds_the_watchdog(systemd: Systemd) -> None:
    control = Control()
    with told_to_service(control, systemd.environment):
        for status in (
            STATUS,
            replace(STATUS, state=State.STALLED),
            replace(STATUS, frames_placeholder=5),
            replace(STATUS, state=State.RECONNECTING),
            replace(STATUS, frames_repeated=1),
            replace(STATUS, frames_repeated=1, frames_out=10),
        ):
            control.publish(status)
        fed = ["WATCHDOG=1" in lines for lines in systemd.hear_all()]
    assert fed == [True, False, False, True, True, True]
    assert systemd.heard[0][0] == "STATUS=running, 29.7 frames/s, first image"


@pytest.mark.parametrize(
    "missing", [{"WATCHDOG_USEC": None}, {"WATCHDOG_PID": "1"}], ids=["no watchdog", "not ours"]
)
def test_no_watchdog_no_food(systemd: Systemd, missing: dict[str, str | None]) -> None:
    told = {**systemd.environment, **missing}
    control = Control()
    with told_to_service(control, {name: value for name, value in told.items() if value}):
        control.publish(STATUS)
    assert systemd.hear_all() == [["STATUS=running, 29.7 frames/s, first image"]]


def test_a_service_manager_that_is_gone_or_deaf_leaves_the_stream_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    control = Control()
    with told_to_service(control, {"NOTIFY_SOCKET": str(tmp_path / "none")}):
        control.publish(STATUS)
    assert "cannot be used (No such file or directory)" in caplog.text
    deaf = Systemd(str(tmp_path / "deaf"))
    with told_to_service(control, deaf.environment):
        for _ in range(2000):  # far more than a socket holds
            control.publish(STATUS)
    deaf.close()
    with told_to_service(control, {}):
        control.publish(STATUS)


class Stuck(Sink):
    """Takes a few images and then hangs until it is let go."""

    name = "stuck"

    def __init__(self) -> None:
        self.is_stuck, self.let_go = threading.Event(), threading.Event()
        self._images = 0

    def write(self, image: Pixels, frame: Frame) -> None:
        self._images += 1
        if self._images == 30:
            self.is_stuck.set()
            assert self.let_go.wait(60)

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


class Copy:
    """A model that returns its input."""

    name, backend_name, backend_version, device = "copy", "none", "0", "CPU"
    precision, precision_requested, sha256 = "fp32", "fp32", "0" * 64
    strength, lamps, lanes = 1.0, 1.0, 1
    preprocess_ms = infer_ms = postprocess_ms = 0.0

    def warm_up(self, height: int, width: int) -> None:
        pass

    def translate(self, pixels: Pixels, memory: Memory | None = None) -> Copy:
        self.image = np.array(pixels)
        return self


def test_a_stream_whose_sink_hangs_stops_feeding_the_watchdog(systemd: Systemd) -> None:
    control, sink = Control(), Stuck()
    source = open_source("synthetic://?size=64x48&fps=20")

    def run() -> None:
        with told_to_service(control, systemd.environment):
            run_pipeline(source, Copy(), [sink], control=control)

    stream = threading.Thread(target=run)
    stream.start()
    try:
        systemd.hear_until("READY=1")
        systemd.hear_until("WATCHDOG=1")
        assert sink.is_stuck.wait(60)
        systemd.hear_all()
        time.sleep(2.5)  # twice the time between two signs of life
        assert systemd.hear_all() == []
        sink.let_go.set()
        systemd.hear_until("WATCHDOG=1")
    finally:
        sink.let_go.set()
        control.stop()
        stream.join(60)
    assert not stream.is_alive()
    assert any("STOPPING=1" in lines for lines in systemd.hear_all())


def test_the_command_tells_systemd_from_ready_to_stopping(
    systemd: Systemd, tiny_model: Path
) -> None:
    words = ["run", "synthetic://?size=64x48&fps=20", "null://", "--model", str(tiny_model)]
    command = subprocess.Popen(
        [sys.executable, "-m", "dayshift", *words],
        env={**os.environ, **systemd.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        systemd.hear_until("READY=1")
        systemd.hear_until("WATCHDOG=1")
        command.send_signal(signal.SIGTERM)
        systemd.hear_until("STOPPING=1")
        assert command.wait(60) == 0
    finally:
        command.kill()
        command.wait()
