"""Progress on standard error, where that is a terminal; nothing anywhere else."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from dayshift.runtime.streaming.pipeline import OnProgress

if TYPE_CHECKING:
    from dayshift.runtime.backends import BuildProgress, OnBuildProgress
    from dayshift.train.loop.meter import Progress as TrainProgress


@contextlib.contextmanager
def frame_progress(label: str) -> Iterator[OnProgress]:
    """Show how many frames or steps are done, the rate and the time left."""
    with _progress() as progress:
        task = progress.add_task(label, total=None)

        def show(done: int, expected: int | None) -> None:
            progress.update(task, completed=done, total=expected)

        yield show


@contextlib.contextmanager
def build_progress(label: str = "building the engine") -> Iterator[OnBuildProgress]:
    """Show how far TensorRT's build is; nothing where there is none."""
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[phase]}", markup=False),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as progress:
        task = progress.add_task(label, total=1.0, phase="", visible=False)

        def show(now: BuildProgress) -> None:
            progress.update(task, completed=now.fraction, phase=now.phase[:40], visible=True)

        yield show


@contextlib.contextmanager
def step_progress(label: str) -> Iterator[Callable[[int, int, str], None]]:
    """Show how many of some long steps are done, and in words what the last one came to."""
    with _progress() as progress:
        task = progress.add_task(label, total=None)

        def show(done: int, expected: int, told: str) -> None:
            progress.update(task, completed=done, total=expected, description=told)

        yield show


@contextlib.contextmanager
def file_progress(count: int) -> Iterator[tuple[Callable[[str], None], OnProgress]]:
    """Show how many files are done, and the frames of the one at work.

    Yields what to call with the name of each file before it, and what to call with its frames.
    """
    with _progress() as progress:
        files = progress.add_task("files", total=count)
        frames = progress.add_task("", total=None, visible=False)
        started: list[str] = []

        def start(name: str) -> None:
            progress.update(files, completed=len(started))
            progress.reset(frames, description=name, total=None, visible=True)
            started.append(name)

        def show(done: int, expected: int | None) -> None:
            progress.update(frames, completed=done, total=expected)

        yield start, show


@contextlib.contextmanager
def train_progress(label: str) -> Iterator[Callable[[TrainProgress], None]]:
    """Show steps, images per second, the share spent waiting for data and the time left."""
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as progress:
        task = progress.add_task(label, total=None, rate="")

        def show(now: TrainProgress) -> None:
            left = "" if now.left_s is None else f"  {_duration(now.left_s)} left"
            rate = f"{now.images_per_s:.1f} images/s  data {now.wait_share:.0%}{left}"
            progress.update(task, completed=now.step, total=now.steps, rate=rate)

        yield show


@contextlib.contextmanager
def bench_progress() -> Iterator[Callable[[int, int, str], None]]:
    """Show how many turns of a benchmark are done, and what is being measured."""
    with _progress() as progress:
        task = progress.add_task("", total=None)

        def show(done: int, total: int, what: str) -> None:
            progress.update(task, completed=done, total=total or None, description=what)

        yield show


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


class _RateColumn(ProgressColumn):
    """Steps per second, over the last seconds."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f}/s" if task.speed else "", justify="right")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
