"""A video translated from its first frame to its last, or not at all.

A live stream that is interrupted completes what it has. Here a part is worth nothing: under the
final name it would be taken for the whole.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dayshift.runtime.frame import Frame
from dayshift.runtime.model import Model
from dayshift.runtime.provenance.mark import Mark
from dayshift.runtime.sinks.video import VideoSink
from dayshift.runtime.sources.video import VideoSource
from dayshift.runtime.streaming.pipeline import Compose, OnProgress, run_pipeline
from dayshift.runtime.streaming.report import Report


class WholeVideo(VideoSource):
    """A video that can be ended early from another thread, and knows whether it was."""

    is_whole = False
    _is_interrupted = False

    def interrupt(self) -> None:
        """Let the next read be the last."""
        self._is_interrupted = True

    def read(self) -> Frame | None:
        """Return the next frame."""
        if self._is_interrupted:
            return None
        frame = super().read()
        self.is_whole = frame is None
        return frame


def translate_whole(
    source: WholeVideo,
    result: Path,
    model: Model,
    *,
    size_wh: tuple[int, int] | None = None,
    mark: Mark | None = None,
    compose: Compose | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Translate `source` to the file `result`, and close the source.

    Args:
        source: Just opened.
        result: An MP4, replaced when the new one is complete.
        model: Translates the frames.
        size_wh: (width, height) of what `compose` returns; the source's size by default.
        mark: Put into the file; None leaves it unmarked.
        compose: Makes the image to write from a frame and its translation.
        on_progress: Called with the frames done and expected.

    Raises:
        DayshiftError: The video is damaged, the engine failed, or the result cannot be written.
        KeyboardInterrupt: Ctrl-C, after the unfinished result was removed.
    """
    sink = _WholeSink(result, source, size_wh or source.size, mark)
    # On the main thread the pipeline would take Ctrl-C for the end of the stream.
    with ThreadPoolExecutor(1) as thread:
        stream = thread.submit(
            run_pipeline,
            source,
            model,
            [sink],
            policy="every",
            on_progress=on_progress,
            compose=compose,
        )
        try:
            return stream.result()
        except KeyboardInterrupt:
            source.interrupt()
            raise


class _WholeSink(VideoSink):
    """A video file that is discarded where its source was not read to the end."""

    def __init__(
        self, path: Path, source: WholeVideo, size_wh: tuple[int, int], mark: Mark | None
    ) -> None:
        super().__init__(path, size=size_wh, fps=source.fps, mark=mark)
        self._source = source

    def close(self) -> None:
        if self._source.is_whole:
            super().close()
        else:
            self.abort()
