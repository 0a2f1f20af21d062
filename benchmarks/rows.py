"""A row: the turns of one case, and what is finally said about it."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from dayshift.benchmarks.cases import CAMERA_FPS, Case, usable_cores
from dayshift.benchmarks.statistics import median_interval
from dayshift.runtime.timing import summarize

CV_WARNING = 0.10
IDLE_WARNING = 0.10
OTHER_LOAD_WARNING = 0.10
# fp32 on two engines differs by a rounding here and there; bf16 and int8 stay well below this.
FP32_LEAST_DB = 58.0
QUANTILES = (0, 5, 25, 50, 75, 95, 99, 100)

# Set by the design; scripts rely on them, so that a row without a figure still has the field.
_FIGURES: dict[str, Any] = {
    "backend_version": None,
    "precision_actual": None,
    "n": 0,
    "warmup": 0,
    "latency_ms": None,
    "fps": None,
    "build_s": None,
    "memory_mib": None,
    "energy_mj_per_frame": None,
    "psnr_db": None,
    "ssim": None,
}


@dataclass
class Row:
    """One case: its facts, blocks by round, and how it ended."""

    case: Case
    facts: dict[str, Any] = field(default_factory=dict)
    warm_up: dict[str, Any] = field(default_factory=dict)
    blocks: dict[int, dict[str, Any]] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)
    status: str = "passed"
    reason: str | None = None

    @property
    def is_measured(self) -> bool:
        """At least one block was measured, whatever came after."""
        return bool(self.blocks)

    def fail(self, status: str, reason: str) -> None:
        """Say why there is nothing, or nothing more."""
        self.status, self.reason = status, reason

    def medians_ms(self, stage: str | None = None) -> dict[int, float]:
        """Return the median latency of each round, or of one stage."""
        result = {}
        for number, block in self.blocks.items():
            times = block["stages_ms"].get(stage) if stage else block["times_ms"]
            if times:
                result[number] = statistics.median(times)
        return result

    def as_json(self) -> dict[str, Any]:
        """Return the row as the report has it; `relative` and `roofline` are added to that."""
        case = self.case
        row: dict[str, Any] = {
            "model": self.facts.get("model_name", case.model),
            "backend": case.backend,
            "precision_requested": case.precision,
            "size": case.size,
            "scenario": case.scenario,
            "threads": case.threads,
            "threads_available": usable_cores(),
            "streams": case.streams,
            "batch": case.batch,
            "device": self.facts.get("device", case.device or None),
            **_FIGURES,
        }
        row.update({k: v for k, v in self.facts.items() if k not in _INNER})
        if self.is_measured:
            row.update(self._figures())
        row.update(self.quality)
        images, distinct = (self.quality.get(k, 1) for k in ("n_frames", "distinct_images"))
        if self.status == "passed" and images > 1 == distinct:
            self.fail("failed", "different frames gave one and the same image")
        row.update(status=self.status, reason=self.reason)
        row["warnings"] = self._warnings(row)
        return row

    def _figures(self) -> dict[str, Any]:
        blocks = list(self.blocks.values())
        times = [time_ms for block in blocks for time_ms in block["times_ms"]]
        latency = {k: round(v, 4) for k, v in asdict(summarize(times)).items() if k != "count"}
        frames = sum(block["frames"] for block in blocks)
        cpu_s, waited_s = (sum(b[k] for b in blocks) for k in ("cpu_s", "run_queue_s"))
        seconds = sum(block["seconds"] for block in blocks)
        joules = [b["joules"] for b in blocks if b["joules"] is not None]
        rates = [b["frames"] / b["seconds"] for b in blocks]
        return {
            "n": len(times),
            "rounds": len(blocks),
            "latency_ms": latency,
            "quantiles_ms": _quantiles(times),
            "p50_interval_ms": median_interval(list(self.medians_ms().values())).as_json(),
            "round_p50_ms": {str(k): round(v, 4) for k, v in self.medians_ms().items()},
            "fps": round(statistics.median(rates), 3),
            "cpu_ms_per_frame": round(1e3 * cpu_s / frames, 3),
            # With a processor at work on every frame, its time is at least the wall's.
            "idle_ms_per_frame": round(1e3 * max(0.0, seconds - cpu_s - waited_s) / frames, 3),
            "stages_ms": (stages := self._stages()),
            # What each stage takes of the time between two frames of a camera.
            "budget_share": {k: round(v["p50"] * CAMERA_FPS / 1e3, 4) for k, v in stages.items()},
            "frames_dropped": sum(block["dropped"] for block in blocks),
            "events": blocks[-1]["events"],
            "energy_mj_per_frame": round(1e3 * sum(joules) / frames, 3) if joules else None,
            "memory_mib": blocks[-1]["memory_mib"],
            "device_memory_mib": blocks[-1]["device_memory_mib"],
            "conditions": self.conditions(),
            **{k: v for k, v in self.warm_up.items() if k != "call_ms"},
        }

    def conditions(self) -> dict[str, Any]:
        """Return what went on beside this row's turns: means, sums and maxima over them."""
        told = [block["conditions"] for block in self.blocks.values()]

        def values(name: str) -> list[float]:
            return [item[name] for item in told if item[name] is not None]

        return {
            "other_load": round(statistics.mean(v), 3) if (v := values("other_load")) else None,
            "stolen": round(statistics.mean(v), 3) if (v := values("stolen")) else None,
            "throttled": sum(v) if (v := values("throttled")) else None,
            "temperature_c": max(values("temperature_c"), default=None),
        }

    def _stages(self) -> dict[str, dict[str, float]]:
        stages: dict[str, list[float]] = {}
        for block in self.blocks.values():
            for name, times in block["stages_ms"].items():
                stages.setdefault(name, []).extend(times)
        result = {}
        for name, times in stages.items():
            of = summarize(times)
            result[name] = {"p50": round(of.p50, 4), "p95": round(of.p95, 4)}
        return result

    def _warnings(self, row: dict[str, Any]) -> list[str]:
        """Say what a reader of the figures must know."""
        if not self.is_measured:
            return []
        told = list(self.facts.get("notes", ()))
        latency, idle = row["latency_ms"], row["idle_ms_per_frame"]
        if not row.get("steady", True):
            told.append("warm-up ended by its limit: the times were not steady yet")
        if latency["cv"] > CV_WARNING:
            told.append(f"times vary by {100 * latency['cv']:.0f} %: compare within this run only")
        # In a stream threads wait for frames and for each other, and on a device the host waits.
        if row["device"] == "CPU" and row["scenario"] in ("engine", "single-stream"):
            per_frame = 1e3 / row["fps"]
            if idle > IDLE_WARNING * per_frame:
                told.append(f"no core worked for {idle:.1f} of {per_frame:.1f} ms per frame")
        told += self._quality_warnings(row)
        load, throttled = row["conditions"]["other_load"], row["conditions"]["throttled"]
        if load is not None and load > OTHER_LOAD_WARNING:
            told.append(f"other work took {100 * load:.0f} % of the machine meanwhile")
        if throttled:
            told.append(f"cores were throttled {throttled} times meanwhile")
        return told

    def _quality_warnings(self, row: dict[str, Any]) -> list[str]:
        told = []
        asked, actual = self.case.precision, row["precision_actual"]
        if asked not in ("auto", actual):
            told.append(f"asked for {asked}, ran in {actual}")
        likeness = row["psnr_db"]
        if asked == actual == "fp32" and likeness is not None and likeness < FP32_LEAST_DB:
            told.append(
                f"says fp32, but {likeness:.1f} dB to the reference is less than rounding explains"
            )
        return told


def _quantiles(times: list[float]) -> dict[str, float]:
    """Return the times' distribution in a few numbers, for a plot."""
    values = np.percentile(times, QUANTILES)
    return {str(q): round(float(value), 4) for q, value in zip(QUANTILES, values, strict=True)}


# Facts for the measuring itself, or that stand in a row under another name.
_INNER = ("model_name", "backend", "device", "notes", "work")
