"""`dayshift update`."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dayshift.cli.options import Backend, JsonTo
from dayshift.runtime.errors import UsageError

if TYPE_CHECKING:
    from dayshift.runtime.updates.install import Outcome


def update(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Keeps the versions of a model; dayshift run --model takes it."
        ),
    ],
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="DIR|URL", help="A model folder that was signed."),
    ] = None,
    keys: Annotated[
        list[Path] | None,
        typer.Option("--key", metavar="PEM", help="A public key to believe; several are fine."),
    ] = None,
    allow_older: Annotated[
        bool, typer.Option("--allow-older", help="Take a version that is not above the last one.")
    ] = False,
    backend: Backend = "auto",
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Go back to the version that was in use before.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Try the version in use; where it does not work, go back to the last that does.",
        ),
    ] = False,
    json_to: JsonTo = None,
) -> None:
    """Update a model from a signed folder, or go back.

    The update is verified, tried on this machine and put to use in one step; until then, and where
    any of it fails, the version in use stays. A stream that runs keeps the one it began with.
    """
    from dayshift.cli.output import check_json_target, emit
    from dayshift.runtime.updates import install
    from dayshift.runtime.updates.manifest import read_public_key
    from dayshift.runtime.updates.origin import Origin
    from dayshift.runtime.updates.trial import try_model
    from dayshift.runtime.updates.versions import Versions

    if [source is not None, rollback, check].count(True) != 1:
        raise UsageError("expected one of --from, --rollback and --check")
    check_json_target(json_to)
    versions, trial = Versions(folder), functools.partial(try_model, backend=backend)
    if rollback:
        outcome = install.go_back(versions)
    elif source is None:
        outcome = install.check(versions, trial=trial)
    else:
        if not keys:
            raise UsageError("expected --key: the public key of whoever signs the updates")
        outcome = install.install(
            versions,
            Origin(source),
            [read_public_key(key) for key in keys],
            allow_older=allow_older,
            trial=trial,
        )
    result = {
        "model": outcome.model,
        "version_before": outcome.before,
        "version": outcome.version,
        "reason": outcome.reason,
        "trial": None if outcome.trial is None else vars(outcome.trial),
        "folder": str(versions.path(outcome.version)),
    }
    emit(result, _rows(outcome), title=f"dayshift update: {folder}", json_to=json_to)


def _rows(outcome: Outcome) -> list[tuple[str, str]]:
    rows = [
        ("model", outcome.model),
        ("version before", "none" if outcome.before is None else str(outcome.before)),
        ("version", str(outcome.version)),
        ("because", outcome.reason),
    ]
    if outcome.trial is not None:
        near = outcome.trial.psnr_db
        told = "" if near is None else f", {near:.1f} dB from where it was signed"
        rows.append(("tried on", f"{outcome.trial.backend} {outcome.trial.precision}{told}"))
    return rows
