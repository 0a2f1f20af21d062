"""`dayshift bench` as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dayshift.benchmarks import tables
from dayshift.benchmarks.cases import Request
from dayshift.benchmarks.session import Pace
from dayshift.benchmarks.suite import measure

ROOT = Path(__file__).parents[2]
WITHOUT = ("torch", "tensorrt", "onnx", "nncf")


def report_with(path: Path, milliseconds: float) -> Path:
    """Write a report of one row with nine rounds of that time."""
    row = {
        **{"model": "m", "backend": "openvino", "precision_requested": "int8", "size": "64x48"},
        **{"scenario": "single-stream", "status": "passed", "reason": None, "psnr_db": 50.0},
        "round_p50_ms": {str(i): milliseconds * (1 + i / 1000) for i in range(9)},
    }
    path.write_text(json.dumps({"rows": [row], "machine": {}, "checks": {}}))
    return path


def test_compare_exits_with_3_where_the_second_run_is_slower(
    dayshift_command: Callable[..., Any], tmp_path: Path
) -> None:
    before, after = report_with(tmp_path / "a.json", 5), report_with(tmp_path / "b.json", 6)
    done = dayshift_command("bench", "--compare", before, after)
    assert done.code == 3
    assert "1 of 1 rows got worse" in done.error
    assert "regression" in done.out
    assert dayshift_command("bench", "--compare", after, before).code == 0
    assert dayshift_command("bench", "--compare", before, before).code == 0


def test_compare_refuses_what_is_no_report(
    dayshift_command: Callable[..., Any], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text("{")
    done = dayshift_command("bench", "--compare", wrong, wrong)
    assert done.code == 2
    assert "is not a report of dayshift bench --json" in done.error


def test_reproduce_prints_commands_and_measures_nothing(
    dayshift_command: Callable[..., Any],
) -> None:
    done = dayshift_command("bench", "day2night", "--reproduce", "--backends", "openvino,tensorrt")
    assert done.code == 0
    lines = done.out.splitlines()
    assert any(line.startswith("benchmark_app -m ") for line in lines)
    assert any(line.startswith("trtexec --onnx=") for line in lines)
    assert "# day2night openvino int8 1280x720 single-stream" in lines


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no model to measure"),
        (("day2night", "--scenarios", "offlin"), "unknown scenario 'offlin'"),
        (("day2night", "--size", "12"), "--size"),
    ],
)
def test_wrong_words_are_a_usage_error(
    dayshift_command: Callable[..., Any], words: tuple[str, ...], message: str
) -> None:
    done = dayshift_command("bench", *words)
    assert done.code == 2
    assert message in done.error


def bench_process(model: Path, *words: object, blocked: tuple[str, ...]) -> subprocess.Popen[str]:
    """Start the command where some libraries cannot be imported, in its rows' processes neither."""
    folder = model.parent / "blocked"
    folder.mkdir(exist_ok=True)
    for name in blocked:
        (folder / f"{name}.py").write_text(f"raise ImportError('no {name} in this test')\n")
    paths = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", "dayshift", "bench", str(model), *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )


@pytest.mark.slow
def test_without_torch_and_tensorrt_it_measures_the_rest_and_says_what_it_left_out(
    tiny_model: Path, tmp_path: Path
) -> None:
    out = {kind: tmp_path / f"b.{kind}" for kind in ("json", "html", "csv", "md")}
    files = ("--json", out["json"], "--plot", out["html"], "--csv", out["csv"])
    words = ("--size", "96x64", "--scenarios", "single-stream", "--markdown", out["md"], *files)
    process = bench_process(tiny_model, *words, blocked=WITHOUT)
    told, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    report = json.loads(out["json"].read_text())
    status = {(r["backend"], r["precision_requested"]): r["status"] for r in report["rows"]}
    assert status["onnxruntime", "fp32"] == status["openvino", "int8"] == "passed"
    assert status["pytorch", "fp32"] == status["tensorrt", "fp32"] == "skipped"
    reasons = {r["backend"]: r["reason"] for r in report["rows"] if r["status"] == "skipped"}
    assert "pip install 'dayshift[train,export]'" in reasons["pytorch"]
    assert "tensorrt" in reasons["tensorrt"]
    assert "left out:" in said
    assert "openvino" in told
    (row,) = [
        r for r in report["rows"] if (r["backend"], r["precision_actual"]) == ("openvino", "int8")
    ]
    assert row["psnr_db"] > 20
    assert row["reference"].startswith("onnxruntime fp32")
    assert row["n"] >= 9
    assert all(path.stat().st_size > 500 for path in out.values())


@pytest.mark.slow
def test_ctrl_c_keeps_the_finished_rows(tiny_model: Path) -> None:
    """In the middle of the second round, with a whole report as the result."""
    measured: list[str] = []

    def interrupt(done: int, total: int, what: str) -> None:
        if what.startswith("round") and "onnxruntime" in what:
            measured.append(what)
        if len(measured) == 3:
            raise KeyboardInterrupt

    request = Request(
        (str(tiny_model),),
        backends=("onnxruntime",),
        sizes_wh=((96, 64),),
        scenarios=("single-stream",),
    )
    report = measure(request, pace=Pace(rounds=3, block_s=0.02), on_progress=interrupt)
    assert report["interrupted"]
    assert any(row["n"] for row in report["rows"] if row["status"] == "passed")
    assert report["checks"] == {}
    assert "onnxruntime" in tables.markdown(json.loads(json.dumps(report, allow_nan=False)))
