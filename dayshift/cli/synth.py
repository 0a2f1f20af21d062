"""`dayshift synth`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dayshift.cli.options import JsonTo, parse_size_option


def synth(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the set.")],
    count: Annotated[int, typer.Option("--count", min=1, metavar="N", help="Scenes.")] = 10,
    seed: Annotated[
        int, typer.Option("--seed", min=0, metavar="S", help="Of the first scene; then S+1, …")
    ] = 0,
    size: Annotated[
        str, typer.Option("--size", metavar="WxH", help="Of the pictures.")
    ] = "512x288",
    times: Annotated[
        str,
        typer.Option(
            "--times",
            metavar="HOURS",
            help="day, golden, dusk, blue, night, or numbers from 0 (day) to 1 (night); "
            "night@0.3 burns three tenths of the lamps.",
        ),
    ] = "day,golden,dusk,blue,night",
    sequence: Annotated[
        int, typer.Option("--sequence", min=1, metavar="FRAMES", help="Frames of each scene.")
    ] = 1,
    fps: Annotated[float, typer.Option("--fps", metavar="F", min=0.1, help="Of sequences.")] = 10.0,
    samples: Annotated[
        int,
        typer.Option(
            "--samples", metavar="N", min=1, help="Light paths per pixel, before denoising."
        ),
    ] = 12,
    workers: Annotated[
        int, typer.Option("--workers", min=1, metavar="K", help="Processes; they share the cores.")
    ] = 1,
    python: Annotated[
        str | None,
        typer.Option(
            "--python", metavar="FILE", help="A Python that has bpy; this one by default."
        ),
    ] = None,
    keep_layers: Annotated[
        bool, typer.Option("--keep-layers", help="Keep the linear light as EXR files, too.")
    ] = False,
    json_to: JsonTo = None,
) -> None:
    """Render street scenes as exact pictures at several times of day, with labels, depth and flow.

    A scene depends on its seed alone. Run the same command again to go on where it stopped. Needs
    Blender's module (extra synth, GPL), which runs as a process of its own.
    """
    from dayshift.cli.output import check_json_target, emit
    from dayshift.cli.progress import frame_progress
    from dayshift.train.synth.light import parse_times
    from dayshift.train.synth.render import SetPlan, render_set

    check_json_target(json_to)
    size_wh = parse_size_option(size)
    assert size_wh is not None
    plan = SetPlan(
        out=out,
        seeds=range(seed, seed + count),
        size_wh=size_wh,
        times=parse_times(times),
        samples=samples,
        frames=sequence,
        fps=fps,
        keep_layers=keep_layers,
    )
    with frame_progress("scenes") as show:
        made = render_set(plan, workers=workers, python=python, on_scene=show)
    result = {
        "out": str(out),
        "scenes": count,
        "made": made,
        "pictures": made * sequence * len(plan.times),
        "times": {name: hour.t for name, hour in plan.times.items()},
        "size": size,
    }
    rows = [("folder", str(out)), ("scenes", f"{count}, of them {made} new"),
            ("hours", ", ".join(plan.times))]  # fmt: skip
    emit(result, rows, title="dayshift synth", json_to=json_to)
