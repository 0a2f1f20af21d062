"""`dayshift quantize`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dayshift.cli.options import JsonTo, parse_size_option

if TYPE_CHECKING:
    from dayshift.export.quantize import Outcome
    from dayshift.export.search import Trial


def quantize(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder with fp32.onnx.")],
    calibration: Annotated[
        list[str],
        typer.Option(
            "--calibration",
            metavar="SOURCE",
            help="Real frames (a folder, a video); a quarter of them is held out to compare on.",
        ),
    ],
    floor: Annotated[
        float, typer.Option("--floor", metavar="DB", help="Least PSNR of int8 to fp32.")
    ] = 38.0,
    budget: Annotated[
        float, typer.Option("--budget", metavar="S", help="Seconds to search for int8.")
    ] = 180.0,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="WxH", help="Calibrate at this size; 256x256 by default."),
    ] = None,
    json_to: JsonTo = None,
) -> None:
    """Write fp16 and int8 of a model, where each is good enough and faster on this machine.

    What is refused is recorded in model.json with its reason. int8.jpg shows the worst frame: fp32,
    int8, and eight times their difference.
    """
    from dayshift.cli.extras import needs

    with needs("onnx and onnxruntime", extra="export"):
        from dayshift.export.frames import read_frames
        from dayshift.export.quantize import Settings, quantize_model, with_floor
    from dayshift.cli.output import STDOUT, check_json_target, write_json

    check_json_target(json_to)
    size_wh = parse_size_option(size)
    settings = Settings(
        int8=with_floor(floor),
        budget_s=budget,
        size=(size_wh[1], size_wh[0]) if size_wh else None,
    )
    with trial_progress() as show:
        outcomes = quantize_model(model, read_frames(calibration, count=64), settings, show)
    if json_to is not None:
        precisions = [outcome.as_json() for outcome in outcomes]
        write_json({"model": str(model), "precisions": precisions}, json_to)
    if json_to != STDOUT:
        print_outcomes(outcomes)


@contextlib.contextmanager
def trial_progress() -> Iterator[Callable[[int, int, Trial], None]]:
    """Show how many trials of the search are done, and what the last one came to."""
    from dayshift.cli.progress import step_progress

    with step_progress("measuring") as show_step:

        def show(done: int, expected: int, trial: Trial) -> None:
            told = f"{trial.recipe}: {trial.psnr_db:.1f} dB, {trial.ratio:.2f} of fp32's time"
            show_step(done, expected, told)

        yield show


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Print what each precision came to."""
    from dayshift.cli.output import print_table

    if not outcomes:
        return
    rows = [
        (
            outcome.precision,
            "written" if outcome.refused is None else f"refused: {outcome.refused}",
            decibel(outcome.difference.psnr_db),
            decibel(outcome.difference.psnr_db_tile),
            f"{outcome.difference.ssim:.4f}",
            f"{outcome.difference.banding:.2%}",
            "" if outcome.ratio is None else f"{outcome.ratio:.2f}",
            outcome.how,
        )
        for outcome in outcomes
    ]
    headings = ("precision", "", "PSNR", "worst tile", "SSIM", "banding", "time of fp32", "how")
    print_table("against fp32 on held-out frames", rows, headings)


def decibel(value: float | None) -> str:
    """Print a PSNR."""
    return "identical" if value is None else f"{value:.1f} dB"
