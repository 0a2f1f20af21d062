"""A model on paper: what 1,000 cameras and 10,000 hours of footage need, from one node's figures.

    python -m dayshift.benchmarks.scale REPORT.json COSTS.json docs/scale.md

REPORT.json is of `dayshift bench`, COSTS.json of `benchmarks.scale_costs`. The tables stand between
two comments in the page. Prices and machines are assumptions, all of them below: change them there.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dayshift.benchmarks.readme import between
from dayshift.benchmarks.tables import machine_line, markdown_table, number
from dayshift.runtime.errors import UsageError
from dayshift.runtime.sinks.base import write_file

BEGIN = "<!-- figures of benchmarks.scale: begin -->"
END = "<!-- figures of benchmarks.scale: end -->"

CAMERAS, ARCHIVE_HOURS = 1000, 10_000
# A frame as it crosses the network to a model server, both ways: 256x144 and two maps of its size,
# or the whole frame and the whole image, of 1280x720.
_MAPS_BYTES, _FULL_BYTES = 3 * 256 * 144 * 3, 2 * 1280 * 720 * 3


@dataclass(frozen=True)
class Assumptions:
    """What was not measured.

    Attributes:
        fps: Of the cameras and of the footage.
        machine_cores: Cores of a machine as they are rented: hardware threads.
        machine_gbit_per_s: Of its network.
        load: Share of the cores that is planned for; live streams need the rest for peaks.
        archive_load: The same where nobody waits.
        core_hour: Price of a core for an hour, in dollars.
        gb_month: Price of a gigabyte in an object store for a month, in dollars.
        store_gbit_per_s: What one bucket delivers to one cluster.
    """

    fps: float = 25
    machine_cores: int = 32
    machine_gbit_per_s: float = 12.5
    load: float = 0.6
    archive_load: float = 0.9
    core_hour: float = 0.04
    gb_month: float = 0.023
    store_gbit_per_s: float = 100


@dataclass(frozen=True)
class Costs:
    """CPU milliseconds of one frame, by stage, and megabits of a second of video."""

    decode: float
    model: float
    encode: float
    rest: float
    mbit_in: float
    mbit_out: float
    client: float | None

    @property
    def whole(self) -> float:
        """From file to file."""
        return self.decode + self.model + self.encode + self.rest


def costs_of(report: Mapping[str, Any], costs: Mapping[str, Any]) -> Costs:
    """Take from both files what a frame costs.

    Raises:
        UsageError: The report lacks a row.
    """
    whole, model = (_cpu_ms(report, scenario, costs["size"]) for scenario in ("file", "offline"))
    decode, encode = costs["decode_cpu_ms"], costs["encode_cpu_ms"]
    return Costs(
        decode,
        model,
        encode,
        max(0.0, whole - decode - model - encode),
        costs["clip_mbit_per_s"],
        costs["encoded_mbit_per_s"],
        costs["client_cpu_ms"],
    )


def _cpu_ms(report: Mapping[str, Any], scenario: str, size: str) -> float:
    wanted = ("day2night", "openvino", "int8", size, scenario)
    keys = ("model", "backend", "precision_actual", "size", "scenario")
    for row in report["rows"]:
        if row["status"] == "passed" and tuple(row[key] for key in keys) == wanted:
            return float(row["cpu_ms_per_frame"])
    raise UsageError(f"the report has no measured row {wanted}: run dayshift bench day2night")


def figures(report: Mapping[str, Any], measured: Mapping[str, Any], given: Assumptions) -> str:
    """Return the tables of the page."""
    costs = costs_of(report, measured)
    load = measured["machine"]["load_1min"]
    lines = [
        f"Frames of {measured['size']}, int8, {given.fps:g} frames/s. Model and whole: "
        f"{machine_line(report)}. Decode, encode and client: the same kind of machine on "
        f"{measured['date'][:10]}, with a load of {load:g} (CPU time was taken, not the clock).",
        "",
        *_frame_table(costs),
        "",
        f"### {CAMERAS:,} cameras",
        "",
        *_camera_table(costs, given),
        "",
        f"### {ARCHIVE_HOURS:,} hours of footage",
        "",
        *_archive_table(costs, given),
    ]
    return "\n".join(lines) + "\n"


def _frame_table(costs: Costs) -> list[str]:
    stages = {
        "decode H.264": costs.decode,
        "model: shrink, engine, apply": costs.model,
        "encode H.264": costs.encode,
        "the rest: copies, hand-over, muxing": costs.rest,
        "whole, file to file": costs.whole,
    }
    rows = [[name, number(ms), f"{ms / costs.whole:.0%}"] for name, ms in stages.items()]
    if costs.client is not None:
        name = "instead of the model, as a client of a server"
        rows.append([name, number(costs.client), ""])
    return markdown_table(["one frame", "CPU ms", "share"], rows)


def _camera_table(costs: Costs, given: Assumptions) -> list[str]:
    cores = CAMERAS * given.fps * costs.whole / 1e3 / given.load
    machines = math.ceil(cores / given.machine_cores)
    gbit = 1e-3 * CAMERAS * (costs.mbit_in + costs.mbit_out)
    per_hour = machines * given.machine_cores * given.core_hour
    rows = [
        ["cores", f"{cores:,.0f}", f"at {given.load:.0%} load"],
        ["machines", f"{machines}", f"of {given.machine_cores} cores"],
        ["cameras on a machine", f"{CAMERAS // machines}", "decode, model and encode on it"],
        ["network of a machine", f"{gbit / machines:.2f} Gbit/s", _share(gbit, machines, given)],
        ["dollars an hour of one camera", f"{per_hour / CAMERAS:.4f}", "cores alone"],
    ]
    for name, size in (("maps", _MAPS_BYTES), ("full", _FULL_BYTES)):
        sent = 8e-9 * size * given.fps * CAMERAS
        rows.append(
            [f"to model servers, form {name}", f"{sent:,.0f} Gbit/s", "all cameras, both ways"]
        )
    return markdown_table(["what", "how much", ""], rows)


def _share(gbit: float, machines: int, given: Assumptions) -> str:
    share = gbit / machines / given.machine_gbit_per_s
    return f"{share:.0%} of {given.machine_gbit_per_s:g}, where the cores are at {given.load:.0%}"


def _archive_table(costs: Costs, given: Assumptions) -> list[str]:
    core_hours = ARCHIVE_HOURS * given.fps * costs.whole / 1e3 / given.archive_load
    day_machines = math.ceil(core_hours / 24 / given.machine_cores)
    read, written = (ARCHIVE_HOURS * 3600 * mbit / 8e6 for mbit in (costs.mbit_in, costs.mbit_out))
    gbit = 8e3 * (read + written) / (24 * 3600)
    at_store = given.store_gbit_per_s / (gbit / day_machines)
    dollars = core_hours * given.core_hour / ARCHIVE_HOURS
    stored = written * 1e3 * given.gb_month / ARCHIVE_HOURS
    rows = [
        ["core hours", f"{core_hours:,.0f}", f"at {given.archive_load:.0%} load"],
        ["machines, to be done in a day", f"{day_machines}", f"of {given.machine_cores} cores"],
        ["read from the store", f"{read:.1f} TB", f"{costs.mbit_in:g} Mbit/s of video"],
        ["written", f"{written:.1f} TB", f"{costs.mbit_out:g} Mbit/s of video"],
        ["store, reading and writing", f"{gbit:.2f} Gbit/s", "all machines, over the day"],
        ["machines at which the store is full", f"{at_store:,.0f}", "cores are, long before"],
        ["dollars an hour of footage", f"{dollars:.4f}", f"${given.core_hour:g} a core hour"],
        ["and to keep it for a month", f"{stored:.4f}", f"${given.gb_month:g} a GB"],
    ]
    return markdown_table(["what", "how much", ""], rows)


def main() -> None:
    """Write the tables into the page."""
    if len(sys.argv) != 4:
        sys.exit("usage: python -m dayshift.benchmarks.scale REPORT.json COSTS.json PAGE.md")
    report, costs = (json.loads(Path(word).read_bytes()) for word in sys.argv[1:3])
    page = Path(sys.argv[3])
    text = between(
        page.read_text(encoding="utf-8"), BEGIN, END, figures(report, costs, Assumptions())
    )
    write_file(page, text.encode())


if __name__ == "__main__":
    main()
