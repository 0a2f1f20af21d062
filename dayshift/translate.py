"""Translation of files, one after the other, every frame of each.

A result appears in one step and only when it is whole, also after Ctrl-C: a result that exists is
complete, and running the same command again goes on where the last run stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dayshift.jobs import Job
from dayshift.marking import DEFAULT_MARKING, Marking
from dayshift.runtime.errors import DayshiftError
from dayshift.runtime.model import Model
from dayshift.runtime.sinks.images import ImageSink
from dayshift.runtime.sources.images import ImageSource
from dayshift.runtime.streaming.pipeline import OnProgress
from dayshift.whole_video import WholeVideo, translate_whole


@dataclass
class Outcome:
    """What became of the jobs; `failed` has the error's line with each."""

    translated: list[Job] = field(default_factory=list)
    skipped: list[Job] = field(default_factory=list)
    failed: list[tuple[Job, str]] = field(default_factory=list)
    frames: int = 0


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
    """Do every job; one that fails does not keep the others from being done.

    Args:
        jobs: From `plan_jobs`.
        model: Translates the frames.
        overwrite: Do again what is there already.
        marking: How results are marked as translated.
        is_stabilised: Take flicker out of videos.
        on_file: Called with the name of each file before it is translated.
        on_progress: Called with the frames done and expected of the file at work.

    Raises:
        KeyboardInterrupt: Ctrl-C, after the unfinished result was removed.
    """
    outcome = Outcome()
    for job in jobs:
        if on_file is not None:
            on_file(job.source.name)
        if job.result.exists() and not overwrite:
            outcome.skipped.append(job)
            continue
        try:
            if job.kind == "image":
                outcome.frames += _translate_image(job, model, marking)
            else:
                video = WholeVideo(job.source)
                report = translate_whole(
                    video,
                    job.result,
                    model,
                    mark=marking.mark(model),
                    compose=marking.compose(is_stabilised=is_stabilised),
                    on_progress=on_progress,
                )
                outcome.frames += report.frames_out
        except DayshiftError as error:
            outcome.failed.append((job, str(error)))
        else:
            outcome.translated.append(job)
    return outcome


def _translate_image(job: Job, model: Model, marking: Marking) -> int:
    # The source is read before the sink makes folders: a bad input leaves nothing behind.
    frame = ImageSource(job.source).read()
    assert frame is not None  # an ImageSource of one file has one frame
    image = model(frame.pixels)
    compose = marking.compose()
    with ImageSink(job.result.parent, mark=marking.mark(model)) as sink:
        sink.write(image if compose is None else compose(frame, image), frame)
    return 1
