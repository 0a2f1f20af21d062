"""What a browser may change, and in which words: everything else is refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from dayshift.runtime.errors import UsageError

_SWITCHES = ("is_frozen", "is_recording")


def read_changes(
    body: object, *, models: Mapping[str, str], precisions: tuple[str, ...]
) -> dict[str, Any]:
    """Return the changes for `Control.change` that a request's body asks for.

    Args:
        body: As parsed from JSON.
        models: The names that may be chosen, and what `Control` calls them; a path is no name.
        precisions: The precisions that may be chosen.

    Raises:
        UsageError: The body is no object, or names what may not be changed, or to what.
    """
    if not isinstance(body, dict) or not body:
        raise UsageError("expected a JSON object with what to change")
    changes: dict[str, Any] = {}
    for key, value in body.items():
        match key:
            case "strength" | "lamps":
                changes[key] = _read_share(key, value)
            case "is_frozen" | "is_recording":
                if not isinstance(value, bool):
                    raise UsageError(f"expected true or false for {key}")
                changes[key] = value
            case "model":
                changes[key] = models[_read_choice(key, value, models)]
            case "precision":
                changes[key] = _read_choice(key, value, precisions)
            case _:
                known = ", ".join(("strength", "lamps", *_SWITCHES, "model", "precision"))
                raise UsageError(f"nothing of that name can be changed: expected {known}")
    return changes


def _read_share(key: str, value: object) -> float:
    # A bool is an int in Python; the bounds are written so that NaN fails too.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UsageError(f"expected a number from 0 to 1 for {key}")
    return float(value)


def _read_choice(key: str, value: object, choices: Collection[str]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise UsageError(f"expected one of {', '.join(choices) or 'nothing'} for {key}")
    return value
