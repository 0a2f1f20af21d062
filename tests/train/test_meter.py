from __future__ import annotations

import time

import pytest

from dayshift.train.loop.meter import Meter


def test_the_rate_leaves_saves_out_and_tells_waiting_from_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watch = Meter(images_per_step=4)
    assert watch.read() == (0.0, 0.0)
    for _ in range(10):
        now[0] += 0.5
        watch.waited(0.125)
        watch.step_done()
        with watch.paused():
            now[0] += 60
    assert watch.read() == (8.0, 0.25)
