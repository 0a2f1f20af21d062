"""A server as a backend: each frame goes to Triton or OpenVINO Model Server and comes back."""

from __future__ import annotations

import copy
import hashlib
import itertools
import logging
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from dayshift.runtime.backends.base import (
    Array,
    BackendName,
    Precision,
    Shapes,
    check_inputs,
    one_line,
)
from dayshift.runtime.backends.kserve_server import (
    Failure,
    Served,
    Server,
    SharedArrays,
    said,
    sent,
    wanted,
)
from dayshift.runtime.backends.server_address import ServerAddress
from dayshift.runtime.errors import BackendError
from dayshift.runtime.spec import STATE_PREFIX, next_state

_log = logging.getLogger(__name__)

# Numbers of frames, any connection's; float32 holds so many of them exactly.
_numbers = itertools.count()
_MOST_NUMBERS = 1 << 24


class KServeBackend:
    """A graph run by a server.

    After a failure the next call begins anew, as with a server that was just started.

    A server may keep the states of the graph. What is returned for one then says which frame left
    it; what comes in for it either says that this was the last, or begins a stream.

    Args:
        address: The server, and the model's name there.
        graph: The content of the ONNX file that it is expected to serve.
        shapes: The shape of every input.
        precision: What the graph is expected to be computed in; reported where the server does not
            tell its own.
    """

    name: BackendName = "kserve"
    artifact: Path | None = None

    def __init__(
        self, address: ServerAddress, graph: bytes, shapes: Shapes, precision: Precision
    ) -> None:
        self._address = address
        self._sha256 = hashlib.sha256(graph).hexdigest()
        self._shapes = dict(shapes)
        self.device = address.host
        self._server: Server | None
        self._shared: SharedArrays | None
        self._mark: int  # the number of the frame whose states the server has
        self._start()
        try:
            served = self._describe()
        except BaseException:
            self.close()
            raise
        self.version = served.server
        told = served.precision
        self.precision: Precision = (
            cast("Precision", told) if told in get_args(Precision) else precision
        )

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the graph. The next call overwrites the results."""
        if self._server is None:
            raise BackendError("this backend was closed: open a new one")
        check_inputs(inputs, self._shapes)
        try:
            served = self._served or self._describe()
            kept = {name: array for name, array in inputs.items() if name not in served.inputs}
            fed = {name: array for name, array in inputs.items() if name in served.inputs}
            self._is_begun &= all(array.flat[0] == self._mark for array in kept.values())
            if self._shared is not None:
                outputs = self._infer_shared(self._server, self._shared, fed)
            else:
                outputs = self._infer_sent(self._server, fed)
            self._mark = next(_numbers) % _MOST_NUMBERS + 1
            mark = np.float32(self._mark)
            return outputs | {
                next_state(name): np.broadcast_to(mark, array.shape) for name, array in kept.items()
            }
        except Failure as error:
            self._hang_up(self._server)
            limit = "open_ms" if self._is_first else "timeout_ms"
            late = f" of {limit}={getattr(self._address, limit):g}" if _is_late(error) else ""
            raise BackendError(
                f"kserve failed to run the graph on {self._address.host}: {said(error)}{late}"
            ) from error
        except (TypeError, ValueError, OSError) as error:  # before anything was sent
            raise BackendError(f"kserve failed to run the graph: {one_line(error)}") from error

    def fork(self) -> KServeBackend:
        """Return another connection to the same model."""
        if self._server is None:
            raise BackendError("this backend was closed: open a new one")
        twin = copy.copy(self)
        twin._start()
        return twin

    def close(self) -> None:
        """Hang up."""
        if self._server is not None:
            if self._shared is not None:
                self._server.unshare(self._shared.name)
            self._server.close()
        self._server, self._shared = None, None

    def _start(self) -> None:
        self._server = Server(self._address)
        self._forgotten: list[str] = []
        self._shared = None
        self._served: Served | None = None
        self._is_first, self._is_begun = True, False
        self._stream = self._mark = 0

    def _hang_up(self, server: Server) -> None:
        """Begin anew: the server may be another, or may still write into what was shared.

        A connection that failed would wait a while before it tries again; a new one does not.
        """
        server.close()
        self._server = Server(self._address)
        if self._shared is not None:
            self._forgotten.append(self._shared.name)
        self._shared = self._served = None

    def _describe(self) -> Served:
        """Return what is served, when it has been checked."""
        assert self._server is not None
        served = self._server.describe()
        _check(served, self._sha256, self._shapes, self._address)
        for name in self._forgotten:
            self._server.unshare(name)
        self._forgotten.clear()
        self._served, self._is_first, self._is_begun = served, True, False
        self._stream = secrets.randbits(31) + 1 if served.has_memory else 0
        return served

    def _infer_sent(self, server: Server, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Send the inputs and receive the outputs; share memory from then on, where that works."""
        served = self._served
        assert served is not None
        ports = [_input(name, array, served) for name, array in inputs.items()]
        for port, array in zip(ports, inputs.values(), strict=True):
            port.set_data_from_numpy(array.reshape(port.shape()))
        is_first = self._is_first
        limit_ms = self._address.open_ms if is_first else self._address.timeout_ms
        result = self._call(server, ports, [wanted(name) for name in served.outputs], limit_ms)
        outputs = {name: result.as_numpy(name) for name in served.outputs}
        if is_first and self._address.may_share_memory:
            self._share(server, {**inputs, **outputs})
        return outputs

    def _infer_shared(
        self, server: Server, shared: SharedArrays, inputs: Mapping[str, Array]
    ) -> dict[str, Array]:
        assert self._served is not None
        ports = []
        for name, array in inputs.items():
            np.copyto(shared.arrays[name], array, casting="equiv")
            port = _input(name, array, self._served)
            port.set_shared_memory(shared.name, array.nbytes, shared.offsets[name])
            ports.append(port)
        results = {name: shared.arrays[name] for name in self._served.outputs}
        outputs = []
        for name, array in results.items():
            output = wanted(name)
            output.set_shared_memory(shared.name, array.nbytes, shared.offsets[name])
            outputs.append(output)
        self._call(server, ports, outputs, self._address.timeout_ms)
        return results

    def _call(self, server: Server, ports: list[Any], outputs: list[Any], limit_ms: float) -> Any:
        result = server.infer(
            ports,
            outputs,
            timeout_ms=limit_ms,
            stream=self._stream,
            is_first=bool(self._stream) and not self._is_begun,
        )
        self._is_first, self._is_begun = False, True
        return result

    def _share(self, server: Server, arrays: Mapping[str, Array]) -> None:
        try:
            self._shared = SharedArrays(server, arrays)
        except (Failure, OSError) as error:
            reason = one_line(error)
            if self._address.shared_memory == "on":
                raise BackendError(
                    f"{self._address.host} cannot share memory with this process ({reason}): run "
                    "both on one host and in one IPC namespace, or leave shared_memory out"
                ) from error
            _log.info("frames go to %s over the network: %s", self._address.host, reason)


