"""`dayshift doctor`."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from dayshift.cli.options import JsonTo

if TYPE_CHECKING:
    from rich.console import Console

    from dayshift.runtime.doctor.check import Check

_NAME_COLUMNS = 19
_INDENT = _NAME_COLUMNS + 3


def doctor(
    camera_test: Annotated[
        bool,
        typer.Option(
            "--camera-test", help="Also take a second of frames from every camera; one is needed."
        ),
    ] = False,
    json_to: JsonTo = None,
) -> None:
    """Say what works on this machine, and the command that mends what does not.

    Exit code 0: the main job can run (a model translates a frame, with a way in and a way out).
    Exit code 1: it cannot. What is merely absent here is listed, and fails nothing.
    """
    from dayshift.cli.output import STDOUT, check_json_target, console, write_json
    from dayshift.runtime.doctor.diagnosis import can_run, diagnose

    check_json_target(json_to)
    screen = None if json_to == STDOUT else console()
    checks = []
    for check in diagnose(camera_test=camera_test):
        checks.append(check)
        if screen is not None:
            _show(screen, check)
    ok = can_run(checks)
    if screen is not None:
        _show_end(screen, checks, ok)
    if json_to is not None:
        write_json({"ok": ok, "checks": [check.to_json() for check in checks]}, json_to)
    if not ok:
        raise typer.Exit(1)


def _show(screen: Console, check: Check) -> None:
    """Print a finding, and under it its mend."""
    from rich.text import Text

    mark, style = (
        ("✓", "green") if check.ok else ("✗", "red") if check.is_needed else ("•", "yellow")
    )
    name = f"{check.name:{_NAME_COLUMNS}} "
    # Folded by us, since rich fills what it folds with spaces; never within a path.
    detail = textwrap.fill(
        f"{'':{_INDENT}}{check.detail}",
        max(screen.width, 2 * _INDENT),
        subsequent_indent=" " * _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    line = Text.assemble(
        (f"{mark} ", style), (name, "bold" if check.is_needed else ""), detail[_INDENT:]
    )
    screen.print(line, soft_wrap=True)
    if check.fix is not None:
        # A mend stays one line, for copying.
        screen.print(Text(f"{'':{_INDENT}}→ {check.fix}", style="cyan"), soft_wrap=True)


def _show_end(screen: Console, checks: list[Check], ok: bool) -> None:
    absent = sum(not check.ok and not check.is_needed for check in checks)
    verdict = (
        "[bold green]dayshift can run here" if ok else "[bold red]dayshift cannot run here yet"
    )
    more = f"; {absent} optional things (•) are absent or could be better" if absent else ""
    screen.print(f"\n{verdict}[/]{more}")
