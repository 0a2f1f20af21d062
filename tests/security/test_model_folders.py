"""A model folder from a stranger is read within its bounds, or refused in a line."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from dayshift.runtime import memory
from dayshift.runtime.errors import ModelError
from dayshift.runtime.graph_check import check_graph
from dayshift.runtime.memory import no_more_than_free
from dayshift.runtime.model import load
from dayshift.runtime.model_files import load_spec, read_graph

EditGraphs = Callable[[Callable[[onnx.ModelProto], object]], Path]
BACKENDS = ("openvino", "onnxruntime")


# Files


@pytest.mark.parametrize("name", ["model.json", "fp32.onnx"])
@pytest.mark.parametrize("kind", ["link", "link to a device", "pipe", "folder"])
def test_only_plain_files_are_read(stranger: Path, tmp_path: Path, name: str, kind: str) -> None:
    file = load_spec(stranger).forms.full.files["fp32"]
    path = stranger / name
    content = path.read_bytes()
    path.unlink()
    match kind:
        case "link":  # even where it leads to what is expected
            (tmp_path / "elsewhere").write_bytes(content)
            path.symlink_to(tmp_path / "elsewhere")
        case "link to a device":
            path.symlink_to("/dev/zero")
        case "pipe":  # would be waited for
            os.mkfifo(path)
        case _:
            path.mkdir()
    with pytest.raises(ModelError, match=r"a link, expected|not a plain file|cannot read"):
        load_spec(stranger) if name == "model.json" else read_graph(stranger, file)


@pytest.mark.parametrize("name", ["model.json", "fp32.onnx"])
def test_a_file_that_is_too_large_is_not_read(stranger: Path, name: str) -> None:
    file = load_spec(stranger).forms.full.files["fp32"]
    os.truncate(stranger / name, 1 << 40)  # sparse: it takes no room, and would fill all memory
    with pytest.raises(ModelError, match=r"it has 1099511627776 bytes, expected at most"):
        load_spec(stranger) if name == "model.json" else read_graph(stranger, file)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["forms"]["full"].update(size=[16384, 16384], multiple=1),
        lambda s: s["forms"]["full"].update(size=[1 << 20, 1 << 20]),
        lambda s: s["forms"]["full"].update(multiple=1 << 20),
        lambda s: s["forms"]["maps"].update(multiple=1 << 20, short_side=1 << 20),
        lambda s: s["forms"]["maps"].update(short_side=1 << 30),
        lambda s: s["forms"]["full"]["files"]["fp32"].update(bytes=1 << 40),
    ],
)
def test_sizes_that_would_fill_the_memory_are_refused(
    stranger: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    path = stranger / "model.json"
    spec = json.loads(path.read_text())
    change(spec)
    path.write_text(json.dumps(spec))
    with pytest.raises(ModelError, match=r"model\.json: forms\."):
        load_spec(stranger)


def test_a_spec_that_is_nested_deeply_is_refused(stranger: Path) -> None:
    (stranger / "model.json").write_text('{"a":' * 100_000)
    with pytest.raises(ModelError, match=r"model\.json"):
        load_spec(stranger)


# Graphs


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("place", ["initializer", "constant", "inner graph"])
def test_weights_outside_of_the_file_are_not_read(
    edit_graphs: EditGraphs, tmp_path: Path, backend: str, place: str
) -> None:
    """OpenVINO would read any file that this user may read, by its absolute path."""
    secret = tmp_path / "secret"
    np.zeros(1, np.float32).tofile(secret)
    weights = TensorProto(name="outside", dims=[1], data_type=TensorProto.FLOAT)
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=str(secret))

    def change(model: onnx.ModelProto) -> None:
        constant = helper.make_node("Constant", [], ["outside"], value=weights)
        if place == "initializer":
            model.graph.initializer.append(weights)
        elif place == "constant":
            model.graph.node.insert(0, constant)
        else:
            inner = helper.make_graph([constant], "inner", [], [])
            node = helper.make_node("If", ["strength"], [], then_branch=inner, else_branch=inner)
            model.graph.node.insert(0, node)

    with pytest.raises(ModelError, match="keeps weights outside of its file"):
        load(edit_graphs(change), backend=backend, size=(64, 64))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("domain", ["com.microsoft", "evil"])
def test_operators_that_are_not_onnx_s_own_are_refused(
    edit_graphs: EditGraphs, backend: str, domain: str
) -> None:
    """`EPContext` of com.microsoft holds a compiled engine: native code."""

    def change(model: onnx.ModelProto) -> None:
        model.opset_import.append(helper.make_opsetid(domain, 1))
        node = helper.make_node("EPContext", ["strength"], ["unused"], domain=domain)
        model.graph.node.insert(0, node)

    with pytest.raises(ModelError, match=f"the graph has the operator '{domain}.EPContext'"):
        load(edit_graphs(change), backend=backend, size=(64, 64))


def test_functions_of_a_graph_s_own_are_refused(edit_graphs: EditGraphs) -> None:
    def change(model: onnx.ModelProto) -> None:
        node = helper.make_node("Identity", ["x"], ["y"])
        opset = [helper.make_opsetid("", 20)]
        model.functions.append(helper.make_function("", "Own", ["x"], ["y"], [node], opset))

    with pytest.raises(ModelError, match="brings functions or training of its own"):
        load(edit_graphs(change), backend="openvino", size=(64, 64))


@pytest.mark.parametrize(
    "content", [b"not a graph", b"\x3a\xff\xff\xff\x0f", b"\xff" * 20, b"\x3a"]
)
def test_what_is_no_graph_is_refused_before_an_engine_sees_it(content: bytes) -> None:
    with pytest.raises(ModelError, match="the graph is not ONNX: "):
        check_graph(content)


def test_graphs_in_graphs_without_end_are_read_without_recursion() -> None:
    def field(number: int, content: bytes) -> bytes:
        size, length = len(content), b""
        while size > 127:
            length, size = length + bytes([size & 127 | 128]), size >> 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + content

    graph = b""
    for _ in range(3000):  # a node's attribute is a graph, with a node
        graph = field(1, field(5, field(6, graph)))
    check_graph(field(7, graph))


# What a graph takes


def _wants(model: onnx.ModelProto, side: int) -> None:
    """Let a graph fill 3 * side * side floats on its way from the strength to nowhere."""
    shape = helper.make_tensor("side", TensorProto.INT64, [4], [1, 3, side, side])
    model.graph.initializer.append(shape)
    model.graph.node.insert(0, helper.make_node("Expand", ["strength", "side"], ["giant"]))
    model.graph.node.insert(1, helper.make_node("Softmax", ["giant"], ["soft"]))
    model.graph.node.insert(2, helper.make_node("ReduceMax", ["soft"], ["most"], keepdims=0))
    for node in list(model.graph.node)[3:]:
        for index, name in enumerate(node.input):
            if name == "strength":
                node.input[index] = "turned"
    model.graph.node.insert(3, helper.make_node("Sub", ["most", "most"], ["nothing"]))
    model.graph.node.insert(4, helper.make_node("Add", ["strength", "nothing"], ["turned"]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_graph_that_wants_more_memory_than_is_free_is_refused(
    edit_graphs: EditGraphs, run_python: Callable[..., str], backend: str
) -> None:
    folder = edit_graphs(lambda model: _wants(model, 8000))  # 0.8 GB, twice
    told = run_python(
        "import sys; from dayshift.cli import main; from dayshift.runtime import memory\n"
        "sys.stderr = sys.stdout\n"
        "memory.free_memory = lambda: 600 << 20\n"
        "words = ['run', 'synthetic://?size=64x48&frames=2&pace=0', 'null://', '--backend']\n"
        f"print(main([*words, {backend!r}, '--model', {str(folder)!r}]))"
    )
    *_, error, code = told.splitlines()
    assert code == "1"
    assert error.startswith(f"error: {backend} ")


def test_the_limit_ends_with_the_last_who_asked_for_it() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with no_more_than_free():
        assert 0 < resource.getrlimit(resource.RLIMIT_DATA)[0] < 1 << 50
        with no_more_than_free():
            pass
        assert resource.getrlimit(resource.RLIMIT_DATA) != before
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_a_stream_has_room_while_another_model_is_loaded(run_python: Callable[..., str]) -> None:
    told = run_python(
        "import numpy as np; from dayshift.runtime import memory\n"
        "memory.free_memory = lambda: 0\n"
        "with memory.no_more_than_free():\n"
        "    print(len(np.ones(200 << 20, np.uint8)))\n"
        "    try:\n"
        "        np.empty(300 << 20, np.uint8)\n"
        "    except MemoryError:\n"
        "        print('refused')"
    )
    assert told.split() == [str(200 << 20), "refused"]


def test_in_a_container_its_own_memory_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    machine = memory.free_memory()
    assert machine is not None
    assert machine > 1 << 20
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("900000\n")
    # Most of what is used are files that can be read again.
    (tmp_path / "memory.stat").write_text("anon 1\nactive_file 300000\ninactive_file 400000\n")
    assert memory.free_memory() == 800000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_memory() != 800000


# What a model says


def test_a_model_does_not_write_to_the_terminal(
    stranger: Path, dayshift_command: Callable[..., Any]
) -> None:
    path = stranger / "model.json"
    spec = json.loads(path.read_text())
    spec["summary"] = spec["domains"]["source"] = "\x1b]0;evil\x07\x9b2J"
    path.write_text(json.dumps(spec))
    done = dayshift_command("info", stranger)
    assert done.code == 0
    assert not {"\x1b", "\x07", "\x9b"} & set(done.out + done.err)
    evil = stranger / "\x07\x9b2J"
    evil.mkdir()
    done = dayshift_command("info", evil)
    assert (done.code, "model.json" in done.err) == (1, True)
    assert not {"\x07", "\x9b"} & set(done.err)
