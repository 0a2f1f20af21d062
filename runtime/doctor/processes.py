"""Which process holds a device or a port, as far as this user may see."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from dayshift.runtime.doctor.host import read_text

_LISTENING = "0A"


def holders_of(root: Path, device: str) -> list[str]:
    """Return the processes that have a device open, such as `obs (pid 812)`."""
    return [_shown(process) for process, target in _open_files(root) if target == device]


def listener_of(root: Path, port: int) -> str | None:
    """Return the process that listens at a TCP port; None where nobody is seen to."""
    sockets = set()
    for table in ("tcp", "tcp6"):
        for line in (read_text(root / "proc/net" / table) or "").splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                sockets.add(f"socket:[{fields[9]}]")
    return next((_shown(pid) for pid, target in _open_files(root) if target in sockets), None)


def _open_files(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield every process with what each of its file descriptors leads to."""
    for process in sorted(root.glob("proc/[0-9]*"), key=lambda path: int(path.name)):
        for target in _targets(process / "fd"):
            yield process, target


def _targets(folder: Path) -> list[str]:
    targets = []
    with contextlib.suppress(OSError):  # the process has ended, or is another user's
        for link in sorted(folder.iterdir()):
            with contextlib.suppress(OSError):
                targets.append(str(link.readlink()))
    return targets


def _shown(process: Path) -> str:
    return f"{read_text(process / 'comm') or 'a process'} (pid {process.name})"
