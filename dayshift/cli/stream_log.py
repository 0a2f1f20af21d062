"""The log of a stream on standard error: what a person reads at two in the morning."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import typer


class _StreamHandler(logging.Handler):
    """Prints through typer, which finds the standard error of the moment, progress bar or not."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):  # a closed terminal must not end the stream
            typer.echo(self.format(record), err=True)


@contextlib.contextmanager
def stream_log() -> Iterator[None]:
    """Print what happens to a stream, a line each, with the time."""
    logger = logging.getLogger("dayshift")
    handler = _StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%Y-%m-%d %H:%M:%S"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
