"""What every backend offers, and the words it shares with its callers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy.typing as npt

from dayshift.runtime.errors import BackendError

Precision = Literal["fp32", "bf16", "fp16", "int8"]
# From best to last resort, where each works: the order in which "auto" tries them.
LocalName = Literal["tensorrt", "openvino", "onnxruntime"]
# A server is asked for by its address, see `server_address`.
BackendName = Literal[LocalName, "kserve"]
# What ONNX Runtime hands a graph to.
Provider = Literal["cpu", "cuda", "tensorrt", "openvino"]

Array = npt.NDArray[Any]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class BuildProgress:
    """How far an engine's build is: what it is at, and the part of it that is done, 0 to 1."""

    phase: str
    fraction: float


# What it raises ends the build, and is raised again by whoever asked for it.
OnBuildProgress = Callable[[BuildProgress], None]


@dataclass(frozen=True)
class BuildOptions:
    """What a caller may ask of an engine that is built for minutes.

    Attributes:
        optimization_level: TensorRT's 0 (builds fast) to 5 (runs fast).
        hardware_compatible: Run on every GPU from Ampere on instead of this one alone; slower.
        smallest: Least shape of every input; with `largest`, one engine for a range of sizes.
        largest: Greatest shape of every input.
    """

    optimization_level: int = 3
    hardware_compatible: bool = False
    smallest: Shapes | None = None
    largest: Shapes | None = None


class Backend(Protocol):
    """A compiled graph for fixed input shapes. One instance serves one thread; `fork` for others.

    Attributes:
        name: The name under which `open_backend` knows it.
        version: The engine's own version.
        device: What it runs on, for example "CPU".
        precision: What the engine computes in, as the engine tells it: not what was asked.
        artifact: Where the compiled graph lies in the private cache; None where none is kept.
    """

    name: BackendName
    version: str
    device: str
    precision: Precision
    artifact: Path | None

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the graph on C-contiguous arrays of exactly the opened shapes.

        The results may live in buffers that the next call overwrites: copy what must stay.

        Raises:
            BackendError: An input is missing or unfit, or the engine failed.
        """
        ...

    def fork(self) -> Backend:
        """Return another instance on the same compiled graph, for another thread.

        As many as the graph was opened with lanes run side by side without slowing each other down.
        """
        ...

    def close(self) -> None:
        """Free this instance; the last one frees the engine. Safe to call twice."""
        ...


def check_inputs(inputs: Mapping[str, Array], shapes: Shapes) -> None:
    """Compare inputs with the shapes the graph was opened for.

    Raises:
        BackendError: A name or a shape differs.
    """
    got = {name: array.shape for name, array in inputs.items()}
    if got != shapes:
        raise BackendError(f"the graph was opened for inputs {dict(shapes)}, got {got}")


def check_shapes(
    engine: BackendName, taken: Mapping[str, Sequence[int | None]], shapes: Shapes
) -> None:
    """Refuse names and sides that are not a graph's: engines notice late, in words of their own.

    Args:
        engine: Its name.
        taken: The shape of every input that the graph has; None is a side that is open.
        shapes: Those that `model.json` gives the inputs.

    Raises:
        BackendError: They do not fit.
    """
    misfits = [
        f"{name} {_show(taken.get(name))} where model.json says {_show(shapes.get(name))}"
        for name in sorted(taken.keys() | shapes.keys())
        if not _fits(taken.get(name), shapes.get(name))
    ]
    if misfits:
        raise BackendError(
            f"{engine} refused the graph, which does not fit its model.json: export the model anew "
            f"(the graph takes {', '.join(misfits)})"
        )


def _fits(taken: Sequence[int | None] | None, given: Sequence[int] | None) -> bool:
    if taken is None or given is None:
        return False
    return len(taken) == len(given) and all(
        side in (None, got) for side, got in zip(taken, given, strict=True)
    )


def _show(shape: Sequence[int | None] | None) -> str:
    if shape is None:
        return "none"
    return f"({', '.join('?' if side is None else str(side) for side in shape)})"


def one_line(error: Exception, limit: int = 300) -> str:
    """Fold an engine's message, often many lines of source locations, into one line."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith("Exception from ")]
    text = " ".join(told) or type(error).__name__
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
