"""`dayshift train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dayshift.cli.options import JsonTo

if TYPE_CHECKING:
    from dayshift.train.loop.meter import Progress


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
        typer.Option("--set", metavar="KEY=VALUE", help="Change a field: run.precision=bf16."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the recipe as it would run, and stop.")
    ] = False,
    device: Annotated[
        str, typer.Option("--device", metavar="D", help="auto, cpu or gpu.")
    ] = "auto",
    devices: Annotated[
        int, typer.Option("--devices", min=1, help="GPUs, or processes on the CPU, per machine.")
    ] = 1,
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="Machines, under SLURM.")] = 1,
    json_to: JsonTo = None,
) -> None:
    """Train networks; run the same command again to go on where it stopped, exactly.

    Ctrl-C and SIGTERM save first. Under torchrun and srun each process finds its place by itself.
    """
    from dayshift.cli.extras import needs

    with needs("torch and lightning-fabric", extra="train"):
        from dayshift.train.recipe import find_recipe, load_recipe

        chosen = load_recipe(find_recipe(recipe), overrides)
        if dry_run:
            typer.echo(json.dumps(chosen.as_json(), indent=2))
            return
        from dayshift.train.loop.devices import parse_devices
        from dayshift.train.loop.fit import fit
    from dayshift.cli.output import emit
    from dayshift.cli.progress import train_progress

    folder = out or Path("runs") / chosen.name
    last: list[Progress] = []
    with train_progress(chosen.name) as show:

        def on_progress(now: Progress) -> None:
            last[:] = [now]
            show(now)

        checkpoint = fit(
            chosen,
            data,
            folder,
            devices=parse_devices(device, devices, nodes),
            on_progress=on_progress,
        )
    result: dict[str, Any] = {"checkpoint": str(checkpoint), "recipe": chosen.name}
    rows = [("checkpoint", str(checkpoint)), ("samples", str(folder / "samples"))]
    if last:
        done = last[0]
        result |= {
            "steps": done.steps,
            "images": done.images,
            "images_per_s": done.images_per_s,
            "wait_share": done.wait_share,
        }
        rows.append(("rate", f"{done.images_per_s:.1f} images/s, {done.wait_share:.0%} waiting"))
    emit(result, rows, title=f"trained {chosen.name}", json_to=json_to)
