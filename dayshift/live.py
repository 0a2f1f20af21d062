"""How `dayshift run` keeps a stream alive: source and model look after themselves, and say so."""

from __future__ import annotations

from dayshift.runtime.model import Model, load
from dayshift.runtime.sources import Source, open_source
from dayshift.runtime.sources.supervised import SupervisedSource, Watch
from dayshift.runtime.streaming.capture import Policy
from dayshift.runtime.streaming.control import Control
from dayshift.runtime.streaming.live_model import LiveModel
from dayshift.runtime.streaming.loading import Choice


def open_live(
    source: str,
    control: Control,
    *,
    size: tuple[int, int] | None = None,
    loop: bool = False,
    policy: Policy | None = None,
    give_up_s: float | None = None,
) -> Source:
    """Open a source; a live one is watched, and opened again whenever it breaks.

    Args:
        source: As for `open_source`.
        control: Whose events are told.
        size: (width, height) to ask for.
        loop: Begin a file again at its end.
        policy: `every` keeps a short queue where a live source is read.
        give_up_s: End the stream when a live source is away for so long; None never does.
    """
    opened = open_source(source, size=size, loop=loop)
    if not opened.is_live:
        return opened
    watch = Watch(give_up_after_s=give_up_s)
    return SupervisedSource(opened, control.events, watch, keeps_every=policy == "every")


def load_live(
    choice: Choice, control: Control, *, first: Model, size: tuple[int, int]
) -> LiveModel:
    """Return a model that outlives the engine of `first`.

    Args:
        choice: What `first` was loaded by.
        control: Whose wishes it follows.
        first: Closed by what is returned.
        size: (height, width) of the frames.
    """

    def load_again(wanted: Choice) -> Model:
        return load(
            wanted.model,
            backend=wanted.backend,
            precision=wanted.precision,
            size=size,
            lanes=first.lanes,
        )

    return LiveModel(first, choice, load_again, control)
