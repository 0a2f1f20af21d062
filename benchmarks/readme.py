"""Writes the README's table of figures from a committed report.

    python -m dayshift.benchmarks.readme REPORT.json README.md

The table stands between two comments in the page, so that nobody copies figures by hand.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dayshift.benchmarks.tables import (
    check_lines,
    engine,
    machine_line,
    markdown_table,
    measured,
    number,
    precision,
    quality,
    scenario,
)
from dayshift.runtime.errors import UsageError
from dayshift.runtime.sinks.base import write_file

BEGIN = "<!-- figures of dayshift bench: begin -->"
END = "<!-- figures of dayshift bench: end -->"
HEADINGS = ("model", "backend", "precision", "size", "scenario", "frames/s", "p50 ms")
_MORE = ("times PyTorch", "PSNR dB", "SSIM")


def main() -> None:
    """Write the table of a report into a page."""
    if len(sys.argv) != 3:
        sys.exit("usage: python -m dayshift.benchmarks.readme REPORT.json README.md")
    report, page = (Path(word) for word in sys.argv[1:])
    text = page.read_text(encoding="utf-8")
    figures = json.loads(report.read_text(encoding="utf-8"))
    write_file(page, with_figures(text, figures).encode())


def with_figures(page: str, report: Mapping[str, Any]) -> str:
    """Return the page with the report's table between its two comments.

    Raises:
        UsageError: The page lacks one of them.
    """
    return between(page, BEGIN, END, figures(report))


def between(page: str, begin: str, end: str, text: str) -> str:
    """Return the page with the text between its two comments.

    Raises:
        UsageError: The page lacks one of them.
    """
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise UsageError(f"expected the lines {begin!r} and {end!r} in the page")
    return f"{before}{begin}\n\n{text}\n{end}{after}"


def figures(report: Mapping[str, Any]) -> str:
    """Return what the README says: machine, table, and the comparison with benchmark_app."""
    rows = [row for row in measured(report["rows"]) if row["status"] == "passed"]
    lines = [
        f"{machine_line(report)}. One run, rows in turn; absolute times are this machine's.",
        "",
        *markdown_table((*HEADINGS, *_MORE), [_cells(row) for row in rows]),
    ]
    checks = check_lines(report)
    if checks:
        lines += ["", *(f"{line}." for line in checks)]
    return "\n".join(lines) + "\n"


def _cells(row: Mapping[str, Any]) -> list[str]:
    relative = row["relative"]
    return [
        row["model"],
        engine(row),
        precision(row),
        row["size"],
        scenario(row),
        number(row["fps"]),
        number(row["latency_ms"]["p50"]),
        "" if relative is None else f"{number(relative['median'])}x",
        quality(row),
        "" if row["ssim"] is None else f"{row['ssim']:.4f}",
    ]


if __name__ == "__main__":
    main()
