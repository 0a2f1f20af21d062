"""How many cores this process has, and how a stream shares them out."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import IO

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


def claim_cores(count: int) -> IO[str] | None:
    """Keep this process to cores that no other process has claimed, where so many are left.

    Engine, decoder and encoder start as many threads as the process has cores: beside others like
    it, it would start too many.

    Returns:
        What holds the claim until it is closed or the process ends; None where none was made.
    """
    if not hasattr(os, "sched_setaffinity"):
        return None
    import fcntl

    cores = sorted(os.sched_getaffinity(0))
    for first in range(0, len(cores) - count + 1, count):
        name = f"dayshift-{os.getuid()}-cores-{cores[first]}-{count}.lock"
        claim = (Path(tempfile.gettempdir()) / name).open("a")
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.sched_setaffinity(0, cores[first : first + count])
            return claim
        claim.close()
    return None
