"""All that the doctor looks at, in the order in which a person reads it."""

from __future__ import annotations

from collections.abc import Iterator

from dayshift.runtime.cache import cache_root
from dayshift.runtime.doctor.cameras import check_cameras, check_virtual_camera
from dayshift.runtime.doctor.check import Check
from dayshift.runtime.doctor.host import Host
from dayshift.runtime.doctor.libraries import (
    check_engines,
    check_extras,
    check_opencv,
    check_python,
    check_torch,
)
from dayshift.runtime.doctor.main_job import cause_of, check_main_job
from dayshift.runtime.doctor.system import (
    check_cache,
    check_clocks,
    check_disk,
    check_gpu,
    check_heat,
    check_memory,
    check_port,
    check_power_mode,
    check_system,
)

_DISPLAY = """
from dayshift.runtime.sinks.window import find_display_problem
told = {"problem": find_display_problem()}
"""


def diagnose(host: Host | None = None, *, camera_test: bool = False) -> Iterator[Check]:
    """Yield what is found, as it is found; the whole takes seconds.

    Args:
        host: The machine to look at; by default this one.
        camera_test: Also take frames from every camera.
    """
    host = host or Host()
    yield from check_main_job(host)
    yield check_python()
    yield check_opencv(host)
    yield from check_engines(host)
    yield from check_extras(host)
    yield from _present(check_torch(host))
    yield check_system(host)
    yield check_gpu(host)
    yield from _present(check_power_mode(host))
    yield check_clocks(host)
    yield check_heat(host)
    yield check_memory(host)
    yield check_disk(cache_root())
    yield check_cache()
    yield from check_cameras(host, test=camera_test)
    yield check_virtual_camera(host)
    yield check_display(host)
    yield check_port(host)


def can_run(checks: list[Check]) -> bool:
    """Say whether the main job can be done."""
    return all(check.ok for check in checks if check.is_needed)


def check_display(host: Host) -> Check:
    """Say whether a window can be opened."""
    told = host.try_python(_DISPLAY)
    problem = told["problem"] if "problem" in told else cause_of(told["error"])
    if problem is None:
        return Check("display", True, host.environment.get("DISPLAY") or "Wayland")
    fix = "dayshift run SOURCE http://:8080 shows it in a browser"
    if "(opencv-python-headless)" in problem:
        swap = "uninstall -y opencv-python-headless"
        fix += f"; with a display: {host.pip(swap)} && {host.pip('install opencv-python')}"
    return Check("display", False, problem, fix)


def _present(check: Check | None) -> Iterator[Check]:
    if check is not None:
        yield check
