"""Marks put on what is saved: tags always, a manifest where c2pa-python is installed."""

from __future__ import annotations

import logging
from pathlib import Path

from dayshift.runtime.errors import DayshiftError, MissingDependency
from dayshift.runtime.provenance.mark import Mark
from dayshift.runtime.provenance.tags import tag_jpeg, tag_mp4, tag_png

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


def mark_video(path: Path, mark: Mark) -> None:
    """Put the mark into a complete MP4 that nobody writes to any more.

    Raises:
        OSError: The file cannot be written.
    """
    if not can_sign():
        tag_mp4(path, mark.xmp(is_signed=False))
        return
    from dayshift.runtime.provenance.manifest import ManifestError, sign_file

    length = path.stat().st_size
    signed = path.with_name(f"{path.name}.signed")
    tag_mp4(path, mark.xmp(is_signed=True))
    try:
        sign_file(path, MIME["mp4"], mark, signed)
        signed.replace(path)
    except (ManifestError, DayshiftError) as error:
        _log.warning("%s is tagged but not signed: %s", path.name, error)
        with path.open("r+b") as file:
            file.truncate(length)
        tag_mp4(path, mark.xmp(is_signed=False))
    finally:
        signed.unlink(missing_ok=True)


def can_sign() -> bool:
    """Whether c2pa-python can be imported."""
    try:
        import dayshift.runtime.provenance.manifest
    except (MissingDependency, ImportError):
        return False
    return bool(dayshift.runtime.provenance.manifest)
