"""Images in a folder, each one complete when it appears under its name."""

from __future__ import annotations

import functools
import logging
from pathlib import Path

import numpy as np

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import SinkError
from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.provenance.mark import Mark
from dayshift.runtime.provenance.marking import mark_image
from dayshift.runtime.sinks.base import PartialFile, Sink, make_folder, write_file

try:
    import cv2
except ImportError as error:
    raise missing_dependency("cv2", error) from error

FORMATS = ("png", "jpg")
MARKED_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
_JPEG_QUALITY = 95
_PNG_LEVEL = 1  # 70 ms for a photo of 1280x720 where 9 takes 1270, for 16 % more bytes
# OpenCV complains on stderr about an option of another format.
_OPTIONS = {
    ".png": [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL],
    ".jpg": [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY],
    ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY],
}

_log = logging.getLogger(__name__)


class ImageSink(Sink):
    """One file per frame: `000123.png` after its number, or the name of the file it was read from.

    What was written stays when the sink is aborted, since every file is whole.

    Args:
        folder: Created where missing; files of the same names are replaced.
        suffix: Format of numbered images, `png` (lossless) or `jpg`.
        mark: Put into every file; None leaves them unmarked.

    Raises:
        SinkError: The folder cannot be written to.
    """

    def __init__(self, folder: Path, *, suffix: str = "png", mark: Mark | None = None) -> None:
        self.name = str(folder)
        self._mark = mark
        self._folder = folder
        self._suffix = suffix
        make_folder(folder)
        # An unwritable folder is reported before a camera is started, not at the first frame.
        PartialFile(folder / f"000000.{suffix}").discard()

    def write(self, image: Pixels, frame: Frame) -> None:
        """Write an image; a placeholder is none, and would replace one."""
        if frame.is_placeholder:
            return
        path = self._folder / (frame.name or f"{frame.index:06d}.{self._suffix}")
        write_file(path, encode_image(image, path, self._mark))

    def close(self) -> None:
        """There is nothing to complete."""

    def abort(self) -> None:
        """There is nothing half written."""


def encode_image(image: Pixels, path: Path, mark: Mark | None = None) -> bytes:
    """Return the content of an image file, in the format of its name.

    Args:
        image: uint8 BGR (H, W, 3).
        path: Its suffix names the format.
        mark: Put into the file, where the format is PNG or JPEG.

    Raises:
        SinkError: OpenCV cannot write that format.
    """
    try:
        done, content = cv2.imencode(path.suffix, image, _OPTIONS.get(path.suffix.lower(), []))
    except cv2.error as error:
        raise SinkError(
            f"OpenCV cannot write {path} ({error.err}): expected .png or .jpg"
        ) from error
    if not done:
        raise SinkError(f"OpenCV cannot write {path}: expected .png or .jpg")
    encoded = np.asarray(content).tobytes()
    if mark is None:
        return encoded
    if path.suffix.lower() not in MARKED_SUFFIXES:
        _tell_unmarked(path.suffix.lower())
        return encoded
    return mark_image(encoded, mark, suffix=path.suffix)


@functools.cache
def _tell_unmarked(suffix: str) -> None:
    """Say once that files of this kind hold no mark."""
    _log.warning("%s files are saved without a mark: PNG, JPEG and MP4 can have one", suffix)
