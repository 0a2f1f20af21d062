"""fp16 and int8 of a model folder, each taken only where it is good enough and faster.

Frames of the calibration set the ranges; every fourth is held out, and on those the images of each
precision are compared with the fp32 model's. A precision that is refused leaves its reason in
`model.json`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import onnx

from dayshift.export.calibrate import Activations, collect_activations
from dayshift.export.difference import (
    Difference,
    Limits,
    draw_worst,
    measure_difference,
    shortfall,
)
from dayshift.export.frames import frames_for, hold_out
from dayshift.export.half import half_nodes, to_half
from dayshift.export.int8 import Int8Maker, feeds_of
from dayshift.export.onnx_file import parse_graph
from dayshift.export.pictures import write_jpeg
from dayshift.export.qdq import CHANNEL_AXIS, find_convolutions
from dayshift.export.runner import Runner, time_ratio
from dayshift.export.search import OnTrial, choose, search
from dayshift.runtime.errors import ModelError
from dayshift.runtime.image import Pixels
from dayshift.runtime.model_files import SPEC_NAME, describe_file, load_spec, read_graph, save_spec
from dayshift.runtime.spec import (
    FilePrecision,
    Forms,
    FullForm,
    GraphFile,
    MapsForm,
    ModelSpec,
    Quality,
)
from dayshift.runtime.whole_folder import whole_folder

_REFERENCE = "fp32.onnx on OpenVINO"
_REMADE = ("int8.jpg", "update.json", "update.sig")  # of other graphs: not kept
INT8_LIMITS = Limits(psnr_db=38.0, ssim=0.97, psnr_db_tile=22.0, banding=0.02)
FP16_LIMITS = Limits(psnr_db=48.0, ssim=0.99, psnr_db_tile=36.0, banding=0.01)


@dataclass(frozen=True)
class Settings:
    """What quantization must keep to.

    Attributes:
        int8: The floor of int8; fp16 must be invisible whatever this is.
        budget_s: How long the search for int8 goes on; the trial at work is finished.
        most_time: What a precision may take of the time of fp32, where this machine computes in it.
        size: (height, width) that a network of any size is calibrated at.
        without_int8: Why int8 is not made, if so; no frame is held out then.
    """

    int8: Limits = INT8_LIMITS
    budget_s: float = 180.0
    most_time: float = 1.0
    size: tuple[int, int] | None = None
    without_int8: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of one precision; `refused` is None where it was taken."""

    precision: FilePrecision
    difference: Difference
    ratio: float | None
    how: str
    refused: str | None = None

    def as_json(self) -> dict[str, object]:
        """Return the fields by name, those of the difference among them."""
        rest = {k: v for k, v in asdict(self).items() if k != "difference"}
        return rest | asdict(self.difference)


def with_floor(psnr_db: float) -> Limits:
    """Return the limits of int8 with another floor for the PSNR over all frames."""
    return replace(INT8_LIMITS, psnr_db=psnr_db)


def quantize_model(
    folder: Path,
    frames: Sequence[Pixels],
    settings: Settings | None = None,
    on_trial: OnTrial | None = None,
) -> list[Outcome]:
    """Give a model folder its fp16 and int8 graphs, replacing those it has.

    The folder changes in one step at the end, or not at all. Other files in it stay, a signature
    does not.

    Raises:
        ModelError: The folder is not a model's, or a graph of it cannot be read.
        UsageError: Too few frames, or frames of another aspect.
        SinkError: The folder cannot be written to.
    """
    spec = load_spec(folder)
    files = [file for form in _forms(spec).values() for file in form.files.values()]
    content = {file.path: read_graph(folder, file) for file in files}
    left_out = {SPEC_NAME, *_REMADE, *(file.path for file in files)}
    with whole_folder(folder) as part:
        for path in folder.iterdir():  # the preview, and what a person laid beside it
            if path.is_file() and not path.is_symlink() and path.name not in left_out:
                shutil.copy2(path, part)
        for form in _forms(spec).values():
            name = form.files["fp32"].path
            (part / name).write_bytes(content[name])
        quantized, outcomes = quantize_in(part, spec, frames, settings, on_trial)
        save_spec(part, quantized)
    return outcomes


def quantize_in(
    folder: Path,
    spec: ModelSpec,
    frames: Sequence[Pixels],
    settings: Settings | None = None,
    on_trial: OnTrial | None = None,
) -> tuple[ModelSpec, list[Outcome]]:
    """Write fp16 and int8 beside the fp32 graphs of a folder that nobody reads yet."""
    settings = settings or Settings()
    job = _Job(folder, spec, frames, settings)
    outcomes = [job.half()] if settings.without_int8 else [job.half(), job.int8(on_trial)]
    return job.finish(outcomes), outcomes


