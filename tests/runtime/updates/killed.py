"""Changes a device and is killed at every step: `killed.py CHANGE DEVICE KEY PUBLISHED...`.

A step is whatever Python does to a file or folder, as its audit hooks tell. For each, a child with
a copy of the device goes so far and gets SIGKILL; what it leaves is then looked at. Prints the
number of steps at which it was killed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from dayshift.runtime.bundled import model_folder
from dayshift.runtime.model_files import load_spec
from dayshift.runtime.updates.install import check, go_back, install
from dayshift.runtime.updates.manifest import Manifest, Reference, read_public_key
from dayshift.runtime.updates.origin import Origin
from dayshift.runtime.updates.trial import Trial
from dayshift.runtime.updates.versions import Versions

STEPS = ("open", "os.", "shutil.", "ctypes.dlopen")


def no_trial(_folder: Path, _reference: Reference | None) -> Trial:
    return Trial("none", "fp32", None)


def in_use(device: Path) -> str:
    """Read all of the model that a stream would start with."""
    return read_all(model_folder(device))


def read_all(folder: Path) -> str:
    manifest = Manifest.model_validate_json((folder / "update.json").read_bytes())
    for file in manifest.files:
        content = (folder / file.path).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file.sha256, f"{file.path} is broken"
    return load_spec(folder).summary


def killed_at(step: int, change: Callable[[], object]) -> bool:
    """Run a change in a child that ends before its step of that number; False where it has less."""
    child = os.fork()
    if child == 0:
        left = step

        def count(event: str, _arguments: object) -> None:
            nonlocal left
            if event.startswith(STEPS):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        change()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the change itself failed"
    return os.WIFSIGNALED(status)


def main(kind: str, pristine: Path, key: Path, published: list[Path]) -> None:
    keys = [read_public_key(key)]
    device = pristine.with_name("copy")

    def update(folder: Path, allow_older: bool = False) -> object:
        origin = Origin(str(folder))
        versions = Versions(device)
        return install(versions, origin, keys, allow_older=allow_older, trial=no_trial)

    changes: dict[str, Callable[[], object]] = {
        "first": lambda: update(published[1]),
        "update": lambda: update(published[-2]),
        "again": lambda: update(published[1], allow_older=True),
        "rollback": lambda: go_back(Versions(device)),
        "check": lambda: check(Versions(device), trial=no_trial),
    }
    before = None if kind == "first" else in_use(pristine)
    seen, step, goes_on = set(), 0, True
    while goes_on:
        step += 1
        shutil.rmtree(device, ignore_errors=True)
        if kind != "first":
            shutil.copytree(pristine, device, symlinks=True)
        if kind == "check":
            (Versions(device).path(3) / "int8.onnx").write_bytes(b"broken")
        goes_on = killed_at(step, changes[kind])
        if Versions(device).current is None:
            assert kind == "first", f"step {step} left no version"
        elif kind != "check" or Versions(device).current != 3:
            seen.add(in_use(device))
        if kind != "check":  # which finds one that was broken before
            for version in Versions(device).installed():
                read_all(Versions(device).path(version))
        # Whatever was left, the next update goes through, and clears it away.
        update(published[-1])
        assert in_use(device) == "version 9", f"step {step}"
        hidden = [path.name for path in device.rglob(".*")]
        assert hidden == [".lock"], f"step {step} left {hidden}"
    assert len(seen) == (2 if before and kind != "check" else 1), seen
    print(step - 1)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), [Path(word) for word in sys.argv[4:]])
