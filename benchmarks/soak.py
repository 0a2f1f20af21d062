"""A stream under faults for half an hour: `python -m dayshift.benchmarks.soak --minutes 30`.

Every few seconds something goes wrong: the camera stalls, loses, damages or resizes frames, slows
down or is unplugged; the engine throws, gets slow or stuck; a sink fails; knobs are turned, models
switched, recordings begun and ended. At the end the stream is ended by SIGTERM, the files are
played to their end, and the figures are held against the limits.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from dayshift.benchmarks.soak_figures import (
    Sample,
    is_ok,
    outages,
    play,
    resources,
    take_sample,
)
from dayshift.runtime.errors import BackendError, SinkError
from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.model import Model, Translation, load
from dayshift.runtime.sinks import Sink, open_sink
from dayshift.runtime.sinks.group import SinkGroup
from dayshift.runtime.sinks.recorder import RecorderSink
from dayshift.runtime.sources import open_source
from dayshift.runtime.sources.supervised import SupervisedSource, Watch
from dayshift.runtime.stream_memory import Memory
from dayshift.runtime.streaming.control import Control
from dayshift.runtime.streaming.events import State
from dayshift.runtime.streaming.live_model import LiveModel
from dayshift.runtime.streaming.loading import Choice
from dayshift.runtime.streaming.pipeline import run_pipeline
from dayshift.runtime.streaming.telemetry import JsonLines
from dayshift.runtime.web.desk import Desk

SAMPLE_S = 2.0


class FaultyModel(Model):
    """A model whose engine throws, is slow for some seconds, or is stuck, now and then."""

    dice = random.Random(12)
    faults: dict[str, int]
    slow_until = 0.0

    def translate(self, frame: Pixels, memory: Memory | None = None) -> Translation:
        """Translate a frame, or not."""
        chance = self.dice.random()
        if chance < 1 / 400:
            self.faults["engine threw"] += 1
            raise BackendError("device lost (a fault of the soak)")
        if chance < 1 / 250:
            self.faults["engine slow"] += 1
            self.slow_until = time.perf_counter() + 4
        elif chance < 1 / 240:
            self.faults["engine stuck"] += 1
            time.sleep(7.5)
        if time.perf_counter() < self.slow_until:
            time.sleep(0.2)
        return super().translate(frame, memory)


class FailingSink(Sink):
    """A sink whose disk is full after some time."""

    name = "failing sink"

    def __init__(self, after_s: float) -> None:
        self._fails_at = time.perf_counter() + after_s

    def write(self, image: Pixels, frame: Frame) -> None:
        """Take an image, or fail."""
        if time.perf_counter() > self._fails_at:
            raise SinkError("no space left on device (a fault of the soak)")

    def close(self) -> None:
        """There is nothing to complete."""

    def abort(self) -> None:
        """There is nothing to remove."""


class Tormentor(threading.Thread):
    """Turns knobs and takes samples until the time is up; then ends the stream as systemd does."""

    def __init__(self, control: Control, seconds: float, url: str) -> None:
        super().__init__(name="tormentor", daemon=True)
        self.samples: list[Sample] = []
        self.snapshots = 0
        self.looks = 0
        self.stopped_at = 0.0
        self._control = control
        self._seconds = seconds
        self._url = url
        self._dice = random.Random(5)

    def run(self) -> None:
        """Torment."""
        try:
            self._torment()
        finally:  # or the stream would never end
            self.stopped_at = time.perf_counter()
            os.kill(os.getpid(), signal.SIGTERM)

    def _torment(self) -> None:
        started_at = time.perf_counter()
        turn = 0
        while (elapsed_s := time.perf_counter() - started_at) < self._seconds:
            time.sleep(SAMPLE_S)
            turn += 1
            self._turn_knobs(turn)
            if self._control.events.state is State.RUNNING:
                status = self._control.status
                engine = f"{status.backend} {status.precision}" if status else ""
                self.samples.append(take_sample(elapsed_s, engine))
        self._control.change(is_recording=False, is_frozen=False)
        time.sleep(SAMPLE_S)

    def _turn_knobs(self, turn: int) -> None:
        control, dice = self._control, self._dice
        control.change(strength=dice.random(), is_frozen=turn % 40 == 0)
        if turn % 15 == 0:
            control.change(is_recording=not control.settings.is_recording)
        if turn % 50 == 10:
            control.request_snapshot()
            self.snapshots += 1
        if turn % 90 == 30:
            control.change(precision=dice.choice(["int8", "fp32"]))
        if turn % 7 == 0:
            with urllib.request.urlopen(f"{self._url}frame?after=0", timeout=20) as picture:
                self.looks += len(picture.read()) > 0


def main() -> None:
    """Run the soak, print its figures, and exit with 3 where a limit was missed."""
    parser = argparse.ArgumentParser(prog="python -m dayshift.benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--fps", type=int, default=15)
    parser.add_argument("--gap", type=float, default=4.0, metavar="S", help="between faults")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=Path, metavar="FILE", help="events and statuses, JSON lines")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the figures")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        figures = soak(options, Path(folder))
    text = json.dumps(figures, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    sys.exit(0 if figures["ok"] else 3)


def soak(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Stream under faults, and return the figures."""
    control = Control()
    seconds = options.minutes * 60
    FaultyModel.faults = {"engine threw": 0, "engine slow": 0, "engine stuck": 0}
    camera = open_source(
        f"synthetic://?size={options.size}&fps={options.fps}"
        f"&faults=random:{options.gap}&seed={options.seed}"
    )
    script = camera._faults  # type: ignore[attr-defined]
    source = SupervisedSource(camera, control.events, Watch())
    recorder = RecorderSink(folder / "recorded", control, fps=source.fps)
    page = open_sink("http://127.0.0.1:0", desk=Desk(control, recorder))
    video = open_sink(folder / "all.mp4", size=source.size, fps=source.fps)
    group = SinkGroup([FailingSink(seconds / 3), recorder, page, video], control.events)
    model = _open_model(control, (source.size[1], source.size[0]))
    tormentor = Tormentor(control, seconds, getattr(page, "url", ""))
    with JsonLines(options.log, control) if options.log else contextlib.nullcontext():
        tormentor.start()
        report = run_pipeline(source, model, [group], control=control)
        stop_s = time.perf_counter() - tormentor.stopped_at
        model.close()
    figures = {
        "minutes": options.minutes,
        "camera_faults": dict(sorted(Counter(fault.kind for fault in script.begun).items())),
        "engine_faults": FaultyModel.faults,
        "sink_failures": len(group.failures),
        "looks_at_the_page": tormentor.looks,
        **outages(control),
        **resources(tormentor.samples, seconds),
        "stop_s": round(stop_s, 2),
        "files": [play(path) for path in sorted(folder.rglob("*.mp4"))],
        "report": report.to_json(),
    }
    return {"ok": is_ok(figures), **figures}


def _open_model(control: Control, size: tuple[int, int]) -> LiveModel:
    choice = Choice("day2night")
    model = LiveModel(_load(choice, size), choice, lambda wanted: _load(wanted, size), control)
    # What a library takes when it is first loaded is no leak, whenever an engine comes to need it.
    for backend in ("openvino", "onnxruntime"):
        _load(replace(choice, backend=backend, precision="fp32"), size).close()
    return model


def _load(choice: Choice, size: tuple[int, int]) -> Model:
    model = load(choice.model, backend=choice.backend, precision=choice.precision, size=size)
    model.__class__ = FaultyModel
    return model


if __name__ == "__main__":
    main()
