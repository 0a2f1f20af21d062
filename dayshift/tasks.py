"""What `dayshift translate` is made of: tasks that a worker does, here or on another machine.

A video is planned, translated in segments, and joined. Each segment is a file in the job's work
folder with a record beside it, which has its hash: the records are the manifest of what is done.
Both appear in one step and depend on nothing but the input and the request, so whoever does a task
again, after a kill or beside another machine, writes the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dayshift.jobs import Job
from dayshift.marking import DEFAULT_MARKING, Marking
from dayshift.runtime.sources.video_span import Span


@dataclass(frozen=True)
class Request:
    """How everything is translated.

    Attributes:
        marking: How results are marked.
        is_stabilised: Take flicker out of videos.
        overwrite: Do again what is there already.
        segment_s: Least length of a segment in seconds; it ends at a key frame.
        warm_up_frames: How many frames earlier a segment begins where the model or the stabiliser
            has a memory; what they become is thrown away.
    """

    marking: Marking = DEFAULT_MARKING
    is_stabilised: bool = False
    overwrite: bool = False
    segment_s: float = 10.0
    warm_up_frames: int = 24


@dataclass(frozen=True)
class Segment:
    """A part of a video.

    Attributes:
        number: From 0.
        count: How many the video has.
        frames: How many it holds, as far as is known.
        start_s: When its first frame is due, from the video's first.
        span: Where it is in the video; None is the whole of one that cannot be cut.
        file: What it becomes.
    """

    number: int
    count: int
    frames: int
    start_s: float
    span: Span | None
    file: Path

    @property
    def record(self) -> Path:
        """Where it says that it is done, and with which hash."""
        return self.file.with_name(f"{self.file.name}.json")


@dataclass(frozen=True)
class Plan:
    """The segments of a video.

    Attributes:
        segments: In order.
        origin_s: When the video's first frame is due, by its own clock.
        done: The numbers of those that were there already.
    """

    segments: tuple[Segment, ...]
    origin_s: Fraction
    done: frozenset[int]


@dataclass(frozen=True)
class TranslateImage:
    """Translate an image."""

    job: Job


@dataclass(frozen=True)
class PlanVideo:
    """Find the segments of a video."""

    job: Job


@dataclass(frozen=True)
class TranslateSegment:
    """Translate a segment of a video."""

    job: Job
    segment: Segment


@dataclass(frozen=True)
class JoinVideo:
    """Make a video of its segments."""

    job: Job
    plan: Plan


Task = TranslateImage | PlanVideo | TranslateSegment | JoinVideo


@dataclass(frozen=True)
class Answer:
    """What became of a task.

    Attributes:
        frames: How many were translated.
        is_skipped: The result was there already.
        plan: Of `PlanVideo`.
        damaged: Of `JoinVideo`: segments that are not what their records say, to be done again.
        sha256: Of the result, where there is one now.
        cpu_s: Processor time that it took.
    """

    frames: int = 0
    is_skipped: bool = False
    plan: Plan | None = None
    damaged: tuple[int, ...] = ()
    sha256: str | None = None
    cpu_s: float = 0.0


def name_of(task: Task) -> str:
    """Return what a failure is told of: the file, and the segment where there are several."""
    if isinstance(task, TranslateSegment) and task.segment.count > 1:
        return f"{task.job.source} (segment {task.segment.number + 1} of {task.segment.count})"
    return str(task.job.source)
