"""Our figures against OpenVINO's own `benchmark_app`, free of the machine's drift.

Two processes that measure one after the other measure two moments. Here both run at once and one
is always stopped (SIGSTOP): every 200 ms the other one has the machine. Both see the same half
minute in slices that are short beside its drift. The call that a stop falls into takes a slice
longer, one call in many, which a median does not see.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dayshift.benchmarks.cases import Case, model_spec
from dayshift.benchmarks.reproduce import benchmark_app_words, shown_path
from dayshift.benchmarks.rounds import RowFailed, Worker
from dayshift.benchmarks.statistics import median_interval
from dayshift.runtime.bundled import model_folder
from dayshift.runtime.cores import lanes_for

_SLICE_S = 0.2
_MEASURE_S = 3  # of each
_MEASURING = "Measuring performance"


def check_against(
    case: Case, facts: dict[str, Any], setting: dict[str, Any], *, repeats: int
) -> dict[str, Any]:
    """Let a case and benchmark_app run side by side, several times.

    Args:
        case: an `engine` case, or a stream whose engine's part is compared.
        facts: of a row of the same graph: hash and shapes.
        setting: what the process of the case must know.
        repeats: how many times, each with two new processes: the same graph is up to a tenth faster
            or slower in one than in the next, for as long as it lives. Each gives one ratio.

    Returns: both medians, and `share`, the rate of our calls over that of benchmark_app's: above 1
        ours are faster. With `reason` alone where it could not be done.
    """
    words = _words(case, facts)
    if words is None:
        return {"share": None, "reason": "no benchmark_app: it comes with OpenVINO"}
    ours, theirs = [], []
    try:
        for _ in range(repeats):
            with _opened(case, setting) as worker:
                pair = _side_by_side(worker, words)
            ours.append(pair[0])
            theirs.append(pair[1])
    except (RowFailed, OSError, RuntimeError) as error:
        return {"share": None, "reason": " ".join(str(error).split())}
    shares = [b / a for a, b in zip(ours, theirs, strict=True)]
    return {
        "ours_ms": round(statistics.median(ours), 4),
        "benchmark_app_ms": round(statistics.median(theirs), 4),
        "share": median_interval(shares).as_json(),
        "shares": [round(share, 4) for share in shares],
        "command": shlex.join(["benchmark_app", *words[1:]]),
        "reason": None,
    }


def _words(case: Case, facts: dict[str, Any]) -> list[str] | None:
    beside = Path(sys.executable).with_name("benchmark_app")
    program = str(beside) if beside.exists() else shutil.which("benchmark_app")
    spec = model_spec(case.model)
    if program is None or spec is None or not hasattr(signal, "SIGSTOP"):
        return None
    form = spec.form(facts["form"])
    file = next(file for file in form.files.values() if file.sha256 == facts["model_sha256"])
    shapes = {name: tuple(shape) for name, shape in facts["engine_shapes"].items()}
    path = shown_path(model_folder(case.model) / file.path)
    return [program, *benchmark_app_words(path, shapes, case, seconds=2 * _MEASURE_S)[1:]]


@contextlib.contextmanager
def _opened(case: Case, setting: dict[str, Any]) -> Iterator[Worker]:
    worker = Worker(case, setting)
    try:
        worker.open()
        worker.ask({"do": "warm_up", "limit_s": 2.0})
        yield worker
    finally:
        worker.kill()


def _side_by_side(worker: Worker, words: list[str]) -> tuple[float, float]:
    """Return the median milliseconds of our calls and of benchmark_app's, from the same time."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as app:
        try:
            said = _wait_for_measuring(app)
            os.kill(app.pid, signal.SIGSTOP)
            worker.send({"do": "engine_times", "seconds": 2.0 * _MEASURE_S - 1})
            _take_turns(worker, app)
            os.kill(app.pid, signal.SIGCONT)
            os.kill(worker.pid, signal.SIGCONT)
            ours = worker.receive()
            said += app.stdout.read() if app.stdout else ""
        finally:
            app.kill()
    found = re.search(r"Median:\s+([\d.]+) ms", said)
    if found is None:
        raise RuntimeError(f"benchmark_app gave no median: {said[-200:]}")
    return float(ours["median_ms"]), float(found[1])


def _wait_for_measuring(app: subprocess.Popen[str]) -> str:
    assert app.stdout is not None
    said = ""
    for line in app.stdout:
        said += line
        if _MEASURING in line:
            return said
    raise RuntimeError(f"benchmark_app ended early: {said[-200:]}")


def _take_turns(worker: Worker, app: subprocess.Popen[str]) -> None:
    """Let one run while the other is stopped, until either has an answer."""
    ends_at = time.monotonic() + 2 * _MEASURE_S - 1.5
    running, stopped = worker.pid, app.pid
    while time.monotonic() < ends_at and app.poll() is None:
        time.sleep(_SLICE_S)
        os.kill(running, signal.SIGSTOP)
        os.kill(stopped, signal.SIGCONT)
        running, stopped = stopped, running


def checks_of(
    case: Case, facts: dict[str, Any], setting: dict[str, Any], *, repeats: int
) -> dict[str, Any]:
    """Return both comparisons of a model: the graph alone, and its part of a stream."""
    alone = dataclasses.replace(case, scenario="engine")
    stream = dataclasses.replace(case, scenario="file", streams=lanes_for("every"))
    to_null = {**setting, "sink": "null://"}
    return {
        "benchmark_app": check_against(alone, facts, setting, repeats=repeats),
        "engine_share": check_against(stream, facts, to_null, repeats=repeats),
    }
