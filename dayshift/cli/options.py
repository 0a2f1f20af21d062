"""Options that several verbs share, and how their values are read."""

from __future__ import annotations

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
        help="auto, tensorrt, openvino or onnxruntime; onnxruntime:cuda names its provider.",
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
Provenance = Annotated[
    bool,
    typer.Option(
        "--provenance/--no-provenance",
        help="Mark saved files as AI-translated, in their metadata; dayshift verify reads it.",
    ),
]
Stabilise = Annotated[
    bool,
    typer.Option(
        "--stabilise",
        help="Take flicker out of what a model without a memory makes of a video, by optical flow.",
    ),
]
Label = Annotated[
    bool, typer.Option("--label", help="Write AI-translated into a corner of every image.")
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
