"""The machine that is looked at: its files, its environment, and a Python to try libraries in."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dayshift.runtime.backends.nvidia import nvidia_driver

_TIMEOUT_S = 60.0
_MARK = "dayshift-doctor:"
# Whatever a library prints or raises, one marked line of JSON comes back.
_TRIAL = """
import json, sys
try:
    scope = {{}}
    exec({code!r}, scope)
    told = scope["told"]
except BaseException as error:
    text = " ".join(str(error).split()) or type(error).__name__
    told = {{"error": text, "is_missing": isinstance(error, ModuleNotFoundError)}}
print({mark!r} + json.dumps(told), flush=True)
"""


@dataclass(frozen=True)
class Host:
    """Where the doctor looks; tests give it another root and other libraries.

    Attributes:
        root: Where the file system begins.
        environment: Of this process, and of the trials.
        search: Where libraries are looked for.
        prefix: Of the Python environment in use.
    """

    root: Path = Path("/")
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    search: Sequence[str] = field(default_factory=lambda: tuple(sys.path))
    prefix: Path = Path(sys.prefix)

    @property
    def l4t(self) -> str | None:
        """The release of a Jetson's system, such as 36.4.3; None elsewhere."""
        driver = nvidia_driver(self.root) or ""
        return driver.removeprefix("L4T ") if driver.startswith("L4T ") else None

    @property
    def has_gpu(self) -> bool:
        """An NVIDIA GPU is here, whether or not anything can use it."""
        if nvidia_driver(self.root) is not None:
            return True
        vendors = self.root.glob("sys/bus/pci/devices/*/vendor")
        return any(
            read_text(path) == "0x10de" and (read_text(path.with_name("class")) or "")[:4] == "0x03"
            for path in vendors
        )

    def read(self, path: str) -> str | None:
        """Return the text of a file below the root; None where there is none to read."""
        return read_text(self.root / path)

    def pip(self, words: str) -> str:
        """Return a command of this environment's pip."""
        return f"{shlex.quote(sys.executable)} -m pip {words}"

    def try_python(self, code: str, *, timeout_s: float = _TIMEOUT_S) -> dict[str, Any]:
        """Run code that sets `told` in a process of its own, which a broken library may crash.

        Returns: what it told, or `error` and `is_missing`.
        """
        trial = _TRIAL.format(code=code, mark=_MARK)
        try:
            done = subprocess.run(
                [sys.executable, "-c", trial],
                env={**self.environment, "PYTHONPATH": os.pathsep.join(filter(None, self.search))},
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"error": f"does not return within {timeout_s:g} s", "is_missing": False}
        for line in reversed(done.stdout.splitlines()):
            if line.startswith(_MARK):
                told: dict[str, Any] = json.loads(line.removeprefix(_MARK))
                return told
        return {"error": _crash(done.returncode), "is_missing": False}


def read_text(path: Path) -> str | None:
    """Return what a file of the system says, stripped; None where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8").strip("\0\n ")
    except (OSError, UnicodeDecodeError):
        return None


def read_number(path: Path) -> int | None:
    """Return the whole number in a file of the system; None where there is none."""
    text = read_text(path) or ""
    return int(text) if text.lstrip("-").isdecimal() else None


def version_of(text: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, for comparing: 10.3.0.26+x is (10, 3, 0, 26)."""
    numbers = []
    for part in text.split("+")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def _crash(code: int) -> str:
    if code < 0:
        return f"crashes ({signal.Signals(-code).name})"
    return f"ends Python with exit code {code}"
