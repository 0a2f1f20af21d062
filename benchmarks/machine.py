"""What the figures were measured on, and what went on there meanwhile."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dayshift.benchmarks.cases import usable_cores
from dayshift.runtime.doctor.host import read_text

_LIBRARIES = {
    "openvino": "openvino",
    "onnxruntime": "onnxruntime",
    "tensorrt": "tensorrt",
    "pytorch": "torch",
    "torch.compile": "torch",
}
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
_ARM_FLAGS = ("asimddp", "i8mm", "bf16", "sve")


def is_installed(backend: str) -> bool:
    """Say whether a backend's library can be found, without importing it."""
    return importlib.util.find_spec(_LIBRARIES[backend.split(":")[0]]) is not None


def describe_machine(root: Path = Path("/")) -> dict[str, Any]:
    """Return processor, memory, system, clocks, power mode and versions.

    Args:
        root: where `proc`, `sys` and `etc` are; another folder in tests.
    """
    names = ("numpy", "opencv-python", "opencv-python-headless", "av", "onnx")
    libraries = (*names, *dict.fromkeys(_LIBRARIES.values()))
    return {
        "processor": _processor(root),
        "cores": usable_cores(),
        "instructions": _instructions(root),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "virtual": "hypervisor" in _cpu_flags(root),
        "python": platform.python_version(),
        "versions": {name: v for name in libraries if (v := _version(name))},
        "governor": _governor(root),
        "power_mode": _power_mode(root),
        "load_1min": round(os.getloadavg()[0], 2),
        "temperature_c": read_temperature(root),
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor(root: Path) -> str:
    jetson = read_text(root / "proc/device-tree/model")
    lines = (read_text(root / "proc/cpuinfo") or "").splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return jetson or next(names, platform.processor() or platform.machine())


def _cpu_flags(root: Path) -> list[str]:
    lines = (read_text(root / "proc/cpuinfo") or "").splitlines()
    flags = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return next(flags, "").split()


def _instructions(root: Path) -> list[str]:
    """Return the vector instructions that decide how fast a network can be."""
    flags = _cpu_flags(root)
    return [name for name in (*_FLAGS, *_ARM_FLAGS) if name in flags]


def _governor(root: Path) -> str | None:
    """Return the clock governors in use; None where the machine does not show them."""
    pattern = "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"
    found = {text for path in root.glob(pattern) if (text := read_text(path))}
    return ", ".join(sorted(found)) or None


def _power_mode(root: Path) -> str | None:
    """Return a Jetson's nvpmodel or a PC's platform profile."""
    status = read_text(root / "var/lib/nvpmodel/status")
    return status or read_text(root / "sys/firmware/acpi/platform_profile")


def read_temperature(root: Path = Path("/")) -> float | None:
    """Return the hottest zone in degrees Celsius; None where there is no sensor to read."""
    texts = (read_text(path) for path in root.glob("sys/class/thermal/thermal_zone*/temp"))
    values = [int(text) / 1e3 for text in texts if text and text.lstrip("-").isdecimal()]
    return round(max(values), 1) if values else None


def _throttle_count(root: Path) -> int | None:
    pattern = "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count"
    counts = [int(text) for path in root.glob(pattern) if (text := read_text(path))]
    return sum(counts) if counts else None


@dataclass(frozen=True)
class Instant:
    """What the machine's counters say at one moment; times are seconds of all cores together."""

    busy_s: float
    stolen_s: float
    idle_s: float
    throttled: int | None

    @classmethod
    def now(cls, root: Path = Path("/")) -> Instant:
        """Read the counters."""
        fields = (read_text(root / "proc/stat") or "cpu").splitlines()[0].split()[1:]
        ticks = [int(field) for field in fields] + [0] * 8
        user, nice, system, idle, iowait, irq, softirq, stolen = ticks[:8]
        hz = os.sysconf("SC_CLK_TCK")
        busy = user + nice + system + irq + softirq
        return cls(busy / hz, stolen / hz, (idle + iowait) / hz, _throttle_count(root))


def describe_conditions(before: Instant, after: Instant, ours_s: float) -> dict[str, Any]:
    """Say what else went on between two instants.

    Args:
        before: the beginning.
        after: the end.
        ours_s: processor seconds of our own processes in that time.

    Returns: shares of all cores' time that others used and that the host took away, and how often
        cores were throttled; None where the machine does not tell.
    """
    busy, stolen = after.busy_s - before.busy_s, after.stolen_s - before.stolen_s
    total = busy + stolen + after.idle_s - before.idle_s
    throttled = None
    if before.throttled is not None and after.throttled is not None:
        throttled = after.throttled - before.throttled
    return {
        "other_load": round(max(0.0, busy - ours_s) / total, 3) if total > 0 else None,
        "stolen": round(stolen / total, 3) if total > 0 else None,
        "throttled": throttled,
        "temperature_c": read_temperature(),
    }
