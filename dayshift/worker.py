"""The worker that does the tasks of `dayshift translate`, with a model of its own."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from contextlib import ExitStack
from pathlib import Path

import dayshift
from dayshift.jobs import Job
from dayshift.places import (
    fetched,
    forget_listings,
    identity,
    names_in,
    open_bytes,
    published,
    remove_tree,
    sha256_of,
    write_bytes,
)
from dayshift.runtime.frame import Frame
from dayshift.runtime.model import Model
from dayshift.runtime.provenance.mark import mark_of
from dayshift.runtime.sinks.images import encode_image
from dayshift.runtime.sinks.joined import Original, Part, join_videos
from dayshift.runtime.sources.images import read_image
from dayshift.runtime.sources.video import VideoSource, broken_off, is_short
from dayshift.runtime.sources.video_span import VideoSpan, read_index
from dayshift.runtime.streaming.pipeline import OnProgress
from dayshift.tasks import (
    Answer,
    JoinVideo,
    Plan,
    PlanVideo,
    Request,
    Segment,
    Task,
    TranslateImage,
    TranslateSegment,
)
from dayshift.whole_video import translate_whole

# What x264 writes depends on the number of its threads, which must not be a machine's affair.
_ENCODER_THREADS = 4


class Worker:
    """Does one task at a time.

    Args:
        model: Translates the frames.
        request: How.
    """

    def __init__(self, model: Model, request: Request) -> None:
        self._model = model
        self._request = request

    def do(self, task: Task, on_frames: OnProgress | None = None) -> Answer:
        """Do a task; what is done already, by whomever, is done again to the same bytes.

        Args:
            task: Any.
            on_frames: Called with the frames done and expected of a segment.

        Raises:
            DayshiftError: It cannot be done.
            OSError: A place in the network failed, perhaps for the moment.
        """
        started_s = time.process_time()
        match task:
            case TranslateImage(job):
                answer = self._translate_image(job)
            case PlanVideo(job):
                answer = self._plan(job)
            case TranslateSegment(job, segment):
                answer = self._translate_segment(job, segment, on_frames)
            case JoinVideo(job, plan):
                answer = self._join(job, plan)
        return dataclasses.replace(answer, cpu_s=time.process_time() - started_s)

    def _is_done(self, job: Job) -> bool:
        return not self._request.overwrite and job.result.exists()

    def _translate_image(self, job: Job) -> Answer:
        if self._is_done(job):
            return Answer(is_skipped=True)
        pixels = read_image(job.source)
        image = self._model(pixels)
        compose = self._request.marking.compose()
        if compose is not None:
            image = compose(Frame(pixels, 0, 0.0, None, job.source.name), image)
        mark = self._request.marking.mark(self._model)
        content = encode_image(image, Path(job.result.name), mark)
        write_bytes(job.result, content, job.work)
        remove_tree(job.work)
        return Answer(frames=1, sha256=hashlib.sha256(content).hexdigest())

    def _plan(self, job: Job) -> Answer:
        if self._is_done(job):
            return Answer(is_skipped=True)
        with self._open(job) as source:
            frame_count, origin_s = source.frame_count or 0, source.origin_s
        with ExitStack() as stack:
            file = open_bytes(job.source)
            if file is not None:
                stack.enter_context(file)
            index = read_index(job.source, file)
        folder = job.work / self._fingerprint(job)
        if index is None:
            segments = [Segment(0, 1, frame_count, 0.0, None, folder / "000000.mp4")]
        else:
            spans = index.split(self._request.segment_s, self._warm_up_frames)
            found = sum(span.frames for span in spans)
            if is_short(found, frame_count):
                raise broken_off(str(job.source), found, frame_count)
            segments = [
                Segment(
                    number,
                    len(spans),
                    span.frames,
                    float((span.start - span.origin) * index.time_base),
                    span,
                    folder / f"{number:06d}.mp4",
                )
                for number, span in enumerate(spans)
            ]
        there = names_in(folder)
        done = frozenset(
            one.number for one in segments if {one.file.name, one.record.name} <= there
        )
        return Answer(plan=Plan(tuple(segments), origin_s, done))

    def _translate_segment(
        self, job: Job, segment: Segment, on_frames: OnProgress | None
    ) -> Answer:
        with published(segment.file, job.work) as file:
            compose = self._request.marking.compose(
                is_stabilised=self._request.is_stabilised and not self._model.has_memory
            )
            report = translate_whole(
                self._open(job, segment),
                file,
                self._model,
                compose=compose,
                encoder_threads=_ENCODER_THREADS,
                on_progress=on_frames,
            )
            warm_frames = segment.span.warm_frames if segment.span else 0
            frames = report.frames_out - warm_frames
            record = {"frames": frames, "sha256": sha256_of(file)}
        write_bytes(segment.record, json.dumps(record).encode(), job.work)
        return Answer(frames=frames)

    def _join(self, job: Job, plan: Plan) -> Answer:
        forget_listings(job.work)
        if job.result.exists() and not job.work.exists():  # by one that was lost right behind it
            with fetched(job.result) as joined:
                return Answer(sha256=sha256_of(joined))
        with ExitStack() as stack:
            paths = {one: _fetch_intact(stack, one) for one in plan.segments}
            damaged = tuple(one.number for one, path in paths.items() if path is None)
            if damaged:
                return Answer(damaged=damaged)
            parts = [Part(path, one.start_s) for one, path in paths.items() if path is not None]
            file = open_bytes(job.source)
            if file is not None:
                stack.enter_context(file)
            original = Original(job.source, plan.origin_s, file)
            with published(job.result, job.work) as joined:
                join_videos(joined, parts, original, self._request.marking.mark(self._model))
                sha256 = sha256_of(joined)
        remove_tree(job.work)
        return Answer(sha256=sha256)

    def _open(self, job: Job, segment: Segment | None = None) -> VideoSource:
        file = open_bytes(job.source)
        if segment is None or segment.span is None:
            return VideoSource(job.source, file=file)
        return VideoSpan(job.source, segment.span, file=file)

    @property
    def _warm_up_frames(self) -> int:
        has_memory = self._request.is_stabilised or self._model.has_memory
        return self._request.warm_up_frames if has_memory else 0

    def _fingerprint(self, job: Job) -> str:
        """Return what a segment's bytes follow from: others' segments are not taken for its own."""
        request = self._request
        said = [
            dayshift.__version__,
            identity(job.source),
            mark_of(self._model.name, self._model),
            request.marking.has_label,
            request.is_stabilised,
            request.segment_s,
            self._warm_up_frames,
        ]
        return hashlib.sha256(repr(said).encode()).hexdigest()[:16]


def _fetch_intact(stack: ExitStack, segment: Segment) -> Path | None:
    """Return a segment's file on this machine; None where it is not what its record says."""
    try:
        path = stack.enter_context(fetched(segment.file))
        record = json.loads(segment.record.read_bytes())
        is_intact = record["sha256"] == sha256_of(path)
    except (FileNotFoundError, ValueError, KeyError):
        is_intact = False
    return path if is_intact else None
