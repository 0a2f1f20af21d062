"""Options that several verbs share, and how their values are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dayshift.runtime.uri import Uri, parse_size

Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|DIR",
        help="A bundled model (see dayshift models) or a model folder.",
    ),
]
Backend = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="B",
        help="auto, tensorrt, openvino or onnxruntime; onnxruntime:cuda names its provider. Or a "
        "model server: kserve+grpc://HOST:PORT/MODEL.",
    ),
]
Precision = Annotated[
    str,
    typer.Option("--precision", metavar="P", help="auto, fp32, bf16, fp16 or int8."),
]
Strength = Annotated[
    float | None,
    typer.Option(
        "--strength",
        metavar="F",
        help="0 returns the input, 1 is the full effect; the model's own default otherwise.",
    ),
]
Lamps = Annotated[
    float | None,
    typer.Option(
        "--lamps",
        metavar="F",
        help="The share of the artificial light that burns, 0 to 1, in models that have the "
        "control.",
    ),
]
Provenance = Annotated[
    bool,
    typer.Option(
        "--provenance/--no-provenance",
        help="Mark saved PNG, JPEG and MP4 files as AI-translated, in their metadata; dayshift "
        "verify reads it.",
    ),
]
Stabilise = Annotated[
    bool,
    typer.Option(
        "--stabilise",
        help="Take flicker out of what a model without a memory makes of a video, by optical flow; "
        "one with a memory needs it not.",
    ),
]
Label = Annotated[
    bool, typer.Option("--label", help="Write AI-translated into a corner of every image.")
]
DataFolder = Annotated[
    Path, typer.Option("--data", metavar="DIR", help="Folder that the recipe's paths start in.")
]
RunFolder = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Run folder; default runs/NAME.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a field: run.precision=bf16."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the recipe as it would run, and stop.")
]
Device = Annotated[str, typer.Option("--device", metavar="D", help="auto, cpu or gpu.")]
DeviceCount = Annotated[
    int,
    typer.Option(
        "--devices", metavar="N", min=1, help="GPUs, or processes on the CPU, per machine."
    ),
]
Nodes = Annotated[
    int,
    typer.Option("--nodes", metavar="N", min=1, help="Machines; torchrun and srun know it."),
]
JsonTo = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE",
        help="Also write the result as JSON; - is standard output, in place of the table.",
    ),
]


def parse_size_option(text: str | None) -> tuple[int, int] | None:
    """Read the value of `--size` as (width, height); None stays None.

    Raises:
        UsageError: It is not a size.
    """
    return None if text is None else parse_size(text, Uri(f"--size {text}", "", ""))
