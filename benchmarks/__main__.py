"""Measure what the README states: `python -m dayshift.benchmarks`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from dayshift.benchmarks.engine_share import measure_engine_share
from dayshift.benchmarks.machine import describe_machine
from dayshift.benchmarks.model_alone import measure_model_alone
from dayshift.demo import make_demo
from dayshift.runtime.bundled import bundled_clip
from dayshift.runtime.image import Pixels
from dayshift.runtime.sources import open_source

SIZES_WH = ((640, 480), (1280, 720), (1920, 1080), (3840, 2160))


def main() -> None:
    """Run every benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m dayshift.benchmarks", description=__doc__)
    parser.add_argument("--model", default="day2night", metavar="NAME|DIR")
    parser.add_argument("--json", metavar="FILE", help="also write the figures as JSON")
    options = parser.parse_args()
    figures = measure_all(options.model)
    text = json.dumps(figures, indent=2)
    if options.json:
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    _print(figures)


def measure_all(model: str) -> dict[str, Any]:
    """Return the figures by name, with the machine they were measured on."""
    clip = bundled_clip()
    frames = _some_frames(clip)
    alone = [
        measure_model_alone(model, frames, size_wh=size_wh, precision=precision)
        for size_wh in SIZES_WH
        for precision in (("fp32", "int8") if size_wh == (1280, 720) else ("int8",))
    ]
    with tempfile.TemporaryDirectory() as folder:
        demo = make_demo(Path(folder), model=model).result
    return {
        "machine": describe_machine(),
        "model_alone": alone,
        "engine_share": measure_engine_share(model, clip),
        "demo": {name: demo[name] for name in ("fps", "frames_out", "seconds", "stages_ms")},
    }


def _some_frames(clip: Path, count: int = 8) -> list[Pixels]:
    with open_source(str(clip)) as source:
        frames = [frame.pixels for _ in range(25 * count) if (frame := source.read()) is not None]
    return frames[:: max(1, len(frames) // count)]


def _print(figures: dict[str, Any]) -> None:
    machine, share = figures["machine"], figures["engine_share"]
    lines = [f"{machine['processor']}, {machine['cores']} cores, load {machine['load_1min']}"]
    lines += [
        f"{row['model']} {row['size']} {row['backend']} {row['precision_actual']}: "
        f"{row['fps']:.0f} frames/s alone (p50 {row['latency_ms']['p50']:.2f} ms, "
        f"p95 {row['latency_ms']['p95']:.2f} ms)"
        for row in figures["model_alone"]
    ]
    lines += [
        f"demo, decode to encode: {figures['demo']['fps']:.1f} frames/s",
        f"engine in a stream: {share['share']:.2f} of benchmark_app's rate "
        f"({share['streamed_infer_p50_ms']:.2f} and {share['benchmark_app_p50_ms']:.2f} ms)",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
