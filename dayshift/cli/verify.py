"""`dayshift verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dayshift.cli.options import JsonTo

if TYPE_CHECKING:
    from dayshift.runtime.provenance.verification import Verification


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A PNG, JPEG or MP4.")],
    trust: Annotated[
        Path | None,
        typer.Option("--trust", metavar="PEM", help="Authorities whose signatures to believe."),
    ] = None,
    json_to: JsonTo = None,
) -> None:
    """Say whether a file is marked as AI-translated, and whether it was changed since.

    Exit code 0: authentic (signed and unchanged) or marked (tags only, so a change would not show).
    Exit code 3: tampered or unmarked.
    """
    from dayshift.cli.output import emit
    from dayshift.runtime.errors import UsageError
    from dayshift.runtime.provenance.verification import verify_file

    try:
        authorities = None if trust is None else trust.read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot read --trust {trust} ({error.strerror}): name a PEM file"
        ) from None
    found = verify_file(file, authorities=authorities)
    emit(found.to_json(), _rows(found), title=f"dayshift verify: {file}", json_to=json_to)
    if found.status in ("tampered", "unmarked"):
        raise typer.Exit(3)


def _rows(found: Verification) -> list[tuple[str, str]]:
    rows = [
        ("status", found.status),
        ("that is", found.detail),
        ("signer", found.signer),
        ("model", found.model),
        ("model hash", found.model_sha256),
        ("settings", found.settings),
        ("problems", ", ".join(found.problems)),
    ]
    return [(name, value) for name, value in rows if value]
