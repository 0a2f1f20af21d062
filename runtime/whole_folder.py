"""Folders that change whole or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from dayshift.runtime.errors import SinkError
from dayshift.runtime.sinks.base import make_folder

_EXCHANGE = 2  # RENAME_EXCHANGE of linux/fs.h
_AT_FDCWD = -100


@contextlib.contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yield a new folder that becomes `out` at the end; a folder there is replaced in one step.

    At no moment is there half a folder at `out`, and on Linux at no moment none: a process that is
    killed leaves the old one or the new one. An error leaves what was there.

    Raises:
        SinkError: The folder cannot be written to, or the disk is full.
    """
    out = out.absolute()
    make_folder(out.parent)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir()
        yield part
        _put_in_place(part, out)
    except OSError as error:
        raise SinkError(
            f"cannot write {out} ({error.strerror or error}): "
            "name a folder that has space and that you may write to"
        ) from error
    finally:
        # After an exchange this is the old folder.
        shutil.rmtree(part, ignore_errors=True)


def _put_in_place(part: Path, out: Path) -> None:
    _sync(part)
    if not out.exists():
        part.rename(out)
    elif not _exchange(part, out):
        # Where the system has no exchange: killed between the two, the old folder has this name.
        aside = out.with_name(f".{out.name}.{os.getpid()}.old")
        out.rename(aside)
        try:
            part.rename(out)
        except OSError:
            aside.rename(out)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    _sync(out.parent)


def _exchange(a: Path, b: Path) -> bool:
    """Swap two folders in one step; False where this system cannot."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    names = (os.fsencode(a), os.fsencode(b))
    if libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(b))


def _sync(folder: Path) -> None:
    """Have a folder's files on the disk before a rename says that they are there."""
    for path in (*folder.glob("*"), folder):
        if path.is_file() or path == folder:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
