"""What is tried when an engine has failed, and in which order."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace

from dayshift.runtime.backends import BACKEND_NAMES
from dayshift.runtime.backends.server_address import ServerAddress
from dayshift.runtime.streaming.loading import Choice

# An engine that fails so often in so short a time is not taken again while there is another.
_FAILURES = 3
_FAILURES_WITHIN_S = 60.0


class Candidates:
    """The engines for a choice; it remembers how often they failed lately.

    Args:
        server: What was asked for, where that is a server.
    """

    def __init__(self, server: ServerAddress | None) -> None:
        self._server = server
        self._failures: deque[float] = deque(maxlen=_FAILURES)

    def after_failure(self, choice: Choice, backend_name: str) -> list[Choice]:
        """Return what to try: the engine that failed, then the others where any is welcome.

        Args:
            choice: What was asked for.
            backend_name: The engine that failed.
        """
        self._failures.append(time.perf_counter())
        if self._server is not None and self._server.fallback == "auto":
            return [replace(choice, backend="auto"), choice]
        if choice.backend != "auto":
            return [choice]
        same = replace(choice, backend=backend_name)
        others = [replace(choice, backend=name) for name in BACKEND_NAMES if name != backend_name]
        often = len(self._failures) == _FAILURES
        if often and self._failures[-1] - self._failures[0] < _FAILURES_WITHIN_S:
            return [*others, same]
        return [same, *others]

    def forgive(self) -> None:
        """Begin to count anew: another engine is in use."""
        self._failures.clear()
