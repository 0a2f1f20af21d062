"""What a graph may hold before any engine sees it.

Engines do more than arithmetic when they are asked to: OpenVINO reads weights from any file that a
graph names, ONNX Runtime's own operators load compiled engines out of one, which are native code.
So a graph has all its weights inside, and standard operators alone. This reads ONNX's wire format
(Protocol Buffers) without the package `onnx`, which a device need not have; weights are stepped
over.
"""

from __future__ import annotations

from collections.abc import Iterator

from dayshift.runtime.errors import ModelError

_STANDARD_DOMAINS = (b"", b"ai.onnx")

# The messages in which something is looked for, and which of their fields hold such messages;
# see onnx.proto.
_PARTS: dict[str, dict[int, str]] = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_OPERATOR, _DOMAIN = 4, 7  # of a node
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of a tensor
_TRAINING, _FUNCTIONS = 20, 25  # of a model

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}


def check_graph(content: bytes) -> None:
    """Refuse a graph that reaches out of its file, or has operators that are not ONNX's own.

    Raises:
        ModelError: It does, or is no ONNX file at all.
    """
    waiting = [("model", memoryview(content))]
    while waiting:
        kind, message = waiting.pop()
        operator, domain = b"", b""
        for field, value in _fields(message):
            if isinstance(value, memoryview) and field in _PARTS[kind]:
                waiting.append((_PARTS[kind][field], value))
            elif kind == "node" and field == _OPERATOR:
                operator = bytes(_as_bytes(value))
            elif kind == "node" and field == _DOMAIN:
                domain = bytes(_as_bytes(value))
            elif kind == "tensor" and (
                field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value != 0)
            ):
                raise ModelError(
                    "the graph keeps weights outside of its file, which could be any file of this "
                    "machine: expected a single file, export it without external data"
                )
            elif kind == "model" and field in (_TRAINING, _FUNCTIONS):
                raise ModelError(
                    "the graph brings functions or training of its own: expected operators alone, "
                    "export it with its functions inlined"
                )
        if domain not in _STANDARD_DOMAINS:
            name = f"{domain.decode(errors='replace')}.{operator.decode(errors='replace')}"
            raise ModelError(
                f"the graph has the operator {name!r:.80}: expected ONNX's own, since others may "
                "load native code; export it for the standard domain"
            )


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the number of each field and its value: a number, or the bytes of all else."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        length = _FIXED_BYTES.get(kind)
        if kind == _BYTES:
            length, at = _varint(message, at)
        # What is neither is a group, which ONNX has none of.
        if length is None or at + length > end:
            raise _broken()
        yield tag >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number of seven bits a byte that begins at `at`, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _broken()


def _as_bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise _broken()
    return value


def _broken() -> ModelError:
    return ModelError("the graph is not ONNX: it is cut off, damaged or of another kind")
