"""The command line: its words, its exit codes, and what goes to which stream."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from dayshift import __version__
from dayshift.runtime.provenance.verification import verify_file
from dayshift.runtime.sources import open_source

Dayshift = Callable[..., Any]
SYNTHETIC = "synthetic://?size=160x120&frames=8&pace=0"
REPORT_FIELDS = {
    "frames_in",
    "frames_out",
    "frames_dropped",
    "seconds",
    "fps",
    "latency_ms",
    "stages_ms",
    "backend",
    "backend_version",
    "precision_requested",
    "precision_actual",
    "device",
    "size",
    "model_sha256",
}


def frame_count(video: Path) -> int:
    with av.open(str(video)) as container:
        return sum(1 for _ in container.decode(video=0))


def visible_files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# --- the command itself


def test_version_and_help_go_to_standard_output(dayshift_command: Dayshift) -> None:
    assert dayshift_command("--version").out == f"dayshift {__version__}\n"
    for verb in ("demo", "run", "translate", "train", "export", "info", "models"):
        assert dayshift_command(verb, "--help").code == 0
        assert verb in dayshift_command("--help").out


def test_no_verb_prints_the_help_and_is_wrong_usage(dayshift_command: Dayshift) -> None:
    done = dayshift_command()
    assert (done.code, done.out) == (2, "")
    assert "Usage: dayshift" in done.err


def test_python_m_dayshift_is_the_same_command() -> None:
    command = [sys.executable, "-m", "dayshift", "--version"]
    assert subprocess.check_output(command, text=True) == f"dayshift {__version__}\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nonsense"], "No such command 'nonsense'; see dayshift --help"),
        (["run"], "Missing argument 'SOURCE'; see dayshift run --help"),
        (["run", "0", "--sped", "3"], "No such option: --sped"),
        (["run", "0", "--strength", "much"], "see dayshift run --help"),
        (["run", SYNTHETIC, "null://", "--lamps", "0.5"], "model tiny has no control for lamps"),
        (["run", SYNTHETIC, "--size", "720p"], "expected WIDTHxHEIGHT"),
        (["run", SYNTHETIC, "null://", "--policy", "some"], "there is no policy 'some'"),
        (["run", SYNTHETIC, "gopher://x"], "no sink has the scheme 'gopher'"),
        (["run", "gopher://x", "null://"], "no source has the scheme 'gopher'"),
        (["run", SYNTHETIC, "night.xyz"], "cannot tell what to write to 'night.xyz'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    dayshift_command: Dayshift, tiny_model: Path, words: list[str], told: str
) -> None:
    model = ["--model", str(tiny_model)] if len(words) > 2 else []
    done = dayshift_command(*words, *model)
    assert told in done.error
    assert (done.code, done.out) == (2, "")


@pytest.mark.parametrize("option", ["--backend", "--precision"])
def test_an_unknown_engine_or_precision_names_the_known_ones(
    dayshift_command: Dayshift, tiny_model: Path, option: str
) -> None:
    done = dayshift_command("run", SYNTHETIC, "null://", "-m", tiny_model, option, "magic")
    assert done.code == 2
    assert "magic" in done.error
    assert ("openvino" if option == "--backend" else "int8") in done.error


def test_debug_shows_the_traceback_wherever_it_stands(
    dayshift_command: Dayshift, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (["--debug", "info", "nowhere"], ["info", "nowhere", "--debug"]):
        done = dayshift_command(*words)
        assert "Traceback" in done.err
        assert done.code == 1
    monkeypatch.setenv("DAYSHIFT_DEBUG", "1")
    assert "Traceback" in dayshift_command("info", "nowhere").err


# --- run


def test_run_prints_the_table_and_writes_the_fields_that_scripts_rely_on(
    dayshift_command: Dayshift, tiny_model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "run.json"
    done = dayshift_command("run", SYNTHETIC, "null://", "-m", tiny_model, "--json", file)
    assert done.code == 0, done.err
    assert "8 of 8" in done.out
    result = json.loads(file.read_text())
    assert result.keys() >= REPORT_FIELDS
    assert result["latency_ms"].keys() == {"p50", "p90", "p95", "p99", "max"}
    assert result["stages_ms"].keys() == {"capture", "preprocess", "infer", "postprocess", "sink"}
    assert result["size"] == "160x120"


def test_json_to_standard_output_is_json_alone(
    dayshift_command: Dayshift, tiny_model: Path
) -> None:
    done = dayshift_command("run", SYNTHETIC, "null://", "-m", tiny_model, "--json", "-")
    assert json.loads(done.out)["frames_out"] == 8
    assert "backend openvino" in done.err


def test_run_writes_several_sinks_at_once(
    dayshift_command: Dayshift, tiny_model: Path, tmp_path: Path
) -> None:
    sinks = [tmp_path / "night.mp4", f"frames://{tmp_path / 'night'}"]
    done = dayshift_command("run", SYNTHETIC, *sinks, "-m", tiny_model, "--strength", "0.5")
    assert done.code == 0, done.err
    assert frame_count(tmp_path / "night.mp4") == 8
    assert len(visible_files(tmp_path / "night")) == 8


def test_run_burns_a_share_of_the_lamps_and_says_so_in_the_mark(
    dayshift_command: Dayshift, lit_model: Path, tmp_path: Path
) -> None:
    levels = []
    for lamps in ("0", "0.5"):
        folder = tmp_path / lamps
        done = dayshift_command(
            "run", SYNTHETIC, f"frames://{folder}", "-m", lit_model, "--lamps", lamps
        )
        assert done.code == 0, done.err
        picture = folder / "000003.png"
        assert f"lamps {lamps};" in (verify_file(picture).settings or "")
        with open_source(picture) as source:
            frame = source.read()
        assert frame is not None
        levels.append(frame.pixels.mean())
    assert levels[1] > levels[0] + 5


@pytest.mark.parametrize("policy", ["latest", "every"])
def test_a_duration_ends_an_endless_source(
    dayshift_command: Dayshift, tiny_model: Path, policy: str
) -> None:
    words = ["synthetic://?size=64x48", "null://", "--duration", "0.3", "--policy", policy]
    done = dayshift_command("run", *words, "-m", tiny_model, "--json", "-")
    assert done.code == 0, done.err
    assert 0 < json.loads(done.out)["frames_out"] < 60


def test_being_terminated_completes_the_file_and_prints_the_table(
    tiny_model: Path, tmp_path: Path
) -> None:
    video = tmp_path / "night.mp4"
    words = ["run", "synthetic://?size=160x120", str(video), "-m", str(tiny_model)]
    process = subprocess.Popen(
        [sys.executable, "-m", "dayshift", *words], stdout=subprocess.PIPE, text=True
    )
    give_up_at = time.monotonic() + 60
    while not any(path.stat().st_size for path in tmp_path.iterdir()):
        assert time.monotonic() < give_up_at
        assert process.poll() is None
        time.sleep(0.05)
    # Not SIGINT: a runner in the background may have had it ignored from the start.
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "frames/s" in out
    assert visible_files(tmp_path) == ["night.mp4"]
    assert frame_count(video) > 0


# --- info and models


def test_info_shows_the_card_and_writes_it(dayshift_command: Dayshift, tiny_model: Path) -> None:
    done = dayshift_command("info", tiny_model)
    assert done.code == 0, done.err
    for word in ("tiny", "day to night", "maps.int8.onnx", "PSNR 41.5 dB", "Apache-2.0"):
        assert word in done.out
    assert "lamps" not in done.out
    result = json.loads(dayshift_command("info", tiny_model, "--json", "-").out)
    assert result["name"] == "tiny"
    assert result["folder"] == str(tiny_model)


def test_info_shows_the_range_of_the_lamps(dayshift_command: Dayshift, lit_model: Path) -> None:
    out = dayshift_command("info", lit_model).out
    row = next(line for line in out.splitlines() if "lamps" in line)
    assert "0 to 1, by default 1" in row


def test_models_lists_day2night(dayshift_command: Dayshift) -> None:
    done = dayshift_command("models")
    assert done.code == 0, done.err
    assert "day2night" in done.out
    listed = json.loads(dayshift_command("models", "--json", "-").out)
    assert "day2night" in [model["name"] for model in listed["models"]]
