"""Memory that an engine may take for a graph: what the machine has free, and little more.

A graph of a few hundred bytes can ask for terabytes. Linux hands out more memory than there is and
ends a process, perhaps another one, when it is used; with a limit the engine is refused instead,
which is an error like any other.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

_KIB = 1024
# The limit is the whole process's: a stream that runs meanwhile needs room for its threads' stacks,
# images and the encoder, most of which it never touches.
_FOR_OTHERS = 256 << 20
_CGROUP = Path("/sys/fs/cgroup")

_limiting = threading.Lock()
_users = 0
_before: tuple[int, int] = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def free_memory() -> int | None:
    """Return how many bytes this machine, or this container, has left; None where it is unknown."""
    machine = _read_kib(Path("/proc/meminfo"), "MemAvailable")
    try:
        container = int((_CGROUP / "memory.max").read_text())
        container -= int((_CGROUP / "memory.current").read_text())
        # Files that were read lately are counted as used, and given up where memory is wanted.
        told = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        container += int(told["active_file"]) + int(told["inactive_file"])
    except (OSError, ValueError, KeyError):  # "max", or no container
        return machine
    return max(0, container if machine is None else min(machine, container))


@contextlib.contextmanager
def no_more_than_free() -> Iterator[None]:
    """Hold the process to the memory that is free now, and a margin for what else it does.

    Threads may be inside at the same time.

    Not for GPUs: their drivers reserve addresses by the terabyte.
    """
    global _users, _before
    with _limiting:
        _users += 1
        if _users == 1:
            _before = resource.getrlimit(resource.RLIMIT_DATA)
            _lower(_before)
    try:
        yield
    finally:
        with _limiting:
            _users -= 1
            if _users == 0:
                resource.setrlimit(resource.RLIMIT_DATA, _before)


def _lower(before: tuple[int, int]) -> None:
    used, free = _read_kib(Path("/proc/self/status"), "VmData"), free_memory()
    if sys.platform != "linux" or used is None or free is None:
        return
    ends = [used + free + _FOR_OTHERS, *(end for end in before if end != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(ends), before[1]))


def _read_kib(path: Path, name: str) -> int | None:
    """Return a line of the kernel's, in bytes."""
    try:
        for line in path.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * _KIB
    except (OSError, ValueError):
        pass
    return None
