"""How many cores this process has, and how a stream shares them out."""

from __future__ import annotations

import os
from pathlib import Path

# Each lane holds a frame and its buffers, and beyond a few the decoder sets the pace.
_MOST_LANES = 4


def allowed_cores() -> int:
    """Count the physical cores that this process may use."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    cores = set()
    for cpu in os.sched_getaffinity(0):
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        cores.add(siblings.read_text() if siblings.exists() else str(cpu))
    return len(cores)


def lanes_for(policy: str) -> int:
    """Return how many frames to translate at a time.

    `latest` takes one, on all cores, for its latency. `every` takes one per core: a frame that
    stays on its core from the decoder to the image finds its data in that core's cache, and no core
    waits for another in the middle of a network.
    """
    return min(allowed_cores(), _MOST_LANES) if policy == "every" else 1
