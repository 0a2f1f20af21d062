"""The few things of the CUDA runtime that an engine needs, with errors that speak."""

from __future__ import annotations

import ctypes
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dayshift.runtime.backends.base import Array
from dayshift.runtime.backends.nvidia import nvidia_driver
from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import BackendError

try:
    from cuda.bindings import runtime as cudart
except ImportError as error:
    raise missing_dependency("cuda.bindings", error) from error


@dataclass(frozen=True)
class Device:
    """The GPU that this process uses first, and the driver that runs it.

    Attributes:
        name: As the driver gives it, for example "Orin".
        compute_capability: For example "8.7".
        driver: Version of the driver, or of L4T on a Jetson.
        cuda_driver: The newest CUDA that the driver can run, for example 12060.
    """

    name: str
    compute_capability: str
    driver: str
    cuda_driver: int


def first_device() -> Device:
    """Describe the first visible GPU and make it this thread's.

    Raises:
        BackendError: There is no GPU, no driver, or a driver too old for `cuda.bindings`.
    """
    try:
        count = check(cudart.cudaGetDeviceCount())
        check(cudart.cudaSetDevice(0))
        properties = check(cudart.cudaGetDeviceProperties(0))
        cuda_driver = check(cudart.cudaDriverGetVersion())
    except BackendError as error:
        ours = check(cudart.cudaRuntimeGetVersion()) // 1000
        raise BackendError(
            f"no NVIDIA GPU can be used ({error}): install its driver, and of cuda-bindings, "
            f"which is for CUDA {ours} here, the version that the driver runs"
        ) from error
    assert count > 0  # CUDA reports none as an error
    return Device(
        name=properties.name.decode(),
        compute_capability=f"{properties.major}.{properties.minor}",
        driver=nvidia_driver() or "unknown",
        cuda_driver=cuda_driver,
    )


def check(result: tuple[Any, ...]) -> Any:
    """Return what a CUDA call gave besides its status: nothing, or one value.

    Raises:
        BackendError: The call failed.
    """
    status, *values = result
    if status != cudart.cudaError_t.cudaSuccess:
        text = cudart.cudaGetErrorString(status)[1].decode()
        raise BackendError(f"CUDA: {text} ({status.name})")
    return values[0] if values else None


class Buffer:
    """An array twice: in page-locked memory of the host, and on the device.

    Attributes:
        array: The host's. It outlives the buffer as long as someone holds it.
        device: Address on the device.
    """

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self._bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        host = int(check(cudart.cudaHostAlloc(self._bytes, cudart.cudaHostAllocDefault)))
        memory = (ctypes.c_uint8 * self._bytes).from_address(host)
        # Results are views of it that a caller may still hold when the engine is closed.
        weakref.finalize(memory, cudart.cudaFreeHost, host).atexit = False
        self._host = host
        self.array: Array = np.frombuffer(memoryview(memory), np.dtype(dtype)).reshape(shape)
        self.device = int(check(cudart.cudaMalloc(self._bytes)))

    def upload(self, stream: Stream) -> None:
        """Copy from host to device, in the stream's order."""
        kind = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        check(cudart.cudaMemcpyAsync(self.device, self._host, self._bytes, kind, stream.handle))

    def download(self, stream: Stream) -> None:
        """Copy from device to host, in the stream's order."""
        kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        check(cudart.cudaMemcpyAsync(self._host, self.device, self._bytes, kind, stream.handle))

    def close(self) -> None:
        """Free the device's memory; the host's is freed with its last array."""
        check(cudart.cudaFree(self.device))


class Stream:
    """An order of work on the device, apart from all others.

    Attributes:
        handle: What CUDA calls it.
    """

    def __init__(self) -> None:
        self.handle = int(check(cudart.cudaStreamCreateWithFlags(cudart.cudaStreamNonBlocking)))
        # The wait sleeps: by default it would spin on a core that decodes and encodes meanwhile.
        flags = cudart.cudaEventBlockingSync | cudart.cudaEventDisableTiming
        self._done = check(cudart.cudaEventCreateWithFlags(flags))

    def wait(self) -> None:
        """Return when all work so far is done."""
        check(cudart.cudaEventRecord(self._done, self.handle))
        check(cudart.cudaEventSynchronize(self._done))

    def begin_capture(self) -> None:
        """Record the work to come instead of doing it."""
        mode = cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        check(cudart.cudaStreamBeginCapture(self.handle, mode))

    def end_capture(self) -> Graph:
        """Return what was recorded."""
        return Graph(check(cudart.cudaStreamEndCapture(self.handle)))

    def discard_capture(self) -> None:
        """Leave a recording that failed behind, with the error that it left in CUDA."""
        cudart.cudaStreamEndCapture(self.handle)
        cudart.cudaGetLastError()

    def close(self) -> None:
        """Free it, when its work is done."""
        self.wait()
        check(cudart.cudaEventDestroy(self._done))
        check(cudart.cudaStreamDestroy(self.handle))


class Graph:
    """Recorded work that the device repeats at one command."""

    def __init__(self, recording: Any) -> None:
        try:
            self._ready = check(cudart.cudaGraphInstantiate(recording, 0))
        finally:
            check(cudart.cudaGraphDestroy(recording))

    def launch(self, stream: Stream) -> None:
        """Do the work once more."""
        check(cudart.cudaGraphLaunch(self._ready, stream.handle))

    def close(self) -> None:
        """Free it."""
        check(cudart.cudaGraphExecDestroy(self._ready))
