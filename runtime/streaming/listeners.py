"""Who wants to be told of something, and how they are told without harm to the teller."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Listeners(Generic[T]):
    """Calls everyone who listens, in the thread that tells. Any thread may add, remove and tell.

    A listener must return soon; what it raises is logged and goes no further.
    """

    def __init__(self, *listeners: Callable[[T], object]) -> None:
        self._lock = threading.RLock()
        self._listeners = list(listeners)

    def add(self, listener: Callable[[T], object]) -> Callable[[], None]:
        """Add a listener; call what is returned to remove it."""
        with self._lock:
            self._listeners.append(listener)

        def remove() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return remove

    def tell(self, item: T) -> None:
        """Call every listener with `item`."""
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            try:
                listener(item)
            except Exception:  # whoever listens must not end the stream
                _log.exception("a listener failed at %s", type(item).__name__)
