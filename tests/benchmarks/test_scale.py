"""The model on paper: its arithmetic, and that the page is what the committed figures give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dayshift.benchmarks.readme import between
from dayshift.benchmarks.scale import BEGIN, END, Assumptions, costs_of, figures
from dayshift.runtime.errors import UsageError

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def read(name: str) -> Any:
    return json.loads((RESULTS / name).read_bytes())


def row(scenario: str, cpu_ms: float) -> dict[str, Any]:
    named = {"model": "day2night", "backend": "openvino", "precision_actual": "int8"}
    more = {"size": "1280x720", "scenario": scenario, "status": "passed"}
    return {**named, **more, "cpu_ms_per_frame": cpu_ms}


def test_the_page_is_what_the_committed_figures_give() -> None:
    page = (ROOT / "docs" / "scale.md").read_text()
    tables = figures(read("epyc-2core.json"), read("scale-epyc-2core.json"), Assumptions())
    assert page == between(page, BEGIN, END, tables)


def test_what_a_frame_costs_adds_up_and_scales() -> None:
    report = {**read("epyc-2core.json"), "rows": [row("file", 40), row("offline", 10)]}
    measured = read("scale-epyc-2core.json")
    measured |= {"decode_cpu_ms": 4, "encode_cpu_ms": 6, "clip_mbit_per_s": 4}
    measured |= {"encoded_mbit_per_s": 6, "client_cpu_ms": None}
    costs = costs_of(report, measured)
    assert (costs.rest, costs.whole) == (20, 40)
    text = figures(report, measured, Assumptions(load=0.5, archive_load=1.0))
    # 1,000 cameras x 25 frames/s x 40 ms / 0.5; 10,000 h x 25 frames/s x 40 ms.
    assert "| cores | 2,000 | at 50% load |" in text
    assert "| machines | 63 | of 32 cores |" in text
    assert "| core hours | 10,000 | at 100% load |" in text
    assert "| dollars an hour of footage | 0.0400 |" in text
    assert "| read from the store | 18.0 TB |" in text


def test_a_report_without_the_row_says_so() -> None:
    with pytest.raises(UsageError, match=r"has no measured row .*file.*: run dayshift bench"):
        costs_of({"rows": []}, read("scale-epyc-2core.json"))
