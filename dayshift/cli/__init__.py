"""The command line: one module per verb, each importing what it needs when it is chosen."""

from dayshift.cli.app import main

__all__ = ["main"]
