"""Recordings and snapshots that a person starts while the stream runs, from a window or a page.

What is wanted is read from the stream's `Control`; names are made here, from the clock. Encoding,
signing and the disk are a thread's business: the stream waits only where that falls seconds behind.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from dayshift.runtime.errors import DayshiftError, SinkError
from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.provenance.mark import Mark
from dayshift.runtime.sinks.base import Sink, make_folder, write_file
from dayshift.runtime.sinks.images import encode_image
from dayshift.runtime.sinks.video import VideoSink
from dayshift.runtime.streaming.control import Control
from dayshift.runtime.streaming.events import State
from dayshift.runtime.streaming.handover import HandOver

_QUEUED_IMAGES = 8
_LEAST_FREE_BYTES = 256 << 20
_MOST_LISTED = 200

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """A finished file.

    Attributes:
        number: What it is asked for by.
        path: Where it is.
        kind: What it is.
        bytes: How large it is.
        at_s: When it was finished, in seconds since the epoch.
    """

    number: int
    path: Path
    kind: Literal["recording", "snapshot"]
    bytes: int
    at_s: float


class RecorderSink(Sink):
    """Keeps images while the control says so. Written by one thread, asked by any.

    Args:
        folder: Where the files go; created at the first one.
        control: Its `is_recording` and `snapshots` are followed; what goes wrong is told there.
        fps: Nominal rate of the recordings.
        mark: Put into every file; None leaves them unmarked.
    """

    def __init__(
        self,
        folder: Path,
        control: Control,
        *,
        fps: Fraction | None = None,
        mark: Mark | None = None,
    ) -> None:
        self.name = f"recorder {folder}"
        self._folder = folder
        self._control = control
        self._fps = fps
        self._mark = mark
        self._kept: list[Kept] = []
        self._video: VideoSink | None = None
        self._size: tuple[int, int] | None = None
        self._snapshots = control.settings.snapshots
        self._work: HandOver[Callable[[], None]] = HandOver(_QUEUED_IMAGES)
        self._thread = threading.Thread(target=self._run, name="dayshift-record", daemon=True)
        self._thread.start()

    def write(self, image: Pixels, frame: Frame) -> None:
        """Keep an image, where one is wanted."""
        settings = self._control.settings
        if settings.snapshots != self._snapshots:
            self._snapshots = settings.snapshots
            self._work.put(_bound(self._keep_snapshot, image.copy()))
        if settings.is_recording:
            self._work.put(_bound(self._record, image.copy(), frame))
        elif self._video is not None:
            self._work.put(self._finish)

    def close(self) -> None:
        """Complete what is being recorded."""
        self._work.end()
        self._thread.join()

    def abort(self) -> None:
        """Complete what is being recorded: no recording is lost to an error elsewhere."""
        self.close()

    def find(self, number: int) -> Path | None:
        """Return the finished file of that number."""
        return next((kept.path for kept in self._kept if kept.number == number), None)

    def describe(self) -> list[dict[str, Any]]:
        """Return the finished files as plain data, newest first, without their folder."""
        return [
            {
                "number": kept.number,
                "name": kept.path.name,
                "kind": kept.kind,
                "bytes": kept.bytes,
                "at_s": kept.at_s,
            }
            for kept in reversed(self._kept)
        ]

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            self._guarded(work)
        self._guarded(self._finish)

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do a piece of work; what fails ends the recording and nothing else."""
        try:
            work()
        except (DayshiftError, OSError) as error:
            self._give_up(str(error))
        except Exception as error:
            _log.exception("recording failed")
            self._give_up(f"recording failed ({type(error).__name__})")

    def _give_up(self, message: str) -> None:
        video, self._video = self._video, None
        if video is not None:
            video.abort()
        self._control.change(is_recording=False)
        self._control.events.tell("sink", "recorder", State.FAILED, message)

    def _record(self, image: Pixels, frame: Frame) -> None:
        size = (image.shape[1], image.shape[0])
        if self._video is not None and size != self._size:
            self._finish()  # the source came back with another size: another file
        if self._video is None:
            if not self._control.settings.is_recording:
                return  # given up on, with images still on their way
            path = self._new_path(".mp4")
            self._size = size
            self._video = VideoSink(
                path, size=size, fps=self._fps, is_recording=True, mark=self._mark
            )
            _log.debug("recording to %s", path)
            self._tell(f"recording {path.name}")
        self._video.write(image, frame)

    def _finish(self) -> None:
        video, self._video = self._video, None
        if video is not None:
            video.close()
            self._keep(Path(video.name), "recording")

    def _keep_snapshot(self, image: Pixels) -> None:
        path = self._new_path(".png")
        write_file(path, encode_image(image, path, self._mark))
        self._keep(path, "snapshot")

    def _keep(self, path: Path, kind: Literal["recording", "snapshot"]) -> None:
        if not path.is_file():  # closed before its first image
            return
        number = self._kept[-1].number + 1 if self._kept else 1
        kept = Kept(number, path, kind, path.stat().st_size, time.time())
        self._kept = [*self._kept, kept][-_MOST_LISTED:]  # replaced, never changed: others read it
        _log.debug("kept %s", path)
        self._tell(f"kept {path.name}")

    def _tell(self, message: str) -> None:
        self._control.events.tell("sink", "recorder", State.RUNNING, message)

    def _new_path(self, suffix: str) -> Path:
        """Return a name in the folder that nothing has yet."""
        make_folder(self._folder)
        if shutil.disk_usage(self._folder).free < _LEAST_FREE_BYTES:
            raise SinkError(
                f"{self._folder} has less than {_LEAST_FREE_BYTES >> 20} MiB left: "
                "free some, or name another folder"
            )
        stamp = time.strftime("dayshift-%Y%m%d-%H%M%S")
        names = (f"{stamp}{extra}{suffix}" for extra in ("", *(f"-{n}" for n in range(2, 1000))))
        taken = {path.name for path in self._folder.iterdir()}
        return self._folder / next(name for name in names if name not in taken)


def _bound(call: Callable[..., None], *arguments: object) -> Callable[[], None]:
    """Bind arguments now: a lambda would see what the names mean later."""
    return lambda: call(*arguments)
