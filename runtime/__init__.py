"""The runtime: frames from a source, through a model, to sinks. numpy, OpenCV and one engine.

Importing it is cheap and needs none of them: every name is fetched from its module when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dayshift.runtime.errors import (
    BackendError,
    CacheError,
    DayshiftError,
    GateError,
    MissingDependency,
    ModelError,
    SinkError,
    SourceError,
    UsageError,
)

if TYPE_CHECKING:
    from dayshift.runtime.backends import Backend, open_backend
    from dayshift.runtime.bundled import bundled_clip, bundled_models
    from dayshift.runtime.frame import Frame
    from dayshift.runtime.model import Model, load
    from dayshift.runtime.model_files import load_spec
    from dayshift.runtime.plan import Translation
    from dayshift.runtime.sinks import open_sink
    from dayshift.runtime.sources import open_source
    from dayshift.runtime.spec import ModelSpec
    from dayshift.runtime.streaming.pipeline import run_pipeline
    from dayshift.runtime.streaming.report import Report

_MODULE_OF = {
    "Backend": "backends",
    "Frame": "frame",
    "Model": "model",
    "ModelSpec": "spec",
    "Report": "streaming.report",
    "Translation": "plan",
    "bundled_clip": "bundled",
    "bundled_models": "bundled",
    "load": "model",
    "load_spec": "model_files",
    "open_backend": "backends",
    "open_sink": "sinks",
    "open_source": "sources",
    "run_pipeline": "streaming.pipeline",
}

__all__ = [
    "Backend",
    "BackendError",
    "CacheError",
    "DayshiftError",
    "Frame",
    "GateError",
    "MissingDependency",
    "Model",
    "ModelError",
    "ModelSpec",
    "Report",
    "SinkError",
    "SourceError",
    "Translation",
    "UsageError",
    "bundled_clip",
    "bundled_models",
    "load",
    "load_spec",
    "open_backend",
    "open_sink",
    "open_source",
    "run_pipeline",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
