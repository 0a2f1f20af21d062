"""Loading a model while another one translates: what is chosen, who loads it, on which thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dayshift.runtime.effect import effect_of
from dayshift.runtime.spec import ModelSpec
from dayshift.runtime.streaming.translator import Translator

_LOADER_JOIN_S = 0.5


class OpenModel(Translator, Protocol):
    """A translator that must be closed."""

    @property
    def spec(self) -> ModelSpec:
        """What its `model.json` says."""
        ...

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those that it has files of."""
        ...

    def close(self) -> None:
        """Free the engine."""
        ...


@dataclass(frozen=True)
class Choice:
    """What is asked of `load`: a bundled name or folder, a backend and a precision, or "auto"."""

    model: str | Path
    backend: str = "auto"
    precision: str = "auto"


Load = Callable[[Choice], OpenModel]


def hand_on(old: OpenModel, new: OpenModel) -> None:
    """Turn a model to what the one before it was at, as far as its controls go."""
    effect = effect_of(old).within(new.spec.controls)
    new.strength = effect.strength
    if effect.lamps is not None:
        new.lamps = effect.lamps


class Loader:
    """Loads and warms up a model on a thread of its own, while the stream goes on.

    Args:
        choice: What to load.
        load_model: Loads it.
        size: (height, width) of the frames to come.

    Attributes:
        choice: What it loads.
        model: What came of it; None while it is at it, or where it failed.
        error: Why it failed.
    """

    def __init__(self, choice: Choice, load_model: Load, size: tuple[int, int]) -> None:
        self.choice = choice
        self.model: OpenModel | None = None
        self.error: BaseException | None = None
        self._load = load_model
        self._size = size
        self._is_left = False
        self._thread = threading.Thread(target=self._run, name="dayshift-load", daemon=True)
        self._thread.start()

    @property
    def is_done(self) -> bool:
        """Whether there is a model or an error."""
        return not self._thread.is_alive()

    def leave(self) -> None:
        """Want the model no more."""
        self._is_left = True
        self._thread.join(_LOADER_JOIN_S)
        if self.is_done and self.model is not None:
            self.model.close()

    def _run(self) -> None:
        try:
            model = self._load(self.choice)
            model.warm_up(*self._size)
        except BaseException as error:  # told by the thread that translates
            self.error = error
            return
        if self._is_left:
            model.close()
        else:
            self.model = model
