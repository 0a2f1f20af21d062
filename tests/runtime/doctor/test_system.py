"""The machine, over fake file trees: what is set up, what is slow, what is full."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from dayshift.runtime.doctor.cameras import check_cameras, check_virtual_camera
from dayshift.runtime.doctor.check import Check
from dayshift.runtime.doctor.host import Host
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

Write = Callable[..., None]


def test_what_is_not_well_has_a_mend_and_what_is_well_has_none(orin: Host) -> None:
    checks = [
        check_system(orin), check_gpu(orin), check_power_mode(orin), check_clocks(orin),
        check_heat(orin), check_memory(orin), check_virtual_camera(orin), *check_cameras(orin),
    ]  # fmt: skip
    for check in checks:
        assert check is not None
        assert check.ok == (check.fix is None), check
        assert "\n" not in check.detail + (check.fix or "")
        assert not check.is_needed, check


def test_a_jetson_is_told_what_holds_it_back(orin: Host) -> None:
    assert check_system(orin) == Check(
        "system",
        True,
        "NVIDIA Jetson Orin Nano Developer Kit, L4T 36.4.3 (JetPack 6), Ubuntu 22.04.5 LTS, "
        + os.uname().machine,
    )
    assert check_gpu(orin).ok
    assert check_power_mode(orin) == Check(
        "power mode", False, "15W (0): the fastest is MAXN_SUPER", "sudo nvpmodel -m 2"
    )
    clocks = check_clocks(orin)
    assert (clocks.ok, clocks.fix) == (False, "sudo jetson_clocks")
    heat = check_heat(orin)
    assert heat.detail == "hottest: cpu-thermal 91 °C; throttled: cpu-throttle-alert"
    memory = check_memory(orin)
    assert memory.detail.startswith("7.4 GiB, 0.0 GiB of swap")
    assert "mkswap /swapfile" in (memory.fix or "")


def test_a_jetson_that_is_set_up_is_well(orin: Host, write: Write) -> None:
    write(
        **{
            "var/lib/nvpmodel/status": "pmode:0002",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq": "1510400\n",
            "sys/class/thermal/cooling_device1/cur_state": "0\n",
            "proc/meminfo": "MemTotal: 7802960 kB\nSwapTotal: 3901472 kB\n",
        }
    )
    for check in (check_power_mode(orin), check_clocks(orin), check_heat(orin), check_memory(orin)):
        assert check is not None
        assert check.ok, check


def test_over_current_and_an_old_release_are_told(orin: Host, write: Write) -> None:
    write(
        **{
            "sys/class/hwmon/hwmon3/oc1_event_cnt": "4\n",
            "sys/class/thermal/cooling_device1/cur_state": "0\n",
            "etc/nv_tegra_release": "# R35 (release), REVISION: 4.1, GCID: 1",
        }
    )
    assert "4 over-current events" in check_heat(orin).detail
    assert not check_system(orin).ok
    assert "flash JetPack 6.1" in (check_system(orin).fix or "")


def test_a_machine_that_shows_nothing_is_not_ill(root: Path) -> None:
    host = Host(root)
    for check in (check_system(host), check_clocks(host), check_heat(host), check_memory(host)):
        assert check.ok, check
    assert check_power_mode(host) is None
    gpu = check_gpu(host)
    assert (gpu.ok, gpu.detail) == (False, "no NVIDIA GPU: models run on the CPU")


def test_a_gpu_on_the_bus_without_a_driver(root: Path, write: Write) -> None:
    device = "sys/bus/pci/devices/0000:01:00.0"
    write(**{f"{device}/vendor": "0x10de\n", f"{device}/class": "0x040300\n"})
    assert check_gpu(Host(root)).detail.startswith("no NVIDIA GPU")  # its sound card
    write(**{f"{device}/class": "0x030000\n"})
    assert check_gpu(Host(root)).detail == "an NVIDIA GPU without its driver"
    write(**{"proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX  Module  550.54.15  x\n"})
    assert check_gpu(Host(root)).detail == "NVIDIA, driver 550.54.15"


def test_a_slow_governor_is_told(root: Path, write: Write) -> None:
    folder = "sys/devices/system/cpu/cpu0/cpufreq"
    write(**{f"{folder}/scaling_governor": "powersave\n", f"{folder}/scaling_driver": "acpi\n"})
    assert not check_clocks(Host(root)).ok
    write(**{f"{folder}/scaling_driver": "intel_pstate\n"})
    assert check_clocks(Host(root)).ok


def test_a_cache_that_is_open_or_not_ours_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "tensorrt"
    assert check_cache(folder).ok
    folder.mkdir(parents=True, mode=0o700)
    assert check_cache(folder).ok
    folder.chmod(0o755)
    check = check_cache(folder)
    assert (check.ok, check.fix) == (False, f"rm -r {folder}")
    assert "mode 0755" in check.detail
    folder.rmdir()
    folder.symlink_to(tmp_path)
    assert "not a folder of this user's own" in check_cache(folder).detail


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_disk(tmp_path / "not" / "there").ok == (
        shutil.disk_usage(tmp_path).free >= 2 * 2**30
    )
    used = shutil.disk_usage(tmp_path)._replace(free=5 * 10**8)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: used)
    check = check_disk(tmp_path)
    assert (check.ok, check.detail[:12]) == (False, "0.5 GiB free")


def test_a_port_that_is_taken_names_who_has_it() -> None:
    with socket.socket() as server:
        server.bind(("", 0))
        server.listen()
        port = server.getsockname()[1]
        check = check_port(Host(), port)
        assert not check.ok
        assert f"(pid {os.getpid()})" in check.detail
        assert check.fix == f"dayshift run SOURCE http://:{port + 1}"
    assert check_port(Host(), port).ok
