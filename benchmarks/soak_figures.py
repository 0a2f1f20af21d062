"""What a soak is judged by: outages, memory, threads, open files, and the files it has left."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from statistics import median_high
from typing import Any

from dayshift.runtime.sources import open_source
from dayshift.runtime.sources.supervised import Watch
from dayshift.runtime.streaming.control import Control

WARM_UP = 0.2  # of the run: engines, caches and allocators fill
LONGEST_FAULT_S = 8.0  # of the camera 4 s, of the engine 8 s
GROWTH_LIMIT_MIB = 20.0
STOP_LIMIT_S = 2.0


@dataclass
class Sample:
    """What the process used at one moment while the stream ran well."""

    seconds: float
    memory_mib: float
    threads: int
    files: int
    engine: str


def take_sample(seconds: float, engine: str) -> Sample:
    """Look at what this process uses now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    memory_mib = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  (a Path per entry would open more)
    return Sample(seconds, memory_mib, threading.active_count(), files, engine)


def outages(control: Control) -> dict[str, Any]:
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


def resources(samples: list[Sample], seconds: float) -> dict[str, Any]:
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
    return float(median_high(values))


def play(path: Path) -> dict[str, Any]:
    """Play a file to its end; it raises where that cannot be done."""
    with open_source(path) as video:
        frames = len(list(iter(lambda: video.read() is not None or None, None)))
    return {"name": path.name, "frames": frames, "mib": round(path.stat().st_size / 2**20, 1)}


def is_ok(figures: dict[str, Any]) -> bool:
    """Say whether every limit was kept."""
    return bool(
        figures["outages_ended"] == figures["outages"] > 0
        and figures["longest_outage_s"] <= figures["outage_bound_s"]
        and figures["memory_growth_mib"] < GROWTH_LIMIT_MIB
        and abs(figures["threads"][1] - figures["threads"][0]) <= 1
        and abs(figures["files_open"][1] - figures["files_open"][0]) <= 1
        and figures["stop_s"] <= STOP_LIMIT_S
        and all(file["frames"] > 0 for file in figures["files"])
    )
