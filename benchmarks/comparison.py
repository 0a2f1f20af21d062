"""Two reports of `dayshift bench --json`: what got slower, what got worse, and how sure that is.

The runs were at different times, so the machine's drift is between them. Each round of a run also
measured the machine itself (`peaks`), which drifts alike: a row counts as slower only where its
times are, and are also relative to the machine's own arithmetic in each run.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dayshift.benchmarks.statistics import Change, compare_rounds
from dayshift.runtime.errors import UsageError

TIME_TOLERANCE = 0.05
QUALITY_TOLERANCE_DB = 0.5
_KEYS = (
    "model",
    "backend",
    "device",
    "precision_requested",
    "size",
    "scenario",
    "threads",
    "streams",
    "batch",
)


@dataclass(frozen=True)
class Compared:
    """One row of both reports.

    Attributes:
        name: which row.
        verdict: `regression`, `improved`, `same`, `unclear`, or `missing` in B.
        change: B's times over A's; None without times in both.
        normalised: the same with each run's times relative to its machine at that time.
        reason: what the verdict is about.
    """

    name: str
    verdict: str
    change: Change | None
    normalised: Change | None
    reason: str


def compare_reports(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Compared]:
    """Compare every row of A with the same row of B.

    Raises:
        UsageError: A report has no rows, or the two have none in common.
    """
    for report in (before, after):
        if not isinstance(report.get("rows"), list):
            raise UsageError(
                "expected reports of dayshift bench --json, got something without rows"
            )
    new = {_key(row): row for row in after["rows"]}
    if not any(_key(row) in new for row in before["rows"]):
        raise UsageError(
            "the two reports have no row in common: expected the same models and sizes"
        )
    speeds = (_arithmetic(before), _arithmetic(after))
    return [_compare(row, new.get(_key(row)), speeds) for row in before["rows"]]


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in _KEYS)


def _arithmetic(report: Mapping[str, Any]) -> float | None:
    """Return the machine's own speed in that run, None where it was not measured."""
    rates = [
        peak["per_s"]["median"]
        for kind in ("int8", "fp32")
        if (peak := report.get("peaks", {}).get(kind)) and peak["per_s"]
    ]
    return statistics.geometric_mean(rates) if rates else None


def _compare(
    a: Mapping[str, Any], b: Mapping[str, Any] | None, speeds: tuple[float | None, float | None]
) -> Compared:
    name = " ".join(str(a[key]) for key in ("model", "backend", "precision_requested"))
    name += f" {a['size']} {a['scenario']}"
    if a["status"] != "passed":
        return Compared(name, "same", None, None, f"had no result before: {a['reason']}")
    if b is None:
        return Compared(name, "missing", None, None, "not in the second report")
    if b["status"] != "passed":
        return Compared(name, "regression", None, None, f"{b['status']} now: {b['reason']}")
    worse = _quality_loss(a, b)
    if worse:
        return Compared(name, "regression", None, None, worse)
    old, new = (list(row["round_p50_ms"].values()) for row in (a, b))
    change = compare_rounds(old, new, tolerance=TIME_TOLERANCE)
    normalised = None
    if speeds[0] is not None and speeds[1] is not None:
        # On a machine that ran at half its speed, twice the time is no change of the row.
        factor = speeds[1] / speeds[0]
        normalised = compare_rounds(old, [t * factor for t in new], tolerance=TIME_TOLERANCE)
    verdict = _verdict(change, normalised)
    return Compared(name, verdict, change, normalised, _REASONS[verdict])


_REASONS = {
    "regression": "slower, also relative to the machine",
    "improved": "faster, also relative to the machine",
    "same": "within 5 %",
    "unclear": "the limits are wider than the difference, or the machine itself changed",
}


def _verdict(change: Change, normalised: Change | None) -> str:
    verdicts = {change.verdict, *([normalised.verdict] if normalised else [])}
    if verdicts == {"slower"}:
        return "regression"
    if verdicts == {"faster"}:
        return "improved"
    return "same" if verdicts == {"same"} else "unclear"


def _quality_loss(a: Mapping[str, Any], b: Mapping[str, Any]) -> str | None:
    """Say by how much the images got worse; None where they did not."""
    if b["psnr_db"] is None:
        return None
    if a.get("identical"):
        return f"images were identical to the reference, now {b['psnr_db']:.1f} dB"
    if a["psnr_db"] is not None and b["psnr_db"] < a["psnr_db"] - QUALITY_TOLERANCE_DB:
        return f"images went from {a['psnr_db']:.1f} to {b['psnr_db']:.1f} dB"
    return None
