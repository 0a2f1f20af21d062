"""`dayshift translate` on a Ray cluster: one actor for each worker, with a model of its own.

Actors come and go: one that dies, with its machine or alone, is asked for again, and its tasks go
back to whoever gave them. Ray ends the actors when the driver ends, however that happens.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from dayshift.executor import Ended, WorkerLost
from dayshift.ray_worker import ModelOrder, RayWorker
from dayshift.runtime.closing import Closing
from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import BackendError, DayshiftError, UsageError
from dayshift.runtime.streaming.pipeline import OnProgress
from dayshift.tasks import Request, Task, TranslateImage

try:
    import ray
except ImportError as error:
    raise missing_dependency("ray", error) from error

# So that a worker does not wait for the driver between images.
_MOST_IMAGES = 4
_POLL_S = 0.5


@dataclass(frozen=True)
class Cluster:
    """Which cluster, and what of it.

    Attributes:
        address: `ray`: the cluster that RAY_ADDRESS or this machine has, else one of this machine
            alone; `ray://HOST:PORT`: another, through Ray's client port.
        workers: How many; None takes as many as the cluster has processors for.
        cpus: Processors of each worker; may be a fraction.
        gpus: GPUs of each worker; may be a fraction.
        start_timeout_s: How long none may have started, or be left.
        task_timeout_s: How long a worker may take for a segment before it is replaced.
    """

    address: str = "ray"
    workers: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    start_timeout_s: float = 120.0
    task_timeout_s: float = 3600.0


@dataclass
class _Handle:
    """A worker, as the driver sees it."""

    actor: Any
    started: Any  # the reference of its start; None when it is ready
    host: str = ""
    tasks: deque[tuple[Any, Task]] = field(default_factory=deque)
    since: float = 0.0  # when its first task became the first


class RayExecutor(Closing):
    """Gives tasks to the workers of a Ray cluster. Used by one thread.

    Args:
        cluster: Which.
        order: The model.
        request: How to translate.

    Attributes:
        selection: One line on the engine that the workers run.

    Raises:
        UsageError: There is no cluster at that address.
        BackendError: No worker started in time, or the first one cannot load the model.
    """

    def __init__(self, cluster: Cluster, order: ModelOrder, request: Request) -> None:
        self._cluster = cluster
        self._lanes = max(1, int(cluster.cpus))
        self._ended: deque[Ended] = deque()
        self._engine: tuple[str, ...] | None = None
        self.selection = ""
        _connect(cluster.address)
        self._order = ray.put(order)
        self._request = request
        self._make = ray.remote(num_cpus=cluster.cpus, num_gpus=cluster.gpus)(RayWorker)
        count = cluster.workers or _most_workers(cluster)
        self._workers: list[_Handle] = []
        try:
            for _ in range(count):
                self._hire()
            self._ready_since = time.monotonic()
            while not self._ready():
                self._look(_POLL_S)
        except BaseException:
            self.close()
            raise

    def has_room(self, task: Task) -> bool:
        """Whether a worker is free, or has a few images only."""
        return self._best(task) is not None

    def submit(self, task: Task) -> None:
        """Give the task to the worker with the least to do."""
        worker = self._best(task)
        assert worker is not None
        if not worker.tasks:
            worker.since = time.monotonic()
        worker.tasks.append((worker.actor.do.remote(task), task))

    def wait(self, on_frames: OnProgress) -> Ended:
        """Wait for a task to end, its worker to be lost, or its time to be up."""
        while not self._ended:
            self._look(_POLL_S)
        return self._ended.popleft()

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            _kill(worker.actor)
        self._workers.clear()
        ray.shutdown()

    def _ready(self) -> list[_Handle]:
        return [worker for worker in self._workers if worker.started is None]

    def _best(self, task: Task) -> _Handle | None:
        def takes(worker: _Handle) -> bool:
            images = all(isinstance(one, TranslateImage) for _, one in worker.tasks)
            is_short = isinstance(task, TranslateImage) and images
            return len(worker.tasks) < (_MOST_IMAGES if is_short else 1)

        free = [worker for worker in self._ready() if takes(worker)]
        return min(free, key=lambda worker: len(worker.tasks), default=None)

    def _hire(self) -> None:
        actor = self._make.remote()
        reference = actor.start.remote(self._order, self._request, self._lanes)
        self._workers.append(_Handle(actor, reference))

    def _look(self, timeout_s: float) -> None:
        """Take what has come, and see who is late."""
        waited = {worker.started or worker.tasks[0][0]: worker for worker in self._busy()}
        if waited:
            done, _ = ray.wait(list(waited), num_returns=1, timeout=timeout_s)
            for reference in done:
                self._take(waited[reference], reference)
        now = time.monotonic()
        for worker in self._ready():
            if worker.tasks and now - worker.since > self._cluster.task_timeout_s:
                limit = f"it took longer than --task-timeout {self._cluster.task_timeout_s:g} s"
                self._lose(worker, limit)
        if self._ready():
            self._ready_since = now
        elif now - self._ready_since > self._cluster.start_timeout_s:
            raise BackendError(self._nobody())

    def _busy(self) -> list[_Handle]:
        return [worker for worker in self._workers if worker.started is not None or worker.tasks]

    def _take(self, worker: _Handle, reference: Any) -> None:
        try:
            came = ray.get(reference)
        except ray.exceptions.RayActorError as error:
            self._lose(worker, f"its worker died ({_first_line(error)})")
            return
        except ray.exceptions.RayTaskError as error:
            came = error.cause if isinstance(error.cause, Exception) else error
        if worker.started is not None:
            self._take_start(worker, came)
            return
        _, task = worker.tasks.popleft()
        worker.since = time.monotonic()
        ended = Ended(task, error=came) if isinstance(came, Exception) else Ended(task, came)
        self._ended.append(ended)

    def _take_start(self, worker: _Handle, came: Any) -> None:
        if isinstance(came, Exception):
            raise (
                came
                if isinstance(came, DayshiftError)
                else BackendError(f"a worker cannot start: {_first_line(came)}")
            )
        if self._engine is None:
            self._engine, self.selection = came.engine, came.selection
        if came.engine != self._engine:
            raise BackendError(
                f"{came.host} would run {' '.join(came.engine[1:])} where others run "
                f"{' '.join(self._engine[1:])}: name --backend and --precision that all have"
            )
        worker.started, worker.host = None, came.host

    def _lose(self, worker: _Handle, reason: str) -> None:
        """Replace a worker and give its tasks back."""
        _kill(worker.actor)
        self._workers.remove(worker)
        where = f" on {worker.host}" if worker.host else ""
        self._ended.extend(
            Ended(task, error=WorkerLost(f"lost{where}: {reason}")) for _, task in worker.tasks
        )
        self._hire()

    def _nobody(self) -> str:
        has = ray.cluster_resources()
        return (
            f"no worker within --start-timeout {self._cluster.start_timeout_s:g} s: each needs "
            f"{self._cluster.cpus:g} CPUs and {self._cluster.gpus:g} GPUs, the cluster has "
            f"{has.get('CPU', 0):g} and {has.get('GPU', 0):g}, free are "
            f"{ray.available_resources().get('CPU', 0):g} CPUs"
        )


def _connect(address: str) -> None:
    scheme, _, rest = address.partition("://")
    if scheme != "ray":
        raise UsageError(f"got --cluster {address}, expected ray or ray://HOST:PORT")
    try:
        # Workers' output is theirs; what matters comes back as an answer.
        ray.init(address=address if rest else None, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # Ray raises no narrower one where a node does not start
        raise UsageError(
            f"no Ray cluster at {address} ({_first_line(error)}): start one with ray start --head"
        ) from error


def _most_workers(cluster: Cluster) -> int:
    has = ray.cluster_resources()
    fits = [
        int(has.get(kind, 0) / needed)
        for kind, needed in (("CPU", cluster.cpus), ("GPU", cluster.gpus))
        if needed > 0
    ]
    return max(1, min(fits, default=1))


def _kill(actor: Any) -> None:
    with suppress(Exception):  # it may be gone, and so may the cluster
        ray.kill(actor)


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
