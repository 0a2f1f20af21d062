"""Image files as a source: a folder in natural order (`2.jpg` before `10.jpg`), or one file."""

from __future__ import annotations

import re
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import SourceError
from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.image import MIN_SIDE
from dayshift.runtime.sources.base import Source
from dayshift.runtime.sources.resize import fill_size

try:
    import cv2
except ImportError as error:
    raise missing_dependency("cv2", error) from error

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


class ImageSource(Source):
    """Image files, one frame each, turned as their EXIF orientation says. They may differ in size.

    Args:
        path: A folder (its subfolders are not searched) or one image file.
        size: (width, height) that every image is scaled and cut to; None keeps each one's own.

    Raises:
        SourceError: There is no image, or the first one cannot be read or is too small.
    """

    is_live = False

    def __init__(self, path: Path, *, size: tuple[int, int] | None = None) -> None:
        self.name = str(path)
        self.fps: Fraction | None = None
        self._asked_size = size
        self._files = _list_images(path) if path.is_dir() else [path]
        self.frame_count: int | None = len(self._files)
        self._index = 0
        self._first: Pixels | None = self._load(self._files[0])
        height, width = self._first.shape[:2]
        self.size = (width, height)

    def read(self) -> Frame | None:
        """Return the next image."""
        if self._index >= len(self._files):
            return None
        captured_at = time.perf_counter()
        file = self._files[self._index]
        pixels = self._load(file) if self._first is None else self._first
        self._first = None
        frame = Frame(pixels, self._index, captured_at, None, file.name)
        self._index += 1
        return frame

    def close(self) -> None:
        """There is nothing to release."""

    def _load(self, file: Path) -> Pixels:
        pixels = read_image(file)
        if self._asked_size:
            return fill_size(pixels, self._asked_size)
        if min(pixels.shape[:2]) < MIN_SIDE:
            height, width = pixels.shape[:2]
            raise SourceError(
                f"{file} is {width}x{height}, expected an image of at least {MIN_SIDE}x{MIN_SIDE}"
            )
        return pixels


def read_image(file: Path) -> Pixels:
    """Read an image file to uint8 BGR (H, W, 3), turned as its EXIF orientation says.

    Raises:
        SourceError: It cannot be read, or is no image.
    """
    try:
        content = np.frombuffer(file.read_bytes(), np.uint8)
    except OSError as error:
        raise SourceError(
            f"cannot read {file} ({error.strerror}): expected an image file you may read"
        ) from error
    try:
        pixels = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    except cv2.error:  # such as a header that promises more pixels than there can be
        pixels = None
    if pixels is None:
        raise SourceError(
            f"{file} ({content.size} bytes) is no image that OpenCV can read: replace or remove it"
        )
    return np.asarray(pixels, np.uint8)


def _list_images(folder: Path) -> list[Path]:
    """Return the folder's images in natural order; hidden files are left out."""
    try:
        files = [file for file in folder.iterdir() if file.is_file() and file.name[0] != "."]
    except OSError as error:
        raise SourceError(
            f"cannot read the folder {folder} ({error.strerror}): expected one you may read"
        ) from error
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise SourceError(
            f"the folder {folder} holds {len(files)} files and no image: expected "
            f"{', '.join(sorted(IMAGE_SUFFIXES))}; for a video, name the file itself"
        )
    return sorted(images, key=_natural_key)


def _natural_key(file: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", file.name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]
