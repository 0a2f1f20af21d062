"""`dayshift translate`."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dayshift.cli.options import (
    Backend,
    JsonTo,
    Label,
    Lamps,
    Model,
    Precision,
    Provenance,
    Stabilise,
    Strength,
)

if TYPE_CHECKING:
    from dayshift.executor import Executor
    from dayshift.jobs import Job
    from dayshift.runtime.model import Model as LoadedModel
    from dayshift.translate import Outcome


def translate(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT", help="Images, videos, and folders of them; s3://… and the like too."
        ),
    ],
    out: Annotated[str, typer.Option("--out", metavar="DIR|URI", help="Where the results go.")],
    model: Model = "day2night",
    backend: Backend = "auto",
    precision: Precision = "auto",
    strength: Strength = None,
    lamps: Lamps = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Translate again what is in DIR already.")
    ] = False,
    stabilise: Stabilise = False,
    provenance: Provenance = True,
    label: Label = False,
    segment: Annotated[
        float,
        typer.Option(
            "--segment",
            metavar="SECONDS",
            min=0.1,
            help="Videos are cut at key frames into parts of at least this length; what a kill "
            "costs, and what the workers of a cluster share.",
        ),
    ] = 10.0,
    warm_up: Annotated[
        int,
        typer.Option(
            "--warm-up",
            metavar="FRAMES",
            min=0,
            help="How much earlier a part begins for a model with a memory, or --stabilise.",
        ),
    ] = 24,
    retries: Annotated[
        int,
        typer.Option(
            "--retries",
            metavar="N",
            min=0,
            help="How often a part is done again whose worker was lost or whose network failed.",
        ),
    ] = 2,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            metavar="ray[://HOST:PORT]",
            help="Let a Ray cluster do it: the one of this machine or RAY_ADDRESS, or another.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", metavar="N", min=1, help="Of the cluster; all it has room for otherwise."
        ),
    ] = None,
    cpus: Annotated[
        float,
        typer.Option("--cpus", metavar="F", min=0.01, help="Processors of a worker, or a part."),
    ] = 1.0,
    gpus: Annotated[
        float, typer.Option("--gpus", metavar="F", min=0.0, help="GPUs of a worker, or a part.")
    ] = 0.0,
    start_timeout: Annotated[
        float,
        typer.Option(
            "--start-timeout", metavar="SECONDS", min=1.0, help="How long no worker may be there."
        ),
    ] = 120.0,
    task_timeout: Annotated[
        float,
        typer.Option(
            "--task-timeout",
            metavar="SECONDS",
            min=1.0,
            help="How long a worker may take for a part before it is replaced.",
        ),
    ] = 3600.0,
    json_to: JsonTo = None,
) -> None:
    """Translate images and videos, every frame, with their sound.

    A result has its input's name, and what lies below a folder keeps its place there. Results that
    exist are skipped, and so are the parts of a video that are done: after an interruption, run the
    same command again to go on. Two inputs that would become one result are refused, and so is a
    result over an input.
    """
    from dayshift.cli.output import check_json_target, emit, note
    from dayshift.cli.progress import file_progress
    from dayshift.executor import Here
    from dayshift.jobs import plan_jobs
    from dayshift.marking import Marking
    from dayshift.places import is_local, place_of
    from dayshift.runtime.errors import UsageError
    from dayshift.runtime.sinks.base import make_folder
    from dayshift.tasks import Request
    from dayshift.translate import run_jobs

    check_json_target(json_to)
    target, *sources = (place_of(text) for text in (out, *inputs))
    if cluster is not None:  # its workers have folders of their own
        target, *sources = (place.absolute() for place in (target, *sources))
    jobs = plan_jobs(sources, target)
    if not jobs:
        note(f"no image and no video in {', '.join(map(str, sources))}: nothing to translate")
    if is_local(target):
        make_folder(target)
    request = Request(Marking(provenance, label), stabilise, overwrite, segment, warm_up)
    with ExitStack() as stack:
        executor: Executor
        if cluster is not None:
            from dayshift.ray_cluster import Cluster, RayExecutor
            from dayshift.ray_worker import order_model

            if any(text.startswith("memory:") for text in (*inputs, out)):
                raise UsageError("got memory:// with --cluster: its machines do not share a memory")
            order = order_model(model, backend, precision, strength, lamps)
            wanted = Cluster(cluster, workers, cpus, gpus, start_timeout, task_timeout)
            executor = there = stack.enter_context(RayExecutor(wanted, order, request))
            note(there.selection)
        else:
            loaded = stack.enter_context(_load(model, backend, precision, strength, lamps))
            note(loaded.selection)
            if stabilise and loaded.has_memory:
                note(f"--stabilise left out: {loaded.name} has a memory that keeps videos steady")
            executor = Here(loaded, request)
        started_at = time.perf_counter()
        with file_progress(len(jobs)) as (on_file, on_progress):
            outcome = run_jobs(
                jobs, executor, retries=retries, on_file=on_file, on_progress=on_progress
            )
        seconds = time.perf_counter() - started_at
    result, rows = _result(outcome, seconds), _rows(outcome, seconds, out)
    emit(result, rows, title="dayshift translate", json_to=json_to)
    for _, line in outcome.failed:
        note(f"error: {line}")
    if outcome.failed:
        raise typer.Exit(1)


def _load(
    model: str, backend: str, precision: str, strength: float | None, lamps: float | None
) -> LoadedModel:
    """Load a model for this machine; TensorRT's build is waited for and shown."""
    from dayshift.cli.progress import build_progress
    from dayshift.runtime.cores import lanes_for
    from dayshift.runtime.model import Building, load

    with build_progress() as on_build:
        return load(
            model,
            backend=backend,
            precision=precision,
            strength=strength,
            lamps=lamps,
            lanes=lanes_for("every"),
            building=Building(on_progress=on_build),
        )


def _result(outcome: Outcome, seconds: float) -> dict[str, Any]:
    def pair(job: Job) -> dict[str, str]:
        return {"input": str(job.source), "output": str(job.result)}

    return {
        "translated": [{**pair(job), "sha256": sha256} for job, sha256 in outcome.translated],
        "skipped": [pair(job) for job in outcome.skipped],
        "failed": [{"input": str(job.source), "error": line} for job, line in outcome.failed],
        "frames": outcome.frames,
        "seconds": seconds,
        "cpu_seconds": outcome.cpu_s,
        "retries": outcome.retries,
    }


def _rows(outcome: Outcome, seconds: float, out: str) -> list[tuple[str, str]]:
    rate = f", {outcome.frames / seconds:.1f} frames/s" if outcome.frames else ""
    frames = _count(outcome.frames, "frame")
    return [
        ("translated", f"{_count(len(outcome.translated), 'file')}, {frames}{rate}"),
        ("skipped", f"{len(outcome.skipped)} that were there already"),
        ("failed", f"{len(outcome.failed)}"),
        ("folder", out),
    ]


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
