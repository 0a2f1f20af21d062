"""The graphs that TensorRT gets keep to what its parser takes, as far as the files can tell.

TensorRT knows uint8 at the edge of a network alone: an input may only be cast to a float type, an
output only be cast from one (`DataType.UINT8` in its API reference).
"""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto

from dayshift.runtime.bundled import bundled_models, model_folder
from dayshift.runtime.model_files import load_spec

FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16}


def full_graphs() -> list[Path]:
    """Return every graph of the form that TensorRT runs, of all bundled models."""
    folders = [model_folder(name) for name in bundled_models()]
    return [
        folder / file.path
        for folder in folders
        for file in load_spec(folder).forms.full.files.values()
    ]


@pytest.mark.parametrize("path", full_graphs(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_uint8_is_cast_at_the_edge_of_the_graph_and_nowhere_inside(path: Path) -> None:
    graph = onnx.load(path).graph
    edges = {
        value.name
        for value in (*graph.input, *graph.output)
        if value.type.tensor_type.elem_type == TensorProto.UINT8
    }
    assert {"frame", "image"} <= edges
    readers = [node for node in graph.node if edges & set(node.input)]
    writers = [node for node in graph.node if edges & set(node.output)]
    assert {node.op_type for node in (*readers, *writers)} == {"Cast"}
    assert {node.attribute[0].i for node in readers} <= FLOATS
    inside = [
        node
        for node in graph.node
        if node.op_type == "Cast" and node.attribute[0].i == TensorProto.UINT8
    ]
    assert inside == writers
