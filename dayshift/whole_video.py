"""A video translated from its first frame to its last, or not at all.

A live stream that is interrupted completes what it has. Here a part is worth nothing: under the
final name it would be taken for the whole.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.model import Model
from dayshift.runtime.provenance.mark import Mark
from dayshift.runtime.sinks.base import Sink
from dayshift.runtime.sinks.video import VideoSink
from dayshift.runtime.sources.base import Source
from dayshift.runtime.streaming.pipeline import Compose, OnProgress, run_pipeline
from dayshift.runtime.streaming.report import Report


class _Whole(Source):
    """A source that can be ended early from another thread, and knows whether it was."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.size = source.size
        self.fps = source.fps
        self.frame_count = source.frame_count
        self.is_live = source.is_live
        self.is_whole = False
        self._source = source
        self._is_interrupted = False

    def interrupt(self) -> None:
        """Let the next read be the last."""
        self._is_interrupted = True

    def read(self) -> Frame | None:
        """Return the next frame."""
        if self._is_interrupted:
            return None
        frame = self._source.read()
        self.is_whole = frame is None
        return frame

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def translate_whole(
    source: Source,
    result: Path,
    model: Model,
    *,
    size_wh: tuple[int, int] | None = None,
    mark: Mark | None = None,
    compose: Compose | None = None,
    encoder_threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Translate `source` to the file `result`, and close the source.

    Args:
        source: Just opened. Of frames with a negative number only the model and `compose` hear.
        result: An MP4, replaced when the new one is complete.
        model: Translates the frames.
        size_wh: (width, height) of what `compose` returns; the source's size by default.
        mark: Put into the file; None leaves it unmarked.
        compose: Makes the image to write from a frame and its translation.
        encoder_threads: As for `VideoSink`.
        on_progress: Called with the frames done and expected.

    Raises:
        DayshiftError: The video is damaged, the engine failed, or the result cannot be written.
        KeyboardInterrupt: Ctrl-C, after the unfinished result was removed.
    """
    whole = _Whole(source)
    video = VideoSink(
        result,
        size=size_wh or source.size,
        fps=source.fps,
        mark=mark,
        encoder_threads=encoder_threads,
    )
    # On the main thread the pipeline would take Ctrl-C for the end of the stream.
    with ThreadPoolExecutor(1) as thread:
        stream = thread.submit(
            run_pipeline,
            whole,
            model,
            [_WholeSink(video, whole)],
            policy="every",
            on_progress=on_progress,
            compose=compose,
        )
        try:
            return stream.result()
        except KeyboardInterrupt:
            whole.interrupt()
            raise


class _WholeSink(Sink):
    """A video file that is discarded where its source was not read to the end."""

    def __init__(self, video: VideoSink, source: _Whole) -> None:
        self.name = video.name
        self._video = video
        self._source = source

    def write(self, image: Pixels, frame: Frame) -> None:
        if frame.index >= 0:
            self._video.write(image, frame)

    def close(self) -> None:
        if self._source.is_whole:
            self._video.close()
        else:
            self._video.abort()

    def abort(self) -> None:
        self._video.abort()
