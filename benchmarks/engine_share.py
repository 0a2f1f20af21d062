"""How much of the engine's own rate a stream keeps: `dayshift run FILE null://` and benchmark_app.

OpenVINO's `benchmark_app` runs the same graph at the same shape, hint and precision with nothing
around it. The two take turns, so that a drift of the machine hits both.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from dayshift.runtime.cores import lanes_for
from dayshift.runtime.errors import MissingDependency
from dayshift.runtime.image import padded_size, shrink_factor
from dayshift.runtime.model import Model, load
from dayshift.runtime.pipeline import run_pipeline
from dayshift.runtime.sinks import open_sink
from dayshift.runtime.sources import open_source
from dayshift.runtime.spec import MapsForm


def measure_engine_share(model: str, clip: Path, *, rounds: int = 5) -> dict[str, Any]:
    """Return the engine's median latency in a stream and in benchmark_app, and their ratio."""
    streamed, alone = [], []
    for _ in range(rounds):
        with open_source(str(clip)) as source:
            width, height = source.size
            lanes = lanes_for("every")
            with load(model, precision="int8", size=(height, width), lanes=lanes) as loaded:
                sink = open_sink("null://", size=source.size, fps=source.fps)
                report = run_pipeline(source, loaded, [sink])
                streamed.append(report.stages_ms["infer"]["p50"])
                alone.append(_benchmark_app_ms(loaded, height, width))
    return {
        "rounds": rounds,
        "streamed_infer_p50_ms": statistics.median(streamed),
        "benchmark_app_p50_ms": statistics.median(alone),
        # Above 1 when the stream's calls are the faster ones.
        "share": statistics.median(a / s for a, s in zip(alone, streamed, strict=True)),
        "shares": [round(a / s, 3) for a, s in zip(alone, streamed, strict=True)],
    }


def _benchmark_app_ms(model: Model, height: int, width: int) -> float:
    """Return the median latency of the model's graph in benchmark_app, in milliseconds."""
    form = model.spec.form(model.form)
    padded = padded_size(height, width, multiple=form.multiple, short_side=form.short_side)
    factor = shrink_factor(*padded, form.short_side) if isinstance(form, MapsForm) else 1
    shape = f"frame[1,{padded[0] // factor},{padded[1] // factor},3],strength[1]"
    graph = next(file for file in form.files.values() if file.sha256 == model.sha256)
    with tempfile.TemporaryDirectory() as folder:
        # Times are in milliseconds, as text, under names with blanks.
        command = [
            *(_benchmark_app(), "-m", str(model.folder / graph.path), "-shape", shape),
            *("-d", "CPU", "-infer_precision", "f32"),
            # benchmark_app takes the number of streams in place of a hint, not beside it.
            *("-hint", "none", "-nstreams", str(model.lanes), "-nireq", str(model.lanes)),
            *("-t", "4", "-report_type", "no_counters", "-report_folder", folder, "-json_stats"),
        ]
        subprocess.run(command, check=True, capture_output=True)
        report = json.loads(next(Path(folder).glob("*report.json")).read_text())
    results = report["execution_results"]
    return float(results["latency (ms)"])  # the median


def _benchmark_app() -> str:
    beside = Path(sys.executable).with_name("benchmark_app")
    found = str(beside) if beside.exists() else shutil.which("benchmark_app")
    if found is None:
        raise MissingDependency(
            "no benchmark_app: it comes with OpenVINO, pip install 'dayshift[headless]'"
        )
    return found
