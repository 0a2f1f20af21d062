"""Reports: tables, pages, files, and the comparison of two."""

from __future__ import annotations

import copy
import csv
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dayshift.benchmarks import page, plots, readme, svg, tables
from dayshift.benchmarks.comparison import compare_reports
from dayshift.runtime.errors import UsageError

Report = dict[str, Any]


def a_row(**changes: Any) -> dict[str, Any]:
    times = {key: 5.0 + int(key) / 50 for key in ("0", "5", "25", "50", "75", "95", "99", "100")}
    row = {
        **{"model": "day2night", "backend": "openvino", "precision_requested": "int8"},
        **{"precision_actual": "int8", "size": "1280x720", "scenario": "single-stream"},
        **{"threads": 2, "threads_available": 2, "streams": 1, "batch": 1, "device": "CPU"},
        "latency_ms": {"mean": 6.0, "p50": 6.0, "p90": 6.8, "p95": 6.9, "p99": 7.0, "cv": 0.05},
        "p50_interval_ms": {"median": 6.0, "low": 5.8, "high": 6.2, "confidence": 0.96, "n": 9},
        "round_p50_ms": {str(i): 6.0 + 0.01 * i for i in range(9)},
        **{"quantiles_ms": times, "fps": 160.0, "n": 500, "memory_mib": 170.0},
        "stages_ms": {"preprocess": {"p50": 0.5}, "infer": {"p50": 4.5}, "postprocess": {"p50": 1}},
        **{"psnr_db": 51.9, "ssim": 0.9975, "identical": False, "events": [], "warnings": []},
        "relative": {"to": "resnet_9blocks pytorch fp32", "median": 812.0},
        "roofline": {"share": {"median": 0.48}},
        **{"status": "passed", "reason": None, "reproduce": ["benchmark_app -m int8.onnx"]},
    }
    return {**row, **changes}


def a_report(*rows: dict[str, Any], speed: float = 1e11) -> Report:
    machine = {"processor": "Fast 9000", "cores": 2, "instructions": ["avx512_vnni"]}
    machine |= {"virtual": True, "memory_gib": 8.0, "system": "Linux", "python": "3.11"}
    return {
        **{"dayshift": "0.1.0", "date": "2026-11-22", "interrupted": False},
        "machine": {**machine, "governor": None, "load_1min": 0.1},
        "peaks": {"int8": {"per_s": {"median": speed, "low": speed, "high": speed}}},
        "rows": list(rows),
        "checks": {"day2night": {"engine_share": {"share": None, "reason": "no benchmark_app"}}},
    }


ABSENT = a_row(
    backend="tensorrt",
    status="skipped",
    reason="no tensorrt: pip install 'dayshift[tensorrt]'",
    **dict.fromkeys(("latency_ms", "fps", "psnr_db", "ssim", "relative", "precision_actual")),
)


@pytest.fixture
def report() -> Report:
    eager = a_row(backend="pytorch", psnr_db=None, identical=True, ssim=1.0, fps=20.0)
    events = [
        {"lane": "translate 1", "stage": "infer", "number": 9, "begin_ms": 3, "end_ms": 8},
        {"lane": "deliver 1", "stage": "sink", "number": 8, "begin_ms": 4, "end_ms": 5},
    ]
    return a_report(
        a_row(), eager, a_row(scenario="file", events=events, warnings=["<odd>"]), ABSENT
    )


def test_every_row_is_in_the_page_which_fetches_nothing(report: Report) -> None:
    html = page.html_page(report)
    assert len(html.encode()) < 1_000_000
    assert "http" not in html.replace("http://www.w3.org", "")
    assert "<script" not in html
    assert "&lt;odd&gt;" in html
    assert "no tensorrt: pip install" in html
    assert html.count("<svg") == 4


def test_drawings_are_well_formed_and_stay_inside_their_frame(report: Report) -> None:
    rows = tables.measured(report["rows"])
    for drawn in (
        plots.latency_plot(rows),
        plots.quality_plot(rows),
        plots.stage_plot(rows),
        plots.gantt_plot(rows[2]),
    ):
        root = ET.fromstring(drawn)
        width = float(root.attrib["viewBox"].split()[2])
        for shape in root.iter("rect"):
            assert 0 <= float(shape.attrib["x"]) <= width
            assert float(shape.attrib["x"]) + float(shape.attrib["width"]) <= width + 0.5


