"""`dayshift translate`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dayshift.cli.options import (
    Backend,
    JsonTo,
    Label,
    Model,
    Precision,
    Provenance,
    Stabilise,
    Strength,
)

if TYPE_CHECKING:
    from dayshift.jobs import Job
    from dayshift.translate import Outcome


def translate(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT", help="Images, videos, and folders of them."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the results go.")],
    model: Model = "day2night",
    backend: Backend = "auto",
    precision: Precision = "auto",
    strength: Strength = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Translate again what is in DIR already.")
    ] = False,
    stabilise: Stabilise = False,
    provenance: Provenance = True,
    label: Label = False,
    json_to: JsonTo = None,
) -> None:
    """Translate images and videos, every frame.

    A result has its input's name, and what lies below a folder keeps its place there. Results that
    exist are skipped: after an interruption, run the same command again to go on. Two inputs that
    would become one result are refused, and so is a result over an input. Sound is not copied.
    """
    from dayshift.cli.output import check_json_target, emit, note
    from dayshift.cli.progress import build_progress, file_progress
    from dayshift.jobs import plan_jobs
    from dayshift.marking import Marking
    from dayshift.runtime.cores import lanes_for
    from dayshift.runtime.model import Building, load
    from dayshift.runtime.sinks.base import make_folder
    from dayshift.translate import translate_files

    check_json_target(json_to)
    jobs = plan_jobs(inputs, out)
    make_folder(out)
    with build_progress() as on_build:
        opened = load(
            model,
            backend=backend,
            precision=precision,
            strength=strength,
            lanes=lanes_for("every"),
            building=Building(on_progress=on_build),
        )
    with opened as loaded:
        note(loaded.selection)
        started_at = time.perf_counter()
        with file_progress(len(jobs)) as (on_file, on_progress):
            outcome = translate_files(
                jobs,
                loaded,
                overwrite=overwrite,
                marking=Marking(provenance, label),
                is_stabilised=stabilise,
                on_file=on_file,
                on_progress=on_progress,
            )
        seconds = time.perf_counter() - started_at
    emit(
        _result(outcome, seconds),
        _rows(outcome, seconds, out),
        title="dayshift translate",
        json_to=json_to,
    )
    for _, line in outcome.failed:
        note(f"error: {line}")
    if outcome.failed:
        raise typer.Exit(1)


def _result(outcome: Outcome, seconds: float) -> dict[str, Any]:
    def pairs(jobs: list[Job]) -> list[dict[str, str]]:
        return [{"input": str(job.source), "output": str(job.result)} for job in jobs]

    return {
        "translated": pairs(outcome.translated),
        "skipped": pairs(outcome.skipped),
        "failed": [{"input": str(job.source), "error": line} for job, line in outcome.failed],
        "frames": outcome.frames,
        "seconds": seconds,
    }


def _rows(outcome: Outcome, seconds: float, out: Path) -> list[tuple[str, str]]:
    rate = f", {outcome.frames / seconds:.1f} frames/s" if outcome.frames else ""
    return [
        ("translated", f"{len(outcome.translated)} files, {outcome.frames} frames{rate}"),
        ("skipped", f"{len(outcome.skipped)} that were there already"),
        ("failed", f"{len(outcome.failed)}"),
        ("folder", str(out)),
    ]
