from __future__ import annotations

import math
import threading
from typing import Any

import pytest

from dayshift.runtime.effect import Effect
from dayshift.runtime.errors import UsageError
from dayshift.runtime.spec import Control as Limits
from dayshift.runtime.spec import Controls
from dayshift.runtime.streaming.control import Control, Settings


def test_a_change_replaces_what_it_names_and_nothing_else() -> None:
    control = Control(Settings(strength=0.5))
    before = control.settings
    after = control.change(is_frozen=True, split=0.25)
    assert after is control.settings
    assert after == Settings(strength=0.5, is_frozen=True, split=0.25)
    assert before == Settings(strength=0.5)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"strength": 1.5}, "got strength 1.5: expected a number from 0 to 1"),
        ({"lamps": -0.1}, "got lamps -0.1: expected a number from 0 to 1"),
        ({"split": math.nan}, "got split nan: expected a number from 0 to 1"),
        ({"colour": 1}, "no setting 'colour': expected one of strength, lamps,"),
    ],
)
def test_a_wrong_change_changes_nothing(change: dict[str, Any], complaint: str) -> None:
    control = Control()
    with pytest.raises(UsageError, match=complaint):
        control.change(is_frozen=True, **change)
    assert control.settings == Settings()


def test_the_effect_is_what_is_wanted_of_the_controls_that_the_model_has() -> None:
    control = Control(model_effect=Effect(0.8, 0.6))
    assert control.effect == Effect(0.8, 0.6)
    control.change(lamps=0.3)
    assert control.effect == Effect(0.8, 0.3)
    control.tell_model(Effect(0.7))
    assert control.effect == Effect(0.7)
    control.tell_model(Effect(1.0, 1.0))
    assert control.effect == Effect(1.0, 0.3)
    control.tell_model(Effect(0.6), Controls(strength=Limits(default=0.6, minimum=0.4)))
    control.change(strength=0.1)
    assert (control.effect, control.settings.strength) == (Effect(0.4), 0.1)


def test_listeners_hear_of_changes_and_only_of_changes(caplog: pytest.LogCaptureFixture) -> None:
    def fail(settings: Settings) -> None:
        raise ZeroDivisionError

    control, heard = Control(), list[Settings]()
    control.subscribe(fail)
    unsubscribe = control.subscribe(heard.append)
    control.change(strength=0.5)
    control.change(strength=0.5)
    unsubscribe()
    control.change(strength=0.7)
    assert heard == [Settings(strength=0.5)]
    assert "a listener failed at Settings" in caplog.text


def test_snapshots_asked_for_by_many_threads_are_all_counted() -> None:
    control = Control()

    def ask() -> None:
        for _ in range(200):
            control.request_snapshot()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert control.settings.snapshots == 800
