"""Measures a request and says everything about it: what `dayshift bench` and `make bench` run."""

from __future__ import annotations

import datetime
import statistics
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import dayshift
from dayshift.benchmarks.cases import TORCH_BACKENDS, Case, Request, model_spec, plan_cases
from dayshift.benchmarks.crosscheck import checks_of
from dayshift.benchmarks.machine import describe_machine, is_installed
from dayshift.benchmarks.peaks import PEAKS
from dayshift.benchmarks.reproduce import command_lines
from dayshift.benchmarks.roofline import Work, count_work, limit_ms
from dayshift.benchmarks.rounds import RowFailed, Worker
from dayshift.benchmarks.rows import Row
from dayshift.benchmarks.session import FULL_PACE, OnProgress, Pace, Session
from dayshift.benchmarks.statistics import median_interval, ratio_interval
from dayshift.runtime.bundled import bundled_clip, model_folder
from dayshift.runtime.errors import SourceError
from dayshift.runtime.sources import open_source
from dayshift.runtime.spec import read_graph

FORMAT_VERSION = 1
REFERENCE = ("pytorch", "fp32")
_FRAMES = 6
_LARGE_FRAMES = 3  # of 1080p and more, 25 MB each at 4K
_LARGE_PIXELS = 1280 * 720
_READ_AT_MOST = 240


def measure(
    request: Request,
    *,
    source: str | None = None,
    pace: Pace | None = None,
    on_progress: OnProgress = lambda done, total, what: None,
) -> dict[str, Any]:
    """Measure every case of a request and return the report as plain data.

    Ctrl-C ends the measuring early: the report has what there was by then, and says so.

    Args:
        request: what to measure.
        source: where real frames come from; the bundled clip by default.
        pace: how long; by what the request says when None.
        on_progress: called with turns done, turns in all, and what is being done.

    Raises:
        UsageError: An unknown word.
        SourceError: The source gives no frames.
    """
    cases = plan_cases(request)
    pace = pace or (FULL_PACE if request.full else Pace())
    peaks = [Case("", "peak", kind, (0, 0), threads=cases[0].threads) for kind in PEAKS]
    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix="dayshift-bench-") as folder:
        bench = _Bench(source or str(bundled_clip()), Path(folder))
        session = Session([*peaks, *cases], pace, bench.setting, on_progress)
        session.run(bench.finish_row)
        rows = session.rows
        report: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "dayshift": dayshift.__version__,
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "machine": machine,
            "pace": asdict(pace),
            "peaks": {row.case.precision: _describe_peak(row) for row in rows[: len(peaks)]},
            "rows": _describe_rows(rows[len(peaks) :], rows[: len(peaks)]),
            "checks": {},
            "interrupted": session.was_interrupted,
        }
        if not session.was_interrupted:
            try:
                _check(report["checks"], rows[len(peaks) :], bench, request.full, on_progress)
            except KeyboardInterrupt:
                report["interrupted"] = True
    return report


