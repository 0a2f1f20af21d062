"""The newest picture, handed from the pipeline's thread to browsers.

Nothing queues: a picture that nobody fetched is replaced by the next one. A picture is encoded when
it is first asked for, once for all who ask, and not at all while nobody looks.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Literal

import numpy as np

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.frame import Frame, Pixels

try:
    import cv2
except ImportError as error:
    raise missing_dependency("cv2", error) from error

View = Literal["image", "source"]

_JPEG_QUALITY = 85  # at 1280x720 a night of the bundled clip takes 80 kB, and 4 ms of one core
_WATCHED_S = 2.0  # someone who asked this long ago still looks
_UNWATCHED_PERIOD_S = 1.0  # how old the first picture of a new viewer may be


class Picture:
    """A translated image and the frame it was made from. Any thread may encode it.

    Attributes:
        serial: Counts up from 1; a picture that is shown longer keeps its number.
        captured_at: `perf_counter` seconds of the frame's capture.
    """

    def __init__(self, serial: int, image: Pixels, frame: Frame) -> None:
        self.serial = serial
        self.captured_at = frame.captured_at
        self._pixels: dict[View, Pixels] = {"image": image, "source": frame.pixels}
        self._jpegs: dict[View, bytes] = {}
        self._lock = threading.Lock()

    def pixels(self, view: View) -> Pixels:
        """Return the image, or the source, which may have another size; not to be changed."""
        return self._pixels[view]

    def jpeg(self, view: View) -> bytes:
        """Return it as JPEG."""
        with self._lock:
            if view not in self._jpegs:
                self._jpegs[view] = _encode(self._pixels[view])
            return self._jpegs[view]


class Board:
    """Where the pipeline hangs the newest picture and viewers wait for the next.

    `publish` and `close` may be called from any thread, the rest in the server's event loop.
    """

    def __init__(self) -> None:
        self._newest: Picture | None = None
        self._serial = 0
        self._published_at = float("-inf")
        self._asked_at = float("-inf")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed: asyncio.Event | None = None
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether there will be no more pictures."""
        return self._is_closed

    @property
    def is_watched(self) -> bool:
        """Whether a viewer asked for a picture a moment ago."""
        return time.monotonic() - self._asked_at < _WATCHED_S

    def publish(self, image: Pixels, frame: Frame) -> None:
        """Replace the newest picture; the image is copied, and left out while nobody looks."""
        now = time.monotonic()
        if not self.is_watched and now - self._published_at < _UNWATCHED_PERIOD_S:
            return
        self._published_at = now
        self._serial += 1
        self._newest = Picture(self._serial, image.copy(), frame)
        self._wake()

    def open(self) -> None:
        """Take the running event loop as the one in which viewers wait."""
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """Let every viewer go."""
        self._is_closed = True
        self._wake()

    async def after(self, serial: int, timeout_s: float) -> Picture | None:
        """Wait for a picture other than the one of that number; None at timeout or end."""
        assert self._changed is not None, "open was not called"
        end = time.monotonic() + timeout_s
        while not self._is_closed:
            self._asked_at = time.monotonic()
            newest = self._newest
            if newest is not None and newest.serial != serial:
                return newest
            left = end - time.monotonic()
            if left <= 0:
                return None
            changed = self._changed
            try:
                await asyncio.wait_for(changed.wait(), min(left, _WATCHED_S / 2))
            except asyncio.TimeoutError:
                continue
        return None

    def _wake(self) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._renew)

    def _renew(self) -> None:
        # A new event each time: whoever waits on the old one gets through exactly once.
        if self._changed is not None:
            self._changed.set()
            self._changed = asyncio.Event()


def _encode(pixels: Pixels) -> bytes:
    done, content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise RuntimeError(f"OpenCV could not encode {pixels.shape} as JPEG")
    return np.asarray(content).tobytes()
