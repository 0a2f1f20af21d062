"""One finding of the doctor."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    """Something that was looked at.

    Attributes:
        name: What was looked at.
        ok: It is as it should be.
        detail: What was found, in one line.
        fix: The command that mends it, or what to do where no command can; None where all is well.
        is_needed: The main job cannot be done without it: a model that translates a frame, and a
            way in and out. What is merely absent here is not needed.
    """

    name: str
    ok: bool
    detail: str
    fix: str | None = None
    is_needed: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the finding as plain data."""
        return asdict(self)
