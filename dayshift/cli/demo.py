"""`dayshift demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dayshift.cli.options import Backend, JsonTo, Label, Precision, Provenance


def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the three files go.")
    ] = Path(),
    backend: Backend = "auto",
    precision: Precision = "auto",
    provenance: Provenance = True,
    label: Label = False,
    frames: Annotated[
        int | None,
        typer.Option("--frames", metavar="N", min=1, help="Only the first N frames of the clip."),
    ] = None,
    json_to: JsonTo = None,
) -> None:
    """Turn the bundled day clip to night.

    Writes demo.mp4 (source and translation side by side), demo.png (a contact sheet) and demo.json
    (the measurements). Needs no camera, no display and no network.
    """
    from dayshift.cli.output import check_json_target, emit
    from dayshift.cli.progress import frame_progress
    from dayshift.cli.report import report_rows
    from dayshift.demo import make_demo
    from dayshift.marking import Marking

    check_json_target(json_to)
    with frame_progress("demo") as on_progress:
        made = make_demo(
            out,
            backend=backend,
            precision=precision,
            frames=frames,
            marking=Marking(provenance, label),
            on_progress=on_progress,
        )
    rows = report_rows(made.result)
    rows += [(name, path) for name, path in made.result["files"].items()]
    emit(made.result, rows, title=f"dayshift demo: {made.result['model']}", json_to=json_to)
