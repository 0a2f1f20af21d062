"""Energy: joules of a block of work, from whatever meter this machine has.

The meters measure a package, a board or a device and not a process: on a busy machine the other
work is in the figure. Where there is no meter the figure is None, with the reason; never a guess.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Protocol

_SAMPLE_S = 0.02


class Meter(Protocol):
    """Measures from `start` to `stop`.

    Attributes:
        name: what is measured, None where nothing is.
        reason: why there is no figure, None where there is one.
    """

    name: str | None
    reason: str | None

    def start(self) -> None:
        """Begin to count."""
        ...

    def stop(self) -> float | None:
        """Return the joules since `start`."""
        ...

    def device_memory_mib(self) -> float | None:
        """Return the device memory this process has now; None without a device."""
        ...


def open_meter(root: Path = Path("/")) -> Meter:
    """Return the best meter: of an NVIDIA device, of a Jetson board, of an x86 package.

    Args:
        root: where `sys` is; another folder in tests.
    """
    reasons = []
    for meter_class in (NvmlMeter, InaMeter, RaplMeter):
        try:
            return meter_class(root)
        except Unmeasurable as error:
            reasons.append(str(error))
    return NoMeter("; ".join(reasons))


class Unmeasurable(Exception):
    """A meter is not here, with the reason."""


class NoMeter:
    """No meter, and why."""

    name: str | None = None

    def __init__(self, reason: str) -> None:
        self.reason: str | None = reason

    def start(self) -> None:
        """Count nothing."""

    def stop(self) -> None:
        """Return no figure."""

    def device_memory_mib(self) -> None:
        """Return no figure."""


class RaplMeter:
    """Intel's and AMD's running average power limit counters, of all packages (sysfs powercap)."""

    def __init__(self, root: Path) -> None:
        self.name: str | None = "RAPL, processor package"
        self.reason: str | None = None
        zones = sorted((root / "sys/class/powercap").glob("intel-rapl:?"))
        self._zones = [zone for zone in zones if (zone / "energy_uj").exists()]
        if not self._zones:
            raise Unmeasurable("no RAPL counters (virtual machines hide them)")
        try:
            self._before = self._read()
        except PermissionError as error:
            raise Unmeasurable(
                f"RAPL counters are for root only: sudo chmod a+r {self._zones[0]}/energy_uj"
            ) from error

    def _read(self) -> list[int]:
        return [int((zone / "energy_uj").read_text()) for zone in self._zones]

    def start(self) -> None:
        """Read the counters."""
        self._before = self._read()

    def stop(self) -> float:
        """Return the difference; a counter that began anew is seen by its range."""
        total = 0
        for zone, before, after in zip(self._zones, self._before, self._read(), strict=True):
            wrap = int((zone / "max_energy_range_uj").read_text()) if after < before else 0
            total += after - before + wrap
        return total / 1e6

    def device_memory_mib(self) -> None:
        """A processor has no memory of its own."""


class _SampledMeter:
    """Integrates watts that are read every 20 ms."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._samples: list[tuple[float, float]] = []

    def _watts(self) -> float:
        raise NotImplementedError

    def start(self) -> None:
        """Begin to sample."""
        self._samples = []
        self._stopped.clear()
        self._sample()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """Return the integral, by trapezoids."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        self._sample()
        pairs = zip(self._samples, self._samples[1:], strict=False)
        return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairs)

    def _run(self) -> None:
        while not self._stopped.wait(_SAMPLE_S):
            self._sample()

    def _sample(self) -> None:
        self._samples.append((time.perf_counter(), self._watts()))

    def device_memory_mib(self) -> float | None:
        """Return no figure: a Jetson's memory is the host's."""
        return None


class InaMeter(_SampledMeter):
    """A Jetson board's INA3221 monitor: the input rail, in hwmon."""

    _RAILS = ("VDD_IN", "VIN_SYS_5V0", "VDD_GPU_SOC")

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.reason: str | None = None
        labels = sorted((root / "sys/bus/i2c/drivers/ina3221").glob("*/hwmon/hwmon*/in*_label"))
        rails = {label.read_text().strip(): label for label in labels}
        rail = next((name for name in self._RAILS if name in rails), None)
        if rail is None:
            raise Unmeasurable("no INA3221 power monitor (only Jetson boards have it)")
        self.name: str | None = f"INA3221, rail {rail}"
        number = rails[rail].name.removeprefix("in").removesuffix("_label")
        self._volts = rails[rail].with_name(f"in{number}_input")
        self._amperes = rails[rail].with_name(f"curr{number}_input")
        self._watts()

    def _watts(self) -> float:
        return int(self._volts.read_text()) * int(self._amperes.read_text()) / 1e6


class NvmlMeter(_SampledMeter):
    """An NVIDIA device's own counter, or its power where it has no counter."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        del root
        self.reason: str | None = None
        try:
            import pynvml
        except ImportError as error:
            raise Unmeasurable("no NVML (pip install nvidia-ml-py)") from error
        self._nvml: Any = pynvml
        try:
            pynvml.nvmlInit()
            self._device = pynvml.nvmlDeviceGetHandleByIndex(0)
            self._watts()
        except pynvml.NVMLError as error:
            raise Unmeasurable(f"NVML says: {error}") from error
        self.name: str | None = "NVML, whole device"

    def _watts(self) -> float:
        return float(self._nvml.nvmlDeviceGetPowerUsage(self._device)) / 1e3

    def device_memory_mib(self) -> float | None:
        """Return this process's memory on the device."""
        import os

        processes = self._nvml.nvmlDeviceGetComputeRunningProcesses(self._device)
        used = [p.usedGpuMemory for p in processes if p.pid == os.getpid() and p.usedGpuMemory]
        return sum(used) / 2**20 if used else None
