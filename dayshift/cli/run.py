"""`dayshift run`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dayshift.cli.options import (
    Backend,
    JsonTo,
    Label,
    Lamps,
    Model,
    Precision,
    Provenance,
    Stabilise,
    Strength,
    parse_size_option,
)

if TYPE_CHECKING:
    from dayshift.runtime.streaming.control import Control

_RATE_KEPT = 0.9


def run(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A camera (0, /dev/video0, csi://0), rtsp:// or http:// address, gst:PIPELINE, "
            "screen://, video file, image folder or synthetic://?size=1280x720.",
        ),
    ],
    sinks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SINK",
            help="FILE.mp4, frames://DIR, segments://DIR, display://, http://[HOST]:PORT, "
            "v4l2loopback:///dev/videoN, null://; several are fine.  [default: display://, in a "
            "browser where there is no display]",
        ),
    ] = None,
    model: Model = "day2night",
    backend: Backend = "auto",
    precision: Precision = "auto",
    size: Annotated[
        str | None, typer.Option("--size", metavar="WxH", help="Ask the source for this size.")
    ] = None,
    strength: Strength = None,
    lamps: Lamps = None,
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy",
            metavar="P",
            help="latest drops frames to stay live, every translates all, adaptive gives up "
            "quality to keep the rate.  [default: latest for cameras, every for files]",
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate",
            metavar="FPS",
            min=1,
            help="Frames per second to keep; exit code 3 where a tenth of them was missing.",
        ),
    ] = None,
    loop: Annotated[
        bool, typer.Option("--loop", help="Begin a file or folder again at its end.")
    ] = False,
    duration: Annotated[
        float | None, typer.Option("--duration", metavar="S", help="Stop after S seconds.")
    ] = None,
    recordings: Annotated[
        Path,
        typer.Option(
            "--recordings", metavar="DIR", help="For what is recorded from the window or the page."
        ),
    ] = Path("recordings"),
    give_up: Annotated[
        float | None,
        typer.Option(
            "--give-up",
            metavar="S",
            min=0,
            help="Fail when a camera is away for S seconds; it is awaited for ever otherwise.",
        ),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(
            "--log",
            metavar="FILE",
            help="Append events, and the status of each second, as JSON lines.",
        ),
    ] = None,
    log_frames: Annotated[
        bool, typer.Option("--log-frames", help="With --log, a line for each frame too.")
    ] = False,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            metavar="[HOST:]PORT",
            help="Serve the status to Prometheus; on this machine only unless HOST says more.",
        ),
    ] = None,
    stabilise: Stabilise = False,
    provenance: Provenance = True,
    label: Label = False,
    json_to: JsonTo = None,
) -> None:
    """Stream a camera or a video through a model.

    Ctrl-C, or q in the window, ends the stream and completes the files. A camera that breaks off is
    awaited, and an engine that fails replaced.
    """
    from dayshift.cli.output import check_json_target, emit, note
    from dayshift.cli.progress import frame_progress
    from dayshift.cli.report import report_rows
    from dayshift.cli.stream_log import stream_log
    from dayshift.live import load_live, open_live
    from dayshift.marking import Marking
    from dayshift.outputs import Stage, check_outputs, open_outputs
    from dayshift.runtime.cores import lanes_for
    from dayshift.runtime.model import Building, load
    from dayshift.runtime.sinks.group import SinkGroup
    from dayshift.runtime.streaming.capture import check_policy, policy_for
    from dayshift.runtime.streaming.control import Control
    from dayshift.runtime.streaming.loading import Choice
    from dayshift.runtime.streaming.pipeline import run_pipeline
    from dayshift.runtime.streaming.service import told_to_service
    from dayshift.runtime.streaming.telemetry import open_telemetry
    from dayshift.runtime.uri import redact

    check_json_target(json_to)
    check_outputs(source, sinks or [])
    _check_duration(duration)
    size_wh, chosen, control = parse_size_option(size), check_policy(policy), Control()
    with ExitStack() as stack:
        stack.enter_context(stream_log())
        stack.enter_context(told_to_service(control))
        on_delivery = stack.enter_context(
            open_telemetry(control, log=log, every_frame=log_frames, metrics=metrics)
        )
        opened = stack.enter_context(
            open_live(source, control, size=size_wh, loop=loop, policy=chosen, give_up_s=give_up)
        )
        loaded = stack.enter_context(
            load(
                model,
                backend=backend,
                precision=precision,
                strength=strength,
                lamps=lamps,
                size=opened.size[::-1],
                lanes=lanes_for(policy_for(opened, chosen)),
                building=Building(in_background=True, on_change=_teller(control)),
            )
        )
        # A wish like any other, which outlives the model.
        control.change(strength=strength, lamps=lamps)
        note(loaded.selection)
        live = stack.enter_context(
            load_live(
                Choice(model, backend, precision), control, first=loaded, size=opened.size[::-1]
            )
        )
        if stabilise and loaded.has_memory:
            note(f"--stabilise left out: {loaded.name} has a memory that keeps its video steady")
        marking = Marking(provenance, label)
        stage = Stage(opened, loaded, model, control, marking.mark(loaded), recordings)
        outputs = open_outputs(stack, sinks or [], stage, note)
        group = SinkGroup(outputs, control.events)
        report = run_pipeline(
            opened,
            live,
            [group],
            policy=policy,
            rate=rate,
            duration_s=duration,
            on_progress=stack.enter_context(frame_progress(opened.name)),
            on_delivery=on_delivery,
            compose=marking.compose(is_stabilised=stabilise and not loaded.has_memory),
            control=control,
        )
    result = report.to_json()
    emit(result, report_rows(result), title=f"dayshift run: {redact(source)}", json_to=json_to)
    _check_run(group.failures, report.fps, rate)


def _check_duration(seconds: float | None) -> None:
    from dayshift.runtime.errors import UsageError

    if seconds is not None and not seconds > 0:  # written so that NaN fails too
        raise UsageError(f"got --duration {seconds:g}: expected seconds, more than 0")


def _teller(control: Control) -> Callable[[str], None]:
    """Return what tells a change of engine among the stream's events."""
    from dayshift.runtime.streaming.events import State

    def tell(line: str) -> None:
        control.events.tell("engine", "engine", State.RUNNING, line)

    return tell


def _check_run(failures: Sequence[Exception], fps: float, rate: float | None) -> None:
    """Raise what a finished run has to answer for: a sink that was lost, a rate that was missed."""
    from dayshift.runtime.errors import GateError

    if failures:
        raise failures[0]
    if rate is not None and fps < _RATE_KEPT * rate:
        raise GateError(
            f"got {fps:.1f} frames/s, expected {rate:g}: a smaller --size, --precision int8 or "
            "--policy adaptive is faster"
        )