def ask(address: ServerAddress) -> Served:
    """Return what a server says of a model.

    Raises:
        BackendError: It does not answer, or has no such model.
    """
    server = Server(address)
    try:
        return server.describe()
    finally:
        server.close()


def _input(name: str, array: Array, served: Served) -> Any:
    port = served.inputs[name]
    # Where the server makes batches, a value for each frame is (N, 1) to it.
    shape = (*array.shape, *[1] * (len(port.shape) - array.ndim))
    return sent(name, shape, port.datatype)


def _check(served: Served, sha256: str, shapes: Shapes, address: ServerAddress) -> None:
    """Refuse a server that has another graph.

    Raises:
        BackendError: The hash that it tells is another, or its inputs do not take the shapes.
    """
    if served.sha256 is not None and served.sha256 != sha256:
        raise BackendError(
            f"{address.host} serves another graph as {address.model!r} (sha256 "
            f"{served.sha256[:12]}…, expected {sha256[:12]}…): write its repository from this model"
        )
    expected = {name: port.shape for name, port in served.inputs.items()}
    fed = {
        name: shape
        for name, shape in shapes.items()
        if not (served.has_memory and name.startswith(STATE_PREFIX))
    }
    fits = expected.keys() == fed.keys() and all(
        len(expected[name]) - len(shape) in (0, 1)
        and all(side in (-1, got) for side, got in zip(expected[name], shape, strict=False))
        for name, shape in fed.items()
    )
    if not fits:
        raise BackendError(f"kserve refused the shapes {dict(shapes)}: the graph takes {expected}")


def _is_late(error: Failure) -> bool:
    return "DEADLINE_EXCEEDED" in str(error.status()) or "Deadline" in str(error.message())
