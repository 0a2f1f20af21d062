"""`dayshift distill`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dayshift.cli.options import (
    DataFolder,
    Device,
    DeviceCount,
    DryRun,
    JsonTo,
    Nodes,
    Overrides,
    RunFolder,
)

if TYPE_CHECKING:
    from dayshift.train.comparison import Comparison, Costs


def distill(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE", help="A TOML file, or a bundled one: distill-resnet, distill-omgd, …"
        ),
    ],
    teacher: Annotated[
        Path,
        typer.Option(
            "--teacher", metavar="CHECKPOINT", help="Of dayshift train, distill or import."
        ),
    ],
    direction: Annotated[
        str | None,
        typer.Option("--direction", metavar="D", help="Of the teacher: a_to_b or b_to_a."),
    ] = None,
    data: DataFolder = Path("data"),
    out: RunFolder = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    device: Device = "auto",
    devices: DeviceCount = 1,
    nodes: Nodes = 1,
    json_to: JsonTo = None,
) -> None:
    """Teach a small real-time network what a large one does; run it again to go on, exactly.

    Ends with both side by side: parameters, time on this machine, likeness on the recipe's
    validation images, or on those it trains on where it names none.
    """
    from dayshift.cli.extras import needs

    with needs("torch and lightning-fabric", extra="train"):
        from dayshift.train.checkpoint import load_checkpoint
        from dayshift.train.comparison import compare, costs_if_larger
        from dayshift.train.loop.devices import is_first_process, parse_devices
        from dayshift.train.recipe import find_recipe, load_recipe
        from dayshift.train.teacher import take_teacher
    from dayshift.cli.output import STDOUT, check_json_target, emit, note, print_table
    from dayshift.cli.progress import frame_progress
    from dayshift.cli.train import fit_recipe

    chosen, taught = take_teacher(
        load_recipe(find_recipe(recipe), overrides), str(teacher), direction
    )
    if dry_run:
        typer.echo(json.dumps(chosen.as_json(), indent=2))
        return
    check_json_target(json_to)
    wanted = parse_devices(device, devices, nodes)
    if is_first_process() and (costs := costs_if_larger(chosen, taught)):
        note(f"warning: the student is no smaller than its teacher: {_in_words(costs)}")
    folder = out or Path("runs") / chosen.name
    result, rows = fit_recipe(chosen, data, folder, wanted)
    if not is_first_process():
        return
    student = load_checkpoint(Path(result["checkpoint"])).network()
    with frame_progress("compare") as show:
        found = compare(chosen, data, taught, student, show)
    result["comparison"] = found.as_json()
    emit(result, rows, title=f"distilled {chosen.name}", json_to=json_to)
    if json_to != STDOUT:
        images = f"{found.images} {'held-out' if found.held_out else 'training'} images"
        title = f"{images}, PyTorch in single precision, {found.costs.device}"
        print_table(title, _table(found), ("", "teacher", "student", "ratio"))


def _table(found: Comparison) -> list[tuple[str, str, str, str]]:
    size = "{}x{}".format(*found.costs.size_wh)
    teacher, student = found.costs.teacher, found.costs.student
    return [
        (
            "parameters",
            f"{teacher.parameters:,}",
            f"{student.parameters:,}",
            f"{teacher.parameters / student.parameters:.2f}",
        ),
        (
            f"GMACs at {size}",
            f"{teacher.macs / 1e9:.2f}",
            f"{student.macs / 1e9:.2f}",
            f"{teacher.macs / student.macs:.2f}",
        ),
        (
            f"ms at {size}",
            f"{teacher.latency_ms:.2f}",
            f"{student.latency_ms:.2f}",
            f"{found.costs.latency_ratio:.2f}",
        ),
        ("PSNR to the teacher, dB", "", f"{found.psnr_db:.2f}", ""),
        ("SSIM to the teacher", "", f"{found.ssim:.4f}", ""),
    ]


def _in_words(costs: Costs) -> str:
    teacher, student = costs.teacher, costs.student
    return (
        f"{student.parameters / 1e6:.3g} M parameters and {student.macs / 1e9:.3g} GMACs against "
        f"{teacher.parameters / 1e6:.3g} M and {teacher.macs / 1e9:.3g}, "
        f"{costs.latency_ratio:.3g} times as fast here; set distill.student"
    )
