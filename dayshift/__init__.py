"""Image-to-image translation GANs from training to a live camera.

    model = dayshift.load("day2night")         # backend and precision chosen for this machine
    night = model(frame)                       # uint8 BGR (H, W, 3) in and out
    for result in dayshift.stream("0", model): # the newest frame wins
        ...

Importing this package imports no engine, no OpenCV and no PyTorch: what needs them is fetched when
first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dayshift.runtime.errors import (
    BackendError,
    CacheError,
    DayshiftError,
    GateError,
    MissingDependency,
    ModelError,
    SinkError,
    SourceError,
    UpdateError,
    UsageError,
)

if TYPE_CHECKING:
    from dayshift.runtime.model import Memory, Model, load
    from dayshift.runtime.streaming.stream import stream

__version__ = "0.1.0"

__all__ = [
    "BackendError",
    "CacheError",
    "DayshiftError",
    "GateError",
    "Memory",
    "MissingDependency",
    "Model",
    "ModelError",
    "SinkError",
    "SourceError",
    "UpdateError",
    "UsageError",
    "__version__",
    "load",
    "stream",
]


def __getattr__(name: str) -> object:
    """Fetch what needs OpenCV or an engine when it is first asked for (PEP 562)."""
    if name in ("Memory", "Model", "load"):
        from dayshift.runtime import model

        return getattr(model, name)
    if name == "stream":
        from dayshift.runtime.streaming.stream import stream

        return stream
    raise AttributeError(f"module 'dayshift' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
