"""Who does the tasks of `dayshift translate`: this process here, a cluster in `ray_cluster.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from dayshift.runtime.errors import DayshiftError
from dayshift.runtime.model import Model
from dayshift.runtime.streaming.pipeline import OnProgress
from dayshift.tasks import Answer, Request, Task
from dayshift.worker import Worker


class WorkerLost(DayshiftError):
    """A worker died, or took too long; another may do better."""


@dataclass(frozen=True)
class Ended:
    """A task that has ended, with its answer or its error."""

    task: Task
    answer: Answer = field(default_factory=Answer)
    error: Exception | None = None


class Executor(Protocol):
    """Whoever does tasks."""

    def has_room(self, task: Task) -> bool:
        """Whether the task would be begun soon if it were submitted now."""
        ...

    def submit(self, task: Task) -> None:
        """Take a task, for which there is room."""
        ...

    def wait(self, on_frames: OnProgress) -> Ended:
        """Wait for any submitted task to end.

        Args:
            on_frames: Called with the frames done of a segment at work, where that is known.
        """
        ...


class Here:
    """Does one task after the other in this process."""

    def __init__(self, model: Model, request: Request) -> None:
        self._worker = Worker(model, request)
        self._task: Task | None = None

    def has_room(self, task: Task) -> bool:
        """Whether nothing was submitted."""
        return self._task is None

    def submit(self, task: Task) -> None:
        """Remember the task until `wait`, so that Ctrl-C meets it there."""
        self._task = task

    def wait(self, on_frames: OnProgress) -> Ended:
        """Do the task."""
        task, self._task = self._task, None
        assert task is not None
        try:
            return Ended(task, self._worker.do(task, on_frames))
        except Exception as error:
            return Ended(task, error=error)
