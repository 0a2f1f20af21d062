"""Forms: graphs around a core, assembled from parts.

What stands around a core is written in ONNX's own text syntax: it is short, it is what the engines
read, and its shapes stay symbolic, which traced Python arithmetic on a frame's size would not.
Parts are joined by the names of their tensors; a part's own names carry its prefix.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import compose, numpy_helper, parser

from dayshift.export.onnx_file import OPSET

_IR_VERSION = 10  # the newest that ONNX Runtime 1.18 and TensorRT 10.3 accept
HEADER = f'<ir_version: {_IR_VERSION}, opset_import: ["" : {OPSET}]>'


def text_part(text: str, constants: Mapping[str, np.ndarray], prefix: str) -> onnx.GraphProto:
    """Return the graph of `text` with those of `constants` that it uses."""
    model = parser.parse_model(text)
    used = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in constants.items() if name in used
    )
    return compose.add_prefix(model, prefix, rename_inputs=False, rename_outputs=False).graph


def model_part(model: onnx.ModelProto, prefix: str, names: Mapping[str, str]) -> onnx.GraphProto:
    """Return the graph of `model` with its inputs and outputs renamed by `names`."""
    graph = compose.add_prefix(model, prefix, rename_inputs=False, rename_outputs=False).graph
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, value.name)
    return graph


def assemble(*parts: onnx.GraphProto) -> onnx.ModelProto:
    """Join parts in the order in which they run.

    A tensor that no part before makes is an input of the whole; the last part's outputs are the
    whole's. Several parts may read one input, which `onnx.compose.merge_models` cannot say.
    """
    made: set[str] = set()
    inputs: dict[str, onnx.ValueInfoProto] = {}
    for part in parts:
        for value in part.input:
            if value.name not in made:
                inputs.setdefault(value.name, value)
        made.update(value.name for value in part.output)
    graph = onnx.helper.make_graph(
        [node for part in parts for node in part.node],
        "dayshift",
        list(inputs.values()),
        list(parts[-1].output),
        [tensor for part in parts for tensor in part.initializer],
    )
    model = onnx.helper.make_model(
        graph,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="dayshift",
    )
    onnx.checker.check_model(model, full_check=True)
    return model
