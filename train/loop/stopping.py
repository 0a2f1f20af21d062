"""Ends of a run before its last step: Ctrl-C and SIGTERM, and losses that are no numbers."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Mapping
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from dayshift.runtime.errors import DayshiftError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingError(DayshiftError):
    """A run cannot go on; its last good checkpoint is kept."""


class StopRequest:
    """Notes the first Ctrl-C or SIGTERM, so that the step at work is finished and saved.

    A second one interrupts at once. Outside the main thread signals cannot be had, and are left to
    whoever has them.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._previous = {s: signal.signal(s, self._note) for s in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, _signal: int, _frame: FrameType | None) -> None:
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True


class FiniteCheck:
    """Watches the loss terms; looks at them only when asked, as a look waits for the device."""

    def __init__(self) -> None:
        self._unseen: list[tuple[int, tuple[str, ...], Tensor]] = []

    def note(self, step: int, terms: Mapping[str, Tensor]) -> None:
        """Take in the terms of a step, which is named as the user counts it, from 1."""
        self._unseen.append((step, tuple(terms), torch.stack([*terms.values()]).float()))

    def broken(self) -> str | None:
        """Return which term first was not finite, and at which step, since the last call."""
        unseen, self._unseen = self._unseen, []
        for step, names, values in unseen:
            for name, value in zip(names, values.tolist(), strict=True):
                if not math.isfinite(value):
                    return f"the loss term {name!r} became {value} at step {step}"
        return None


def check_weights(step: int, modules: Mapping[str, nn.Module]) -> str | None:
    """Return which network's weights are not finite after `step`, None where all are."""
    for name, module in modules.items():
        sums = [value.detach().sum() for value in module.parameters()]
        if sums and not bool(torch.isfinite(torch.stack(sums)).all()):
            return f"the weights of {name!r} were not finite after step {step}"
    return None
