"""`dayshift train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dayshift.cli.options import (
    DataFolder,
    DeviceCount,
    DryRun,
    JsonTo,
    Nodes,
    Overrides,
    RunFolder,
)
from dayshift.cli.options import Device as DeviceName

if TYPE_CHECKING:
    from dayshift.train.loop.devices import Devices
    from dayshift.train.loop.meter import Progress
    from dayshift.train.recipe import Recipe


def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A TOML file, or the name of a bundled recipe.")
    ],
    data: DataFolder = Path("data"),
    out: RunFolder = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    device: DeviceName = "auto",
    devices: DeviceCount = 1,
    nodes: Nodes = 1,
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
        from dayshift.train.loop.devices import is_first_process, parse_devices, restart_may_hang
    from dayshift.cli.output import check_json_target, emit, note

    check_json_target(json_to)
    if restart_may_hang() and is_first_process():
        note(
            "warning: a restart by torchrun may hang: export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 "
            "on every machine before torchrun"
        )
    folder = out or Path("runs") / chosen.name
    result, rows = fit_recipe(chosen, data, folder, parse_devices(device, devices, nodes))
    if is_first_process():
        emit(result, rows, title=f"trained {chosen.name}", json_to=json_to)


def fit_recipe(
    recipe: Recipe, data: Path, folder: Path, devices: Devices
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Run a recipe with a progress bar; return what the machine and what a person reads of it."""
    from dayshift.cli.progress import train_progress
    from dayshift.train.loop.fit import fit

    last: list[Progress] = []
    with train_progress(recipe.name) as show:

        def on_progress(now: Progress) -> None:
            last[:] = [now]
            show(now)

        checkpoint = fit(recipe, data, folder, devices=devices, on_progress=on_progress)
    result: dict[str, Any] = {"checkpoint": str(checkpoint), "recipe": recipe.name}
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
    return result, rows
