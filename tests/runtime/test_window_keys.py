from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dayshift.runtime.effect import Effect
from dayshift.runtime.sinks.keys import KEYS, turn
from dayshift.runtime.sinks.view import draw_view
from dayshift.runtime.streaming.control import Control, Settings
from dayshift.runtime.streaming.events import State
from dayshift.runtime.streaming.status import Status

GREY, WHITE = np.full((180, 320, 3), 90, np.uint8), np.full((180, 320, 3), 255, np.uint8)


def press(control: Control, keys: str) -> list[bool]:
    return [turn(key, control) for key in keys]


def test_brackets_turn_the_strength_from_where_the_model_has_it() -> None:
    control = Control(model_effect=Effect(0.8))
    press(control, "[[")
    assert control.settings.strength == pytest.approx(0.7)
    press(control, "]" * 20)
    assert control.settings.strength == 1.0


def test_braces_turn_the_lamps_from_where_the_model_has_them() -> None:
    control = Control(model_effect=Effect(1.0, 0.4))
    press(control, "{{")
    assert control.settings.lamps == pytest.approx(0.3)
    assert control.settings.strength is None
    press(control, "{" * 20)
    assert control.settings.lamps == 0.0
    press(control, "}")
    assert control.settings.lamps == pytest.approx(0.05)


def test_braces_do_nothing_where_the_model_has_no_lamps() -> None:
    control = Control()
    press(control, "{}")
    assert control.settings == Settings()


@pytest.mark.parametrize(
    ("key", "name"), [("f", "is_frozen"), ("o", "has_overlay"), ("r", "is_recording")]
)
def test_a_switch_goes_on_and_off(key: str, name: str) -> None:
    control = Control()
    press(control, key)
    assert getattr(control.settings, name)
    press(control, key.upper())
    assert not getattr(control.settings, name)


def test_the_split_goes_on_moves_and_goes_off() -> None:
    control = Control()
    press(control, "s,,")
    assert control.settings.split == pytest.approx(0.4)
    press(control, "." * 30)
    assert control.settings.split == 1.0
    press(control, "s,.")
    assert not control.settings.split


def test_a_snapshot_is_asked_for() -> None:
    control = Control()
    press(control, "cc")
    assert control.settings.snapshots == 2


def test_only_q_and_escape_stop() -> None:
    assert press(Control(), "qQ\x1b") == [True] * 3
    assert press(Control(), "x[]{}sfocrh ?") == [False] * 13


def test_every_listed_key_is_a_key() -> None:
    listed = {key for keys, _ in KEYS for key in keys.split()}
    assert listed == set("[]{}sfocrhq")


def view(settings: Settings, keys: tuple[tuple[str, str], ...] = ()) -> np.ndarray:
    return draw_view(GREY, WHITE, settings, None, effect=Effect(), keys=keys)


def test_without_anything_to_add_the_image_itself_is_shown() -> None:
    assert view(Settings()) is GREY


def test_the_source_is_left_of_the_split() -> None:
    shown = view(Settings(split=0.25))
    assert (shown[:, :78] == 255).all()
    assert (shown[:, 83:] == 90).all()
    assert (GREY == 90).all()


def test_a_source_of_another_size_is_left_out() -> None:
    small = np.full((90, 160, 3), 255, np.uint8)
    shown = draw_view(GREY, small, Settings(split=0.5), None, effect=Effect())
    assert (shown == 90).all()


def test_overlay_keys_and_recording_are_drawn_into_the_view_alone() -> None:
    status = Status(
        state=State.RUNNING, at_s=0, seconds=1, source="camera", size="320x180", model="tiny",
        backend="openvino", precision="int8", device="CPU", frames_in=1, frames_out=1,
        frames_dropped=0, frames_repeated=0, frames_placeholder=0, outages=0, fps_in=30,
        fps_out=30, frame_age_ms=1, latency_ms={"p50": 1, "p95": 2}, queue_age_ms={},
        stages_ms={}, step="", message="",
    )  # fmt: skip
    overlay = draw_view(GREY, WHITE, Settings(has_overlay=True), status, effect=Effect(0.5))
    starting = draw_view(GREY, WHITE, Settings(has_overlay=True), None, effect=Effect(0.5))
    stalled = replace(status, state=State.STALLED)
    other = draw_view(GREY, WHITE, Settings(has_overlay=True), stalled, effect=Effect(0.5))
    lit = draw_view(GREY, WHITE, Settings(has_overlay=True), status, effect=Effect(0.5, 0.3))
    assert overlay[:60].max() > 200
    assert not np.array_equal(overlay, lit)
    assert not np.array_equal(overlay, starting)
    assert not np.array_equal(overlay, other)
    assert view(Settings(), KEYS)[:100].max() > 200
    assert (view(Settings(is_recording=True))[:30, -30:, 2] > 200).any()
    assert (GREY == 90).all()
