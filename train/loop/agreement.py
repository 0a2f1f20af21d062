"""How the processes of a run end together where one of them cannot go on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import distributed

from dayshift.runtime.errors import DayshiftError


class LostProcess(DayshiftError):
    """Another process of the run is gone; this one cannot go on alone."""


@contextlib.contextmanager
def explained_loss() -> Iterator[None]:
    """Say in words what the others get where a process of a run is killed.

    Raises:
        LostProcess: In the place of an error of the network. gloo's are plain RuntimeErrors.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        reason = " ".join(str(error).split())[:160]
        raise LostProcess(
            f"another process of this run ended, or cannot be reached ({reason}): see what it "
            "said. Start all processes again: they go on from the last checkpoint"
        ) from error


class Agreement:
    """Tells every process what failed in one: alone it would leave the others waiting for it.

    Messages go through the CPU, so that no step waits for a GPU. Every process must call each
    method as often as the others.

    Args:
        world: how many processes there are.
    """

    def __init__(self, world: int) -> None:
        self._group = distributed.new_group(backend="gloo") if world > 1 else None

    def failure(self, error: Exception | None) -> Exception | None:
        """Return `error`, or what to raise where another process has one, None where none has."""
        if self._group is None:
            return error
        failed = torch.tensor([error is not None], dtype=torch.int32)
        distributed.all_reduce(failed, distributed.ReduceOp.MAX, group=self._group)
        if not failed.item():
            return None
        told: list[str | None] = [None] * self._group.size()
        line = None if error is None else f"process {distributed.get_rank()} could not go on: "
        distributed.all_gather_object(told, line and f"{line}{error}", group=self._group)
        return error or DayshiftError(next(filter(None, told)))

    def wait(self) -> None:
        """Return when every process is here."""
        if self._group is not None:
            distributed.barrier(group=self._group)
