"""`dayshift info`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dayshift.cli.options import JsonTo
from dayshift.cli.printable import printable

if TYPE_CHECKING:
    from dayshift.runtime.spec import ModelSpec


def info(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A bundled name or a folder.")],
    card: Annotated[
        bool, typer.Option("--card", help="Print the whole card, as Markdown.")
    ] = False,
    bench: Annotated[
        Path | None,
        typer.Option(
            "--bench", metavar="FILE", help="With --card, the figures of a dayshift bench --json."
        ),
    ] = None,
    json_to: JsonTo = None,
) -> None:
    """Show a model's card and check its files."""
    from dayshift.cli.output import emit
    from dayshift.runtime.bundled import model_folder
    from dayshift.runtime.errors import UsageError
    from dayshift.runtime.model_files import load_spec, read_graph

    if bench is not None and not card:
        raise UsageError("--bench is for --card: give both")
    folder = model_folder(model)
    spec = load_spec(folder)
    for form in (spec.forms.full, spec.forms.maps):
        for file in form.files.values() if form else ():
            read_graph(folder, file)
    if card:
        from dayshift.card import model_card

        speed = "" if bench is None else _speed(bench, spec.name)
        typer.echo(printable(model_card(spec, speed=speed)), nl=False)
        return
    result = {"folder": str(folder), **spec.model_dump(mode="json")}
    rows = [*_card_rows(folder, spec), *_file_rows(spec), *_quality_rows(spec)]
    emit(result, rows, title=f"{spec.name}: {spec.summary}", json_to=json_to)


def _speed(path: Path, model: str) -> str:
    """Return what a report of `dayshift bench` says of a model, as Markdown."""
    from dayshift.benchmarks.readme import figures
    from dayshift.cli.bench import read_report
    from dayshift.runtime.errors import UsageError

    report = read_report(path)
    rows = [row for row in report["rows"] if row["model"] == model]
    if not rows:
        raise UsageError(f"{path} has no row of {model}: run dayshift bench {model} --json {path}")
    checks = {name: check for name, check in report["checks"].items() if name == model}
    return figures({**report, "rows": rows, "checks": checks})


def _card_rows(folder: Path, spec: ModelSpec) -> Iterator[tuple[str, str]]:
    yield "folder", f"{folder} (format version {spec.format_version})"
    yield "translates", f"{spec.domains.source} to {spec.domains.target}"
    yield "method", spec.method
    yield "network", f"{spec.network.name}, {spec.network.parameters:,} parameters"
    for name, control in (("strength", spec.controls.strength), ("lamps", spec.controls.lamps)):
        if control is not None:
            told = f"{control.minimum:g} to {control.maximum:g}, by default {control.default:g}"
            yield name, told
    yield "recipe", spec.training.recipe
    yield "training data", "; ".join(spec.training.data)
    yield "licence", spec.training.licence
    if spec.training.note:
        yield "note", spec.training.note


def _file_rows(spec: ModelSpec) -> Iterator[tuple[str, str]]:
    for name, form in (("full", spec.forms.full), ("maps", spec.forms.maps)):
        for precision, file in form.files.items() if form else ():
            size = f"{file.bytes / 1e6:.2f} MB"
            yield f"{name} {precision}", f"{file.path}, {size}, sha256 {file.sha256[:12]}… matches"


def _quality_rows(spec: ModelSpec) -> Iterator[tuple[str, str]]:
    for missing, reason in spec.refused.items():
        yield f"refused {missing}", reason
    for precision, quality in spec.quality.items():
        measured = [
            f"{label} {value:{form}}{unit}"
            for label, value, form, unit in (
                ("PSNR", quality.psnr_db, ".1f", " dB"),
                ("SSIM", quality.ssim, ".4f", ""),
                ("largest difference", quality.max_abs, "g", " levels"),
            )
            if value is not None
        ]
        told = ", ".join(measured) or "identical"
        yield f"quality {precision}", f"{told} to {quality.reference}, {quality.n_frames} frames"
