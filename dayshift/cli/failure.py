"""What a failed command prints and which exit code it leaves."""

from __future__ import annotations

import contextlib
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from types import FrameType

import typer

from dayshift.cli.printable import printable
from dayshift.runtime.errors import DayshiftError

INTERRUPTED = 130  # what shells give a command that Ctrl-C ended


def exit_code_of(command: Callable[[], int | None], *, debug: bool) -> int:
    """Run `command`; turn an exception into one line on standard error and an exit code.

    Args:
        command: Returns its exit code; None is 0.
        debug: Print the traceback before the line.
    """
    try:
        with _terminate_like_interrupt():
            code = command() or 0
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:  # the last resort of the process
        if debug:
            traceback.print_exc()
        line, code = _describe(error)
        _say(f"error: {line}")
        return code
    if code == INTERRUPTED:  # typer takes most interrupts for itself, and says nothing
        _say("interrupted")
    return code


def _describe(error: Exception) -> tuple[str, int]:
    """Return the one line that is said about `error`, and the exit code."""
    if isinstance(error, DayshiftError):
        return _one_line(str(error)), error.exit_code
    if isinstance(error, typer.TyperException):
        return (
            f"{_one_line(error.format_message()).rstrip('.')}; see {_help_command(error)}",
            error.exit_code,
        )
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename is not None else ""
        return f"{name}{error.strerror}", 1
    shown = _one_line(f"{type(error).__name__}: {error}")
    return f"{shown} (this is a bug in dayshift; add --debug for the traceback)", 1


def _help_command(error: typer.TyperException) -> str:
    """Return the command that explains the verb in which a usage error was made."""
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'dayshift'} --help"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _say(line: str) -> None:
    # The terminal's line may hold half a progress bar or an echoed ^C.
    if sys.stderr.isatty():
        typer.echo(err=True)
    typer.echo(printable(line), err=True)


@contextlib.contextmanager
def _terminate_like_interrupt() -> Iterator[None]:
    """Let SIGTERM (`timeout`, `docker stop`, systemd) end a command as cleanly as Ctrl-C does."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
