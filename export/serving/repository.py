"""Model folder to model repository: the graph where a server looks, and its configuration."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dayshift.export.serving.tensors import Signature, signature_of
from dayshift.export.serving.triton_config import Serving, triton_config
from dayshift.runtime.backends import LocalName, Shapes
from dayshift.runtime.bundled import model_folder
from dayshift.runtime.choice import Setup, set_up
from dayshift.runtime.errors import ModelError
from dayshift.runtime.graph_inputs import full_shapes
from dayshift.runtime.image import padded_size, shrink_factor
from dayshift.runtime.model_files import load_spec, read_graph
from dayshift.runtime.sinks.base import write_file
from dayshift.runtime.spec import FullForm, MapsForm
from dayshift.runtime.whole_folder import whole_folder

_GRAPH = "model.onnx"
_VERSION = "1"
_CONFIG = "config.json"
# Where the containers of both servers have their repository by convention.
_MOUNTED = "/models"
# Whose taste in precision and form each backend of Triton shares on a CPU.
_ENGINE_OF: dict[str, LocalName] = {
    "python": "openvino",
    "openvino": "openvino",
    "onnxruntime": "onnxruntime",
}
BACKENDS = tuple(_ENGINE_OF)


@dataclass(frozen=True)
class Written:
    """A model as it now lies in a repository.

    Attributes:
        folder: Its own, in the repository.
        name: On the server.
        setup: Form, precision and file that are served.
        batch: Frames in one call at most.
        has_memory: The server keeps the state of each stream.
    """

    folder: Path
    name: str
    setup: Setup
    batch: int
    has_memory: bool


def write_triton(
    model: str | Path,
    out: Path,
    serving: Serving,
    *,
    size: tuple[int, int],
    name: str | None = None,
    precision: str = "auto",
    form: str = "auto",
) -> Written:
    """Write a model into a repository of Triton. Other models there are left alone.

    Args:
        model: A bundled name or a folder.
        out: The repository.
        serving: How Triton is to run it.
        size: (height, width) of the frames that it is warmed up for.
        name: On the server; the model's own by default.
        precision: As for `load`, and
        form: too.

    Raises:
        ModelError: The model is missing, corrupt, or lacks what was asked for.
        SinkError: The repository cannot be written to.
    """
    engine = "tensorrt" if serving.device == "gpu" else _ENGINE_OF[serving.backend]
    chosen = _Chosen(model, engine, precision, form)
    setup, signature = chosen.setup, chosen.signature
    name = name or chosen.spec.name
    facts = {
        "sha256": setup.file.sha256,
        "precision": setup.precision,
        "float_type": chosen.float_type,
    }
    warm = _shapes(chosen.spec.form(setup.form), size)
    config = triton_config(name, signature, serving, warm=warm, facts=facts)
    with whole_folder(out / name) as folder:
        _write_graph(folder, chosen.graph)
        if serving.backend == "python":
            code = Path(__file__).with_name("triton_model.py").read_bytes()
            (folder / _VERSION / "model.py").write_bytes(code)
        (folder / "config.pbtxt").write_text(config, encoding="utf-8")
    batched = signature.is_batched and not signature.states
    return Written(out / name, name, setup, serving.batch if batched else 1, bool(signature.states))


def write_ovms(
    model: str | Path,
    out: Path,
    *,
    instances: int,
    name: str | None = None,
    precision: str = "auto",
    form: str = "auto",
) -> Written:
    """Write a model into a repository of OpenVINO Model Server, and its entry into config.json.

    Args:
        model: A bundled name or a folder.
        out: The repository.
        instances: Frames computed at a time.
        name: On the server; the model's own by default.
        precision: As for `load`, and
        form: too.

    Raises:
        ModelError: The model is missing, corrupt, or lacks what was asked for; or config.json is
            not one of this server's.
        SinkError: The repository cannot be written to.
    """
    chosen = _Chosen(model, "openvino", precision, form)
    name = name or chosen.spec.name
    config = _read_config(out / _CONFIG)
    entry = {
        "name": name,
        "base_path": f"{_MOUNTED}/{name}",
        "target_device": "CPU",
        "nireq": instances,
        "plugin_config": {
            "NUM_STREAMS": str(instances),
            # Left alone, OpenVINO takes bf16 where the CPU has it, without a word.
            "INFERENCE_PRECISION_HINT": chosen.float_type,
        },
    }
    others = [item for item in config["model_config_list"] if item["config"]["name"] != name]
    config["model_config_list"] = [*others, {"config": entry}]
    with whole_folder(out / name) as folder:
        _write_graph(folder, chosen.graph)
    write_file(out / _CONFIG, (json.dumps(config, indent=2) + "\n").encode())
    return Written(out / name, name, chosen.setup, 1, has_memory=False)


class _Chosen:
    """What of a model is served: the graph, verified, and what goes in and out."""

    def __init__(self, model: str | Path, engine: LocalName, precision: str, form: str) -> None:
        folder = model_folder(model)
        self.spec = load_spec(folder)
        self.setup = set_up(self.spec, engine, precision, form, f"as for {engine}")
        self.graph = read_graph(folder, self.setup.file)
        self.signature: Signature = signature_of(self.graph)
        # What OpenVINO calls the type that it computes floats in.
        self.float_type = "bf16" if self.setup.precision == "bf16" else "f32"


def _write_graph(folder: Path, graph: bytes) -> None:
    (folder / _VERSION).mkdir()
    (folder / _VERSION / _GRAPH).write_bytes(graph)


def _shapes(form: FullForm | MapsForm, size: tuple[int, int]) -> Shapes:
    """Return the shapes of the inputs with free sides, for frames of `size`."""
    if isinstance(form, FullForm):
        return full_shapes(form, form.size or size)
    height, width = padded_size(*size, multiple=form.multiple, short_side=form.short_side)
    factor = shrink_factor(height, width, form.short_side)
    return {"frame": (1, height // factor, width // factor, 3)}


def _read_config(path: Path) -> dict[str, Any]:
    """Return the configuration that is there, or one without models."""
    if not path.exists():
        return {"model_config_list": []}
    try:
        config = json.loads(path.read_bytes())
        [item["config"]["name"] for item in config["model_config_list"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"cannot add to {path} ({type(error).__name__}: {error}): expected the config.json of "
            "OpenVINO Model Server; name another --out"
        ) from error
    return dict(config)
