"""Puts a case, its opened model and its scenario together."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dayshift.benchmarks.cases import CAMERA_FPS, TORCH_BACKENDS, Case, model_spec
from dayshift.benchmarks.opening import Opened, open_case
from dayshift.benchmarks.scenarios import Batched, EngineAlone, Offline, SingleStream, Subject
from dayshift.runtime.backends import open_backend
from dayshift.runtime.backends.base import Array
from dayshift.runtime.errors import UsageError
from dayshift.runtime.image import Pixels
from dayshift.runtime.model import Model
from dayshift.runtime.model_files import read_graph


def open_subject(
    case: Case, frames: Sequence[Pixels], command: dict[str, Any]
) -> tuple[Opened | None, Subject]:
    """Open the model of a case and set up its scenario; a peak of the machine has no model.

    Args:
        case: what to measure.
        frames: real frames of the case's size.
        command: of the parent, with `clip` (what `file` reads) and `folder` (where it may write).
    """
    if case.backend == "peak":
        from dayshift.benchmarks.peaks import Peak

        return None, Peak(case.precision, case.threads)
    if case.backend in TORCH_BACKENDS:
        _limit_torch(case.threads)
    opened = open_case(case)
    translator = opened.translator
    if case.batch > 1:
        return opened, Batched(opened, frames, case.batch)
    if case.scenario == "engine":
        return opened, _engine_alone(case, opened)
    if case.scenario == "offline":
        return opened, Offline(translator, frames, case.streams)
    if case.scenario == "single-stream":
        return opened, SingleStream(translator, frames)
    return opened, _pipeline(case, opened, frames, command)


def _engine_alone(case: Case, opened: Opened) -> EngineAlone:
    """Open the graph that the model uses once more, without the model around it."""
    model: object = opened.translator
    if not isinstance(model, Model):
        raise UsageError(f"scenario engine is of model folders on an engine, not of {case.backend}")
    file = next(file for file in opened.form.files.values() if file.sha256 == model.sha256)
    graph = read_graph(model.folder, file)
    precision = next(p for p, other in opened.form.files.items() if other is file)
    asked = "bf16" if case.precision == "bf16" else precision
    backend = open_backend(case.backend, graph, opened.engine_shapes, asked)
    random = np.random.default_rng(0)
    inputs: dict[str, Array] = {
        name: random.integers(0, 2, shape, np.uint8)
        if name in ("frame", "labels")
        else np.ones(shape, "f4")
        for name, shape in opened.engine_shapes.items()
    }
    return EngineAlone(backend, inputs)


def _limit_torch(threads: int) -> None:
    """Set PyTorch's threads; where it is missing, opening the case says so."""
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(threads)


def _pipeline(
    case: Case, opened: Opened, frames: Sequence[Pixels], command: dict[str, Any]
) -> Subject:
    from dayshift.benchmarks import loops, pipelines

    translator = opened.translator
    folder = Path(tempfile.mkdtemp(dir=command["folder"]))
    if case.backend in TORCH_BACKENDS:
        opened.notes.append("read, translate, show or save in one thread, as tutorials have it")
        if case.scenario == "camera":
            return loops.webcam_loop(translator, frames, CAMERA_FPS)
        return loops.test_script_loop(translator, frames, folder)
    if case.scenario == "camera":
        ends = pipelines.camera_ends(frames, CAMERA_FPS)
    else:
        sink = command.get("sink", str(folder / "translated.mp4"))
        ends = pipelines.file_ends(str(command["clip"]), case.size_wh, sink)
    is_live = case.scenario == "camera"
    return pipelines.Stream(translator, frames[0], ends, is_live=is_live)


def describe(case: Case, opened: Opened | None, subject: Subject) -> dict[str, Any]:
    """Return what the engine says of itself, and what our timing includes."""
    if opened is None:
        return {"work": getattr(subject, "work", None)}
    translator = opened.translator
    spec = model_spec(case.model)
    on_cpu = translator.device == "CPU"
    return {
        "model_name": spec.name if spec else Path(case.model).stem,
        "backend": translator.backend_name,
        "backend_version": translator.backend_version,
        "device": translator.device,
        "precision_actual": translator.precision,
        "form": translator.form,
        "model_sha256": translator.sha256,
        "engine_shapes": {name: list(shape) for name, shape in opened.engine_shapes.items()},
        "macs": opened.macs,
        # Our timing has no way around them; trtexec leaves them out unless told otherwise.
        "copies": "all in host memory" if on_cpu else "to the device and back, included",
        "lanes": translator.lanes,
        "cuda_graph": True if translator.backend_name == "tensorrt" else None,
        "has_trained_weights": opened.has_trained_weights,
        "notes": opened.notes,
    }
