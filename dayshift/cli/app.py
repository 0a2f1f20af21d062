"""The command `dayshift`: its verbs and what they have in common."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from dayshift import __version__
from dayshift.cli.bench import bench
from dayshift.cli.build import build
from dayshift.cli.demo import demo
from dayshift.cli.distill import distill
from dayshift.cli.doctor import doctor
from dayshift.cli.evaluate import evaluate
from dayshift.cli.export import export
from dayshift.cli.failure import exit_code_of
from dayshift.cli.import_ import import_
from dayshift.cli.info import info
from dayshift.cli.models import models
from dayshift.cli.quantize import quantize
from dayshift.cli.run import run
from dayshift.cli.serve_repository import serve_repository
from dayshift.cli.sign import sign
from dayshift.cli.synth import synth
from dayshift.cli.train import train
from dayshift.cli.translate import translate
from dayshift.cli.update import update
from dayshift.cli.verify import verify
from dayshift.runtime.uri import MOST_PIXELS

# No rich markup: plain help starts in a third of the time and prints the same in a pipe.
app = typer.Typer(
    name="dayshift",
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _verb in (
    demo,
    run,
    translate,
    train,
    distill,
    evaluate,
    synth,
    export,
    quantize,
    build,
    serve_repository,
    doctor,
    info,
    models,
    verify,
    sign,
    update,
    bench,
):
    app.command()(_verb)
app.command(name="import")(import_)  # a keyword is no name of a function


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dayshift {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,  # before the verb that is missing beside it is missed
            callback=_print_version,
            help="Print the version and exit.",
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            help="Show the traceback of an error; may stand anywhere. Also DAYSHIFT_DEBUG=1.",
        ),
    ] = False,
) -> None:
    """Translate images and live video with image-to-image GANs: webcam day to night in real time.

    Results go to standard output, all else to standard error. Exit codes: 0 done, 1 failed,
    2 wrong usage, 3 a stated limit was not met.
    """
    del version, debug  # done by the callback; taken out of the words by `main`
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: The words after `dayshift`; those of this process by default.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words or os.environ.get("DAYSHIFT_DEBUG", "") not in ("", "0")
    words = [word for word in words if word != "--debug"]
    # OpenCV reads it when it is imported, which is later.
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MOST_PIXELS))
    return exit_code_of(
        lambda: app(args=words, prog_name="dayshift", standalone_mode=False), debug=debug
    )
