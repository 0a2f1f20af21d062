"""The report as one HTML file: tables and plots, nothing fetched from anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from dayshift.benchmarks import plots, tables

_STYLE = """
:root{color-scheme:light dark;--ink:#1b1b19;--soft:#5c5b57;--faint:#dedcd4;--ground:#fcfcfb;
--s0:#2a78d6;--s1:#4a3aa7;--s2:#eb6834;--s3:#1baf7a;--s4:#eda100}
@media(prefers-color-scheme:dark){:root{--ink:#f0efec;--soft:#b3b1aa;--faint:#3a3936;--ground:#1a1a19;
--s0:#3987e5;--s1:#9085e9;--s2:#d95926;--s3:#199e70;--s4:#c98500}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--ground);
max-width:1180px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0 0 .3rem}h2{font-size:1.1rem;margin:2.2rem 0 .4rem}
p{margin:.3rem 0;color:var(--soft);max-width:75ch}ul{color:var(--soft);padding-left:1.2rem}
code{font-size:.85em;overflow-wrap:anywhere}.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums;white-space:nowrap}
th,td{padding:.25rem .6rem;border-bottom:1px solid var(--faint);text-align:right}
th{color:var(--soft);font-weight:600}td.w,th.w{text-align:left}
svg{display:block;width:100%;height:auto;font:12px system-ui,sans-serif}
text{fill:var(--ink)}text.tick{fill:var(--soft);font-size:11px}text.inside{fill:#fff;font-size:11px}
.grid{stroke:var(--faint);stroke-width:1}.whisker{stroke:var(--s0);stroke-width:1.5}
.box{fill:var(--s0);opacity:.55}.median{stroke:var(--ink);stroke-width:2}
.front{fill:none;stroke:var(--soft);stroke-dasharray:4 4}
.budget{stroke:var(--ink);stroke-dasharray:3 3}
.point{stroke:var(--ground);stroke-width:1.5}.line{fill:none;stroke-width:2}
.series0{fill:var(--s0);stroke:var(--s0)}.series1{fill:var(--s1);stroke:var(--s1)}
.series2{fill:var(--s2);stroke:var(--s2)}.series3{fill:var(--s3);stroke:var(--s3)}
.series4{fill:var(--s4);stroke:var(--s4)}polyline.line{fill:none}
.stage-capture{fill:var(--s1)}.stage-preprocess{fill:var(--s4)}.stage-infer{fill:var(--s0)}
.stage-postprocess{fill:var(--s3)}.stage-sink{fill:var(--s2)}
.key{display:inline-block;width:.8em;height:.8em;margin:0 .35em 0 1em;vertical-align:-.05em}
"""


def html_page(report: Mapping[str, Any]) -> str:
    """Return the page."""
    rows = tables.measured(report["rows"])
    parts = [
        f"<h1>dayshift bench</h1><p>{escape(tables.machine_line(report))}</p>",
        f"<p>dayshift {escape(report['dayshift'])}, {escape(report['date'])}. Every row ran in a "
        "process of its own and took its turns in rounds; compare within this page only.</p>",
        _section("Rows", _table(tables.HEADINGS, [tables.cells(row) for row in rows]), _ROWS_NOTE),
        *_plots(rows),
        _section("Limits of this machine", _peaks(report["peaks"]), _PEAKS_NOTE),
        _list("Against the engine's own benchmark", tables.check_lines(report)),
        _list("Left out", tables.left_out(report["rows"])),
        _list("Remarks", tables.remarks(report)),
        _commands(rows),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>dayshift bench</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


_ROWS_NOTE = (
    "± is half the width of the median's 95 % limits, over rounds. PSNR and SSIM are to the "
    "reference in fp32 on real frames. MiB is the most memory the row's process ever had. Of limit "
    "is the engine's share of what this machine can do at all (roofline)."
)
_PEAKS_NOTE = "Measured in the same rounds: convolutions that suit the engine, and large copies."


def _plots(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return []
    single = [row for row in rows if row["scenario"] in ("single-stream", "engine", "offline")]
    parts = [
        _section(
            "Latency", plots.latency_plot(rows), "Boxes from 25 to 75 %, lines from 5 to 95 %."
        ),
        _section("Rate and quality", plots.quality_plot(single), "Up and to the right is better."),
        _section("Where the time goes", plots.stage_plot(rows), _stage_key()),
        _section("Size", plots.scaling_plot(rows), ""),
    ]
    for row in rows:
        if row["events"]:
            title = f"{row['scenario']}: {row['model']} {tables.engine(row)} {row['size']}"
            parts.append(_section(f"Threads, {title}", plots.gantt_plot(row), _stage_key()))
    return parts


def _stage_key() -> str:
    return "".join(
        f'<span class="key" style="background:var(--s{number})"></span>{stage}'
        for stage, number in zip(plots.STAGES, (1, 4, 0, 3, 2), strict=True)
    )


def _section(title: str, content: str, note: str) -> str:
    if not content:
        return ""
    # The note is ours, never data: it may hold markup.
    return f"<h2>{escape(title)}</h2><p>{note}</p>{content}"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    kinds = ['class="w"' if heading in tables.WORDS else "" for heading in headings]

    def cells(tag: str, texts: Sequence[str]) -> str:
        told = zip(kinds, texts, strict=True)
        return "".join(f"<{tag} {kind}>{escape(text)}</{tag}>" for kind, text in told)

    lines = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    head = f"<thead><tr>{cells('th', headings)}</tr></thead>"
    return f'<div class="scroll"><table>{head}<tbody>{lines}</tbody></table></div>'


def _peaks(peaks: Mapping[str, Any]) -> str:
    rows = []
    for kind, peak in peaks.items():
        scale, unit = (1e9, "GB/s") if kind == "memory" else (1e9, "billion multiply-adds/s")
        told = (
            [peak["reason"] or "not measured", ""]
            if peak["per_s"] is None
            else [
                f"{tables.number(peak['per_s']['median'] / scale)} {unit}",
                f"{tables.number(peak['per_s']['low'] / scale)} to "
                f"{tables.number(peak['per_s']['high'] / scale)}",
            ]
        )
        rows.append([kind, *told])
    return _table(("what", "peak", "limits of the median"), rows)


def _list(title: str, items: Sequence[str]) -> str:
    if not items:
        return ""
    return f"<h2>{escape(title)}</h2><ul>{''.join(f'<li>{escape(i)}</li>' for i in items)}</ul>"


def _commands(rows: Iterable[Mapping[str, Any]]) -> str:
    commands = list(dict.fromkeys(command for row in rows for command in row["reproduce"]))
    if not commands:
        return ""
    items = "".join(f"<li><code>{escape(command)}</code></li>" for command in commands)
    return f"<h2>Check it yourself</h2><ul>{items}</ul>"
