"""ONNX files that others made, read with an error for everything that may be wrong with them."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto

from dayshift.runtime.errors import ModelError

OPSET = 20  # the newest that TensorRT 10.3, OpenVINO and ONNX Runtime all read


def parse_graph(content: bytes, name: str = "the graph") -> onnx.ModelProto:
    """Return the model of an ONNX file's content.

    Raises:
        ModelError: It is no ONNX, has its weights elsewhere, or is of an opset too new.
    """
    try:
        model = onnx.load_from_string(content)
        onnx.checker.check_model(content)
    except DecodeError as error:
        raise ModelError(
            f"{name} is not ONNX ({error}): it is cut off or of another kind"
        ) from error
    except onnx.checker.ValidationError as error:
        outside = _outside(onnx.load_from_string(content))
        if outside is None:
            reason = " ".join(str(error).split())[:160]
            raise ModelError(f"{name} is not valid ONNX ({reason}): export it anew") from error
        raise ModelError(_external(name, outside)) from error
    outside = _outside(model)
    if outside is not None:
        raise ModelError(_external(name, outside))
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset > OPSET:
        raise ModelError(
            f"{name} is of opset {opset}, expected {OPSET} or older, the newest that all engines "
            f"read: export it with opset_version={OPSET}"
        )
    return model


def read_segmenter(path: Path, labels: int) -> onnx.ModelProto:
    """Read a segmentation network that frames go through before a label network.

    It must take one float32 (1, 3, H, W) of RGB, normalised as torchvision's models are (ImageNet's
    mean and deviation), with open height and width, and give scores, float32 (1, labels, h, w).

    Raises:
        ModelError: The file is missing, unreadable, or has other inputs or outputs.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the segmenter {path} ({error.strerror})") from error
    model = parse_graph(content, str(path))
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    ends = [*inputs, *model.graph.output]
    shapes = [_shape(value) for value in ends]
    good = (
        len(inputs) == 1
        and len(ends) == 2
        and all(v.type.tensor_type.elem_type == TensorProto.FLOAT for v in ends)
        and all(len(shape) == 4 for shape in shapes)
        and shapes[0][1] == 3
        and shapes[1][1] in (labels, None)
    )
    if not good:
        got = ", ".join(f"{v.name} {_type(v)} {_shape(v)}" for v in ends)
        raise ModelError(
            f"{path} has {got}: expected one input, float32 (1, 3, H, W) RGB normalised as "
            f"torchvision's models, and one output of scores, float32 (1, {labels}, h, w)"
        )
    if opset := next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0):
        model = model if opset == OPSET else onnx.version_converter.convert_version(model, OPSET)
    return model


def _outside(model: onnx.ModelProto) -> str | None:
    """Return the file in which a model keeps weights besides its own."""
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            return next((e.value for e in tensor.external_data if e.key == "location"), "a file")
    return None


def _external(name: str, outside: str) -> str:
    return (
        f"{name} keeps its weights in {outside}, expected one file: save it with "
        "torch.onnx.export(..., external_data=False) or onnx.save_model(...)"
    )


def _shape(value: onnx.ValueInfoProto) -> list[int | None]:
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]


def _type(value: onnx.ValueInfoProto) -> str:
    return str(TensorProto.DataType.Name(value.type.tensor_type.elem_type)).lower()