def test_what_nothing_beats_in_rate_and_quality_is_the_front() -> None:
    points = [(100.0, 50.0), (10.0, 90.0), (50.0, 40.0), (60.0, 60.0), (9.0, 89.0)]
    assert plots._front(points) == [(10.0, 90.0), (60.0, 60.0), (100.0, 50.0)]


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (svg.Axis(0, 30, 0, 1), [0, 5, 10, 15, 20, 25, 30]),
        (svg.Axis(3, 60, 0, 1, is_log=True), [5, 10, 20, 50]),
        (svg.Axis(0.5, 5e5, 0, 1, is_log=True), [1, 10, 100, 1000, 10_000, 100_000]),
    ],
)
def test_ticks_are_round(axis: svg.Axis, ticks: list[float]) -> None:
    assert axis.ticks() == pytest.approx(ticks)


def test_csv_has_a_line_per_row_and_a_column_per_figure(report: Report) -> None:
    lines = list(csv.DictReader(tables.csv_text(report).splitlines()))
    assert len(lines) == 4
    assert lines[0]["latency_ms.p95"] == "6.9"
    assert (lines[3]["status"], lines[3]["fps"]) == ("skipped", "")


def test_markdown_tables_are_rectangular_and_name_what_was_left_out(report: Report) -> None:
    lines = tables.markdown(report).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 3
    assert len({line.count("|") for line in table}) == 1
    assert any("tensorrt" in line and "skipped" in line for line in lines)


def test_a_precision_that_is_not_what_was_asked_shows_both() -> None:
    assert (
        tables.precision(a_row(precision_requested="int8", precision_actual="fp32")) == "int8→fp32"
    )
    assert tables.precision(a_row(precision_requested="auto")) == "int8"


def test_the_readme_gets_the_table_between_its_comments(report: Report, tmp_path: Path) -> None:
    text = f"# Us\n\n{readme.BEGIN}\nold\n{readme.END}\n\nMore.\n"
    once = readme.with_figures(text, report)
    assert readme.with_figures(once, report) == once
    assert "old" not in once
    assert once.startswith("# Us\n\n")
    assert once.endswith("\n\nMore.\n")
    assert "| day2night | openvino | int8 | 1280x720 | single-stream | 160 |" in once
    with pytest.raises(UsageError, match="expected the lines"):
        readme.with_figures("# Us\n", report)


def verdicts(before: Report, after: Report) -> list[str]:
    return [compared.verdict for compared in compare_reports(before, after)]


def slower(factor: float) -> dict[str, float]:
    return {str(i): factor * (6.0 + 0.01 * i) for i in range(9)}


def test_a_report_compared_with_itself_is_the_same(report: Report) -> None:
    assert set(verdicts(report, copy.deepcopy(report))) == {"same"}


def test_a_slower_row_is_a_regression_and_a_faster_one_is_not(report: Report) -> None:
    after = a_report(a_row(round_p50_ms=slower(1.2)))
    assert verdicts(a_report(a_row()), after) == ["regression"]
    assert verdicts(after, a_report(a_row())) == ["improved"]


def test_a_machine_that_ran_at_half_its_speed_is_no_regression() -> None:
    after = a_report(a_row(round_p50_ms=slower(2)), speed=0.5e11)
    assert verdicts(a_report(a_row(), speed=1e11), after) == ["unclear"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"psnr_db": 45.0}, "images went from 51.9 to 45.0 dB"),
        ({"status": "failed", "reason": "signal 11"}, "failed now: signal 11"),
    ],
)
def test_worse_images_and_failures_are_regressions(change: dict[str, Any], reason: str) -> None:
    (compared,) = compare_reports(a_report(a_row()), a_report(a_row(**change)))
    assert (compared.verdict, compared.reason) == ("regression", reason)


def test_what_is_gone_is_named_and_what_never_was_is_no_news() -> None:
    before = a_report(a_row(), a_row(size="640x480"), ABSENT)
    assert verdicts(before, a_report(a_row())) == ["same", "missing", "same"]


def test_reports_that_share_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="no row in common"):
        compare_reports(a_report(a_row()), a_report(a_row(model="other")))
    with pytest.raises(UsageError, match="without rows"):
        compare_reports({}, a_report(a_row()))


def test_noise_alone_never_makes_a_regression() -> None:
    random = np.random.default_rng(0)
    runs = random.normal(6, 0.2, (60, 2, 9))
    for before, after in runs:
        reports = [
            a_report(a_row(round_p50_ms={str(i): float(t) for i, t in enumerate(times)}))
            for times in (before, after)
        ]
        assert verdicts(*reports)[0] in ("same", "unclear")


def test_a_report_survives_json(report: Report) -> None:
    again = json.loads(json.dumps(report, allow_nan=False))
    assert tables.markdown(again) == tables.markdown(report)
