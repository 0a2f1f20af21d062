"""`dayshift train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dayshift.cli.options import JsonTo


def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A TOML file, or the name of a bundled recipe.")
    ],
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="Folder that the recipe's paths start in.")
    ] = Path("data"),
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Run folder; default runs/NAME.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a field: optimizer.steps=100."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the recipe as it would run, and stop.")
    ] = False,
    json_to: JsonTo = None,
) -> None:
    """Train a network; run the same command again to go on where it stopped."""
    from dayshift.cli.extras import needs

    with needs("torch", extra="train"):
        from dayshift.train.loop import fit
        from dayshift.train.recipe import find_recipe, load_recipe
    from dayshift.cli.output import emit
    from dayshift.cli.progress import frame_progress

    chosen = load_recipe(find_recipe(recipe), overrides)
    if dry_run:
        typer.echo(chosen.model_dump_json(indent=2))
        return
    folder = out or Path("runs") / chosen.name
    with frame_progress(chosen.name) as show:
        checkpoint = fit(
            chosen, data, folder, on_progress=lambda step, steps, _terms: show(step, steps)
        )
    result = {"checkpoint": str(checkpoint), "recipe": chosen.name, "steps": chosen.optimizer.steps}
    rows = [("checkpoint", str(checkpoint)), ("preview", str(folder / "preview.jpg"))]
    emit(result, rows, title=f"trained {chosen.name}", json_to=json_to)
