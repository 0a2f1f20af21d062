"""OpenVINO's telemetry stays silent; with it, an import forks, writes into the home and calls."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dayshift.runtime.doctor.libraries import ENGINES

pytest.importorskip("openvino")

# Ends the process at once: OpenVINO swallows what is raised while it sends.
_WATCH = """
import os, sys
def watch(event, args):
    if event in ("os.fork", "os.posix_spawn", "subprocess.Popen", "socket.getaddrinfo",
                 "socket.connect"):
        print(event, args, flush=True)
        os._exit(9)
sys.addaudithook(watch)
"""
_BACKEND = "from dayshift.runtime.backends.ov import OpenVINOBackend"
_ONE_BY_ONE = f"""{_BACKEND}
assert "openvino" in sys.modules and "openvino_telemetry" not in sys.modules
"""
_ON_TRITON = """
import types
sys.modules["triton_python_backend_utils"] = types.ModuleType("triton_python_backend_utils")
import dayshift.export.serving.triton_model
"""


def run(code: str, home: Path) -> tuple[int, str]:
    environment = {key: os.environ[key] for key in ("PATH",) if key in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", f"{_WATCH}{code}"],
        env={**environment, "HOME": str(home)},  # not CI, where OpenVINO is silent by itself
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("code", [_ONE_BY_ONE, ENGINES["openvino"], _ON_TRITON])
def test_an_import_of_openvino_starts_nothing_and_calls_nobody(code: str, tmp_path: Path) -> None:
    assert run(code, tmp_path) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_the_watch_sees_what_telemetry_does(tmp_path: Path) -> None:
    pytest.importorskip("openvino_telemetry")
    code, told = run("import openvino", tmp_path)
    forked = (code, told[:7]) == (9, "os.fork")
    assert forked or (tmp_path / "intel").is_dir()  # Python 3.12 may end before it forks
