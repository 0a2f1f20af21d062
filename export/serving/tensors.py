"""What goes into a graph and comes out of it, as a server has to be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from dayshift.export.onnx_file import parse_graph
from dayshift.runtime.errors import ModelError

_STATE = "state_"


@dataclass(frozen=True)
class Tensor:
    """One input or output; a free side is None."""

    name: str
    dtype: npt.DTypeLike
    shape: tuple[int | None, ...]

    @property
    def is_state(self) -> bool:
        """Whether it is recurrent state, which goes from one frame of a stream to the next."""
        return self.name.startswith(_STATE)


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a graph."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def states(self) -> tuple[Tensor, ...]:
        """The recurrent state: inputs whose outputs of the same name come back as the next."""
        return tuple(tensor for tensor in self.inputs if tensor.is_state)

    @property
    def is_batched(self) -> bool:
        """Whether the first side of everything is free: several frames fit into one call."""
        return all(tensor.shape[:1] == (None,) for tensor in (*self.inputs, *self.outputs))


def signature_of(graph: bytes) -> Signature:
    """Read the inputs and outputs of an ONNX file's content.

    Raises:
        ModelError: It is no ONNX, or a state goes in that does not come out.
    """
    model = parse_graph(graph).graph
    constants = {tensor.name for tensor in model.initializer}
    inputs = _tensors([value for value in model.input if value.name not in constants])
    signature = Signature(inputs, _tensors(model.output))
    returned = {tensor.name for tensor in signature.outputs}
    lost = [tensor.name for tensor in signature.states if tensor.name not in returned]
    if lost:
        raise ModelError(
            f"the graph takes {lost[0]!r} and does not return it: expected an output of that name"
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
