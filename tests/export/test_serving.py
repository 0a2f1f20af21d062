"""What is written for Triton and OpenVINO Model Server; `tests/test_triton.py` runs the first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import rapidjson
from google.protobuf import text_format
from onnx import TensorProto, helper
from tritonclient.grpc import model_config_pb2

from dayshift.export.serving.repository import write_ovms, write_triton
from dayshift.export.serving.tensors import signature_of
from dayshift.export.serving.triton_config import Serving, triton_config
from dayshift.runtime.errors import ModelError
from dayshift.runtime.model_files import load_spec

# The part of OpenVINO Model Server's own schema (src/schema.cpp, MODELS_CONFIG_SCHEMA) that is for
# models: names, types, and that there is nothing else.
OVMS_SCHEMA = {
    "type": "object",
    "required": ["model_config_list"],
    "additionalProperties": False,
    "properties": {
        "model_config_list": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["config"],
                "additionalProperties": False,
                "properties": {
                    "config": {
                        "type": "object",
                        "required": ["name", "base_path"],
                        "additionalProperties": False,
                        "properties": {
                            "name": {"type": "string"},
                            "base_path": {"type": "string"},
                            "batch_size": {"type": ["integer", "string"], "minimum": 0},
                            "model_version_policy": {"type": "object"},
                            "shape": {"type": ["object", "string"]},
                            "nireq": {"type": "integer", "minimum": 0},
                            "target_device": {"type": "string"},
                            "plugin_config": {"type": "object"},
                            "stateful": {"type": "boolean"},
                        },
                    }
                },
            },
        }
    },
}


def read_config(folder: Path) -> Any:
    text = (folder / "config.pbtxt").read_text()
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def graph_of(inputs: dict[str, list[Any]], outputs: dict[str, list[Any]]) -> bytes:
    """A graph of float32 inputs and outputs, each output its input plus one."""
    before, after = (
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in ends.items()]
        for ends in (inputs, outputs)
    )
    one = onnx.numpy_helper.from_array(np.ones((), np.float32), "one")
    nodes = [
        helper.make_node("Add", [a, "one"], [b]) for a, b in zip(inputs, outputs, strict=False)
    ]
    graph = helper.make_graph(nodes, "g", before, after, [one])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    return bytes(model.SerializeToString())


def test_the_repository_holds_the_verified_graph_and_says_what_it_is(
    tiny_model: Path, tmp_path: Path
) -> None:
    spec = load_spec(tiny_model)
    assert spec.forms.maps is not None
    file = spec.forms.maps.files["int8"]
    written = write_triton(tiny_model, tmp_path, Serving(instances=3, threads=2), size=(720, 1280))
    assert written.folder == tmp_path / "tiny"
    assert (written.folder / "1/model.onnx").read_bytes() == (tiny_model / file.path).read_bytes()
    compile((written.folder / "1/model.py").read_text(), "model.py", "exec")
    config = read_config(written.folder)
    assert (config.name, config.backend, config.max_batch_size) == ("tiny", "python", 0)
    assert not config.HasField("dynamic_batching")  # the graph's batch is 1, and stays so
    assert [(i.name, list(i.dims)) for i in config.input] == [
        ("frame", [1, -1, -1, 3]),
        ("strength", [1]),
    ]
    assert [o.name for o in config.output] == ["gain", "light"]
    told = {key: value.string_value for key, value in config.parameters.items()}
    assert told["sha256"] == file.sha256
    assert (told["precision"], told["threads"]) == ("int8", "2")
    assert [(g.count, g.kind) for g in config.instance_group] == [(3, 2)]  # KIND_CPU
    # 1280x720, padded to 1288x736 and shrunk by 23: what the runtime sends.
    assert list(config.model_warmup[0].inputs["frame"].dims) == [1, 32, 56, 3]


def test_the_whole_frame_can_be_served_by_tritons_own_backends(
    tiny_model: Path, tmp_path: Path
) -> None:
    for backend, device, kind in (("openvino", "cpu", 2), ("onnxruntime", "gpu", 1)):
        serving = Serving(backend, device)
        written = write_triton(tiny_model, tmp_path, serving, size=(64, 96), form="full")
        config = read_config(written.folder)
        assert (config.backend, config.default_model_filename) == (backend, "model.onnx")
        assert config.instance_group[0].kind == kind
        assert [o.name for o in config.output] == ["image"]
        assert not (written.folder / "1/model.py").exists()
        assert written.setup.precision == ("fp16" if device == "gpu" else "int8")


def test_a_graph_that_takes_several_frames_is_batched() -> None:
    free: dict[str, list[Any]] = {"frame": [None, 3, None, None], "strength": [None]}
    signature = signature_of(graph_of(free, {"image": [None, 3, None, None]}))
    assert signature.is_batched
    serving = Serving(batch=8, batch_wait_ms=1.5)
    text = triton_config(
        "m", signature, serving, warm={"frame": (1, 3, 8, 8), "strength": (1,)}, facts={}
    )
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    assert config.max_batch_size == 8
    assert config.dynamic_batching.max_queue_delay_microseconds == 1500
    frame, strength = config.input
    assert list(frame.dims) == [3, -1, -1]
    assert (list(strength.dims), list(strength.reshape.shape)) == ([1], [])
    assert strength.HasField("reshape")


PICTURE: list[Any] = [1, 3, None, None]


@pytest.mark.parametrize("backend", ["python", "onnxruntime"])
def test_a_model_with_a_memory_gets_sequences(backend: str) -> None:
    graph = graph_of(
        {"frame": PICTURE, "state_light": [1, 4]}, {"image": PICTURE, "state_light_next": [1, 4]}
    )
    serving = Serving(backend, streams=5, stream_idle_s=2.5)
    text = triton_config("m", signature_of(graph), serving, warm={}, facts={})
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    assert [i.name for i in config.input] == ["frame"]
    assert [o.name for o in config.output] == ["image"]
    assert config.max_batch_size == 0
    batching = config.sequence_batching
    assert batching.max_sequence_idle_microseconds == 2_500_000
    assert batching.oldest.max_candidate_sequences == 5
    if backend == "python":
        assert [c.name for c in batching.control_input] == ["START", "CORRID"]
        assert config.parameters["kept_streams"].string_value == "5"
        told = json.loads(config.parameters["states"].string_value)
        assert told == {"state_light_next": "state_light"}
    else:
        (kept,) = batching.state
        assert (kept.input_name, kept.output_name) == ("state_light", "state_light_next")
        assert kept.initial_state[0].zero_data


def test_a_state_that_does_not_come_back_is_refused() -> None:
    graph = graph_of({"frame": PICTURE, "state_light": [1, 4]}, {"image": PICTURE})
    with pytest.raises(ModelError, match=r"has the states state_light: expected as many state_\*"):
        signature_of(graph)


def test_ovms_gets_what_its_own_schema_allows(tiny_model: Path, tmp_path: Path) -> None:
    write_ovms(tiny_model, tmp_path, instances=2)
    write_ovms(tiny_model, tmp_path, instances=4, name="other", form="full")
    write_ovms(tiny_model, tmp_path, instances=3)
    text = (tmp_path / "config.json").read_text()
    # The library and the draft of JSON schema that the server itself validates with.
    rapidjson.Validator(json.dumps(OVMS_SCHEMA))(text)
    entries = {e["config"]["name"]: e["config"] for e in json.loads(text)["model_config_list"]}
    assert {name: entry["nireq"] for name, entry in entries.items()} == {"tiny": 3, "other": 4}
    for name, entry in entries.items():
        assert entry["base_path"] == f"/models/{name}"
        # A folder for each version, whose name is a positive number.
        assert [path.name for path in (tmp_path / name).iterdir()] == ["1"]
        assert (tmp_path / name / "1/model.onnx").stat().st_size > 0
        assert all(isinstance(value, str) for value in entry["plugin_config"].values())


def test_a_config_that_is_not_the_servers_is_left_alone(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"mine": 1}')
    with pytest.raises(ModelError, match=r"cannot add to .*config\.json .*name another --out"):
        write_ovms(tiny_model, tmp_path, instances=1)
    assert path.read_text() == '{"mine": 1}'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--for", "torchserve"], "unknown --for 'torchserve': expected triton or ovms"),
        (["--for", "ovms", "--device", "gpu"], "--device gpu is for --for triton"),
        (["--for", "triton", "--triton-backend", "x"], "unknown --triton-backend 'x'"),
        (["--for", "triton", "--precision", "int4"], "unknown precision 'int4'"),
    ],
)
def test_the_verb_says_what_it_does_not_know(
    dayshift_command: Any, tmp_path: Path, words: list[str], expected: str
) -> None:
    done = dayshift_command("serve-repository", "day2night", "--out", tmp_path / "r", *words)
    assert done.code == 2
    assert expected in done.error
    assert not (tmp_path / "r").exists()


def test_the_verb_writes_and_tells(dayshift_command: Any, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "repository"
    words = ["serve-repository", tiny_model, "--for", "triton", "--out", out, "--json", "-"]
    told = json.loads(dayshift_command(*words, "--name", "night").out)
    assert (told["name"], told["form"], told["precision"]) == ("night", "maps", "int8")
    assert (told["batch"], told["has_memory"]) == (1, False)
    assert read_config(out / "night").name == "night"
