"""Rows in processes of their own: crashes, absences and Ctrl-C are rows, and turns are shared."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dayshift.benchmarks.cases import Case
from dayshift.benchmarks.rounds import RowFailed, Worker
from dayshift.benchmarks.rows import Row
from dayshift.benchmarks.session import Pace, Session
from dayshift.runtime.image import Pixels

PACE = Pace(rounds=3, block_s=0.02, warm_up_s=0.2)
SIZE_WH = (96, 64)


@pytest.fixture
def setting(frames: list[Pixels], tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "frames.npy"
    np.save(path, np.stack(frames))
    return {"frames": str(path), "clip": "", "folder": str(tmp_path)}


@pytest.fixture
def case(tiny_model: Path) -> Case:
    return Case(str(tiny_model), "onnxruntime", "fp32", SIZE_WH, threads=1)


def absent(case: Case) -> Case:
    return Case(case.model, "openvino", "auto", SIZE_WH, threads=1, device="NPU")


def test_rows_take_turns_and_what_is_absent_is_a_row(case: Case, setting: dict[str, Any]) -> None:
    told: list[str] = []
    session = Session(
        [case, absent(case)], PACE, lambda _: setting, lambda *words: told.append(words[2])
    )
    finished: list[Row] = []
    session.run(lambda row, _: finished.append(row))
    measured, missing = session.rows
    assert sorted(measured.blocks) == [0, 1, 2]
    assert finished == [measured]
    assert measured.as_json()["memory_mib"] > 10
    assert measured.as_json()["cold_start_s"] > measured.as_json()["build_s"] > 0
    assert missing.status == "skipped"
    assert missing.reason == "openvino sees no NPU here, only CPU"
    assert not session.was_interrupted
    assert any("single-stream" in line for line in told)


def test_a_crash_is_a_row_and_the_others_go_on(case: Case, setting: dict[str, Any]) -> None:
    def die_in_round_two(row: int) -> Any:
        def tell(done: int, total: int, what: str) -> None:
            if what.startswith("round 2") and done >= 2:
                worker = session._workers.get(row)
                if worker is not None:
                    os.kill(worker.pid, signal.SIGSEGV)

        return tell

    session = Session([case, case], PACE, lambda _: setting, die_in_round_two(0))
    session.run(lambda row, worker: None)
    crashed, other = session.rows
    assert crashed.status == "failed"
    assert crashed.reason is not None
    assert "the process ended with signal 11" in crashed.reason
    assert crashed.as_json()["n"] > 0
    assert (other.status, len(other.blocks)) == ("passed", 3)


def test_ctrl_c_keeps_the_rows_that_were_measured(case: Case, setting: dict[str, Any]) -> None:
    def interrupt(done: int, total: int, what: str) -> None:
        if done == 1:
            raise KeyboardInterrupt

    session = Session([case, case], PACE, lambda _: setting, interrupt)
    session.run(lambda row, worker: None)
    assert session.was_interrupted
    statuses = sorted((row.status, len(row.blocks)) for row in session.rows)
    assert statuses == [("passed", 1), ("skipped", 0)]
    assert {row.reason for row in session.rows} == {None, "interrupted before its first turn"}


def test_a_slow_row_has_fewer_turns_spread_over_the_run() -> None:
    session = Session([], Pace(rounds=9, row_budget_s=40), lambda _: {}, lambda *_: None)
    assert session._turns(0.4) == set(range(9))
    assert session._turns(8.0) == {0, 2, 4, 6, 8}
    assert session._turns(100.0) == {0, 4, 8}


def test_a_process_that_does_not_answer_is_given_up(case: Case, setting: dict[str, Any]) -> None:
    worker = Worker(case, setting)
    try:
        worker.open()
        os.kill(worker.pid, signal.SIGSTOP)
        with pytest.raises(RowFailed, match=r"no answer within 0\.2 s"):
            worker.ask({"do": "block", "seconds": 0.01}, limit_s=0.2)
    finally:
        worker.kill()


def test_an_error_in_the_process_is_the_reason(case: Case, setting: dict[str, Any]) -> None:
    refused = Case(case.model, "onnxruntime", "bf16", SIZE_WH, threads=1)
    worker = Worker(refused, setting)
    try:
        with pytest.raises(RowFailed, match="onnxruntime has no bf16 on a CPU") as caught:
            worker.open()
        assert caught.value.status == "failed"
    finally:
        worker.kill()
