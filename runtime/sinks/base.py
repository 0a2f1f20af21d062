"""What every sink offers, and files that appear under their name only when they are complete.

A sink is opened by its constructor, written by one thread, and then closed or aborted by whoever
opened it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from socket import gethostname
from types import TracebackType
from typing import Protocol, TypeVar

from dayshift.runtime.errors import SinkError
from dayshift.runtime.frame import Frame, Pixels

S = TypeVar("S", bound="Sink")


class StreamStopped(Exception):
    """Raised by `Sink.write` when whoever watches has ended the stream."""


class Sink(Protocol):
    """Where images go. Implementations inherit the context manager, or bring their own.

    Attributes:
        name: What it is, for messages.
    """

    name: str

    def write(self, image: Pixels, frame: Frame) -> None:
        """Deliver an image before returning.

        Args:
            image: uint8 BGR (H, W, 3); not kept.
            frame: The frame it was made from: its number, time and name.

        Raises:
            SinkError: It cannot be delivered.
            StreamStopped: The stream was ended from this sink; the image was delivered.
        """
        ...

    def close(self) -> None:
        """Complete what was written and release the sink; nothing where that was done before."""
        ...

    def abort(self) -> None:
        """Release the sink and leave nothing half written; nothing where it is closed."""
        ...

    def __enter__(self: S) -> S:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Ctrl-C is how a stream without an end is ended: what was written is wanted.
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self.close()
        else:
            self.abort()


class PartialFile:
    """A file under a temporary name in the folder of its final one, renamed when complete.

    Args:
        path: The final name. A file there is replaced at the end; missing folders are created now.
        is_playable: What is written can be used before it is complete: the temporary name is then
            one that a person finds and a player takes, `NAME.recording-PID.SUFFIX`.

    Raises:
        SinkError: The folder cannot be written to.
    """

    def __init__(self, path: Path, *, is_playable: bool = False) -> None:
        self.path = path
        # The machine's name too: several may write to one folder in a network.
        self.part = path.with_name(f".{path.name}.{gethostname()}-{os.getpid()}.part")
        if is_playable:
            self.part = path.with_name(f"{path.stem}.recording-{os.getpid()}{path.suffix}")
        make_folder(path.parent)
        if path.is_dir():
            raise SinkError(f"cannot write {path}: it is a folder, name a file")
        try:
            self.part.touch()
        except OSError as error:
            raise self.failed(error) from error

    def commit(self) -> None:
        """Give the file its final name."""
        try:
            self.part.replace(self.path)
        except OSError as error:
            self.discard()
            raise self.failed(error) from error

    def discard(self) -> None:
        """Remove the temporary file, if it can be."""
        with contextlib.suppress(OSError):
            self.part.unlink()

    def failed(self, error: Exception) -> SinkError:
        """Build the error that says that the file cannot be written, and why."""
        reason = getattr(error, "strerror", None) or error
        return SinkError(
            f"cannot write {self.path} ({reason}): "
            "name a file in a folder that has space and that you may write to"
        )


def write_file(path: Path, content: bytes) -> Path:
    """Write `content` to `path` in one step and return the path; missing folders are created.

    Raises:
        SinkError: The folder cannot be written to, or the disk is full.
    """
    file = PartialFile(path)
    try:
        file.part.write_bytes(content)
        file.commit()
    except OSError as error:
        raise file.failed(error) from error
    finally:
        file.discard()
    return path


def make_folder(folder: Path) -> None:
    """Create a folder and its parents where missing.

    Raises:
        SinkError: It cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        # mkdir says "File exists" where a file has the folder's name.
        reason = "a file has that name" if folder.is_file() else error.strerror
        raise SinkError(
            f"cannot create the folder {folder} ({reason}): name one that you may write to"
        ) from error
