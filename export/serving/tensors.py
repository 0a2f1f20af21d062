"""What goes into a graph and comes out of it, as a server has to be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from dayshift.export.onnx_file import parse_graph
from dayshift.runtime.errors import ModelError
from dayshift.runtime.spec import STATE_PREFIX


@dataclass(frozen=True)
class Tensor:
    """One input or output; a free side is None."""

    name: str
    dtype: npt.DTypeLike
    shape: tuple[int | None, ...]

    @property
    def is_state(self) -> bool:
        """Whether it is recurrent state, which goes from one frame of a stream to the next."""
        return self.name.startswith(STATE_PREFIX)


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a graph."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def states(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """The recurrent state: each input, and the output that is the next frame's, in order."""
        before, after = (
            [tensor for tensor in side if tensor.is_state] for side in (self.inputs, self.outputs)
        )
        return tuple(zip(before, after, strict=True))

    @property
    def is_batched(self) -> bool:
        """Whether the first side of everything is free: several frames fit into one call."""
        return all(tensor.shape[:1] == (None,) for tensor in (*self.inputs, *self.outputs))


def signature_of(graph: bytes) -> Signature:
    """Read the inputs and outputs of an ONNX file's content.

    Raises:
        ModelError: It is no ONNX, or its states that go in are not those that come out.
    """
    model = parse_graph(graph).graph
    constants = {tensor.name for tensor in model.initializer}
    inputs = _tensors([value for value in model.input if value.name not in constants])
    signature = Signature(inputs, _tensors(model.output))
    sides = [
        [(tensor.dtype, tensor.shape) for tensor in side if tensor.is_state]
        for side in (signature.inputs, signature.outputs)
    ]
    if sides[0] != sides[1]:
        names = [t.name for t in (*signature.inputs, *signature.outputs) if t.is_state]
        raise ModelError(
            f"the graph has the states {', '.join(names)}: expected as many {STATE_PREFIX}* "
            "outputs as inputs, of the same types and shapes in the same order"
        )
    return signature


def _tensors(values: Sequence[onnx.ValueInfoProto]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(
            value.name,
            np.dtype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)),
            tuple(
                dim.dim_value if dim.HasField("dim_value") else None
                for dim in value.type.tensor_type.shape.dim
            ),
        )
        for value in values
    )
