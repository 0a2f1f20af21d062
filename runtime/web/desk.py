"""What a page shows and turns, besides the pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dayshift.runtime.sinks.recorder import RecorderSink
from dayshift.runtime.streaming.control import Control


@dataclass(frozen=True)
class Desk:
    """The parts of a stream that viewers have a hand on.

    Attributes:
        control: Of the stream.
        recorder: Keeps recordings and snapshots; None where there is none.
        models: The models that may be chosen, by the names that viewers see, and what each is
            loaded by; no other name is taken.
        precisions: The precisions that may be chosen.
        domains: What is translated, such as day and night.
    """

    control: Control
    recorder: RecorderSink | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    precisions: tuple[str, ...] = ()
    domains: tuple[str, str] = ("source", "translation")
