from __future__ import annotations

import json
import logging

import pytest

from dayshift.runtime.streaming.events import Event, Events, State


def test_the_state_of_a_stream_is_that_of_its_worst_vital_part() -> None:
    events, states = Events(), []
    states.append(events.state)
    events.tell("stream", "s", State.RUNNING, "first image")
    events.tell("sink", "file", State.FAILED, "disk full")
    states.append(events.state)
    events.tell("engine", "openvino", State.RECONNECTING, "opening again")
    events.tell("source", "camera", State.STALLED, "no frame for 2 s")
    states.append(events.state)
    events.tell("engine", "openvino", State.RUNNING, "back")
    states.append(events.state)
    assert states == [State.STARTING, State.RUNNING, State.RECONNECTING, State.STALLED]


def test_every_event_reaches_listener_log_and_memory(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Event] = []
    events = Events(heard.append)
    caplog.set_level(logging.INFO)
    told = events.tell("source", "camera", State.STALLED, "no frame", attempt=2, retry_in_s=1.5)
    assert heard == [told] == list(events.recent)
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "source: no frame")
    ]
    plain = json.loads(json.dumps(told.to_json()))
    assert (plain["state"], plain["attempt"], plain["retry_in_s"]) == ("stalled", 2, 1.5)


def test_a_listener_that_fails_hides_the_event_from_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(event: Event) -> None:
        raise ZeroDivisionError

    heard: list[Event] = []
    Events(fail, heard.append).tell("stream", "s", State.RUNNING, "first image")
    assert len(heard) == 1
    assert "a listener failed at Event" in caplog.text


def test_whoever_unsubscribed_hears_no_more() -> None:
    heard: list[Event] = []
    events = Events()
    unsubscribe = events.subscribe(heard.append)
    events.tell("stream", "s", State.RUNNING, "one")
    unsubscribe()
    unsubscribe()
    events.tell("stream", "s", State.ENDED, "two")
    assert [event.message for event in heard] == ["one"]


def test_the_memory_of_events_is_bounded() -> None:
    events = Events()
    for number in range(1000):
        events.tell("source", "camera", State.STALLED, str(number))
    assert len(events.recent) == 200
    assert events.recent[-1].message == "999"
