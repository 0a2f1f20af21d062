from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from dayshift.runtime.streaming.handover import HandOver


def test_a_full_hand_over_makes_its_giver_wait() -> None:
    items: HandOver[int] = HandOver(2)
    given: list[int] = []

    def give() -> None:
        for item in range(5):
            items.put(item)
            given.append(item)

    giver = threading.Thread(target=give)
    giver.start()
    for taken in range(5):
        time.sleep(0.01)  # enough for a giver that does not wait to be caught
        assert len(given) <= taken + 2
        assert items.get() == taken
    giver.join()
    assert (items.accepted, items.dropped) == (5, 0)


def test_a_hand_over_never_holds_more_than_its_capacity() -> None:
    items: HandOver[bytearray] = HandOver(1, newest_wins=True)
    for item in range(1000):
        assert items.put(bytearray([item % 256]))
    assert (items.accepted, items.dropped) == (1000, 999)
    items.end()
    assert items.get() == bytearray([999 % 256])
    assert items.get() is None


@pytest.mark.parametrize("newest_wins", [True, False])
def test_after_its_end_what_waits_comes_out_and_nothing_goes_in(newest_wins: bool) -> None:
    items: HandOver[int] = HandOver(1, newest_wins=newest_wins)
    items.put(1)
    items.end()
    assert not items.put(2)
    assert not items.wait_for_room()
    assert [items.get(), items.get()] == [1, None]
    assert (items.accepted, items.dropped) == (1, 0)


def test_after_a_cancel_nothing_comes_out() -> None:
    items: HandOver[int] = HandOver(2)
    items.put(1)
    items.cancel()
    assert items.get() is None
    assert not items.put(2)


@pytest.mark.parametrize("wake", ["end", "cancel"])
@pytest.mark.parametrize("wait", ["put", "get", "room", "end"])
def test_an_end_wakes_whoever_waits(wait: str, wake: str) -> None:
    items: HandOver[int] = HandOver(1)
    if wait in ("put", "room"):
        items.put(1)
    waits: dict[str, Callable[[], object]] = {
        "put": lambda: items.put(2),
        "get": items.get,
        "room": items.wait_for_room,
        "end": lambda: items.wait_for_end(60),
    }
    waiting = threading.Thread(target=waits[wait])
    waiting.start()
    getattr(items, wake)()
    waiting.join(10)
    assert not waiting.is_alive()
