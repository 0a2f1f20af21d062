"""OpenVINO without its telemetry.

By itself, `import openvino` forks a process that tells Google Analytics of it, and writes an
identity into `~/intel`, unless `opt_in_out --opt_out` was run as this user. A device in somebody's
house or car must not do that, and a fork among threads can hang. Where `openvino_telemetry` cannot
be imported, OpenVINO takes a stub of its own, which does nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TELEMETRY = "openvino_telemetry"


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Import OpenVINO inside of this; a program that has imported it before has had its choice."""
    if _TELEMETRY in sys.modules:
        yield
        return
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # as the language reference has it
    try:
        yield
    finally:
        del sys.modules[_TELEMETRY]