class _Bench:
    """The files that the rows share: real frames of each size, and the reference's images."""

    def __init__(self, clip: str, folder: Path) -> None:
        self.clip = clip
        self.folder = folder
        self._references: dict[tuple[str, str, str], tuple[str | None, str]] = {}

    def setting(self, case: Case) -> dict[str, Any]:
        """Return what the process of a case must know."""
        if case.backend == "peak":
            return {"frames": None}
        spec = model_spec(case.model)
        labels = spec.forms.full.label_count if spec else None
        frames = str(self._frames(case.size_wh, labels))
        return {"frames": frames, "clip": self.clip, "folder": str(self.folder)}

    def _frames(self, size_wh: tuple[int, int], labels: int | None) -> Path:
        """Save some real frames of a size, spread over the clip, once.

        A model that paints label maps gets levels of grey as labels: shapes of a real scene.
        """
        path = self.folder / f"frames_{size_wh[0]}x{size_wh[1]}_{labels or 0}.npy"
        if not path.exists():
            count = _FRAMES if size_wh[0] * size_wh[1] <= _LARGE_PIXELS else _LARGE_FRAMES
            frames = np.stack(read_frames(self.clip, size_wh, count))
            np.save(path, frames if labels is None else frames[..., 1] // (255 // labels + 1))
        return path

    def finish_row(self, row: Row, worker: Worker) -> None:
        """Compare a row's images with the reference's."""
        case = row.case
        if case.backend == "peak" or not row.is_measured:
            return
        if model_spec(case.model) is None and (case.backend, case.precision) == REFERENCE:
            # Seconds per frame, to find that it is equal to itself.
            row.quality = {"psnr_db": None, "ssim": 1.0, "identical": True, "reference": "itself"}
            return
        path, name = self._reference(case, str(row.facts["form"]))
        row.quality = worker.ask({"do": "quality", "path": path})
        row.quality["reference"] = name

    def _reference(self, case: Case, form: str) -> tuple[str | None, str]:
        """Return the file of the reference's images, made on demand, and what made them."""
        key = (case.model, case.size, form)
        if key not in self._references:
            self._references[key] = self._make_reference(case, form)
        return self._references[key]

    def _make_reference(self, case: Case, form: str) -> tuple[str | None, str]:
        reasons = []
        is_network = model_spec(case.model) is None
        engines = ("pytorch",) if is_network else ("pytorch", "onnxruntime", "openvino")
        for backend in engines:
            if not is_installed(backend):
                reasons.append(f"{backend} is not installed")
                continue
            reference = Case(
                case.model, backend, "fp32", case.size_wh, threads=case.threads, form=form
            )
            path = self.folder / f"reference_{len(self._references)}.npy"
            worker = Worker(reference, self.setting(reference))
            try:
                worker.open()
                # A generator at full size takes seconds per frame; one frame will do.
                count = 1 if is_network else _FRAMES
                worker.ask({"do": "images", "path": str(path), "count": count})
            except RowFailed as failed:
                reasons.append(f"{backend}: {failed}")
                continue
            finally:
                worker.kill()
            return str(path), f"{backend} fp32, {form} form"
        return None, "none: " + "; ".join(reasons)


def read_frames(clip: str, size_wh: tuple[int, int], count: int) -> list[Any]:
    """Return `count` frames spread over the first seconds of a source, uint8 BGR (H, W, 3).

    Raises:
        SourceError: The source has none.
    """
    frames = []
    with open_source(clip, size=size_wh) as source:
        step = max(1, min(_READ_AT_MOST, source.frame_count or _READ_AT_MOST) // count)
        for index in range(step * count):
            frame = source.read()
            if frame is None:
                break
            if index % step == 0:
                frames.append(frame.pixels)
    if not frames:
        raise SourceError(f"{clip} has no frame: name another --source")
    return frames


def _describe_peak(row: Row) -> dict[str, Any]:
    """Return a machine limit per second, over the rounds."""
    unit = "bytes/s" if row.case.precision == "memory" else "multiply-accumulates/s"
    if not row.is_measured:
        return {"unit": unit, "per_s": None, "reason": row.reason}
    rates = [1e3 * row.facts["work"] / ms for ms in row.medians_ms().values()]
    return {"unit": unit, "per_s": median_interval(rates).as_json(0), "reason": None}


def _describe_rows(rows: list[Row], peaks: list[Row]) -> list[dict[str, Any]]:
    told = []
    for row in rows:
        fields = row.as_json()
        fields["relative"] = _relative(row, rows)
        fields["roofline"] = _roofline(row, peaks) if row.is_measured else None
        fields["reproduce"] = command_lines(row.case) if row.is_measured else []
        told.append(fields)
    return told


def _relative(row: Row, rows: list[Row]) -> dict[str, Any] | None:
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


def _roofline(row: Row, peaks: list[Row]) -> dict[str, Any]:
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


def _check(
    checks: dict[str, Any], rows: list[Row], bench: _Bench, full: bool, on_progress: OnProgress
) -> None:
    """Hold the best OpenVINO row of each model against OpenVINO's own benchmark_app."""
    seen = set()
    for row in rows:
        case = row.case
        fits = case.backend == "openvino" and case.scenario == "single-stream" and not case.device
        if not (fits and row.is_measured) or case.model in seen:
            continue
        if row.facts["precision_actual"] != "int8" and "int8" in _precisions(case.model):
            continue
        seen.add(case.model)
        on_progress(0, 0, f"hold {case.model} against benchmark_app")
        repeats = 5 if full else 3
        setting = bench.setting(case)
        checks[row.facts["model_name"]] = checks_of(case, row.facts, setting, repeats=repeats)


def _precisions(model: str) -> set[str]:
    spec = model_spec(model)
    forms = (spec.forms.full, spec.forms.maps) if spec else ()
    return {str(precision) for form in forms if form for precision in form.files}
