"""A CUDA runtime without a GPU: the calls of `cuda.bindings.runtime` that dayshift makes.

A stream's work waits in a queue until someone waits for the stream, so that a result that is read
too early is seen to be wrong. Memory of host and device is apart, so that a copy left out is seen.
"""

from __future__ import annotations

import ctypes
import enum
import functools
import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

cudaHostAllocDefault = 0
cudaStreamNonBlocking = 1
cudaEventBlockingSync = 1
cudaEventDisableTiming = 2


class cudaError_t(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorNoDevice = 100
    cudaErrorStreamCaptureUnsupported = 900


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class cudaStreamCaptureMode(enum.IntEnum):
    cudaStreamCaptureModeThreadLocal = 1


@dataclass
class cudaDeviceProp:
    name: bytes
    major: int
    minor: int


Work = Callable[[], object]
Status = cudaError_t

_memory: dict[int, tuple[str, Any]] = {}
_queues: dict[int, list[Work]] = {}
_recordings: dict[int, list[Work]] = {}
_events: dict[int, int] = {}
_graphs: dict[int, list[Work]] = {}
_handles = itertools.count(1)
launches = 0  # of graphs


def live() -> dict[str, int]:
    """Count what was made and not freed."""
    kinds = [kind for kind, _ in _memory.values()]
    return {
        "host": kinds.count("host"),
        "device": kinds.count("device"),
        "streams": len(_queues),
        "events": len(_events),
        "graphs": len(_graphs),
    }


def enqueue(stream: int, work: Work) -> None:
    """Put work at the end of a stream, or into its recording."""
    _recordings.get(stream, _queues[stream]).append(work)


def _ok(*values: object) -> tuple[object, ...]:
    return (cudaError_t.cudaSuccess, *values)


def _allocate(kind: str, size: int) -> tuple[object, ...]:
    memory = (ctypes.c_uint8 * size)()
    address = ctypes.addressof(memory)
    _memory[address] = (kind, memory)
    return _ok(address)


def _free(kind: str, address: int) -> tuple[object, ...]:
    if address not in _memory or _memory[address][0] != kind:
        return (cudaError_t.cudaErrorInvalidValue,)
    del _memory[address]
    return _ok()


def cudaGetDeviceCount() -> tuple[object, ...]:
    count = int(os.environ.get("FAKE_CUDA_DEVICES", "1"))
    return _ok(count) if count else (cudaError_t.cudaErrorNoDevice, None)


def cudaSetDevice(device: int) -> tuple[object, ...]:
    return _ok()


def cudaGetDeviceProperties(device: int) -> tuple[object, ...]:
    return _ok(cudaDeviceProp(os.environ.get("FAKE_CUDA_NAME", "Orin").encode(), 8, 7))


def cudaDriverGetVersion() -> tuple[object, ...]:
    return _ok(int(os.environ.get("FAKE_CUDA_DRIVER", "12060")))


def cudaRuntimeGetVersion() -> tuple[object, ...]:
    return _ok(12090)


def cudaGetErrorString(error: cudaError_t) -> tuple[object, ...]:
    return _ok(b"no CUDA-capable device is detected" if error == 100 else b"invalid argument")


def cudaGetLastError() -> tuple[object, ...]:
    return _ok()


def cudaHostAlloc(size: int, flags: int) -> tuple[object, ...]:
    return _allocate("host", size)


def cudaFreeHost(ptr: int) -> tuple[object, ...]:
    return _free("host", ptr)


def cudaMalloc(size: int) -> tuple[object, ...]:
    return _allocate("device", size)


def cudaFree(devPtr: int) -> tuple[object, ...]:
    return _free("device", devPtr)


def cudaMemcpyAsync(
    dst: int, src: int, count: int, kind: cudaMemcpyKind, stream: int
) -> tuple[object, ...]:
    ends = (_memory[src][0], _memory[dst][0])
    expected = {1: ("host", "device"), 2: ("device", "host")}[kind]
    if ends != expected or count > len(_memory[dst][1]):
        return (cudaError_t.cudaErrorInvalidValue,)
    enqueue(stream, functools.partial(ctypes.memmove, dst, src, count))
    return _ok()


def cudaStreamCreateWithFlags(flags: int) -> tuple[object, ...]:
    handle = next(_handles)
    _queues[handle] = []
    return _ok(handle)


def cudaStreamDestroy(stream: int) -> tuple[object, ...]:
    del _queues[stream]
    return _ok()


def cudaEventCreateWithFlags(flags: int) -> tuple[object, ...]:
    handle = next(_handles)
    _events[handle] = 0
    return _ok(handle)


def cudaEventRecord(event: int, stream: int) -> tuple[object, ...]:
    _events[event] = stream
    return _ok()


def cudaEventSynchronize(event: int) -> tuple[object, ...]:
    queue = _queues[_events[event]]
    while queue:
        queue.pop(0)()
    return _ok()


def cudaEventDestroy(event: int) -> tuple[object, ...]:
    del _events[event]
    return _ok()


def cudaStreamBeginCapture(stream: int, mode: cudaStreamCaptureMode) -> tuple[object, ...]:
    assert not _queues[stream], "a capture begins with work outstanding"
    _recordings[stream] = []
    return _ok()


def cudaStreamEndCapture(stream: int) -> tuple[object, ...]:
    recording = _recordings.pop(stream, None)
    if recording is None or os.environ.get("FAKE_CUDA_CAPTURE") == "refused":
        return (cudaError_t.cudaErrorStreamCaptureUnsupported, None)
    handle = next(_handles)
    _graphs[handle] = recording
    return _ok(handle)


def cudaGraphInstantiate(graph: int, flags: int) -> tuple[object, ...]:
    handle = next(_handles)
    _graphs[handle] = _graphs[graph]
    return _ok(handle)


def cudaGraphLaunch(graphExec: int, stream: int) -> tuple[object, ...]:
    global launches
    launches += 1
    for work in _graphs[graphExec]:
        enqueue(stream, work)
    return _ok()


def cudaGraphDestroy(graph: int) -> tuple[object, ...]:
    del _graphs[graph]
    return _ok()


def cudaGraphExecDestroy(graphExec: int) -> tuple[object, ...]:
    del _graphs[graphExec]
    return _ok()


def memory_at(address: int) -> Any:
    """Return the bytes on the device at an address."""
    kind, memory = _memory[address]
    assert kind == "device", "an engine was given an address of the host's"
    return memory
