"""What is read of a machine, from folders that look like one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dayshift.benchmarks.machine import Instant, describe_conditions, describe_machine


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_machine_tells_its_processor_clocks_power_mode_and_temperature(tmp_path: Path) -> None:
    write(tmp_path / "proc/cpuinfo", "model name\t: Fast 9000\nflags\t\t: fpu avx2 avx512_vnni\n")
    write(tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n")
    write(tmp_path / "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance\n")
    write(tmp_path / "sys/class/thermal/thermal_zone0/temp", "41500\n")
    write(tmp_path / "sys/class/thermal/thermal_zone1/temp", "63200\n")
    write(tmp_path / "var/lib/nvpmodel/status", "pmode:0002\n")
    machine = describe_machine(tmp_path)
    assert machine["processor"] == "Fast 9000"
    assert machine["instructions"] == ["avx2", "avx512_vnni"]
    assert machine["governor"] == "performance, powersave"
    assert (machine["temperature_c"], machine["power_mode"]) == (63.2, "pmode:0002")
    assert not machine["virtual"]
    assert "numpy" in machine["versions"]


def test_what_a_machine_does_not_show_is_none(tmp_path: Path) -> None:
    machine = describe_machine(tmp_path)
    assert (machine["governor"], machine["temperature_c"], machine["instructions"]) == (
        None,
        None,
        [],
    )


def test_other_work_is_what_is_busy_beyond_our_own() -> None:
    before = Instant(busy_s=10.0, stolen_s=1.0, idle_s=5.0, throttled=3)
    after = Instant(busy_s=16.0, stolen_s=2.0, idle_s=8.0, throttled=5)
    told = describe_conditions(before, after, ours_s=4.0)
    assert told["other_load"] == pytest.approx(0.2)
    assert told["stolen"] == pytest.approx(0.1)
    assert told["throttled"] == 2


def test_the_kernels_counters_are_read(tmp_path: Path) -> None:
    write(tmp_path / "proc/stat", "cpu  100 50 25 1000 10 5 5 20 0 0\ncpu0 1 2 3\n")
    now = Instant.now(tmp_path)
    ticks = now.busy_s / 185
    assert now.stolen_s == pytest.approx(20 * ticks)
    assert now.idle_s == pytest.approx(1010 * ticks)
    assert now.throttled is None
