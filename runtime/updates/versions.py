"""A folder of a model's versions, and which of them is in use.

    DIR/versions/7/     a model folder, complete, verified and tried on this machine
    DIR/current         a link to the one in use
    DIR/previous        a link to the one that was in use before
    DIR/floor           a link to a version that was left on purpose: no update goes up to that only

Every change is one rename, so that a process that is killed leaves one version or the other in use.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from dayshift.runtime.errors import UpdateError
from dayshift.runtime.model_files import SPEC_NAME

_KEPT = 3  # a stream that runs on an old one may still open files of it


class Versions:
    """The versions in one folder. One process at a time changes it: see `lock`.

    Args:
        folder: Need not exist.

    Raises:
        UpdateError: It is something else: a model folder, or a file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        if (self.folder / SPEC_NAME).exists() or self.folder.is_file():
            raise UpdateError(
                f"{folder} is a {'file' if self.folder.is_file() else 'model folder'}: expected a "
                "new name, or a folder that dayshift update made; it keeps the versions of a model"
            )

    @property
    def current(self) -> int | None:
        """The version in use; None where there is none yet."""
        return self._usable("current")

    @property
    def previous(self) -> int | None:
        """The version that was in use before."""
        return self._usable("previous")

    @property
    def floor(self) -> int:
        """The version that an update must be above: the one in use, or one left on purpose."""
        return max(self._linked("floor") or 0, self.current or 0)

    def path(self, version: int) -> Path:
        """Return the folder of a version, whether or not it is there."""
        return self.folder / "versions" / str(version)

    def installed(self) -> list[int]:
        """Return the versions that are there, oldest first."""
        names = [path.name for path in (self.folder / "versions").glob("*")]
        return sorted(int(name) for name in names if name.isdecimal())

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the right to change the folder, and clear what a killed process left.

        Raises:
            UpdateError: Another process holds it, or the folder cannot be written to.
        """
        try:
            (self.folder / "versions").mkdir(parents=True, exist_ok=True)
            file = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UpdateError(
                f"cannot write to {self.folder} ({error.strerror}): name a folder of yours"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in (self.folder / "versions").glob(".*"):
                shutil.rmtree(left, ignore_errors=True)
            for left in self.folder.glob(".*.new"):
                left.unlink(missing_ok=True)
            yield
        except BlockingIOError:
            raise UpdateError(
                f"another update of {self.folder} is running: wait for it, or end it"
            ) from None
        finally:
            os.close(file)

    def switch(self, version: int) -> None:
        """Put a version to use, and remember the one that was."""
        current = self.current
        if current is not None and current != version:
            self._link("previous", current)
        self._use(version)

    def rollback(self) -> int:
        """Put the version that was in use before to use again, and return it.

        Once more goes further back, and not to the one that was left.

        Raises:
            UpdateError: There is none.
        """
        current = self.current
        older = [version for version in self.installed() if version < (current or 0)]
        back = self.previous if self.previous not in (None, current) else max(older, default=None)
        if back is None:
            now = "" if current is None else f" before {current}"
            raise UpdateError(f"{self.folder} has no version{now} to go back to")
        self._use(back)
        (self.folder / "previous").unlink(missing_ok=True)
        return back

    def prune(self) -> None:
        """Remove all but the newest versions and those that links lead to."""
        for version in self.installed()[:-_KEPT]:
            if version not in (self.current, self.previous):
                # Renamed first: half of a version must not be taken for one.
                left = self.path(version).rename(self.folder / "versions" / f".{version}.old")
                shutil.rmtree(left, ignore_errors=True)

    def _use(self, version: int) -> None:
        if version < self.floor:
            self._link("floor", self.floor)
        self._link("current", version)

    def _linked(self, name: str) -> int | None:
        try:
            target = (self.folder / name).readlink()
        except OSError:
            return None
        is_ours = target.parent == Path("versions") and target.name.isdecimal()
        return int(target.name) if is_ours else None

    def _usable(self, name: str) -> int | None:
        version = self._linked(name)
        return version if version is not None and self.path(version).is_dir() else None

    def _link(self, name: str, version: int) -> None:
        part = self.folder / f".{name}.new"
        part.symlink_to(Path("versions") / str(version))
        part.replace(self.folder / name)
        sync_folder(self.folder)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def model_in_use(folder: Path) -> Path | None:
    """Return the model folder that a folder of versions has in use; None where it is no such.

    The link is followed once, here: an update leaves a stream that has begun on its version.
    """
    if (folder / SPEC_NAME).exists() or not (folder / "versions").is_dir():
        return None
    versions = Versions(folder)
    return None if versions.current is None else versions.path(versions.current)
