"""The keys of the window, and what each turns."""

from __future__ import annotations

from dayshift.runtime.streaming.control import Control

KEYS = (
    ("[ ]", "strength"),
    ("s", "before and after; , . move the line"),
    ("f", "freeze"),
    ("o", "overlay"),
    ("c", "snapshot"),
    ("r", "record"),
    ("h", "these keys"),
    ("q", "quit"),
)
_STRENGTH_STEP = 0.05
_SPLIT_STEP = 0.05
_STOP = frozenset("qQ\x1b")


def turn(key: str, control: Control, *, strength: float) -> bool:
    """Do what a key stands for; say whether it ends the stream.

    Args:
        key: One character; unknown ones do nothing.
        control: What it turns.
        strength: The strength in use, where the control does not say one.
    """
    settings = control.settings
    now = strength if settings.strength is None else settings.strength
    split = settings.split
    match key.lower():
        case "[":
            control.change(strength=round(max(0.0, now - _STRENGTH_STEP), 3))
        case "]":
            control.change(strength=round(min(1.0, now + _STRENGTH_STEP), 3))
        case "s":
            control.change(split=0.5 if split is None else None)
        case "," if split is not None:
            control.change(split=max(0.0, split - _SPLIT_STEP))
        case "." if split is not None:
            control.change(split=min(1.0, split + _SPLIT_STEP))
        case "f":
            control.change(is_frozen=not settings.is_frozen)
        case "o":
            control.change(has_overlay=not settings.has_overlay)
        case "c":
            control.request_snapshot()
        case "r":
            control.change(is_recording=not settings.is_recording)
    return key in _STOP
