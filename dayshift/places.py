"""Where files are: on this machine, or wherever fsspec reaches (`s3://`, `gs://`, `memory://`).

A place is a `Path`, or a `UPath` (universal-pathlib), which does the same elsewhere. For the types
it is a `Path` throughout; what only this machine's paths can do is asked for through here.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from socket import gethostname
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, cast

from dayshift.runtime.errors import MissingDependency, SinkError, SourceError
from dayshift.runtime.sinks.base import make_folder

_REMOTE = re.compile(r"(?!file:)[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def place_of(text: str) -> Path:
    """Return the place that a person names by a path or a URI.

    Raises:
        MissingDependency: What reaches it is not installed.
    """
    if text.startswith("file://"):
        return Path(text.removeprefix("file://"))
    if not _REMOTE.match(text):
        return Path(text)
    try:
        from upath import UPath

        place = UPath(text)
        _files(cast(Path, place))  # imports what the protocol needs, such as s3fs
    except (ImportError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise MissingDependency(
            f"cannot reach {text} ({reason}): pip install 'dayshift[cluster]' and what the "
            "protocol needs, such as s3fs or gcsfs"
        ) from error
    return cast(Path, place)


def is_local(place: Path) -> bool:
    """Whether it is a path of this machine."""
    return isinstance(place, Path)


def open_bytes(place: Path) -> BinaryIO | None:
    """Open a file that lies elsewhere for reading; None for one of this machine's.

    Raises:
        SourceError: It cannot be read.
    """
    if is_local(place):
        return None
    try:
        return cast(BinaryIO, place.open("rb"))
    except (FileNotFoundError, PermissionError) as error:
        raise SourceError(
            f"cannot read {place} ({error.strerror or error}): expected a file you may read"
        ) from error


def identity(place: Path) -> str:
    """Return what changes when the file does, short of reading it."""
    if is_local(place):
        status = place.stat()
        return f"{status.st_size} {status.st_mtime_ns}"
    return str(_files(place).ukey(_key(place)))


@contextmanager
def published(place: Path, staging: Path) -> Iterator[Path]:
    """Yield a path of this machine; what is written there appears at `place` in one step.

    Args:
        place: The final name.
        staging: A folder in the same file system, where temporary names may stay behind a kill.

    Raises:
        SinkError: It cannot be written.
    """
    if not is_local(place):
        with TemporaryDirectory(prefix="dayshift-") as folder:
            written = Path(folder) / place.name
            yield written
            _upload(written, place)
        return
    written = staging / f"{gethostname()}-{os.getpid()}-{place.name}"
    make_folder(staging)
    try:
        yield written
        make_folder(place.parent)
        written.replace(place)
    except OSError as error:
        raise _failed(place, error) from error
    finally:
        written.unlink(missing_ok=True)


@contextmanager
def fetched(place: Path) -> Iterator[Path]:
    """Yield a path of this machine that has the file's content."""
    if is_local(place):
        yield place
        return
    with TemporaryDirectory(prefix="dayshift-") as folder:
        copy = Path(folder) / place.name
        _files(place).get_file(_key(place), str(copy))
        yield copy


def write_bytes(place: Path, content: bytes, staging: Path) -> None:
    """Write a small file in one step.

    Raises:
        SinkError: It cannot be written.
    """
    with published(place, staging) as path:
        try:
            path.write_bytes(content)
        except OSError as error:
            raise _failed(place, error) from error


def remove_tree(folder: Path) -> None:
    """Remove a folder and what is in it; nothing where it is not there."""
    if is_local(folder):
        rmtree(folder, ignore_errors=True)
        return
    files = _files(folder)
    files.invalidate_cache()
    if files.exists(_key(folder)):
        files.rm(_key(folder), recursive=True)


def remove_empty(folder: Path, top: str) -> None:
    """Remove a folder of this machine and those above it, up to `top`, as far as they are empty."""
    for one in (folder, *folder.parents) if is_local(folder) else ():
        try:
            one.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return
        if one.name == top:
            return


def forget_listings(place: Path) -> None:
    """Make sure that the next look at a folder sees what other machines have written."""
    if not is_local(place):
        _files(place).invalidate_cache()


def names_in(folder: Path) -> set[str]:
    """Return what a folder holds by now; nothing where it is not there."""
    forget_listings(folder)
    try:
        return {file.name for file in folder.iterdir()}
    except (FileNotFoundError, NotADirectoryError):  # a store says either of what is not there
        return set()


def sha256_of(path: Path) -> str:
    """Hash a file of this machine."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _upload(written: Path, place: Path) -> None:
    # What fails here is left as it is: a network may do better at the next attempt.
    files, key = _files(place), _key(place)
    files.makedirs(_key(place.parent), exist_ok=True)
    if _appears_whole(files):
        files.put_file(str(written), key)
        return
    part = f"{key}.{gethostname()}-{os.getpid()}.part"
    files.put_file(str(written), part)
    files.mv(part, key)


def _appears_whole(files: Any) -> bool:
    """Whether an upload is seen when it is complete, as in every object store."""
    protocols = {files.protocol} if isinstance(files.protocol, str) else set(files.protocol)
    return bool(protocols & {"s3", "gs", "gcs", "abfs", "az", "oci", "oss", "memory"})


def _files(place: Path) -> Any:
    return cast(Any, place).fs


def _key(place: Path) -> str:
    return str(cast(Any, place).path)


def _failed(place: Path, error: OSError) -> SinkError:
    return SinkError(
        f"cannot write {place} ({error.strerror or error}): name a place that has space and that "
        "you may write to"
    )
