"""Measures a request and says everything about it: what `dayshift bench` and `make bench` run."""

from __future__ import annotations

import datetime
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import dayshift
from dayshift.benchmarks.cases import Case, Request, model_spec, plan_cases
from dayshift.benchmarks.crosscheck import checks_of
from dayshift.benchmarks.derived import REFERENCE, describe_peak, relative, roofline
from dayshift.benchmarks.machine import describe_machine, is_installed
from dayshift.benchmarks.peaks import PEAKS
from dayshift.benchmarks.reproduce import command_lines
from dayshift.benchmarks.rounds import RowFailed, Worker
from dayshift.benchmarks.rows import Row
from dayshift.benchmarks.session import FULL_PACE, OnProgress, Pace, Session
from dayshift.runtime.bundled import bundled_clip
from dayshift.runtime.errors import SourceError
from dayshift.runtime.sources import open_source

FORMAT_VERSION = 1
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
            "peaks": {row.case.precision: describe_peak(row) for row in rows[: len(peaks)]},
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


def _describe_rows(rows: list[Row], peaks: list[Row]) -> list[dict[str, Any]]:
    told = []
    for row in rows:
        fields = row.as_json()
        fields["relative"] = relative(row, rows)
        fields["roofline"] = roofline(row, peaks) if row.is_measured else None
        fields["reproduce"] = command_lines(row.case) if row.is_measured else []
        told.append(fields)
    return told


def _check(
    checks: dict[str, Any], rows: list[Row], bench: _Bench, full: bool, on_progress: OnProgress
) -> None:
    """Hold the best OpenVINO row of a model against OpenVINO's own benchmark_app.

    Of the first model alone, unless the run may take long.
    """
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
        repeats = 9 if full else 5
        setting = bench.setting(case)
        checks[row.facts["model_name"]] = checks_of(case, row.facts, setting, repeats=repeats)
        if not full:
            return


def _precisions(model: str) -> set[str]:
    spec = model_spec(model)
    forms = (spec.forms.full, spec.forms.maps) if spec else ()
    return {str(precision) for form in forms if form for precision in form.files}
