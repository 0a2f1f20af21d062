"""A report as tables: for the terminal, as Markdown, as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

HEADINGS = (
    *("model", "backend", "precision", "size", "scenario", "fps", "p50 ms", "±", "p95", "p99"),
    *("x torch", "PSNR dB", "SSIM", "MiB", "of limit"),
)
# As many as fit into a terminal or a log without folding.
SHORT_HEADINGS = tuple(h for h in HEADINGS if h not in ("model", "p95", "p99", "MiB", "of limit"))

# Columns of words stand to the left, figures to the right.
WORDS = ("model", "backend", "precision", "size", "scenario", "what")


def cells(row: Mapping[str, Any]) -> list[str]:
    """Return what the table says about one row, under `HEADINGS`."""
    named = [row["model"], engine(row), precision(row), row["size"], scenario(row)]
    if row["latency_ms"] is None:
        return [*named, row["status"], *[""] * (len(HEADINGS) - len(named) - 1)]
    latency, interval = row["latency_ms"], row["p50_interval_ms"]
    share = (row["roofline"] or {}).get("share")
    rate = number(row["fps"])
    if row["status"] != "passed":
        rate = f"{rate} ({row['status']})"
    return [
        *named,
        rate,
        number(latency["p50"]),
        f"{50 * (interval['high'] - interval['low']) / interval['median']:.0f} %",
        number(latency["p95"]),
        number(latency["p99"]),
        "" if row["relative"] is None else f"{number(row['relative']['median'])}x",
        quality(row),
        "" if row["ssim"] is None else f"{row['ssim']:.4f}",
        "" if row["memory_mib"] is None else f"{row['memory_mib']:.0f}",
        "" if share is None else f"{100 * share['median']:.0f} %",
    ]


def short_cells(row: Mapping[str, Any]) -> list[str]:
    """Return what the terminal says about one row of a model, under `SHORT_HEADINGS`."""
    named = dict(zip(HEADINGS, cells(row), strict=True))
    return [named[heading] for heading in SHORT_HEADINGS]


def engine(row: Mapping[str, Any]) -> str:
    """Return the backend with its device where that is not the processor."""
    device = row["device"]
    return row["backend"] if device in (None, "", "CPU") else f"{row['backend']} on {device}"


def precision(row: Mapping[str, Any]) -> str:
    """Return the precision that ran, after what was asked for where that differs."""
    asked, actual = row["precision_requested"], row["precision_actual"]
    if actual is None:
        return str(asked)
    return actual if asked in ("auto", actual) else f"{asked}→{actual}"


def scenario(row: Mapping[str, Any]) -> str:
    """Return the scenario, with what is unusual about it."""
    unusual = [f"x{row['streams']}"] if row["streams"] > 1 else []
    unusual += [f"batch {row['batch']}"] if row["batch"] > 1 else []
    if row.get("threads_available", row["threads"]) != row["threads"]:
        unusual.append(f"{row['threads']} threads")
    return " ".join([row["scenario"], *unusual])


def quality(row: Mapping[str, Any]) -> str:
    """Return the PSNR as text: it has no number where images are identical."""
    if row.get("identical"):
        return "equal"
    return "" if row["psnr_db"] is None else f"{row['psnr_db']:.1f}"


def number(value: float) -> str:
    """Return three digits, as far as they stand behind the point."""
    magnitude = abs(value)
    if magnitude >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if magnitude >= 9.995 else f"{value:.2f}"


def measured(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows that have figures."""
    return [row for row in rows if row["latency_ms"] is not None]


def left_out(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a line for each row that has no figures, or lost them, with its reason."""
    return [
        " ".join([row["model"], engine(row), precision(row), row["size"], row["scenario"]])
        + f": {row['status']}, {row['reason']}"
        for row in rows
        if row["status"] != "passed"
    ]


def remarks(report: Mapping[str, Any]) -> list[str]:
    """Return each kind of warning once, with the rows it is said of."""
    told: dict[str, list[tuple[str, str]]] = {}
    for row in measured(report["rows"]):
        name = f"{row['model']} {engine(row)} {precision(row)} {row['size']} {row['scenario']}"
        for warning in row["warnings"]:
            kind = re.sub(r"[\d.]+", "#", warning)
            told.setdefault(kind, []).append((name, warning))
    return [
        f"{said[0][0]}: {said[0][1]}" + (f" (and {len(said) - 1} more rows)" if said[1:] else "")
        for said in told.values()
    ]


def machine_line(report: Mapping[str, Any]) -> str:
    """Return the machine in one line."""
    machine = report["machine"]
    words = [f"{machine['processor']}, {machine['cores']} cores"]
    words += [", ".join(machine["instructions"])] if machine["instructions"] else []
    words += ["virtual machine"] if machine["virtual"] else []
    words += [f"{machine['memory_gib']} GiB", machine["system"], f"Python {machine['python']}"]
    clocks = machine["governor"] or "not shown by this machine"
    words += [f"governor {clocks}", f"load {machine['load_1min']} at the start"]
    return ", ".join(words)


def check_lines(report: Mapping[str, Any]) -> list[str]:
    """Return what the comparisons with benchmark_app came to."""
    names = {
        "benchmark_app": "the graph alone against benchmark_app",
        "engine_share": "the engine in a stream against benchmark_app",
    }
    lines = []
    for model, checks in report["checks"].items():
        for key, check in checks.items():
            share = check["share"]
            told = (
                f"not done, {check['reason']}"
                if share is None
                else f"{share['median']:.3f} of its rate ({share['low']:.3f} to "
                f"{share['high']:.3f}; {check['ours_ms']:.2f} and "
                f"{check['benchmark_app_ms']:.2f} ms)"
            )
            lines.append(f"{model}, {names[key]}: {told}")
    return lines


def markdown(report: Mapping[str, Any]) -> str:
    """Return the report as a Markdown page."""
    lines = [
        "# Benchmark",
        "",
        f"{machine_line(report)}. dayshift {report['dayshift']}, {report['date']}.",
        "",
        *markdown_table(HEADINGS, [cells(row) for row in measured(report["rows"])]),
    ]
    for title, items in (
        ("Against the engine's own benchmark", check_lines(report)),
        ("Left out", left_out(report["rows"])),
        ("Remarks", remarks(report)),
    ):
        if items:
            lines += ["", f"## {title}", "", *(f"- {item}" for item in items)]
    return "\n".join(lines) + "\n"


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table, the first column to the left, figures to the right."""

    def line(texts: Iterable[str]) -> str:
        return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"

    rules = ["---" if heading in WORDS else "---:" for heading in headings]
    return [line(headings), line(rules), *(line(row) for row in rows)]


def csv_text(report: Mapping[str, Any]) -> str:
    """Return one line per row and one column per field, nested names joined by dots."""
    flat = [_flatten(row) for row in report["rows"]]
    names = list(dict.fromkeys(name for row in flat for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def _flatten(fields: Mapping[str, Any], start: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping) and name != "round_p50_ms":
            flat.update(_flatten(value, f"{start}{name}."))
        elif not isinstance(value, (list, Mapping)):
            flat[start + name] = value
        elif all(isinstance(item, str) for item in value) and not isinstance(value, Mapping):
            flat[start + name] = "; ".join(value)
    return flat
