"""The main job, really done: a frame in, through the bundled model, and out."""

from __future__ import annotations

from collections.abc import Iterator

from dayshift.runtime.doctor.check import Check
from dayshift.runtime.doctor.host import Host
from dayshift.runtime.doctor.libraries import opencv_fix, pip_range

# Where only TensorRT is installed, an engine is built first.
_TIMEOUT_S = 900.0
_MISSING = "cannot import"
_TRIAL = "from dayshift.runtime.doctor.trial import try_main_job; told = try_main_job()"


def check_main_job(host: Host) -> Iterator[Check]:
    """Do the main job in another process, which an engine may crash."""
    told = host.try_python(_TRIAL, timeout_s=_TIMEOUT_S)
    if "error" in told:
        told = {"model": told, "in": {}, "out": {}}
    model = told["model"]
    if "error" in model:
        fix = _fix(host, model["error"])
        yield Check("model", False, cause_of(model["error"]), fix, is_needed=True)
    else:
        yield Check("model", True, model["detail"], is_needed=True)
    yield _ways(host, "ways in", told["in"])
    yield _ways(host, "ways out", told["out"])


def _ways(host: Host, name: str, ways: dict[str, str | None]) -> Check:
    """Report which ways work; one is enough."""
    work = [way for way, error in ways.items() if error is None]
    if work:
        return Check(name, True, ", ".join(work), is_needed=True)
    errors = [error for error in ways.values() if error]
    said = "; ".join(dict.fromkeys(map(cause_of, errors))) or "not tried, since nothing came in"
    return Check(name, False, f"none: {said}", _fix(host, *errors), is_needed=True)


def cause_of(error: str) -> str:
    """Leave out of an error what it says of extras: the mend is more exact."""
    cause, parted, _ = error.partition("): ")
    return f"{cause})" if parted and cause.startswith(_MISSING) else error


def _fix(host: Host, *errors: str) -> str:
    """Return what mends the first of these errors."""
    for error in errors:
        if error.startswith(f"{_MISSING} cv2"):
            return opencv_fix(host, error)
    if any(_MISSING in error for error in errors):
        return host.pip(f"install {pip_range('openvino')} 'av>=14.2,<19'")
    return "what is marked below comes first; dayshift demo --debug tells more"
