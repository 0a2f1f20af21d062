"""The main job, really done: a frame in, through the bundled model, and out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dayshift.runtime.doctor.check import Check
from dayshift.runtime.doctor.host import Host

# Where only TensorRT is installed, an engine is built first.
_TIMEOUT_S = 900.0
_TRIAL = "from dayshift.runtime.doctor.trial import try_main_job; told = try_main_job()"


def check_main_job(host: Host) -> Iterator[Check]:
    """Do the main job in another process, which an engine may crash."""
    told = host.try_python(_TRIAL, timeout_s=_TIMEOUT_S)
    if "error" in told:
        told = {"model": {"error": told["error"]}, "in": {}, "out": {}}
    model = told["model"]
    if "error" in model:
        yield Check("model", False, model["error"], _fix(model["error"]), is_needed=True)
    else:
        yield Check("model", True, model["detail"], is_needed=True)
    yield _ways("ways in", told["in"])
    yield _ways("ways out", told["out"])


def _ways(name: str, ways: dict[str, Any]) -> Check:
    """Report which ways work; one is enough."""
    work = [way for way, error in ways.items() if error is None]
    errors = [f"{way}: {error}" for way, error in ways.items() if error]
    if work:
        return Check(name, True, ", ".join(work), is_needed=True)
    said = "; ".join(errors) or "not tried"
    return Check(name, False, f"none ({said})", _fix(said), is_needed=True)


def _fix(error: str) -> str:
    """Return the remedy: our errors end with it."""
    return error.partition("): ")[2] or "see the findings below; dayshift demo --debug tells more"
