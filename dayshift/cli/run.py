"""`dayshift run`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from dayshift.cli.options import (
    Backend,
    JsonTo,
    Label,
    Model,
    Precision,
    Provenance,
    Strength,
    parse_size_option,
)


def run(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A camera (0, /dev/video0), video file, image folder or synthetic://?size=1280x720.",
        ),
    ],
    sinks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SINK",
            help="FILE.mp4, frames://DIR, display://, http://[HOST]:PORT, null://; several are "
            "fine.  [default: display://, in a browser where there is no display]",
        ),
    ] = None,
    model: Model = "day2night",
    backend: Backend = "auto",
    precision: Precision = "auto",
    size: Annotated[
        str | None, typer.Option("--size", metavar="WxH", help="Ask the source for this size.")
    ] = None,
    strength: Strength = None,
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy",
            metavar="P",
            help="latest drops frames to stay live, every translates all.  "
            "[default: latest for cameras, every for files]",
        ),
    ] = None,
    duration: Annotated[
        float | None, typer.Option("--duration", metavar="S", help="Stop after S seconds.")
    ] = None,
    recordings: Annotated[
        Path,
        typer.Option(
            "--recordings", metavar="DIR", help="For what is recorded from the window or the page."
        ),
    ] = Path("recordings"),
    provenance: Provenance = True,
    label: Label = False,
    json_to: JsonTo = None,
) -> None:
    """Stream a camera or a video through a model.

    Ctrl-C, or q in the window, ends the stream and completes the files.
    """
    from dayshift.cli.output import check_json_target, emit, note
    from dayshift.cli.progress import frame_progress
    from dayshift.cli.report import report_rows
    from dayshift.marking import Marking
    from dayshift.outputs import Stage, open_outputs
    from dayshift.runtime.capture import check_policy, policy_for
    from dayshift.runtime.control import Control
    from dayshift.runtime.cores import lanes_for
    from dayshift.runtime.model import load
    from dayshift.runtime.pipeline import run_pipeline
    from dayshift.runtime.sources import open_source

    check_json_target(json_to)
    size_wh = parse_size_option(size)
    with ExitStack() as stack:
        opened = stack.enter_context(open_source(source, size=size_wh))
        loaded = stack.enter_context(
            load(
                model,
                backend=backend,
                precision=precision,
                strength=strength,
                size=opened.size[::-1],
                lanes=lanes_for(policy_for(opened, check_policy(policy))),
            )
        )
        note(loaded.selection)
        marking = Marking(provenance, label)
        control = Control()
        stage = Stage(opened, loaded, model, control, marking.mark(loaded), recordings)
        outputs = open_outputs(stack, sinks or [], stage, note)
        report = run_pipeline(
            opened,
            loaded,
            outputs,
            policy=policy,
            duration_s=duration,
            on_progress=stack.enter_context(frame_progress(opened.name)),
            compose=marking.compose(),
            control=control,
        )
    result = report.to_json()
    emit(result, report_rows(result), title=f"dayshift run: {source}", json_to=json_to)
