"""What follows from rows together: the machine's limits, ratios within rounds, shares of limits."""

from __future__ import annotations

import statistics
from dataclasses import asdict
from typing import Any

import numpy as np

from dayshift.benchmarks.cases import TORCH_BACKENDS, model_spec
from dayshift.benchmarks.roofline import Work, count_work, limit_ms
from dayshift.benchmarks.rows import Row
from dayshift.benchmarks.statistics import median_interval, ratio_interval
from dayshift.runtime.bundled import model_folder
from dayshift.runtime.model_files import read_graph

# The baseline of ratios, and of images.
REFERENCE = ("pytorch", "fp32")


def describe_peak(row: Row) -> dict[str, Any]:
    """Return a machine limit per second, over the rounds."""
    unit = "bytes/s" if row.case.precision == "memory" else "multiply-accumulates/s"
    if not row.is_measured:
        return {"unit": unit, "per_s": None, "reason": row.reason}
    rates = [1e3 * row.facts["work"] / ms for ms in row.medians_ms().values()]
    return {"unit": unit, "per_s": median_interval(rates).as_json(0), "reason": None}


def relative(row: Row, rows: list[Row]) -> dict[str, Any] | None:
    """Return how many times the rate of the PyTorch baseline this is, from shared rounds.

    The baseline is the network that was named beside the models, else the model's own, in PyTorch
    eager, one frame at a time, at the same size.
    """
    same = [
        other
        for other in rows
        if other.is_measured
        and (other.case.backend, other.case.precision) == REFERENCE
        and (other.case.scenario, other.case.size_wh) == ("single-stream", row.case.size_wh)
        and other.case.batch == 1
    ]
    named = [other for other in same if model_spec(other.case.model) is None]
    own = [other for other in same if other.case.model == row.case.model]
    base = next(iter([*named, *own]), None)
    if base is None or not row.is_measured or row.case.scenario in ("camera", "file"):
        return None
    ratio = ratio_interval(_ms_per_frame(base), _ms_per_frame(row))
    return None if ratio is None else {"to": f"{base.case.model} pytorch fp32", **ratio.as_json()}


def _ms_per_frame(row: Row) -> dict[int, float]:
    return {k: 1e3 * block["seconds"] / block["frames"] for k, block in row.blocks.items()}


def roofline(row: Row, peaks: list[Row]) -> dict[str, Any]:
    """Return the row's work, its limit here, and the share of the limit that its engine reached."""
    try:
        work = _work(row)
    except (ImportError, RuntimeError, ValueError) as error:
        return {"reason": f"the work could not be counted: {error}"}
    result: dict[str, Any] = {**asdict(work), "share": None}
    kind = "int8" if row.facts["precision_actual"] == "int8" else row.facts["precision_actual"]
    by_kind = {peak.case.precision: peak for peak in peaks if peak.is_measured}
    # fp16 files compute in fp32 on processors without fp16.
    arithmetic = by_kind.get(kind) or by_kind.get("fp32")
    infer = row.medians_ms("infer")
    if row.facts["device"] != "CPU" or row.case.threads != peaks[0].case.threads:
        return {**result, "reason": "peaks are those of all cores of the processor"}
    if row.facts["lanes"] > 1:
        return {**result, "reason": "frames in flight share the cores: no engine has all of them"}
    if arithmetic is None or "memory" not in by_kind or not infer:
        return {**result, "reason": "no peak, or no time of the engine alone, was measured"}
    macs, memory = arithmetic.medians_ms(), by_kind["memory"].medians_ms()
    limits = {
        k: limit_ms(
            asdict(work),
            1e3 * arithmetic.facts["work"] / macs[k],
            1e3 * by_kind["memory"].facts["work"] / memory[k],
        )
        for k in infer
        if k in macs and k in memory
    }
    share = ratio_interval(limits, infer)
    return {
        **result,
        "limit_ms": round(statistics.median(limits.values()), 4) if limits else None,
        "share": share.as_json() if share else None,
        "reason": None,
    }


def _work(row: Row) -> Work:
    shapes = {name: tuple(shape) for name, shape in row.facts["engine_shapes"].items()}
    spec = model_spec(row.case.model)
    if spec is None or row.case.backend in TORCH_BACKENDS:
        if row.facts["macs"] is None:
            raise ValueError("nothing counts the work of this network")
        pixels = max(int(np.prod(shape)) for shape in shapes.values())
        return Work(int(row.facts["macs"]), 0, 2 * pixels, 0)
    form = spec.form(row.facts["form"])
    file = next(f for f in form.files.values() if f.sha256 == row.facts["model_sha256"])
    return count_work(read_graph(model_folder(row.case.model), file), shapes)
