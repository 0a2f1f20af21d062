"""The engines' own command lines that check a row: no code of ours in them."""

from __future__ import annotations

import shlex
from pathlib import Path

from dayshift.benchmarks.cases import Case, model_spec
from dayshift.benchmarks.opening import engine_shapes
from dayshift.runtime.backends import BACKEND_NAMES
from dayshift.runtime.bundled import model_folder
from dayshift.runtime.spec import GraphFile, ModelSpec

_FILE_PRECISION = {"bf16": "fp32"}
# What the runtime takes when nothing is asked for.
_AUTO = {"": ("int8", "fp32", "fp16"), "onnxruntime": ("fp32", "int8", "fp16")}


def command_lines(case: Case) -> list[str]:
    """Return the commands that measure or compare the graph of a case; none for PyTorch."""
    spec = model_spec(case.model)
    backend = case.backend.split(":")[0]
    if spec is None or backend not in BACKEND_NAMES:
        return []
    chosen = _graph_of(case, spec)
    if chosen is None:
        return []
    file, shapes = chosen
    path = shown_path(model_folder(case.model) / file.path)
    match backend:
        case "openvino":
            return [shlex.join(benchmark_app_words(path, shapes, case))]
        case "tensorrt":
            return [_trtexec(path, shapes), _polygraphy(path, shapes, "--trt")]
        case _:
            return [_polygraphy(path, shapes, "")]


def shown_path(path: Path) -> Path:
    """Return a path as it is written from here: reports travel, and tell no one's folders."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _graph_of(case: Case, spec: ModelSpec) -> tuple[GraphFile, dict[str, tuple[int, ...]]] | None:
    """Return the file that the runtime takes for a case, and its input shapes."""
    precision = _FILE_PRECISION.get(case.precision, case.precision)
    for form in (spec.forms.maps, spec.forms.full):
        if form is None or (case.form == "full" and form is spec.forms.maps):
            continue
        wanted = (
            _AUTO.get(case.backend.split(":")[0], _AUTO[""])
            if precision == "auto"
            else (precision,)
        )
        files = {str(name): file for name, file in form.files.items()}
        chosen = next((files[name] for name in wanted if name in files), None)
        if chosen is not None:
            return chosen, engine_shapes(form, (case.size_wh[1], case.size_wh[0]))
    return None


def benchmark_app_words(
    path: Path, shapes: dict[str, tuple[int, ...]], case: Case, *, seconds: int = 10
) -> list[str]:
    """Return OpenVINO's command with the shape, hint and precision of our row."""
    shape = ",".join(f"{name}[{','.join(map(str, sides))}]" for name, sides in shapes.items())
    device = case.device or "CPU"
    words = ["benchmark_app", "-m", str(path), "-d", device, "-shape", shape]
    words += ["-infer_precision", {"bf16": "bf16", "fp16": "f16"}.get(case.precision, "f32")]
    if case.scenario in ("offline", "file") and case.streams > 1:
        # The number of streams stands in place of a hint, not beside it.
        streams = str(case.streams)
        words += ["-hint", "none", "-nstreams", streams, "-nireq", streams, "-api", "async"]
    else:
        words += ["-hint", "latency", "-api", "sync"]
    return [*words, "-t", str(seconds)]


def _trtexec(path: Path, shapes: dict[str, tuple[int, ...]]) -> str:
    """Return NVIDIA's command; copies are asked for, which it leaves out by itself."""
    shape = ",".join(f"{name}:{'x'.join(map(str, sides))}" for name, sides in shapes.items())
    words = ["trtexec", f"--onnx={path}", "--stronglyTyped", f"--shapes={shape}"]
    return shlex.join([*words, "--dataTransfers", "--percentile=50,90,95,99", "--warmUp=500"])


def _polygraphy(path: Path, shapes: dict[str, tuple[int, ...]], engine: str) -> str:
    """Return NVIDIA's command that runs the same input through ONNX Runtime and compares."""
    words = ["polygraphy", "run", str(path), "--onnxrt", *([engine] if engine else [])]
    if engine:
        words += ["--strongly-typed", "--compare-func", "psnr"]
    inputs = [f"{name}:[{','.join(map(str, sides))}]" for name, sides in shapes.items()]
    return shlex.join([*words, "--input-shapes", *inputs])
