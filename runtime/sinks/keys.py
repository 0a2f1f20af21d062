"""The keys of the window, and what each turns."""

from __future__ import annotations

from dataclasses import asdict

from dayshift.runtime.streaming.control import Control

KEYS = (
    ("[ ]", "strength"),
    ("{ }", "lamps, where the model has them"),
    ("s", "before and after; , . move the line"),
    ("f", "freeze"),
    ("o", "overlay"),
    ("c", "snapshot"),
    ("r", "record"),
    ("h", "these keys"),
    ("q", "quit"),
)
_STEP = 0.05
_STEPS = {
    "[": ("strength", -_STEP),
    "]": ("strength", _STEP),
    "{": ("lamps", -_STEP),
    "}": ("lamps", _STEP),
    ",": ("split", -_STEP),
    ".": ("split", _STEP),
}
_STOP = frozenset("qQ\x1b")


def turn(key: str, control: Control) -> bool:
    """Do what a key stands for; say whether it ends the stream.

    Args:
        key: One character; unknown ones do nothing.
        control: What it turns.
    """
    settings = control.settings
    if key in _STEPS:
        _step(control, *_STEPS[key])
    match key.lower():
        case "s":
            control.change(split=0.5 if settings.split is None else None)
        case "f":
            control.change(is_frozen=not settings.is_frozen)
        case "o":
            control.change(has_overlay=not settings.has_overlay)
        case "c":
            control.request_snapshot()
        case "r":
            control.change(is_recording=not settings.is_recording)
    return key in _STOP


def _step(control: Control, name: str, step: float) -> None:
    """Move a value that is there within 0 to 1."""
    values = {**asdict(control.effect), "split": control.settings.split}
    now = values[name]
    if now is not None:
        control.change(**{name: round(min(1.0, max(0.0, now + step)), 3)})
