"""`dayshift export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dayshift.cli.options import JsonTo


def export(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="checkpoint.safetensors of a run folder.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Model folder to write.")],
    calibration: Annotated[
        list[str],
        typer.Option("--calibration", metavar="SOURCE", help="Frames that set the int8 ranges."),
    ],
    frames: Annotated[
        list[str],
        typer.Option("--frames", metavar="SOURCE", help="Frames to compare with PyTorch on."),
    ],
    json_to: JsonTo = None,
) -> None:
    """Export a checkpoint to a model folder and compare every graph with PyTorch.

    SOURCE is a video, an image or a folder of images. Exit code 3: the pictures differ too much,
    and nothing is written.
    """
    from dayshift.cli.extras import needs

    with needs("torch, onnx and onnxruntime", extra="export"):
        from dayshift.export.frames import read_frames
        from dayshift.export.model_folder import export_model
        from dayshift.train.checkpoint import load_checkpoint
    from dayshift.cli.output import STDOUT, print_table, write_json

    parity = export_model(
        load_checkpoint(checkpoint),
        out,
        calibration=read_frames(calibration, count=64),
        frames=read_frames(frames, count=24),
    )
    if json_to is not None:
        write_json({"model": str(out), "parity": [row.as_json() for row in parity]}, json_to)
    if json_to == STDOUT:
        return
    headings = ("graph", "backend", "PSNR dB", "worst frame", "SSIM", "largest difference")
    rows = [
        (
            f"{row.form} {row.precision}",
            row.backend,
            "identical" if row.psnr_db is None else f"{row.psnr_db:.1f}",
            "identical" if row.psnr_db_worst is None else f"{row.psnr_db_worst:.1f}",
            f"{row.ssim:.4f}",
            f"{row.max_abs} levels",
        )
        for row in parity
    ]
    print_table(f"{out}: against PyTorch on real frames", rows, headings)
