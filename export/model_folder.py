"""Checkpoint to model folder: both forms in every precision, compared, then put in place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx

from dayshift.export.core_graph import export_core, prepare
from dayshift.export.forms import full_form, maps_form
from dayshift.export.parity import ParityRow, check_parity, measure_parity
from dayshift.export.quantize import Feed, quantize_core
from dayshift.runtime import image as pixels
from dayshift.runtime import spec
from dayshift.runtime.errors import SinkError, UsageError
from dayshift.train.checkpoint import Checkpoint
from dayshift.train.networks.gain_light import STRIDE, GainLight
from dayshift.train.translator import TorchTranslator


def export_model(
    checkpoint: Checkpoint,
    out: Path,
    *,
    calibration: Sequence[pixels.Pixels],
    frames: Sequence[pixels.Pixels],
) -> list[ParityRow]:
    """Write a model folder for a checkpoint, replacing one that is there; return its parity.

    Args:
        checkpoint: from `train.checkpoint.load_checkpoint`.
        out: the folder to make.
        calibration: real frames that set the ranges of int8; not those of `frames`.
        frames: real frames on which every graph is compared with PyTorch.

    Raises:
        GateError: A graph's pictures differ too much; nothing is left at `out` that was not there.
        SinkError: `out` exists and is not a model folder.
    """
    if out.exists() and not (out / spec.SPEC_NAME).is_file():
        raise SinkError(
            f"{out} exists and is not a model folder: give a new --out, or remove it first"
        )
    network = checkpoint.network()
    if not isinstance(network, GainLight):
        raise UsageError(f"cannot export a {type(network).__name__}: expected gain_light")
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    part.mkdir(parents=True)
    try:
        forms = _write_graphs(network, part, calibration)
        references = [TorchTranslator(network)(frame) for frame in frames]
        _write_preview(part / "preview.jpg", frames[0], references[0])
        draft = _describe(checkpoint, network, forms)
        spec.save_spec(part, draft)
        rows = measure_parity(part, frames, references)
        check_parity(rows)
        spec.save_spec(part, draft.model_copy(update={"quality": _quality(rows)}))
        if out.exists():
            shutil.rmtree(out)
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return rows


def calibration_feeds(frames: Sequence[pixels.Pixels], short_side: int) -> list[Feed]:
    """Return core inputs for frames, shrunk as in deployment; every third is at half strength."""
    smalls = [pixels.pad_and_shrink(frame, short_side)[1] for frame in frames]
    # One size for all, since ONNX Runtime stacks what it collects.
    rows, columns = (min(s.shape[axis] for s in smalls) // STRIDE * STRIDE for axis in (0, 1))
    return [
        {
            "frame": _planar(small[:rows, :columns]),
            "strength": np.array([0.5 if index % 3 == 2 else 1.0], dtype=np.float32),
        }
        for index, small in enumerate(smalls)
    ]


def _write_graphs(
    network: GainLight, folder: Path, calibration: Sequence[pixels.Pixels]
) -> spec.Forms:
    short_side = network.config.short_side
    deployed = prepare(network)
    cores = {"fp32": export_core(deployed), "fp16": export_core(deployed, half=True)}
    cores["int8"] = quantize_core(cores["fp32"], calibration_feeds(calibration, short_side))
    full: dict[Any, spec.GraphFile] = {}
    maps: dict[Any, spec.GraphFile] = {}
    for precision, core in cores.items():
        full[precision] = _write(full_form(core, short_side), folder / f"{precision}.onnx")
        # The maps form is for CPUs, which compute fp16 graphs in fp32.
        if precision != "fp16":
            maps[precision] = _write(maps_form(core), folder / f"maps.{precision}.onnx")
    return spec.Forms(
        full=spec.FullForm(files=full, short_side=short_side),
        maps=spec.MapsForm(files=maps, short_side=short_side),
    )


def _write(graph: onnx.ModelProto, path: Path) -> spec.GraphFile:
    onnx.save(graph, path)
    return spec.describe_file(path)


def _describe(checkpoint: Checkpoint, network: GainLight, forms: spec.Forms) -> spec.ModelSpec:
    recipe, facts = checkpoint.recipe or {}, checkpoint.facts
    counts = facts.get("data", {})
    return spec.ModelSpec(
        format_version=1,
        name=recipe["name"],
        summary=recipe["summary"],
        method="relight",
        network=spec.Network(
            name="gain_light",
            parameters=sum(parameter.numel() for parameter in network.parameters()),
            config={"channels": list(network.config.channels), "blocks": network.config.blocks},
        ),
        domains=spec.Domains(source="day", target="night"),
        forms=forms,
        training=spec.Training(
            recipe=f"train/recipes/{recipe['name']}.toml",
            data=[f"{count} {kind}" for kind, count in counts.items()],
            licence=recipe["data"]["licence"],
            note=f"{checkpoint.step} steps, {facts.get('seconds', 0) / 60:.0f} minutes",
        ),
        preview="preview.jpg",
    )


def _quality(rows: Sequence[ParityRow]) -> dict[str, spec.Quality]:
    """Return the worst row of each precision: what a user of that precision gets at least."""
    worst: dict[str, ParityRow] = {}
    for row in rows:
        before = worst.get(row.precision)
        if before is None or (row.psnr_db or np.inf) < (before.psnr_db or np.inf):
            worst[row.precision] = row
    return {
        precision: spec.Quality.model_validate(
            {"reference": "PyTorch float32"}
            | {key: value for key, value in row.as_json().items() if key != "precision"}
        )
        for precision, row in worst.items()
    }


def _planar(small: pixels.Pixels) -> npt.NDArray[np.float32]:
    floats = np.ascontiguousarray(small.transpose(2, 0, 1)[None], dtype=np.float32)
    return floats / np.float32(255)


def _write_preview(path: Path, frame: pixels.Pixels, image: pixels.Pixels) -> None:
    width = 640
    height = round(frame.shape[0] * width / frame.shape[1])
    halves = [cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in (frame, image)]
    cv2.imwrite(str(path), np.hstack(halves), [cv2.IMWRITE_JPEG_QUALITY, 88])
