"""`config.pbtxt` of Triton, built as the message that Triton itself reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb
from tritonclient.utils import np_to_triton_dtype

from dayshift.export.serving.tensors import Signature, Tensor

_MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Serving:
    """How a server is to run a model.

    Attributes:
        backend: Of Triton: "python" hosts OpenVINO; "onnxruntime" and "openvino" are its own.
        device: "cpu" or "gpu".
        instances: How many frames are computed at a time: each instance takes one.
        threads: Cores of an instance; 0 shares them equally.
        batch: Frames in one call at most, where the graph takes several.
        batch_wait_ms: A frame waits for company no longer.
        streams: Streams with a memory at a time, where the model has one.
        stream_idle_s: A stream that sends nothing for so long has lost its memory.
    """

    backend: str = "python"
    device: str = "cpu"
    instances: int = 1
    threads: int = 0
    batch: int = 4
    batch_wait_ms: float = 2.0
    streams: int = 32
    stream_idle_s: float = 60.0


def triton_config(
    name: str,
    signature: Signature,
    serving: Serving,
    *,
    warm: Mapping[str, tuple[int, ...]],
    facts: Mapping[str, str],
) -> str:
    """Return the text of config.pbtxt.

    Args:
        name: Of the model on the server, and of its folder.
        signature: Inputs and outputs of the graph.
        serving: What is asked of the server.
        warm: The shapes of inputs with free sides, run once before the first request.
        facts: Written as parameters: the client compares the graph's hash with its own.
    """
    batched = signature.is_batched and not signature.states
    config = pb.ModelConfig(
        name=name, backend=serving.backend, max_batch_size=serving.batch if batched else 0
    )
    if serving.backend != "python":
        config.default_model_filename = "model.onnx"
    for tensor in signature.inputs:
        if not tensor.is_state:
            config.input.append(_port(pb.ModelInput(), tensor, batched=batched))
    for tensor in signature.outputs:
        if not tensor.is_state:
            config.output.append(_port(pb.ModelOutput(), tensor, batched=batched))
    group = config.instance_group.add(count=serving.instances)
    group.kind = group.KIND_GPU if serving.device == "gpu" else group.KIND_CPU
    if batched:
        config.dynamic_batching.max_queue_delay_microseconds = round(serving.batch_wait_ms * 1000)
    if signature.states:
        _add_sequences(config, signature, serving)
    else:
        _add_warm_up(config, signature, warm, batched=batched)
    for key, value in {**facts, **_parameters(signature, serving)}.items():
        config.parameters[key].string_value = value
    return str(text_format.MessageToString(config))


def _port(port: pb.ModelInput | pb.ModelOutput, tensor: Tensor, *, batched: bool) -> object:
    port.name, port.data_type = tensor.name, _type(tensor)
    dims = [-1 if side is None else side for side in tensor.shape[1 if batched else 0 :]]
    port.dims.extend(dims or [1])
    if not dims:  # a value for each frame: to Triton (N, 1), to the graph (N,)
        port.reshape.SetInParent()
    return port


def _type(tensor: Tensor) -> int:
    return int(pb.DataType.Value(f"TYPE_{np_to_triton_dtype(np.dtype(tensor.dtype).type)}"))


def _add_sequences(config: pb.ModelConfig, signature: Signature, serving: Serving) -> None:
    """Have each stream's requests answered in order, with the state that its last one left."""
    batching = config.sequence_batching
    batching.max_sequence_idle_microseconds = round(serving.stream_idle_s * _MICROSECONDS)
    batching.oldest.max_candidate_sequences = serving.streams
    if serving.backend == "python":  # holds the state itself, by the stream's number
        start = batching.control_input.add(name="START").control.add()
        start.kind, start.int32_false_true[:] = start.CONTROL_SEQUENCE_START, [0, 1]
        stream = batching.control_input.add(name="CORRID").control.add()
        stream.kind, stream.data_type = stream.CONTROL_SEQUENCE_CORRID, pb.TYPE_UINT64
        return
    for tensor, successor in signature.states:
        state = batching.state.add(input_name=tensor.name, output_name=successor.name)
        state.data_type = _type(tensor)
        state.dims.extend(-1 if side is None else side for side in tensor.shape)
        initial = state.initial_state.add(name=f"first_{tensor.name}", zero_data=True)
        initial.data_type = state.data_type
        initial.dims.extend(1 if side is None else side for side in tensor.shape)


def _add_warm_up(
    config: pb.ModelConfig,
    signature: Signature,
    warm: Mapping[str, tuple[int, ...]],
    *,
    batched: bool,
) -> None:
    sample = config.model_warmup.add(name="one frame", batch_size=1)
    for tensor in signature.inputs:
        item = sample.inputs[tensor.name]
        item.data_type, item.zero_data = _type(tensor), True
        shape = warm.get(tensor.name) or tuple(side or 1 for side in tensor.shape)
        item.dims.extend(shape[1 if batched else 0 :] or [1])


def _parameters(signature: Signature, serving: Serving) -> dict[str, str]:
    """Return what the backend is told in its own words."""
    if serving.backend == "onnxruntime":
        return {"intra_op_thread_count": str(serving.threads)}
    if serving.backend == "openvino":
        return {"INFERENCE_NUM_THREADS": str(serving.threads)} if serving.threads else {}
    return {
        "threads": str(serving.threads),
        "kept_streams": str(serving.streams),
        "states": json.dumps({after.name: before.name for before, after in signature.states}),
    }
