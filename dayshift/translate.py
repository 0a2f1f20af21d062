"""Translation of files, every frame of each.

A result appears in one step and only when it is whole, also after a kill: a result that exists is
complete, and running the same command again goes on where the last run stopped. What there is to do
is decided here, in one way; who does it, this process or a cluster, is an executor's business.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dayshift.executor import Executor, Here, WorkerLost
from dayshift.jobs import WORK_FOLDER, Job
from dayshift.marking import DEFAULT_MARKING, Marking
from dayshift.places import remove_empty
from dayshift.runtime.errors import DayshiftError
from dayshift.runtime.model import Model
from dayshift.runtime.streaming.pipeline import OnProgress
from dayshift.tasks import (
    Answer,
    JoinVideo,
    Plan,
    PlanVideo,
    Request,
    Task,
    TranslateImage,
    TranslateSegment,
    name_of,
)

_log = logging.getLogger(__name__)


@dataclass
class Outcome:
    """What became of the jobs.

    Attributes:
        translated: With the SHA-256 of each result.
        skipped: Their results were there already.
        failed: With the error's line of each.
        frames: How many were translated.
        cpu_s: Processor time of those who did it.
        retries: How many tasks were done again because a worker was lost or a network failed.
    """

    translated: list[tuple[Job, str]] = field(default_factory=list)
    skipped: list[Job] = field(default_factory=list)
    failed: list[tuple[Job, str]] = field(default_factory=list)
    frames: int = 0
    cpu_s: float = 0.0
    retries: int = 0


def translate_files(
    jobs: Sequence[Job],
    model: Model,
    *,
    overwrite: bool = False,
    marking: Marking = DEFAULT_MARKING,
    is_stabilised: bool = False,
    on_file: Callable[[str], None] | None = None,
    on_progress: OnProgress | None = None,
) -> Outcome:
    """Do every job in this process, with the request's defaults; see `run_jobs`.

    Args:
        jobs: From `plan_jobs`.
        model: Translates the frames.
        overwrite: Do again what is there already.
        marking: How results are marked as translated.
        is_stabilised: Take flicker out of videos.
        on_file: As for `run_jobs`.
        on_progress: As for `run_jobs`.
    """
    request = Request(marking, is_stabilised, overwrite)
    return run_jobs(jobs, Here(model, request), on_file=on_file, on_progress=on_progress)


def run_jobs(
    jobs: Sequence[Job],
    executor: Executor,
    *,
    retries: int = 0,
    on_file: Callable[[str], None] | None = None,
    on_progress: OnProgress | None = None,
) -> Outcome:
    """Do every job; one that fails does not keep the others from being done.

    Args:
        jobs: From `plan_jobs`.
        executor: Does the tasks.
        retries: How often a task is done again whose worker was lost or whose network failed.
        on_file: Called with the name of each file before it is begun.
        on_progress: Called with the frames done and expected of all files since none was at work:
            of one file where they are done one by one, of all where many are at work.

    Raises:
        KeyboardInterrupt: Ctrl-C, after the unfinished segment was removed.
    """
    try:
        return _Run(jobs, executor, retries, on_file, on_progress).run()
    finally:
        for job in jobs:
            remove_empty(job.work, WORK_FOLDER)


@dataclass
class _Video:
    plan: Plan
    left: set[int]


class _Run:
    def __init__(
        self,
        jobs: Sequence[Job],
        executor: Executor,
        retries: int,
        on_file: Callable[[str], None] | None,
        on_progress: OnProgress | None,
    ) -> None:
        self._executor = executor
        self._retries = retries
        self._on_file = on_file
        self._on_progress = on_progress
        self._outcome = Outcome()
        self._waiting = deque(jobs)
        self._ready: deque[Task] = deque()
        self._in_flight = 0
        self._attempts: Counter[tuple[type, str]] = Counter()
        self._at_work: set[Job] = set()
        self._videos: dict[Job, _Video] = {}
        self._frames = 0
        self._expected = 0

    def run(self) -> Outcome:
        while True:
            self._fill()
            if not self._in_flight:
                return self._outcome
            ended = self._executor.wait(self._tell_segment)
            self._in_flight -= 1
            self._outcome.cpu_s += ended.answer.cpu_s
            if ended.task.job not in self._at_work:
                continue  # a segment of a video that has failed meanwhile
            if ended.error is None:
                self._take(ended.task, ended.answer)
            else:
                self._take_error(ended.task, ended.error)

    def _fill(self) -> None:
        """Give the executor as much as it takes: of the files at work first."""
        while self._ready or self._waiting:
            task = self._ready[0] if self._ready else _first_task(self._waiting[0])
            if not self._executor.has_room(task):
                return
            if self._ready:
                self._ready.popleft()
            else:
                self._begin(self._waiting.popleft())
            self._executor.submit(task)
            self._in_flight += 1

    def _begin(self, job: Job) -> None:
        if not self._at_work:
            self._frames = self._expected = 0
        self._at_work.add(job)
        if job.kind == "image":
            self._expected += 1
        if self._on_file is not None:
            self._on_file(job.source.name)

    def _take(self, task: Task, answer: Answer) -> None:
        job = task.job
        self._outcome.frames += answer.frames
        self._frames += answer.frames
        # One that was lost may have got as far as the result.
        is_ours = self._attempts[_key(task)] > 0
        if answer.sha256 is not None or (answer.is_skipped and is_ours):
            self._outcome.translated.append((job, answer.sha256 or ""))
            self._at_work.discard(job)
        elif answer.is_skipped:
            self._outcome.skipped.append(job)
            self._at_work.discard(job)
        elif answer.plan is not None:
            self._take_plan(job, answer.plan)
        elif isinstance(task, TranslateSegment):
            self._videos[job].left.discard(task.segment.number)
            self._go_on(job)
        else:
            self._redo(task, answer.damaged)
        self._tell(0)

    def _take_plan(self, job: Job, plan: Plan) -> None:
        self._expected += sum(one.frames for one in plan.segments)
        self._frames += sum(one.frames for one in plan.segments if one.number in plan.done)
        todo = [one for one in plan.segments if one.number not in plan.done]
        self._videos[job] = _Video(plan, {one.number for one in todo})
        self._ready.extend(TranslateSegment(job, one) for one in todo)
        self._go_on(job)

    def _go_on(self, job: Job) -> None:
        """Join a video whose segments are done, before others are begun."""
        video = self._videos[job]
        if not video.left:
            self._ready.appendleft(JoinVideo(job, video.plan))

    def _redo(self, task: Task, damaged: Sequence[int]) -> None:
        """Translate segments again that are not what they were."""
        job = task.job
        key = _key(task)
        self._attempts[key] += 1
        if self._attempts[key] > max(1, self._retries):
            self._fail(task, DayshiftError(f"segments {damaged} do not match their records"))
            return
        video = self._videos[job]
        video.left = set(damaged)
        again = [one for one in video.plan.segments if one.number in video.left]
        self._frames -= sum(one.frames for one in again)
        self._ready.extend(TranslateSegment(job, one) for one in again)

    def _take_error(self, task: Task, error: Exception) -> None:
        _log.debug("%s", name_of(task), exc_info=error)
        key = _key(task)
        self._attempts[key] += 1
        is_final = isinstance(error, DayshiftError) and not isinstance(error, WorkerLost)
        if is_final or self._attempts[key] > self._retries:
            self._fail(task, error)
            return
        _log.warning("%s is done again: %s", name_of(task), error)
        self._outcome.retries += 1
        self._ready.append(task)

    def _fail(self, task: Task, error: Exception) -> None:
        name = name_of(task)
        said = (
            str(error) if isinstance(error, DayshiftError) else f"{type(error).__name__}: {error}"
        )
        line = " ".join(said.split())
        self._outcome.failed.append((task.job, line if name in line else f"{name}: {line}"))
        self._at_work.discard(task.job)
        self._ready = deque(one for one in self._ready if one.job != task.job)

    def _tell_segment(self, done: int, expected: int | None) -> None:
        self._tell(done)

    def _tell(self, done_of_segment: int) -> None:
        if self._on_progress is not None and self._expected:
            self._on_progress(self._frames + done_of_segment, self._expected)


def _first_task(job: Job) -> Task:
    return TranslateImage(job) if job.kind == "image" else PlanVideo(job)


def _key(task: Task) -> tuple[type, str]:
    return type(task), name_of(task)
