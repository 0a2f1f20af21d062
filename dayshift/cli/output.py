"""Results on standard output or as JSON, notes on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dayshift.cli.printable import printable
from dayshift.runtime.sinks.base import PartialFile, write_file

if TYPE_CHECKING:
    from rich.console import Console

STDOUT = "-"
_PIPE_COLUMNS = 120


def emit(
    result: Mapping[str, Any], rows: Iterable[Sequence[str]], *, title: str, json_to: str | None
) -> None:
    """Print the result as a table, and write it as JSON where `--json` says.

    Args:
        result: What the machine reads.
        rows: What a person reads: a name and a value each.
        title: Printed above the table.
        json_to: A file, `-` for standard output in place of the table, or None.
    """
    if json_to != STDOUT:
        print_table(title, rows)
    if json_to is not None:
        write_json(result, json_to)


def check_json_target(json_to: str | None) -> None:
    """Raise now the SinkError that `write_json` would raise after an hour's work."""
    if json_to not in (None, STDOUT):
        PartialFile(Path(json_to)).discard()


def write_json(result: Mapping[str, Any], json_to: str) -> None:
    """Write `result` to a file in one step, or to standard output for `-`."""
    text = json.dumps(result, indent=2, allow_nan=False) + "\n"
    if json_to == STDOUT:
        typer.echo(text, nl=False)
    else:
        write_file(Path(json_to), text.encode())


def print_table(
    title: str, rows: Iterable[Sequence[str]], headings: Sequence[str] | None = None
) -> None:
    """Print rows on standard output; without headings the first column names the second."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=printable(title),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_header=headings is not None,
        show_edge=headings is not None,
        pad_edge=False,
    )
    for position, heading in enumerate(headings or ("", "")):
        # Paths are for copying: they are folded, never cut.
        table.add_column(heading, overflow="fold", style="cyan" if position == 0 else None)
    for row in rows:
        # Text, since a path with square brackets would be taken for markup.
        table.add_row(*(Text(printable(cell)) for cell in row))
    console().print(table)


def console() -> Console:
    """Return what prints on standard output."""
    from rich.console import Console

    # In a pipe or a log there is no width to keep to; rich would assume 80 columns.
    return Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS, highlight=False)


def note(line: str) -> None:
    """Tell the person at the terminal something that is not a result."""
    typer.echo(printable(line), err=True)
