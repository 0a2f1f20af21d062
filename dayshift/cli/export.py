"""`dayshift export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dayshift.cli.options import JsonTo, parse_size_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dayshift.export.parity import ParityRow


def export(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="Of dayshift train or dayshift import.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Model folder to write.")],
    frames: Annotated[
        list[str],
        typer.Option(
            "--frames",
            metavar="SOURCE",
            help="Frames to compare with PyTorch on; grey label maps for label networks.",
        ),
    ],
    calibration: Annotated[
        list[str] | None,
        typer.Option(
            "--calibration", metavar="SOURCE", help="Frames to quantize with; else fp32 alone."
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="WxH", help="Make the graph for this size alone."),
    ] = None,
    direction: Annotated[
        str | None,
        typer.Option("--direction", metavar="D", help="a_to_b or b_to_a, where it has both."),
    ] = None,
    segmenter: Annotated[
        Path | None,
        typer.Option(
            "--segmenter", metavar="ONNX", help="Makes labels of frames, before a label network."
        ),
    ] = None,
    instance_edges: Annotated[
        bool,
        typer.Option(
            "--instance-edges",
            help="SPADE was trained with instance maps: edges between labels stand for theirs.",
        ),
    ] = False,
    card: Annotated[
        Path | None,
        typer.Option(
            "--card",
            metavar="TOML",
            help="Its [card] says what the model is for and what not.  [default: the recipe's]",
        ),
    ] = None,
    json_to: JsonTo = None,
) -> None:
    """Export a checkpoint to a model folder and compare the graphs with PyTorch.

    SOURCE is a video, an image or a folder of images. Exit code 3: the pictures differ too much,
    and nothing is written.
    """
    from dayshift.cli.extras import needs

    with needs("torch, onnx and onnxruntime", extra="export"):
        from dayshift.export.frames import read_frames
        from dayshift.export.model_folder import Wanted, export_model
        from dayshift.train.checkpoint import load_checkpoint
        from dayshift.train.recipe import load_card
    from dayshift.cli.output import STDOUT, check_json_target, note, write_json
    from dayshift.cli.quantize import print_outcomes, trial_progress

    check_json_target(json_to)
    size_wh = parse_size_option(size)
    wanted = Wanted(
        direction=direction,
        size=(size_wh[1], size_wh[0]) if size_wh else None,
        segmenter=segmenter,
        edges=instance_edges,
        card=None if card is None else load_card(card),
    )
    loaded = load_checkpoint(checkpoint)
    with trial_progress() as show:
        exported = export_model(
            loaded,
            out,
            frames=read_frames(frames, count=24),
            calibration=read_frames(calibration, count=64) if calibration else (),
            wanted=wanted,
            on_trial=show,
        )
    if json_to is not None:
        result = {
            "model": str(out),
            "sizes": exported.statement,
            "parity": [row.as_json() for row in exported.parity],
            "precisions": [outcome.as_json() for outcome in exported.outcomes],
        }
        write_json(result, json_to)
    note(f"{out} {exported.statement}")
    if json_to != STDOUT:
        _print_parity(out, exported.parity)
        print_outcomes(exported.outcomes)


def _print_parity(out: Path, parity: Sequence[ParityRow]) -> None:
    from dayshift.cli.output import print_table
    from dayshift.cli.quantize import decibel

    rows = [
        (
            f"{row.form} fp32",
            row.backend,
            row.sizes,
            decibel(row.difference.psnr_db),
            decibel(row.difference.psnr_db_worst),
            f"{row.difference.ssim:.4f}",
            f"{row.difference.max_abs} levels",
        )
        for row in parity
    ]
    headings = ("graph", "backend", "sizes", "PSNR", "worst frame", "SSIM", "largest difference")
    print_table(f"{out}: against PyTorch on real frames", rows, headings)
