"""`dayshift run`."""

from __future__ import annotations

from contextlib import ExitStack
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
            help="FILE.mp4, frames://DIR, display://, null://; several are fine.  [default: display://]",
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
    from dayshift.runtime.capture import check_policy, policy_for
    from dayshift.runtime.cores import lanes_for
    from dayshift.runtime.model import load
    from dayshift.runtime.pipeline import run_pipeline
    from dayshift.runtime.sinks import open_sink
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
        mark = marking.mark(loaded)
        outputs = [
            stack.enter_context(open_sink(uri, size=opened.size, fps=opened.fps, mark=mark))
            for uri in sinks or ["display://"]
        ]
        report = run_pipeline(
            opened,
            loaded,
            outputs,
            policy=policy,
            duration_s=duration,
            on_progress=stack.enter_context(frame_progress(opened.name)),
            compose=marking.compose(),
        )
    result = report.to_json()
    emit(result, report_rows(result), title=f"dayshift run: {source}", json_to=json_to)
