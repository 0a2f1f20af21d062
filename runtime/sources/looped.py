"""A file played again and again, as one stream without an end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from dayshift.runtime.errors import SourceError
from dayshift.runtime.frame import Frame
from dayshift.runtime.sources.base import Source


class LoopedSource(Source):
    """Opens a source anew whenever it ends; numbers and times go on.

    Args:
        open_source: Opens it; called now and at each end.

    Raises:
        SourceError: It cannot be opened, or is live and has no beginning to go back to.
    """

    frame_count = None

    def __init__(self, open_source: Callable[[], Source]) -> None:
        self._open = open_source
        self._source = open_source()
        if self._source.is_live:
            self._source.close()
            raise SourceError(f"{self._source.name} is live and cannot be looped: name a file")
        self.name = f"{self._source.name} (looped)"
        self.size, self.fps, self.is_live = self._source.size, self._source.fps, False
        # Images have no times of their own, and keep to have none.
        self._period_s = float(1 / self.fps) if self.fps else 0.0
        self._first_index, self._start_s = 0, 0.0
        self._last: Frame | None = None

    def read(self) -> Frame | None:
        """Return the next frame; after the last one, the first.

        Raises:
            SourceError: It broke off, or holds no frame any more.
        """
        frame = self._source.read()
        if frame is None:
            self._rewind()
            frame = self._source.read()
            if frame is None:
                raise SourceError(f"{self._source.name} holds no frame any more: was it replaced?")
        pts_s = None if frame.pts_s is None else self._start_s + frame.pts_s
        self._last = dataclasses.replace(frame, index=self._first_index + frame.index, pts_s=pts_s)
        return self._last

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def _rewind(self) -> None:
        self._source.close()
        self._source = self._open()
        if self._last is not None:
            self._first_index = self._last.index + 1
            if self._last.pts_s is not None:
                self._start_s = self._last.pts_s + self._period_s
