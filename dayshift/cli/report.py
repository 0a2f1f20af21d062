"""The report of a stream as rows for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def report_rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return name and value of what matters in a run's report."""
    latency = report["latency_ms"]
    precision = report["precision_actual"]
    if report["precision_requested"] not in ("auto", precision):
        precision = f"{precision} (asked for {report['precision_requested']})"
    stages = "  ".join(f"{name} {times['p50']:.1f}" for name, times in report["stages_ms"].items())
    dropped = f", {report['frames_dropped']} dropped" if report["frames_dropped"] else ""
    return [
        ("frames", f"{report['frames_out']} of {report['frames_in']}{dropped}"),
        ("time", f"{report['seconds']:.1f} s"),
        ("rate", f"{report['fps']:.1f} frames/s"),
        ("latency", "  ".join(f"{p} {latency[p]:.1f} ms" for p in ("p50", "p95", "p99"))),
        ("stages (ms)", stages),
        ("backend", f"{report['backend']} {report['backend_version']}"),
        ("precision", precision),
        ("device", report["device"]),
        ("size", report["size"]),
        ("model hash", f"{report['model_sha256'][:16]}…"),
    ]
