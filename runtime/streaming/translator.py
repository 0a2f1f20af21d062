"""What a pipeline needs of a model."""

from __future__ import annotations

from typing import Protocol

from dayshift.runtime.frame import Pixels
from dayshift.runtime.stream_memory import Memory
from dayshift.runtime.streaming.control import Settings
from dayshift.runtime.streaming.report import Described, Timed


class Translated(Timed, Protocol):
    """A translated frame: uint8 BGR (H, W, 3), and where the time went."""

    @property
    def image(self) -> Pixels:
        """The translated pixels."""
        ...


class Translator(Described, Protocol):
    """Translates frames. It is used by at most `lanes` threads at a time.

    Attributes:
        strength: How much of the effect, 0 to 1; set before a frame.
        lamps: The share of the artificial light that burns, 0 to 1; set before a frame.
    """

    strength: float
    lamps: float

    @property
    def lanes(self) -> int:
        """How many frames it translates at a time."""
        ...

    def warm_up(self, height: int, width: int) -> None:
        """Compile for a frame size, so that the first frame is as fast as the others."""
        ...

    def translate(self, frame: Pixels, memory: Memory | None = None) -> Translated:
        """Translate a frame, uint8 BGR (H, W, 3), the next of the stream that has the memory."""
        ...


def follow(model: Translator, settings: Settings) -> None:
    """Turn a model's controls to what is wanted, where that says anything."""
    if settings.strength is not None and settings.strength != model.strength:
        model.strength = settings.strength
    if settings.lamps is not None and settings.lamps != model.lamps:
        model.lamps = settings.lamps
