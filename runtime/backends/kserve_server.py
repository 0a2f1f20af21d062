"""A server that speaks KServe's protocol, version 2, over gRPC: Triton, OpenVINO Model Server."""

from __future__ import annotations

import mmap
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from dayshift.runtime.backends.base import Array, one_line
from dayshift.runtime.backends.server_address import ServerAddress
from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import BackendError

try:
    from tritonclient import grpc
    from tritonclient.utils import InferenceServerException
except ImportError as error:
    raise missing_dependency("tritonclient", error) from error

# How a call fails, on either side.
Failure: TypeAlias = InferenceServerException

_ANY_BYTES = 2**31 - 1  # gRPC's own limit is 4 MB, a frame of 1280x1024
_SHARED_FOLDER = Path("/dev/shm")
_ALIGNMENT = 64  # of a cache line


@dataclass(frozen=True)
class Port:
    """An input or output of a served model; a free side is -1."""

    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Served:
    """What a server says of a model.

    Attributes:
        server: The server's version.
        inputs: By name.
        outputs: By name.
        sha256: Of the graph; None where the repository was not written by dayshift, or the server
            does not tell.
        precision: What it computes in; None as above.
        has_memory: It keeps the state of each stream.
    """

    server: str
    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    sha256: str | None
    precision: str | None
    has_memory: bool


class Server:
    """A connection to a model on a server. One thread at a time."""

    def __init__(self, address: ServerAddress) -> None:
        self.address = address
        # With a pool of its own it tries at once, however often others failed, and again soon.
        arguments = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_reconnect_backoff_ms", 1000),
            ("grpc.max_send_message_length", _ANY_BYTES),
            ("grpc.max_receive_message_length", _ANY_BYTES),
        ]
        self._client = grpc.InferenceServerClient(
            address.host, ssl=address.is_secure, channel_args=arguments
        )

    def describe(self) -> Served:
        """Ask what is served.

        Raises:
            BackendError: The server does not answer, or has no such model.
        """
        address, timeout_s = self.address, self.address.connect_ms / 1e3
        try:
            server = self._client.get_server_metadata(client_timeout=timeout_s)
            model = self._client.get_model_metadata(
                address.model, address.version, client_timeout=timeout_s
            )
        except Failure as error:
            raise BackendError(
                f"{address.host} does not serve {address.model!r} ({said(error)}): start the "
                f"server, or give it longer than connect_ms={address.connect_ms:g}"
            ) from error
        config = self._config()
        told = {} if config is None else config.parameters
        return Served(
            server=server.version,
            inputs=_ports(model.inputs),
            outputs=_ports(model.outputs),
            sha256=told["sha256"].string_value if "sha256" in told else None,
            precision=told["precision"].string_value if "precision" in told else None,
            has_memory=config is not None and config.HasField("sequence_batching"),
        )

    def infer(
        self,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        *,
        timeout_ms: float,
        stream: int = 0,
        is_first: bool = False,
    ) -> Any:
        """Run the model once.

        Raises:
            InferenceServerException: As the server or the connection failed.
        """
        return self._client.infer(
            self.address.model,
            inputs,
            self.address.version,
            outputs=outputs,
            sequence_id=stream,
            sequence_start=is_first,
            client_timeout=timeout_ms / 1e3,
        )

    def share(self, name: str, size: int) -> None:
        """Have the server map memory of this host."""
        self._client.register_system_shared_memory(
            name, f"/{name}", size, client_timeout=self.address.connect_ms / 1e3
        )

    def unshare(self, name: str) -> None:
        """Have the server let go of it; nothing where it has, or is gone."""
        try:
            self._client.unregister_system_shared_memory(
                name, client_timeout=self.address.connect_ms / 1e3
            )
        except Failure:
            return

    def close(self) -> None:
        """Hang up. Safe to call twice."""
        self._client.close()

    def _config(self) -> Any:
        """Return what Triton was configured with; None of a server that has no such thing."""
        try:
            return self._client.get_model_config(
                self.address.model,
                self.address.version,
                client_timeout=self.address.connect_ms / 1e3,
            ).config
        except Failure:
            return None


class SharedArrays:
    """Arrays that this process and a server on the same host both map.

    The memory loses its name as soon as the server has it: what is killed leaves nothing behind.

    Args:
        server: Which is to map it.
        arrays: What the arrays are to be like, by name.

    Raises:
        InferenceServerException, OSError: The server cannot, or there is no such memory.
    """

    def __init__(self, server: Server, arrays: Mapping[str, Array]) -> None:
        self.name = f"dayshift-{secrets.token_hex(8)}"
        self.offsets: dict[str, int] = {}
        size = 0
        for name, array in arrays.items():
            self.offsets[name] = size
            size += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
        path = _SHARED_FOLDER / self.name
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)  # too little fails here, not at a frame
            memory = mmap.mmap(descriptor, size)
            server.share(self.name, size)
        finally:
            os.close(descriptor)
            path.unlink()
        self.arrays = {
            name: np.frombuffer(memory, array.dtype, array.size, self.offsets[name]).reshape(
                array.shape
            )
            for name, array in arrays.items()
        }


def sent(name: str, shape: tuple[int, ...], datatype: str) -> Any:
    """Return what an input goes to the server in."""
    return grpc.InferInput(name, list(shape), datatype)


def wanted(name: str) -> Any:
    """Return what an output is asked for by."""
    return grpc.InferRequestedOutput(name)


def said(error: Failure) -> str:
    """Return what the server or gRPC said, in one line."""
    return one_line(RuntimeError(f"{error.status() or 'error'}: {error.message()}"))


def _ports(tensors: Sequence[Any]) -> dict[str, Port]:
    return {tensor.name: Port(tensor.datatype, tuple(tensor.shape)) for tensor in tensors}
