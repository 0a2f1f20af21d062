"""Text of others on a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Replace control characters: what a stranger's model says must not steer the terminal."""
    kept = "\n\t"
    return "".join(c if c.isprintable() or c in kept else "\N{REPLACEMENT CHARACTER}" for c in text)
