"""Checkpoint to model folder: graphs, compared with PyTorch, quantized, then put in place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from torch import nn

from dayshift.export import gain_light_forms, image_forms
from dayshift.export.core_graph import (
    GAIN_LIGHT_CONTROLS,
    export_core,
    input_planes,
    multiple_of,
    prepare,
)
from dayshift.export.frames import fit_frames, read_labels, sizes_to_compare
from dayshift.export.onnx_file import read_segmenter
from dayshift.export.parity import ParityRow, measure_parity
from dayshift.export.pictures import write_preview
from dayshift.export.quantize import Outcome, Settings, quantize_in
from dayshift.export.reference import Translate, segmented_labels, torch_translator
from dayshift.export.search import OnTrial
from dayshift.runtime import spec
from dayshift.runtime.errors import SinkError, UsageError
from dayshift.runtime.image import Pixels
from dayshift.runtime.model_files import SPEC_NAME, describe_file, save_spec
from dayshift.runtime.whole_folder import whole_folder
from dayshift.train.checkpoint import Checkpoint
from dayshift.train.networks.gain_light import GainLight, GainLightConfig
from dayshift.train.networks.spade import SpadeGenerator
from dayshift.train.recipe import describe_origin


@dataclass(frozen=True)
class Wanted:
    """What of a checkpoint is exported, and how.

    Attributes:
        direction: "a_to_b" or another; the checkpoint's first by default.
        size: (height, width) to make the graph for alone; open by default.
        segmenter: An ONNX file that makes labels of frames, before a label network.
        edges: The last plane of a label network is for instance edges: those of the labels go in.
        quantize: Whether and how to write fp16 and int8 too.
        card: What a person says of it; the recipe's by default.
    """

    direction: str | None = None
    size: tuple[int, int] | None = None
    segmenter: Path | None = None
    edges: bool = False
    quantize: Settings = field(default_factory=Settings)
    card: spec.Card | None = None


@dataclass(frozen=True)
class Exported:
    """What an export measured: against PyTorch, and what each precision came to."""

    parity: list[ParityRow]
    outcomes: list[Outcome]
    statement: str


def export_model(
    checkpoint: Checkpoint,
    out: Path,
    *,
    frames: Sequence[Pixels],
    calibration: Sequence[Pixels] = (),
    wanted: Wanted | None = None,
    on_trial: OnTrial | None = None,
) -> Exported:
    """Write a model folder for a checkpoint, replacing one that is there.

    Args:
        checkpoint: From `train.checkpoint.load_checkpoint`.
        out: The folder to make.
        frames: Real frames on which the graphs are compared with PyTorch; grey label maps for a
            network that paints those.
        calibration: Real frames for fp16 and int8; without any there is fp32 alone.
        wanted: What is exported.
        on_trial: Called after each trial of the search for int8.

    Raises:
        GateError: A graph's pictures differ too much; what was at `out` is untouched.
        SinkError: `out` exists and is not a model folder, or cannot be written to.
        UsageError: The network, or the frames, do not fit what is wanted.
    """
    if out.exists() and not (out / SPEC_NAME).is_file():
        raise SinkError(
            f"{out} exists and is not a model folder: give a new --out, or remove it first"
        )
    wanted = wanted or Wanted()
    network = checkpoint.network(wanted.direction)
    with whole_folder(out) as part:
        forms = _write_graphs(checkpoint, network, part, wanted)
        model = _describe(checkpoint, network, forms, out.name, wanted)
        if forms.full.label_count is not None:
            frames = read_labels(frames, forms.full.label_count)
        fitted = fit_frames(frames, sizes_to_compare(forms.full))
        reference = _reference(network, forms.full, wanted)
        write_preview(part / "preview.jpg", fitted[0], reference(fitted[0]))
        save_spec(part, model)
        rows = measure_parity(part, model, fitted, reference)
        model = model.model_copy(update={"quality": {"fp32": _quality(rows)}})
        outcomes: list[Outcome] = []
        if calibration:
            model, outcomes = quantize_in(part, model, calibration, wanted.quantize, on_trial)
        save_spec(part, model)
    return Exported(rows, outcomes, _statement(forms.full))


def _write_graphs(
    checkpoint: Checkpoint, network: nn.Module, folder: Path, wanted: Wanted
) -> spec.Forms:
    deployed = prepare(network, checkpoint.record(wanted.direction))
    if isinstance(network, GainLight):
        return _write_gain_light(export_core(deployed), network.config, folder)
    size = _fixed_size(network, wanted)
    graph, label_count = _image_form(export_core(deployed, size), network, wanted)
    full = spec.FullForm(
        files={"fp32": _write(graph, folder / "fp32.onnx", size)},
        multiple=multiple_of(network),
        size=size,
        input="frame" if label_count is None else "labels",
        label_count=label_count,
    )
    return spec.Forms(full=full)


def _write_gain_light(core: onnx.ModelProto, config: GainLightConfig, folder: Path) -> spec.Forms:
    graphs = {
        "full": (gain_light_forms.full_form(core, config), "fp32.onnx"),
        "maps": (gain_light_forms.maps_form(core, config), "maps.fp32.onnx"),
    }
    return spec.Forms.model_validate(
        {
            name: {
                "files": {"fp32": _write(graph, folder / file)},
                "short_side": config.short_side,
                "controls": GAIN_LIGHT_CONTROLS,
                "states": gain_light_forms.states(config.fold),
            }
            for name, (graph, file) in graphs.items()
        }
    )


def _image_form(
    core: onnx.ModelProto, network: nn.Module, wanted: Wanted
) -> tuple[onnx.ModelProto, int | None]:
    """Return the graph of a network that paints, and how many labels it reads where it does."""
    if not isinstance(network, SpadeGenerator):
        return image_forms.frame_form(core), None
    planes = input_planes(network)
    labels = planes - int(wanted.edges)
    if wanted.segmenter is None:
        return image_forms.labels_form(core, planes, edges=wanted.edges), labels
    segmenter = read_segmenter(wanted.segmenter, labels)
    return image_forms.segmented_form(core, planes, segmenter, edges=wanted.edges), None


def _fixed_size(network: nn.Module, wanted: Wanted) -> tuple[int, int] | None:
    """Return the only (height, width) that the graph will take, where there is one.

    Raises:
        UsageError: The network cannot take the size that is wanted.
    """
    multiple, size = multiple_of(network), wanted.size
    if isinstance(network, SpadeGenerator) and network.config.latent:
        only = network.config.size
        if size not in (None, only):
            raise UsageError(
                f"a SPADE generator with a style vector takes {only[1]}x{only[0]} alone: "
                "leave --size out"
            )
        return only
    if size is not None and any(side % multiple for side in size):
        fitting = [-(-side // multiple) * multiple for side in size]
        raise UsageError(
            f"got --size {size[1]}x{size[0]}, but this network takes multiples of {multiple}: "
            f"the next is {fitting[1]}x{fitting[0]}"
        )
    return size


def _reference(network: nn.Module, form: spec.FullForm, wanted: Wanted) -> Translate:
    translate = torch_translator(network, form.multiple, edges=wanted.edges)
    if wanted.segmenter is None:
        return translate
    segmenter = read_segmenter(wanted.segmenter, input_planes(network) - int(wanted.edges))
    find = segmented_labels(segmenter, form)

    def translate_found(frame: Pixels) -> Pixels:
        return np.ascontiguousarray(translate(find(frame))[: frame.shape[0], : frame.shape[1]])

    return translate_found


def _write(
    graph: onnx.ModelProto, path: Path, size: tuple[int, int] | None = None
) -> spec.GraphFile:
    if size is not None:
        # Engines that are built for one shape read it from the file.
        for value in (*graph.graph.input, *graph.graph.output):
            dims = value.type.tensor_type.shape.dim
            if len(dims) > 2:
                dims[1].dim_value, dims[2].dim_value = size
    onnx.save(graph, path)
    return describe_file(path)


def _describe(
    checkpoint: Checkpoint, network: nn.Module, forms: spec.Forms, name: str, wanted: Wanted
) -> spec.ModelSpec:
    recipe, facts = checkpoint.recipe or {}, checkpoint.facts
    record = checkpoint.record(wanted.direction)
    direction = wanted.direction or next(iter(checkpoint.networks))
    source, _, target = direction.partition("_to_")
    is_relight = checkpoint.method == "relight"
    counts = facts.get("data", {})
    domains = ("day", "night") if is_relight else (source, target or "b")
    plain = re.sub(r"[^A-Za-z0-9_.\-]", "-", recipe.get("name", name)).lstrip(".-") or "model"
    origin = facts.get("imported_from")
    return spec.ModelSpec(
        format_version=1,
        name=plain,
        summary=recipe.get("summary") or f"{checkpoint.method}, {domains[0]} to {domains[1]}",
        method=checkpoint.method,
        network=spec.Network(
            name=record.name,
            parameters=sum(parameter.numel() for parameter in network.parameters()),
            config=record.settings
            | ({"norm_statistics": "image"} if record.norm == "batch" else {}),
        ),
        domains=spec.Domains(source=domains[0], target=domains[1]),
        controls=spec.Controls(lamps=spec.Control() if "lamps" in forms.full.controls else None),
        forms=forms,
        training=spec.Training(
            recipe=describe_origin(recipe) if recipe else f"imported from {origin}",
            data=[f"{count} {kind}" for kind, count in counts.items()],
            licence=recipe.get("data", {}).get("licence")
            or facts.get("licence")
            or "unknown: that of its weights and data",
            note=f"{checkpoint.step} steps, {facts.get('seconds', 0) / 60:.0f} minutes"
            if recipe
            else "; ".join(facts.get("assumed", [])),
        ),
        card=wanted.card or recipe.get("card"),
        preview="preview.jpg",
    )


def _statement(form: spec.FullForm) -> str:
    """Say which sizes the graph takes."""
    if form.size is not None:
        return f"takes {form.size[1]}x{form.size[0]} alone; smaller frames are padded"
    if form.multiple == 1:
        return "takes frames of any size"
    return f"takes frames of any size, padded to multiples of {form.multiple}"


def _quality(rows: Sequence[ParityRow]) -> spec.Quality:
    """Return the worst row: what a user gets at least."""
    worst = min(rows, key=lambda row: row.difference.psnr_db or np.inf)
    fields = {k: v for k, v in worst.as_json().items() if k not in ("precision", "sizes")}
    return spec.Quality.model_validate({"reference": "PyTorch float32"} | fields)
