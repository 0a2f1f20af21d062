"""The private cache of compiled engines: what is read from it, this user wrote.

A compiled engine is native code: whoever can write it decides what runs. So the cache is a folder
of mode 0700, every entry is sealed with a keyed hash (HMAC-SHA256) over its name, its facts and its
content, and the key lies beside it with mode 0600. An entry that was cut short, altered, renamed,
copied from another machine or user, or written while the folder was open to others, does not match
its seal and is taken for absent.

Entries are two files: the content as its engine wrote it, so that the engine's own tools read it,
and `NAME.json` with the facts and the seal.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import json
import logging
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from dayshift.runtime.errors import CacheError

_log = logging.getLogger(__name__)

FOLDER_VARIABLE = "DAYSHIFT_CACHE_DIR"
_KEY_NAME = "seal.key"
_KEY_BYTES = 32
_POLL_S = 0.1

Facts = Mapping[str, JsonValue]


@dataclass(frozen=True)
class Entry:
    """What was written under a name, unchanged since."""

    content: bytes
    facts: Facts


def cache_root() -> Path:
    """Return the folder of all caches: $DAYSHIFT_CACHE_DIR, or `dayshift` in the user's cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "dayshift"


class SealedCache:
    """Sealed entries in one private folder. Any number of threads and processes may share it.

    Args:
        purpose: Name of the folder below `cache_root`.

    Raises:
        CacheError: The folder cannot be made, or is not this user's.
    """

    def __init__(self, purpose: str) -> None:
        self.folder = cache_root() / purpose
        with _told("open", self.folder):
            _make_private(self.folder)
            self._key = _read_key(self.folder / _KEY_NAME)

    def path(self, name: str) -> Path:
        """Return where the content of an entry lies, whether or not there is one."""
        return self.folder / name

    def read(self, name: str, *, tell: bool = True) -> Entry | None:
        """Return an entry; None where there is none, or none that this cache wrote.

        Args:
            name: The entry.
            tell: Log why one that is there was refused. It may just be being written: only who
                holds its lock knows better.
        """
        try:
            content = self.path(name).read_bytes()
            sidecar = json.loads(self._sidecar(name).read_bytes())
            facts, seal = sidecar["facts"], sidecar["seal"]
            genuine = hmac.compare_digest(seal, self._seal(name, facts, content))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            if tell:
                _log.warning("%s cannot be read (%s): it is made anew", self.path(name), error)
            return None
        if not genuine:
            if tell:
                _log.warning(
                    "%s is damaged or was not written by this user's cache: it is made anew",
                    self.path(name),
                )
            return None
        return Entry(content, facts)

    def write(self, name: str, content: bytes, facts: Facts) -> None:
        """Write an entry in place of the one there may be. No reader sees half of it.

        Raises:
            CacheError: The disk is full, or the folder cannot be written to.
        """
        sidecar = {"facts": facts, "seal": self._seal(name, facts, content)}
        text = json.dumps(sidecar, indent=2, sort_keys=True, allow_nan=False) + "\n"
        with _told("write to", self.folder):
            _write_whole(self.path(name), content)
            _write_whole(self._sidecar(name), text.encode())

    def write_note(self, name: str, text: str) -> None:
        """Write an unsealed file for people to read; nothing reads it back.

        Raises:
            CacheError: The disk is full, or the folder cannot be written to.
        """
        with _told("write to", self.folder):
            _write_whole(self.path(name), text.encode())

    @contextlib.contextmanager
    def lock(self, name: str, *, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the right to make an entry; others, in this process or another, wait.

        The lock ends with the process that holds it, however that ends.

        Args:
            name: The entry.
            on_wait: Called ten times a second while another holds it; what it raises ends the wait.
        """
        with _told("lock an entry of", self.folder):
            file = os.open(self.path(f"{name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not _try_lock(file):
                on_wait()
                time.sleep(_POLL_S)
            yield
        finally:
            os.close(file)

    def _sidecar(self, name: str) -> Path:
        return self.path(f"{name}.json")

    def _seal(self, name: str, facts: Facts, content: bytes) -> str:
        told = json.dumps([name, facts], sort_keys=True, allow_nan=False).encode()
        seal = hmac.new(self._key, len(told).to_bytes(8, "big") + told, hashlib.sha256)
        seal.update(content)
        return seal.hexdigest()


def _make_private(folder: Path) -> None:
    """Make the folder, or check that it is this user's own and close it to all others."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise CacheError(
            f"{folder} is not a folder of this user's own: engines are native code, and only "
            f"yours may run; remove it or set {FOLDER_VARIABLE} to another"
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        _log.warning("%s was open to other users: what is in it is made anew", folder)
        folder.chmod(0o700)
        (folder / _KEY_NAME).unlink(missing_ok=True)


def _read_key(path: Path) -> bytes:
    """Read the key, making it when there is none fit for use."""
    for _ in range(2):
        with contextlib.suppress(FileNotFoundError):
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(file, "rb") as stream:
                status = os.fstat(stream.fileno())
                key = stream.read(_KEY_BYTES + 1)
            private = status.st_uid == os.geteuid() and not stat.S_IMODE(status.st_mode) & 0o077
            if private and len(key) == _KEY_BYTES:
                return key
            path.unlink()
        _make_key(path)
    raise CacheError(f"{path} cannot be made or kept private: remove its folder")


def _make_key(path: Path) -> None:
    """Put a new key there, unless another process is quicker: then its key is everyone's."""
    part = _write_part(path, secrets.token_bytes(_KEY_BYTES))
    try:
        with contextlib.suppress(FileExistsError):
            os.link(part, path)
    finally:
        part.unlink()


def _write_whole(path: Path, content: bytes) -> None:
    part = _write_part(path, content)
    try:
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _write_part(path: Path, content: bytes) -> Path:
    """Write a new file of mode 0600 beside `path`, down to the disk."""
    file, name = tempfile.mkstemp(prefix=".part-", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        part.unlink(missing_ok=True)
        raise
    return part


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _told(verb: str, folder: Path) -> Iterator[None]:
    """Say of an operating system's error which cache it befell and what to do."""
    try:
        yield
    except OSError as error:
        raise CacheError(
            f"cannot {verb} the engine cache {folder} ({error.strerror}): make room or rights "
            f"there, or set {FOLDER_VARIABLE} to another folder"
        ) from error
