"""A stream as a loop in the caller's own code."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.sources import Source, open_source
from dayshift.runtime.sources.supervised import SupervisedSource
from dayshift.runtime.stream_memory import Memory
from dayshift.runtime.streaming.capture import Capture, check_policy
from dayshift.runtime.streaming.control import Control
from dayshift.runtime.streaming.ends import stopped_by
from dayshift.runtime.streaming.translator import Translated, Translator, follow


@dataclass(frozen=True, eq=False)
class StreamResult:
    """A frame and its translation.

    Attributes:
        frame: As captured.
        image: Translated, uint8 BGR (H, W, 3); yours to keep.
        translation: The same with the time of each stage.
        index: The frame's number in the source; dropped frames leave gaps.
        latency_ms: From capture until the loop has it.
    """

    frame: Frame
    image: Pixels
    translation: Translated
    index: int
    latency_ms: float


def stream(
    source: str | int | Path | Source,
    model: Translator,
    *,
    policy: str | None = None,
    control: Control | None = None,
) -> Generator[StreamResult, None, None]:
    """Translate a source frame by frame, for a `for` loop.

    A thread captures; the model runs in the loop's own thread, when it asks for the next result.
    Leaving the loop, or closing the generator, stops the thread and closes the source. A live
    source that is named is watched, and opened again whenever it breaks; one that is given open is
    taken as it is.

    Args:
        source: What `open_source` takes, or an open source.
        model: Translates the frames.
        policy: `latest` (the newest frame wins, others are dropped) or `every`; by default `latest`
            for a live source and `every` for another.
        control: Its strength and lamps are followed and its stop ends the loop; the source's events
            are told there.

    Raises:
        DayshiftError: The source cannot be opened or broke off, or the engine failed.
        UsageError: There is no such policy or scheme, or lamps are wanted of a model without them.
    """
    chosen = check_policy(policy)
    desk = control or Control()
    opened = source
    if isinstance(opened, str | int | Path):
        opened = open_source(opened)
        if opened.is_live:
            every = chosen == "every"
            opened = SupervisedSource(opened, desk.events, keeps_every=every)
    with Capture(opened, chosen) as capture, stopped_by(desk, capture.end):
        width, height = opened.size
        model.warm_up(height, width)
        memory = Memory()
        capture.start()
        while (captured := capture.frames.get()) is not None:
            frame = captured.frame
            follow(model, desk.settings)
            translation = model.translate(frame.pixels, memory)
            latency_ms = (time.perf_counter() - frame.captured_at) * 1e3
            yield StreamResult(frame, translation.image, translation, frame.index, latency_ms)
        if capture.error is not None:
            raise capture.error
