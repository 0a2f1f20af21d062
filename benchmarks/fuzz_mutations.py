"""How valid input is damaged: bytes, text and JSON."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

_NASTY_BYTES = (b"\0", b"\r\n\r\n", b"%00", b"../" * 8, b"\xff" * 64, b"A" * 5000, b"{" * 500, b"")
_NASTY_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 10**30, 1e308, "", "x" * 5000, "../../etc/passwd", "/dev/zero", "\0", [], {},
    [[]] * 50, {"a": {}}, "\u202e", "fp32", float("inf"),
)  # fmt: skip


def mutate_bytes(random: np.random.Generator, content: bytes, *, most: int = 5) -> bytes:
    """Flip, insert, cut, repeat or swap a few bytes, up to `most` times."""
    changed = bytearray(content)
    for _ in range(int(random.integers(1, most + 1))):
        at = int(random.integers(len(changed) + 1))
        length = int(random.integers(1, 40))
        match int(random.integers(6)):
            case 0 if at < len(changed):
                changed[at] = int(random.integers(256))
            case 1:
                changed[at:at] = _NASTY_BYTES[random.integers(len(_NASTY_BYTES))]
            case 2:
                del changed[at : at + length]
            case 3:
                changed[at:at] = changed[at : at + length] * int(random.integers(1, 20))
            case 4:
                changed[at : at + length] = random.bytes(length)
            case _ if random.random() < 0.2:
                del changed[at:]
    return bytes(changed)


def mutate_text(random: np.random.Generator, text: str) -> str:
    """Damage a text; what is no UTF-8 any more is kept as Python keeps such words."""
    return mutate_bytes(random, text.encode("utf-8", "surrogateescape")).decode(
        "utf-8", "surrogateescape"
    )


def mutate_json(random: np.random.Generator, value: Any) -> Any:
    """Replace, remove, rename or double parts of a JSON value."""
    changed = copy.deepcopy(value)
    for _ in range(int(random.integers(1, 4))):
        parent, key = _place(random, changed)
        match int(random.integers(4)):
            case 0 | 1:
                nasty = _NASTY_VALUES[random.integers(len(_NASTY_VALUES))]
                parent[key] = copy.deepcopy(nasty)
            case 2:
                del parent[key]
            case _ if isinstance(parent, dict):
                parent[mutate_text(random, str(key))] = parent.pop(key)
            case _:
                parent.append(copy.deepcopy(parent[key]))
        if not changed:
            return changed
    return changed


def _place(random: np.random.Generator, value: Any) -> tuple[Any, Any]:
    """Return a container somewhere in a value, and one of its keys."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = keys[random.integers(len(keys))]
        inner = value[key]
        if not isinstance(inner, dict | list) or not inner or random.random() < 0.25:
            return value, key
        value = inner