class _Job:
    """One folder's quantization: what fp16 and int8 both need."""

    def __init__(
        self, folder: Path, spec: ModelSpec, frames: Sequence[Pixels], settings: Settings
    ) -> None:
        self._folder = folder
        self._spec = spec
        self._settings = settings
        self._forms = {name: _fp32_alone(form) for name, form in _forms(spec).items()}
        self._content = {
            name: read_graph(folder, form.files["fp32"]) for name, form in self._forms.items()
        }
        self._graphs = {name: parse_graph(data) for name, data in self._content.items()}
        # The form that CPUs run, and calibrate, fastest.
        self._name = "maps" if "maps" in self._forms else "full"
        self._form = self._forms[self._name]
        shown = frames_for(spec.forms.full, frames, settings.size)
        calibration, self._held_out = (shown, shown) if settings.without_int8 else hold_out(shown)
        self._feeds = feeds_of(self._form, calibration)
        self._activations = self._watch()
        self._files: dict[FilePrecision, dict[str, GraphFile]] = {}
        full = self._forms["full"]
        with Runner(full, self._content["full"], "fp32") as runner:
            self._references = [runner(frame) for frame in self._held_out]

    def half(self) -> Outcome:
        """Write fp16 of the full form: the maps form is for CPUs, which compute it in fp32."""
        graph = self._graphs["full"]
        chosen = half_nodes(graph, self._activations.largest)
        islands = [
            node.output[0]
            for index, node in enumerate(graph.graph.node)
            if node.op_type in CHANNEL_AXIS and index not in chosen
        ]
        content = to_half(graph, chosen).SerializeToString()
        form = self._forms["full"]
        with (
            Runner(form, content, "fp16") as runner,
            Runner(form, self._content["full"], "fp32") as fp32,
        ):
            images = [runner(frame) for frame in self._held_out]
            first = self._held_out[0]
            has_fp16 = runner.precision(first) == "fp16"
            ratio = time_ratio(runner, fp32, first) if has_fp16 else None
        difference = measure_difference(images, self._references)
        refused = shortfall(difference, FP16_LIMITS) or self._slowness(ratio)
        where = "" if has_fp16 else "; not timed: no engine here computes in fp16"
        kept = f"{len(islands)} convolutions float for their range" if islands else "norms float"
        if refused is None:
            self._write("fp16", {"full": content})
        return Outcome("fp16", difference, ratio, f"{kept}{where}", refused)

    def int8(self, on_trial: OnTrial | None) -> Outcome:
        """Search for the int8 graphs and write them."""
        with Runner(self._form, self._content[self._name], "fp32") as fp32:
            maker = Int8Maker(
                self._graphs,
                self._form,
                self._activations,
                self._feeds,
                self._held_out,
                self._references,
                fp32,
            )
            trials = search(
                maker.attempt,
                maker.noisiest,
                ends=maker.ends,
                budget_s=self._settings.budget_s,
                on_trial=on_trial,
            )
        best = choose(trials, self._settings.int8)
        refused = shortfall(best.difference, self._settings.int8) or self._slowness(best.ratio)
        content = {name: g.SerializeToString() for name, g in maker.make(best.recipe).items()}
        if refused is None:
            self._write("int8", content)
        with Runner(self._form, content[self._name], "int8") as runner:
            images = [runner(frame) for frame in self._held_out]
        worst = draw_worst(images, self._references)
        write_jpeg(self._folder / "int8.jpg", worst, quality=90)
        how = f"{best.recipe}, of {len(trials)} trials"
        return Outcome("int8", best.difference, round(best.ratio, 3), how, refused)

    def finish(self, outcomes: Sequence[Outcome]) -> ModelSpec:
        """Return the model's spec with what was written, measured and refused."""
        forms = {
            name: form.model_copy(
                update={
                    "files": form.files
                    | {p: files[name] for p, files in self._files.items() if name in files}
                }
            )
            for name, form in self._forms.items()
        }
        quality = {"fp32": self._spec.quality["fp32"]} if "fp32" in self._spec.quality else {}
        for outcome in outcomes:
            if outcome.refused is None:
                quality[outcome.precision] = self._quality(outcome)
        without_int8 = self._settings.without_int8
        refused = {"int8": without_int8} if without_int8 else {}
        update = {
            "forms": Forms.model_validate({name: f.model_dump() for name, f in forms.items()}),
            "quality": quality,
            "refused": refused | {o.precision: o.refused for o in outcomes if o.refused},
        }
        return self._spec.model_copy(update=update)

    def _quality(self, outcome: Outcome) -> Quality:
        form = "full" if outcome.precision == "fp16" else self._name
        where = {"reference": _REFERENCE, "backend": "openvino", "form": form, "how": outcome.how}
        speed = {} if outcome.ratio is None else {"time_over_fp32": outcome.ratio}
        return Quality.model_validate(where | speed | asdict(outcome.difference))

    def _slowness(self, ratio: float | None) -> str | None:
        if ratio is None or ratio < self._settings.most_time:
            return None
        return f"not faster: {ratio:.2f} times the time of fp32 on this machine"

    def _watch(self) -> Activations:
        graph = self._graphs[self._name]
        made = [
            node.output[0]
            for node in graph.graph.node
            if node.output[0].startswith("core/") and node.op_type in {*CHANNEL_AXIS, "Add"}
        ]
        sources = [c.source for c in find_convolutions(graph)]
        if not sources:
            raise ModelError("fp32.onnx has no convolution to quantize: expected a network's graph")
        return collect_activations(graph, sources, self._feeds, only_largest=_floats(graph, made))

    def _write(self, precision: FilePrecision, content: Mapping[str, bytes]) -> None:
        for name, data in content.items():
            path = self._folder / f"{'' if name == 'full' else f'{name}.'}{precision}.onnx"
            path.write_bytes(data)
            self._files.setdefault(precision, {})[name] = describe_file(path)


def _forms(spec: ModelSpec) -> dict[str, FullForm | MapsForm]:
    forms: dict[str, FullForm | MapsForm] = {"full": spec.forms.full}
    if spec.forms.maps is not None:
        forms["maps"] = spec.forms.maps
    return forms


def _fp32_alone(form: FullForm | MapsForm) -> FullForm | MapsForm:
    if "fp32" not in form.files:
        raise ModelError(
            f"the model has no fp32 graph, but {', '.join(form.files)}: export it anew"
        )
    return form.model_copy(update={"files": {"fp32": form.files["fp32"]}})


def _floats(graph: onnx.ModelProto, names: Sequence[str]) -> list[str]:
    inferred = onnx.shape_inference.infer_shapes(graph).graph
    floats = {
        value.name
        for value in inferred.value_info
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    return [name for name in names if name in floats]
