from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dayshift.runtime.doctor.host import Host

Write = Callable[..., None]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of a machine about which nothing is known."""
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def write(root: Path) -> Write:
    def write_files(**files: str) -> None:
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write_files


ORIN = {
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic",
    "etc/os-release": 'PRETTY_NAME="Ubuntu 22.04.5 LTS"\n',
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "proc/meminfo": "MemTotal:        7802960 kB\nMemFree: 1 kB\nSwapTotal:             0 kB\n",
    "etc/nvpmodel.conf": (
        "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n"
        "< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n< PM_CONFIG DEFAULT=0 >\n"
    ),
    "var/lib/nvpmodel/status": "pmode:0000",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq": "729600\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "1510400\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "91250\n",
    "sys/class/thermal/cooling_device0/type": "pwm-fan\n",
    "sys/class/thermal/cooling_device0/cur_state": "3\n",
    "sys/class/thermal/cooling_device1/type": "cpu-throttle-alert\n",
    "sys/class/thermal/cooling_device1/cur_state": "1\n",
    "sys/class/hwmon/hwmon3/oc1_event_cnt": "0\n",
}


@pytest.fixture
def orin(root: Path, write: Write) -> Host:
    """A Jetson Orin Nano with JetPack 6.2 in its 15 W mode, hot and without swap."""
    write(**ORIN)
    return Host(root, prefix=root / "venv")


@pytest.fixture
def libraries_of() -> Callable[..., tuple[str, ...]]:
    return write_libraries


def write_libraries(
    folder: Path, *, wheels: tuple[str, ...] = (), **modules: str
) -> tuple[str, ...]:
    """Write fake modules and wheels' metadata; return where libraries are then looked for."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    for wheel in wheels:
        name, version = wheel.split("==")
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return (str(folder), *sys.path)
