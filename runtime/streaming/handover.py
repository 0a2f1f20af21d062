"""How threads hand items to each other: bounded, with an end, and never stuck."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class HandOver(Generic[T]):
    """Items in order from one thread to another, at most `capacity` of them waiting.

    After `end` nothing more goes in and what waits comes out; after `cancel` nothing comes out
    either. Both wake every thread that waits here, and may be called more than once, from any
    thread and from a signal handler.

    Args:
        capacity: How many items may wait.
        newest_wins: A new item takes the place of the oldest where no room is left, instead of
            waiting for room.

    Attributes:
        accepted: How many items went in.
        dropped: How many of them were replaced before they came out.
    """

    def __init__(self, capacity: int, *, newest_wins: bool = False) -> None:
        self.accepted = 0
        self.dropped = 0
        self._capacity = capacity
        self._newest_wins = newest_wins
        self._items: deque[T] = deque()
        self._is_ended = False
        # The default lock is reentrant: a signal handler may end what its own thread is waiting on.
        self._changed = threading.Condition()

    @property
    def is_ended(self) -> bool:
        """Whether nothing more is taken in."""
        return self._is_ended

    def put(self, item: T) -> bool:
        """Hand an item over; False when it was not taken because this has ended."""
        with self._changed:
            if not self._newest_wins:
                self._wait_for_room()
            if self._is_ended:
                return False
            if len(self._items) >= self._capacity:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self.accepted += 1
            self._changed.notify_all()
            return True

    def get(self) -> T | None:
        """Wait for the next item and take it; None when this has ended and nothing is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._is_ended)
            if not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def wait_for_item(self, timeout_s: float) -> bool:
        """Wait until `get` would return at once, but no longer than `timeout_s`; say whether."""
        with self._changed:
            return self._changed.wait_for(
                lambda: bool(self._items) or self._is_ended, timeout=max(0.0, timeout_s)
            )

    def wait_for_room(self) -> bool:
        """Wait until an item would be taken at once; False when this has ended."""
        with self._changed:
            self._wait_for_room()
            return not self._is_ended

    def wait_for_end(self, timeout_s: float) -> bool:
        """Wait for the end, but no longer than `timeout_s`; say whether it came."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_ended, timeout=max(0.0, timeout_s))

    def end(self) -> None:
        """Take nothing more in."""
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()

    def cancel(self) -> None:
        """Take nothing more in and forget what waits."""
        with self._changed:
            self._items.clear()
            self.end()

    def _wait_for_room(self) -> None:
        self._changed.wait_for(lambda: len(self._items) < self._capacity or self._is_ended)
