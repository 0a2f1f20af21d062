"""`dayshift doctor`: what it prints, what it writes, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dayshift.runtime.doctor import diagnosis
from dayshift.runtime.doctor.check import Check

Dayshift = Callable[..., Any]

LONG = "sudo modprobe " + "v4l2loopback " * 20
MODEL = Check("model", True, "day2night", is_needed=True)
ABSENT = Check("camera [x]", False, "none " * 40, LONG)
BROKEN = Check("ways in", False, "none", "pip install av", is_needed=True)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Check]:
    checks: list[Check] = []

    def diagnose(*, camera_test: bool) -> Iterator[Check]:
        yield from checks

    monkeypatch.setattr(diagnosis, "diagnose", diagnose)
    return checks


def test_what_is_absent_is_listed_and_fails_nothing(
    dayshift_command: Dayshift, found: list[Check]
) -> None:
    found += [MODEL, ABSENT]
    done = dayshift_command("doctor")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "✓ model               day2night"
    assert lines[1].startswith("• camera [x]          none none")
    assert f"{'':22}→ {LONG}".rstrip() in [line.rstrip() for line in lines]  # one line, to copy
    assert lines[-1] == "dayshift can run here; 1 optional things (•) are absent or could be better"


def test_what_is_needed_and_missing_is_exit_code_1(
    dayshift_command: Dayshift, found: list[Check], tmp_path: Path
) -> None:
    found += [MODEL, BROKEN]
    file = tmp_path / "doctor.json"
    done = dayshift_command("doctor", "--json", file)
    assert done.code == 1
    assert "✗ ways in" in done.out
    assert done.out.splitlines()[-1] == "dayshift cannot run here yet"
    told = json.loads(file.read_text())
    assert told["ok"] is False
    assert told["checks"][1] == {
        "name": "ways in",
        "ok": False,
        "detail": "none",
        "fix": "pip install av",
        "is_needed": True,
    }


def test_here_it_runs_and_writes_json_alone_to_standard_output(dayshift_command: Dayshift) -> None:
    done = dayshift_command("doctor", "--json", "-")
    told = json.loads(done.out)
    assert done.code == 0, done.out
    assert told["ok"] is True
    assert all(check.keys() >= {"name", "ok", "detail", "fix"} for check in told["checks"])
    assert all(check["ok"] or check["fix"] for check in told["checks"])
