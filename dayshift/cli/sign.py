"""`dayshift sign`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from dayshift.cli.options import JsonTo


def sign(
    model: Annotated[Path, typer.Argument(metavar="DIR", help="A model folder.")],
    key: Annotated[
        Path,
        typer.Option(
            "--key",
            metavar="PEM",
            help="The private key, Ed25519; its passphrase from DAYSHIFT_KEY_PASSPHRASE.",
        ),
    ],
    version: Annotated[
        int | None,
        typer.Option(
            "--version", metavar="N", min=1, help="Devices only go up.  [default: the time]"
        ),
    ] = None,
    frame: Annotated[
        Path | None,
        typer.Option("--frame", metavar="IMAGE", help="What devices try the model with."),
    ] = None,
    min_psnr: Annotated[
        float,
        typer.Option(
            "--min-psnr",
            metavar="DB",
            min=1,
            max=100,
            help="With --frame: how near a device must come to the image that is made here.",
        ),
    ] = 30.0,
    json_to: JsonTo = None,
) -> None:
    """Sign a model folder, for dayshift update: adds update.json and update.sig to it."""
    from dayshift.cli.output import check_json_target, emit
    from dayshift.runtime.updates.manifest import read_private_key
    from dayshift.runtime.updates.sign import sign_model

    check_json_target(json_to)
    private = read_private_key(key, os.environ.get("DAYSHIFT_KEY_PASSPHRASE"))
    number = int(time.strftime("%Y%m%d%H%M%S", time.gmtime())) if version is None else version
    manifest = sign_model(model, private, number, frame=frame, min_psnr_db=min_psnr)
    rows = [
        ("model", manifest.model),
        ("version", str(manifest.version)),
        ("files", ", ".join(file.path for file in manifest.files)),
    ]
    result = manifest.model_dump(mode="json")
    emit(result, rows, title=f"dayshift sign: {model}", json_to=json_to)
