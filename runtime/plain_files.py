"""Files that a stranger may have made: plain ones of a bounded size, or none."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_plain(path: Path, most: int) -> bytes:
    """Read a file of at most `most` bytes.

    A link is not followed: it could name any file of this user. A pipe or device is not waited for,
    and what is too large is not read at all.

    Raises:
        OSError: It cannot be read, or is none of that; `strerror` says which.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            error.strerror = "a link, expected the file itself; cp -rL makes a folder of files"
        raise
    with os.fdopen(file, "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a plain file", str(path))
        if status.st_size > most:
            told = f"it has {status.st_size} bytes, expected at most {most}"
            raise OSError(errno.EFBIG, told, str(path))
        return stream.read(most)
