"""What the loop is given: a method, where its batches come from, and how to run it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from torch import nn

from dayshift.runtime.image import Pixels
from dayshift.train.loop.settings import RunSection
from dayshift.train.methods.base import Batch, Method

Translators = Mapping[str, nn.Module]
"""By direction ("a_to_b"), as they would be exported: averaged weights where there are any, eval
mode."""


class Source(Protocol):
    """Where batches come from. Which ones are a step's follows from the seed and the step alone."""

    @property
    def images_per_batch(self) -> int:
        """Return how many samples a batch has, on each process."""
        ...

    def batches_per_epoch(self, world: int) -> int:
        """Return how many batches each of `world` processes takes from an epoch."""
        ...

    def batches(self, start: int, rank: int, world: int) -> Iterator[Batch]:
        """Yield the batches of process `rank` without end, from number `start` on."""
        ...

    def facts(self) -> dict[str, Any]:
        """Return what the data are, as JSON: counts of images, and what was skipped."""
        ...


@dataclass(frozen=True)
class Metric:
    """A figure that tells a better checkpoint from a worse one."""

    name: str
    better: Literal["lower", "higher"]
    measure: Callable[[Translators], float]

    def improves(self, value: float, best: float | None) -> bool:
        """Return whether `value` is better than `best`; what is no number is worse than any."""
        if math.isnan(value):
            return False
        if best is None or math.isnan(best):
            return True
        return value < best if self.better == "lower" else value > best


@dataclass(frozen=True)
class Job:
    """A training run.

    Attributes:
        method_name: as recipes say it.
        method: networks, optimizers, update rule.
        source: its batches.
        settings: how to run.
        recipe: what the run is made of, as JSON; a checkpoint of another recipe is refused.
        norm: what batch norm uses at inference; see `NetworkRecord`.
        draw_samples: makes the sample sheet, a BGR image.
        metric: decides which checkpoint is the best.
    """

    method_name: str
    method: Method
    source: Source
    settings: RunSection
    recipe: dict[str, Any]
    norm: Literal["running", "batch"] = "running"
    draw_samples: Callable[[Translators], Pixels] | None = None
    metric: Metric | None = None
    facts: dict[str, Any] = field(default_factory=dict)
