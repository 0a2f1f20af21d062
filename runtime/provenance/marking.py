"""Marks put on what is saved: tags always, a manifest where c2pa-python is installed."""

from __future__ import annotations

import io
import logging
import os
from pathlib import Path
from typing import Any

from dayshift.runtime.errors import DayshiftError, MissingDependency
from dayshift.runtime.provenance.mark import Mark
from dayshift.runtime.provenance.tags import mp4_box, tag_jpeg, tag_png

MIME = {"png": "image/png", "jpeg": "image/jpeg", "mp4": "video/mp4"}

_log = logging.getLogger(__name__)


def mark_image(content: bytes, mark: Mark, *, suffix: str) -> bytes:
    """Return a PNG or JPEG, told apart by the suffix of its name, with the mark in it.

    What cannot be signed is tagged and logged: a picture is never lost to its mark.
    """
    tag, kind = (tag_png, "png") if suffix.lower() == ".png" else (tag_jpeg, "jpeg")
    if can_sign():
        from dayshift.runtime.provenance.manifest import ManifestError, sign_bytes

        try:
            return sign_bytes(tag(content, mark.xmp(is_signed=True)), MIME[kind], mark)
        except (ManifestError, DayshiftError) as error:
            _log.warning("an image is tagged but not signed: %s", error)
    return tag(content, mark.xmp(is_signed=False))


def tag_video(path: Path, mark: Mark) -> int:
    """Append the tags to a complete MP4 and return its length before, for `sign_video`.

    Raises:
        OSError: The file cannot be written.
    """
    length = path.stat().st_size
    with path.open("ab") as file:
        file.write(mp4_box(mark.xmp(is_signed=False)))
    return length


def sign_video(path: Path, mark: Mark, length: int) -> None:
    """Replace a tagged MP4 by one with a manifest; as it is, it stays whole until then.

    Where that fails it is logged, and the file stays tagged.

    Args:
        path: Tagged by `tag_video`; nobody writes to it any more.
        mark: The same one.
        length: What `tag_video` returned.
    """
    if not can_sign():
        return
    from dayshift.runtime.provenance.manifest import ManifestError, sign_stream

    signed = path.with_name(f".{path.name}.{os.getpid()}.signed")
    try:
        # The signed file's tags say so: its source is the same file with other tags.
        with (
            _WithTail(path, length, mp4_box(mark.xmp(is_signed=True))) as source,
            signed.open("w+b") as target,
        ):
            sign_stream(source, MIME["mp4"], mark, target)
        signed.replace(path)
    except (ManifestError, DayshiftError, OSError) as error:
        _log.warning("%s is tagged but not signed: %s", path.name, error)
    finally:
        signed.unlink(missing_ok=True)


class _WithTail(io.RawIOBase):
    """The first bytes of a file, and others behind them, for reading."""

    def __init__(self, path: Path, length: int, tail: bytes) -> None:
        self._file = path.open("rb")
        self._length = length
        self._tail = tail
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        starts = {
            io.SEEK_SET: 0,
            io.SEEK_CUR: self._at,
            io.SEEK_END: self._length + len(self._tail),
        }
        self._at = max(0, starts[whence] + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        size = len(buffer)
        content = b""
        if self._at < self._length:
            self._file.seek(self._at)
            content = self._file.read(min(size, self._length - self._at))
        if len(content) < size:
            start = max(0, self._at + len(content) - self._length)
            content += self._tail[start : start + size - len(content)]
        self._at += len(content)
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


def can_sign() -> bool:
    """Whether c2pa-python can be imported."""
    try:
        import dayshift.runtime.provenance.manifest
    except (MissingDependency, ImportError):
        return False
    return bool(dayshift.runtime.provenance.manifest)
