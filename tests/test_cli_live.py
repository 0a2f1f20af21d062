"""`dayshift run` as an unattended service: its log, its records, its exit codes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Dayshift = Callable[..., Any]
PACED = "synthetic://?size=64x48&fps=50"


def test_an_outage_is_in_the_log_the_record_and_the_report(
    dayshift_command: Dayshift, tiny_model: Path, tmp_path: Path
) -> None:
    source = f"{PACED}&frames=60&faults=disconnect@0.3:0.2"
    report, record = tmp_path / "report.json", tmp_path / "record.jsonl"
    done = dayshift_command(
        *("run", source, "null://", tmp_path / "out.mp4", "--model", tiny_model),
        *("--json", report, "--log", record, "--log-frames", "--metrics", "0"),
    )
    assert done.code == 0
    said = [line for line in done.err.splitlines() if "trying again in" in line]
    assert said
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  source: synthetic 64x48 was", said[0])
    assert json.loads(report.read_text())["outages"] == 1
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert {line["kind"] for line in lines} == {"event", "status", "frame"}
    states = [line["state"] for line in lines if line["kind"] == "event"]
    assert {"starting", "running", "reconnecting", "ended"} <= set(states)


def test_a_camera_that_stays_away_fails_the_run_where_that_is_asked_for(
    dayshift_command: Dayshift, tiny_model: Path
) -> None:
    source = f"{PACED}&faults=disconnect@0.2:100"
    done = dayshift_command("run", source, "null://", "--model", tiny_model, "--give-up", "1")
    assert done.code == 1
    assert "did not come back within 1 s" in done.error


def test_a_rate_that_was_missed_is_exit_code_3(
    dayshift_command: Dayshift, tiny_model: Path
) -> None:
    words = ("run", f"{PACED}&frames=20", "null://", "--model", tiny_model)
    assert dayshift_command(*words, "--rate", "1").code == 0
    done = dayshift_command(*words, "--rate", "900", "--policy", "adaptive")
    assert done.code == 3
    assert "frames/s, expected 900" in done.error


def test_a_file_is_looped_until_the_time_is_up(
    dayshift_command: Dayshift, tiny_model: Path, street_video: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    words = ("run", street_video, "null://", "--model", tiny_model, "--json", report)
    assert dayshift_command(*words, "--loop", "--duration", "1").code == 0
    assert json.loads(report.read_text())["frames_out"] > 12


def test_no_word_of_the_command_shows_a_password(
    dayshift_command: Dayshift, tiny_model: Path
) -> None:
    source = "rtsp://ann:s3cr3t@127.0.0.1:9/street"
    done = dayshift_command("run", source, "null://", "--model", tiny_model, "--debug")
    assert done.code == 1
    assert "rtsp://***@127.0.0.1:9/street" in done.err
    assert "s3cr3t" not in done.out + done.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--metrics", "here"], "expected [HOST:]PORT"),
        (["--log-frames"], "add --log FILE"),
        (["--rate", "0"], "--rate"),
    ],
)
def test_wrong_words_are_exit_code_2(
    words: list[str], complaint: str, dayshift_command: Dayshift
) -> None:
    done = dayshift_command("run", PACED, "null://", *words)
    assert done.code == 2
    assert complaint in done.error
