"""`dayshift build`."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dayshift.cli.options import JsonTo, Precision, parse_size_option
from dayshift.runtime.errors import UsageError

if TYPE_CHECKING:
    from dayshift.runtime.backends import BuildProgress
    from dayshift.runtime.model import Building


def build(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A bundled name or a folder.")],
    backend: Annotated[
        str, typer.Option("--backend", metavar="B", help="tensorrt, openvino or onnxruntime.")
    ],
    precision: Precision = "auto",
    size: Annotated[
        str, typer.Option("--size", metavar="WxH", help="Frames that it is to be fastest at.")
    ] = "1280x720",
    smallest: Annotated[
        str | None,
        typer.Option("--smallest", metavar="WxH", help="One engine for frames from this size …"),
    ] = None,
    largest: Annotated[
        str | None, typer.Option("--largest", metavar="WxH", help="… to this. TensorRT only.")
    ] = None,
    level: Annotated[
        int,
        typer.Option(
            "--level",
            metavar="N",
            min=0,
            max=5,
            help="TensorRT: 0 builds fastest, 5 gives the fastest engine.",
        ),
    ] = 3,
    hardware_compatible: Annotated[
        bool,
        typer.Option(
            "--hardware-compatible",
            help="TensorRT: run on every desktop GPU from Ampere on; slower.",
        ),
    ] = False,
    show_commands: Annotated[
        bool,
        typer.Option(
            "--show-commands",
            help="Print the trtexec and polygraphy commands of the same build, and build nothing.",
        ),
    ] = False,
    json_to: JsonTo = None,
) -> None:
    """Compile a model ahead of time into this user's private cache.

    TensorRT takes minutes for what it builds, and every device, driver and frame size needs an
    engine of its own; a stream then starts at once. The other backends compile in a moment at every
    start: here they show that they can.
    """
    from dayshift.runtime.backends import BuildOptions
    from dayshift.runtime.model import Building

    options = BuildOptions(level, hardware_compatible)
    building = Building(options, _height_width(smallest), _height_width(largest))
    best = _height_width(size)
    assert best is not None  # it has a default
    if show_commands:
        if backend != "tensorrt":
            raise UsageError(
                f"--show-commands is for TensorRT: expected --backend tensorrt, got {backend}"
            )
        _show_commands(model, precision, best, building)
        return
    result = _build(model, backend, precision, best, building, json_to)
    _emit(model, result, json_to)


def _height_width(text: str | None) -> tuple[int, int] | None:
    size_wh = parse_size_option(text)
    return None if size_wh is None else size_wh[::-1]


def _build(
    model: str,
    backend: str,
    precision: str,
    size: tuple[int, int],
    building: Building,
    json_to: str | None,
) -> dict[str, Any]:
    """Load the model, which compiles it, and tell what came of it."""
    from dayshift.cli.output import check_json_target
    from dayshift.cli.progress import build_progress
    from dayshift.runtime.model import load

    check_json_target(json_to)
    phases: list[str] = []
    started_at = time.perf_counter()
    with build_progress() as show:

        def tell(progress: BuildProgress) -> None:
            phases.append(progress.phase)
            show(progress)

        told = dataclasses.replace(building, on_progress=tell)
        with load(model, backend=backend, precision=precision, size=size, building=told) as loaded:
            return {
                "model": loaded.name,
                "backend": loaded.backend_name,
                "backend_version": loaded.backend_version,
                "device": loaded.device,
                "precision_requested": loaded.precision_requested,
                "precision_actual": loaded.precision,
                "size": f"{size[1]}x{size[0]}",
                "seconds": time.perf_counter() - started_at,
                "was_cached": loaded.artifact is not None and not phases,
                "artifact": None if loaded.artifact is None else str(loaded.artifact),
                "model_sha256": loaded.sha256,
            }


def _emit(model: str, result: dict[str, Any], json_to: str | None) -> None:
    from dayshift.cli.output import emit

    kept = result["artifact"] or f"nothing: {result['backend']} compiles in a moment at every start"
    rows = [
        ("backend", f"{result['backend']} {result['backend_version']}"),
        ("device", result["device"]),
        ("precision", result["precision_actual"]),
        ("size", result["size"]),
        ("time", f"{result['seconds']:.1f} s{', was there' if result['was_cached'] else ''}"),
        ("keeps", kept),
    ]
    emit(result, rows, title=f"dayshift build: {model}", json_to=json_to)


def _show_commands(model: str, precision: str, size: tuple[int, int], building: Building) -> None:
    """Print what builds the same engine with NVIDIA's tools. Needs neither those nor a GPU."""
    from dayshift.runtime.backends import BuildOptions
    from dayshift.runtime.backends.shapes import ranges_of
    from dayshift.runtime.backends.trt_commands import polygraphy_command, trtexec_command
    from dayshift.runtime.bundled import model_folder
    from dayshift.runtime.choice import set_up
    from dayshift.runtime.engines import options_for
    from dayshift.runtime.graph_inputs import full_shapes
    from dayshift.runtime.model_files import load_spec

    folder = model_folder(model)
    spec = load_spec(folder)
    setup = set_up(spec, "tensorrt", precision, "full", "")
    form = spec.forms.full
    options = options_for(form, building) or BuildOptions()
    ranges = ranges_of(full_shapes(form, size), options)
    free = {} if form.size else {name: item for name, item in ranges.items() if len(item.best) > 1}
    graph, engine = folder / setup.file.path, Path(f"{spec.name}.engine")
    for command in (trtexec_command, polygraphy_command):
        typer.echo(command(graph, free, options, engine))
