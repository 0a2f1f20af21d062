"""Meters read from a folder that looks like the kernel's."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from dayshift.benchmarks.energy import InaMeter, Meter, RaplMeter, open_meter


def write(path: Path, text: str | int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")
    return path


def rapl(root: Path, number: int, microjoules: int) -> Path:
    zone = root / f"sys/class/powercap/intel-rapl:{number}"
    write(zone / "max_energy_range_uj", 1_000_000)
    return write(zone / "energy_uj", microjoules)


def test_rapl_adds_packages_and_sees_a_counter_begin_anew(tmp_path: Path) -> None:
    first, second = rapl(tmp_path, 0, 200_000), rapl(tmp_path, 1, 900_000)
    meter = RaplMeter(tmp_path)
    meter.start()
    write(first, 700_000)
    write(second, 100_000)
    assert meter.stop() == pytest.approx(0.5 + 0.2)
    assert (meter.name, meter.reason) == ("RAPL, processor package", None)


def test_a_jetson_boards_input_rail_is_integrated(tmp_path: Path) -> None:
    hwmon = tmp_path / "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
    write(hwmon / "in1_label", "VDD_CPU_CV")
    write(hwmon / "in2_label", "VDD_IN")
    write(hwmon / "in2_input", 5000)
    current = write(hwmon / "curr2_input", 2000)
    meter = InaMeter(tmp_path)
    meter.start()
    started_at = time.perf_counter()
    time.sleep(0.1)
    joules = meter.stop()
    assert joules == pytest.approx(10 * (time.perf_counter() - started_at), rel=0.2)
    assert meter.name == "INA3221, rail VDD_IN"
    write(current, 0)
    meter.start()
    assert meter.stop() == 0
    assert threading.active_count() < 20


def test_no_meter_gives_no_figure_and_says_why(tmp_path: Path) -> None:
    meter: Meter = open_meter(tmp_path)
    assert meter.name is None
    meter.start()
    assert meter.stop() is None
    assert meter.reason is not None
    assert "no RAPL counters" in meter.reason
    assert "INA3221" in meter.reason
