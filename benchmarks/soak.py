"""A stream under faults for half an hour: `python -m dayshift.benchmarks.soak --minutes 30`.

Every few seconds something goes wrong: the camera stalls, loses, damages or resizes frames, slows
down or is unplugged; the engine throws, gets slow or stuck; a sink fails; knobs are turned, models
switched, recordings begun and ended. At the end the stream is ended by SIGTERM, the files are
played to their end, and the figures are held against the limits.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

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

WARM_UP = 0.2  # of the run: engines, caches and allocators fill
SAMPLE_S = 2.0
LONGEST_FAULT_S = 8.0  # of the camera 4 s, of the engine 8 s
GROWTH_LIMIT_MIB = 20.0
STOP_LIMIT_S = 2.0


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


@dataclasses.dataclass
class Sample:
    """What the process used at one moment while the stream ran well."""

    seconds: float
    memory_mib: float
    threads: int
    files: int
    engine: str


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
                self.samples.append(_sample(elapsed_s, engine))
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
    FaultyModel.faults = {"engine threw": 0, "engine slow": 0, "engine stuck": 0}
    uri = f"synthetic://?size={options.size}&fps={options.fps}&faults=random:{options.gap}&seed={options.seed}"
    first = open_source(uri)
    script = first._faults  # type: ignore[attr-defined]
    source = SupervisedSource(first, control.events, Watch())
    recorder = RecorderSink(folder / "recorded", control, fps=source.fps)
    page = open_sink("http://127.0.0.1:0", desk=Desk(control, recorder))
    seconds = options.minutes * 60
    sinks = [
        FailingSink(seconds / 3),
        recorder,
        page,
        open_sink(folder / "all.mp4", size=source.size, fps=source.fps),
    ]
    size = (source.size[1], source.size[0])
    model = LiveModel(
        _load(Choice("day2night"), size),
        Choice("day2night"),
        lambda choice: _load(choice, size),
        control,
    )
    tormentor = Tormentor(control, seconds, getattr(page, "url", ""))
    lines = JsonLines(options.log, control) if options.log else None
    group = SinkGroup(sinks, control.events)
    # What a library takes when it is first loaded is no leak, whenever an engine comes to need it.
    for backend, precision in (("openvino", "fp32"), ("onnxruntime", "fp32")):
        _load(Choice("day2night", backend, precision), size).close()
    tormentor.start()
    report = run_pipeline(source, model, [group], control=control)
    stop_s = time.perf_counter() - tormentor.stopped_at
    model.close()
    if lines is not None:
        lines.close()
    figures = {
        "minutes": options.minutes,
        "camera_faults": _count([fault.kind for fault in script.begun]),
        "engine_faults": FaultyModel.faults,
        "sink_failures": len(group.failures),
        "looks_at_the_page": tormentor.looks,
        **_outages(control),
        **_resources(tormentor.samples, seconds),
        "stop_s": round(stop_s, 2),
        "files": [_play(path) for path in sorted(folder.rglob("*.mp4"))],
        "report": report.to_json(),
    }
    return {"ok": _is_ok(figures), **figures}


def _load(choice: Choice, size: tuple[int, int]) -> Model:
    model = load(choice.model, backend=choice.backend, precision=choice.precision, size=size)
    model.__class__ = FaultyModel
    return model


def _sample(seconds: float, engine: str) -> Sample:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    memory_mib = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  (a Path per entry would open more)
    return Sample(seconds, memory_mib, threading.active_count(), files, engine)


def _outages(control: Control) -> dict[str, Any]:
    """Hold every outage against its bound: the fault itself, the watchdog, one wait of backoff."""
    watch = Watch()
    # The wait that is on when a fault ends is at most as long as the outage has lasted.
    bound_s = 2 * LONGEST_FAULT_S + watch.stalled_after_s + watch.reopen_after_s
    lengths = [outage.seconds for outage in control.events.outages]
    return {
        "outages": control.events.outage_count,
        "outages_ended": len(lengths),
        "longest_outage_s": round(max(lengths, default=0.0), 1),
        "outage_bound_s": bound_s,
    }


def _resources(samples: list[Sample], seconds: float) -> dict[str, Any]:
    """Compare begin and end of the run, with the engine that ran most: each has its own size."""
    warm = [sample for sample in samples if sample.seconds >= WARM_UP * seconds]
    engines = [sample.engine for sample in warm]
    engine = max(engines, key=engines.count)
    warm = [sample for sample in warm if sample.engine == engine]
    tenth = max(1, len(warm) // 10)
    begin, end = warm[:tenth], warm[-tenth:]
    return {
        "samples": len(warm),
        "engine_of_samples": engine,
        "memory_mib": [round(_median([s.memory_mib for s in part]), 1) for part in (begin, end)],
        "memory_growth_mib": round(
            _median([s.memory_mib for s in end]) - _median([s.memory_mib for s in begin]), 1
        ),
        "memory_by_tenth_mib": [
            round(_median([s.memory_mib for s in samples[at * many : (at + 1) * many]]), 1)
            for many in [max(1, len(samples) // 10)]
            for at in range(min(10, len(samples)))
        ],
        "threads": [_median([s.threads for s in part]) for part in (begin, end)],
        "most_threads": max(s.threads for s in warm),
        "files_open": [_median([s.files for s in part]) for part in (begin, end)],
        "most_files_open": max(s.files for s in warm),
    }


def _median(values: list[float] | list[int]) -> float:
    return float(sorted(values)[len(values) // 2])


def _count(kinds: list[str]) -> dict[str, int]:
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def _play(path: Path) -> dict[str, Any]:
    """Play a file to its end; it raises where that cannot be done."""
    with open_source(path) as video:
        frames = len(list(iter(lambda: video.read() is not None or None, None)))
    return {"name": path.name, "frames": frames, "mib": round(path.stat().st_size / 2**20, 1)}


def _is_ok(figures: dict[str, Any]) -> bool:
    return bool(
        figures["outages_ended"] == figures["outages"] > 0
        and figures["longest_outage_s"] <= figures["outage_bound_s"]
        and figures["memory_growth_mib"] < GROWTH_LIMIT_MIB
        and abs(figures["threads"][1] - figures["threads"][0]) <= 1
        and abs(figures["files_open"][1] - figures["files_open"][0]) <= 1
        and figures["stop_s"] <= STOP_LIMIT_S
        and all(file["frames"] > 0 for file in figures["files"])
    )


if __name__ == "__main__":
    main()
