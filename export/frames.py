"""Real frames for calibration and comparison, from videos, images and folders."""

from __future__ import annotations

from collections.abc import Sequence

from dayshift.runtime.errors import UsageError
from dayshift.runtime.image import Pixels
from dayshift.runtime.sources import open_source


def read_frames(uris: Sequence[str], *, count: int) -> list[Pixels]:
    """Return up to `count` BGR frames (H, W, 3), spread evenly over all sources.

    Raises:
        SourceError: A source cannot be opened or has no frames.
        UsageError: No source was given.
    """
    if not uris:
        raise UsageError("got no source of frames, expected a video, an image or a folder")
    share = max(1, count // len(uris))
    return [frame for uri in uris for frame in _spread(uri, share)]


def _spread(uri: str, count: int) -> list[Pixels]:
    with open_source(uri) as source:
        step = max(1, (source.frame_count or 1) // count)
        frames: list[Pixels] = []
        while len(frames) < count and (frame := source.read()) is not None:
            if frame.index % step == 0:
                frames.append(frame.pixels)
        return frames
