"""`dayshift bench`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dayshift.cli.options import JsonTo, parse_size_option

if TYPE_CHECKING:
    from dayshift.benchmarks.cases import Request


def bench(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="A bundled name, a model folder, a checkpoint, or a network such as "
            "resnet_9blocks as a baseline; several are fine.",
        ),
    ] = None,
    backends: Annotated[
        str | None,
        typer.Option(
            "--backends",
            metavar="B,B",
            help="Of openvino, onnxruntime, tensorrt, pytorch, torch.compile.  [default: all]",
        ),
    ] = None,
    precisions: Annotated[
        str | None,
        typer.Option(
            "--precisions",
            metavar="P,P",
            help="Of fp32, bf16, fp16, int8.  [default: what the model has]",
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option("--size", metavar="WxH,WxH", help="Sizes of the frames.  [default: 1280x720]"),
    ] = None,
    scenarios: Annotated[
        str | None,
        typer.Option(
            "--scenarios",
            metavar="S,S",
            help="Of engine, single-stream, offline, camera, file.  [default: all]",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="URI", help="Real frames.  [default: the bundled clip]"),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Also sizes, threads, streams and batch, at length.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Write the report with plots as HTML."),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the rows as CSV.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write the tables.")
    ] = None,
    json_to: JsonTo = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            "--compare",
            metavar="A B",
            help="Measure nothing: compare two reports; exit code 3 where B is worse.",
        ),
    ] = None,
    reproduce: Annotated[
        bool,
        typer.Option(
            "--reproduce",
            help="Measure nothing: print the engines' own commands that check each row.",
        ),
    ] = False,
) -> None:
    """Measure models on this machine: every backend and precision, speed beside image quality.

    Rows run in processes of their own and take turns, so that they can be compared although the
    machine drifts. Ctrl-C ends early and keeps what was measured.
    """
    if compare is not None:
        _compare(*compare, json_to)
        return
    from dayshift.benchmarks.cases import SCENARIOS, Request

    request = Request(
        models=tuple(models or ()),
        backends=_words(backends),
        precisions=_words(precisions),
        sizes_wh=tuple(size for word in _words(sizes) if (size := parse_size_option(word))),
        scenarios=tuple(s for s in SCENARIOS if s in _words(scenarios)),
        full=full,
    )
    _check_scenarios(scenarios, SCENARIOS)
    if reproduce:
        _print_commands(request)
        return
    _measure(request, source, {"html": plot, "csv": csv, "markdown": markdown}, json_to)


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip()) if text else ()


def _check_scenarios(text: str | None, known: tuple[str, ...]) -> None:
    from dayshift.runtime.errors import UsageError

    for word in _words(text):
        if word not in known:
            raise UsageError(f"unknown scenario {word!r}: expected some of {', '.join(known)}")


def _measure(
    request: Request, source: str | None, files: Mapping[str, Path | None], json_to: str | None
) -> None:
    from dayshift.benchmarks.suite import measure
    from dayshift.cli.output import STDOUT, check_json_target, write_json
    from dayshift.cli.progress import bench_progress

    for file in (*files.values(), json_to):
        check_json_target(None if file is None else str(file))
    with bench_progress() as on_progress:
        report = measure(request, source=source, on_progress=on_progress)
    if json_to != STDOUT:
        _print(report)
    if json_to is not None:
        write_json(report, json_to)
    _write(report, files)
    if report["interrupted"]:
        raise KeyboardInterrupt


def _print(report: Mapping[str, Any]) -> None:
    from dayshift.benchmarks import tables
    from dayshift.cli.output import note, print_table

    rows = tables.measured(report["rows"])
    for model in dict.fromkeys(row["model"] for row in rows):
        cells = [tables.short_cells(row) for row in rows if row["model"] == model]
        print_table(str(model), cells, headings=tables.SHORT_HEADINGS)
    note(tables.machine_line(report))
    for line in tables.check_lines(report):
        note(line)
    for line in tables.left_out(report["rows"]):
        note(f"left out: {line}")
    for line in tables.remarks(report):
        note(line)


def _write(report: Mapping[str, Any], files: Mapping[str, Path | None]) -> None:
    from dayshift.benchmarks import page, tables
    from dayshift.runtime.sinks.base import write_file

    makers = {"html": page.html_page, "csv": tables.csv_text, "markdown": tables.markdown}
    for kind, path in files.items():
        if path is not None:
            write_file(path, makers[kind](report).encode())


def _print_commands(request: Request) -> None:
    from dayshift.benchmarks.cases import plan_cases
    from dayshift.benchmarks.reproduce import command_lines
    from dayshift.benchmarks.session import label

    for case in plan_cases(request):
        commands = command_lines(case)
        if commands:
            typer.echo(f"# {label(case)}")
            for command in commands:
                typer.echo(command)


def read_report(path: Path) -> dict[str, Any]:
    """Return what `--json` wrote into a file.

    Raises:
        UsageError: It cannot be read, or is something else.
    """
    from dayshift.runtime.errors import UsageError

    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path} ({error.strerror}): expected a report") from error
    except ValueError as error:
        raise UsageError(f"{path} is not a report of dayshift bench --json: {error}") from error
    if not isinstance(report, dict) or not {"rows", "machine", "checks"} <= report.keys():
        raise UsageError(f"{path} is not a report of dayshift bench --json: it has no rows")
    return report


def _compare(before: Path, after: Path, json_to: str | None) -> None:
    from dataclasses import asdict

    from dayshift.benchmarks.comparison import compare_reports
    from dayshift.cli.output import STDOUT, print_table, write_json
    from dayshift.runtime.errors import GateError

    results = compare_reports(read_report(before), read_report(after))
    if json_to is not None:
        write_json({"rows": [asdict(result) for result in results]}, json_to)
    if json_to != STDOUT:
        rows = [
            (
                result.name,
                result.verdict,
                ""
                if (c := result.change) is None
                else f"{c.ratio:.2f} ({c.low:.2f} to {c.high:.2f})",
                "" if (n := result.normalised) is None else f"{n.ratio:.2f}",
                result.reason,
            )
            for result in results
        ]
        headings = ("row", "verdict", "time B/A", "to the machine", "reason")
        print_table(f"{before} and {after}", rows, headings=headings)
    worse = [result for result in results if result.verdict == "regression"]
    if worse:
        raise GateError(
            f"{len(worse)} of {len(results)} rows got worse, the first: "
            f"{worse[0].name}: {worse[0].reason}"
        )
