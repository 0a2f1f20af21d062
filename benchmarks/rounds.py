"""Runs every row in a process of its own, and lets the rows take turns.

A machine that drifts makes two figures of different minutes incomparable. So all rows are opened
first, and then measured in rounds of short blocks: each round has the drift of its moment, the same
for all. A row that crashes, hangs or is absent is a row that says so.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from dayshift.benchmarks.cases import Case

OPEN_LIMIT_S = 900.0  # TensorRT builds for minutes
TURN_LIMIT_S = 180.0
_ABSENT = ("MissingDependency", "ModelError")


class RowFailed(Exception):
    """A row cannot go on; `kind` is the name of the error in its process."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind

    @property
    def status(self) -> str:
        """`skipped` for what is not here, `failed` for what is and does not work."""
        return "skipped" if self.kind in _ABSENT else "failed"


class Worker:
    """The process of one case. It starts at once; `ask` talks to it.

    Args:
        case: what it measures.
        setting: what its process must know besides: frames, clip, folder.
    """

    def __init__(self, case: Case, setting: dict[str, Any]) -> None:
        self.case = case
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  closed with the worker
        started_at = time.monotonic()
        # A session of its own: Ctrl-C is for us, who then end the rows in order.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dayshift.benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        )
        self._buffer = b""
        self._opening = {"do": "open", "case": case.as_json(), "spawned_at": started_at, **setting}

    def open(self) -> dict[str, Any]:
        """Load and compile; return the row's facts."""
        return self.ask(self._opening, limit_s=OPEN_LIMIT_S)

    def ask(self, command: dict[str, Any], *, limit_s: float = TURN_LIMIT_S) -> dict[str, Any]:
        """Send a command and return the answer.

        Raises:
            RowFailed: The process ended, answered nothing in time, or had an error.
        """
        self.send(command)
        return self.receive(limit_s=limit_s)

    def send(self, command: dict[str, Any]) -> None:
        """Send a command whose answer is received later."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._crashed() from None

    def receive(self, *, limit_s: float = TURN_LIMIT_S) -> dict[str, Any]:
        """Wait for the answer to the last command."""
        reply: dict[str, Any] = json.loads(self._read_line(limit_s))
        if "error" in reply:
            raise RowFailed(str(reply["kind"]), str(reply["error"]) or str(reply["kind"]))
        return reply

    def _read_line(self, limit_s: float) -> bytes:
        assert self._process.stdout is not None
        ends_at = time.monotonic() + limit_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, ends_at - time.monotonic())):
                    raise RowFailed("TimeoutError", f"no answer within {limit_s:g} s")
                chunk = os.read(self._process.stdout.fileno(), 1 << 16)
                if not chunk:
                    raise self._crashed()
                self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _crashed(self) -> RowFailed:
        code = self._process.wait(timeout=10)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return RowFailed("Crash", f"the process ended with {how}: {self._last_words()}")

    def _last_words(self) -> str:
        self._stderr.seek(0)
        lines = [line.strip() for line in self._stderr.read().decode(errors="replace").splitlines()]
        return next((line for line in reversed(lines) if line), "it said nothing")[:300]

    @property
    def pid(self) -> int:
        """The process, for its accounting."""
        return self._process.pid

    def close(self) -> None:
        """End the process, by force where it does not end by itself."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(timeout=5)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            pass
        self.kill()

    def kill(self) -> None:
        """End the process at once; nothing where it has ended."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def memory_left_mib() -> float:
    """Return how much memory new processes may take."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("inf")
    values = {line.split(":")[0]: line.split()[1] for line in lines}
    return int(values.get("MemAvailable", 1 << 40)) / 1024
