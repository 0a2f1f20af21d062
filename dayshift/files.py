"""Files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

from dayshift.runtime.sinks.base import PartialFile


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
