"""The plots of a report, each an SVG element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dayshift.benchmarks.svg import Axis, Drawing, log_axis, tick_label
from dayshift.benchmarks.tables import engine, number, precision, quality, scenario

STAGES = ("capture", "preprocess", "infer", "postprocess", "sink")
_WIDTH = 980.0
_LABELS = 400.0
_ROW = 24.0
_TOP = 14.0
_FOOT = 34.0
_IDENTICAL_DB = 110.0  # where identical images stand on the axis
_CAMERA_BUDGET_MS = 1e3 / 30

Row = Mapping[str, Any]


def name(row: Row) -> str:
    """Return a row's name beside a bar."""
    return f"{row['model']} {engine(row)} {precision(row)} {row['size']} {scenario(row)}"


def latency_plot(rows: Sequence[Row]) -> str:
    """Draw each row's times as a box from 25 to 75 %, whiskers from 5 to 95 %, by logarithm."""
    drawing = Drawing(_WIDTH, _TOP + _ROW * len(rows) + _FOOT, "Latency of every row")
    values = [row["quantiles_ms"][key] for row in rows for key in ("5", "95")]
    axis = log_axis(values, _LABELS, _WIDTH - 20)
    _x_axis(drawing, axis, "milliseconds per call")
    for place, row in enumerate(rows):
        y = _TOP + _ROW * (place + 0.5)
        at = {key: axis(value) for key, value in row["quantiles_ms"].items()}
        told = ", ".join(f"{key} %: {number(v)}" for key, v in row["quantiles_ms"].items())
        drawing.text(_LABELS - 10, y, name(row), anchor="end")
        drawing.line(at["5"], y, at["95"], y, "whisker")
        drawing.rect(at["25"], y - 6, at["75"] - at["25"], 12, "box", f"{name(row)}: {told} ms")
        drawing.line(at["50"], y - 8, at["50"], y + 8, "median")
    return drawing.render()


def quality_plot(rows: Sequence[Row]) -> str:
    """Draw rate against likeness; the line joins what nothing beats in both."""
    shown = [row for row in rows if row["psnr_db"] is not None or row.get("identical")]
    if len(shown) < 2:
        return ""
    height = 400.0
    drawing = Drawing(_WIDTH, height, "Rate against likeness to the reference")
    across = log_axis([row["fps"] for row in shown], 70, _WIDTH - 230)
    decibels = [_decibels(row) for row in shown]
    up = Axis(min(decibels) - 4, max(decibels) + 4, height - _FOOT - 6, _TOP)
    _x_axis(drawing, across, "frames per second")
    for value in up.ticks():
        drawing.line(70, up(value), _WIDTH - 230, up(value), "grid")
        drawing.text(62, up(value), tick_label(value), "tick", "end")
    if _IDENTICAL_DB in decibels:
        drawing.text(62, up(_IDENTICAL_DB), "equal", "tick", "end")
    drawing.text(70, _TOP - 6, "PSNR to the reference, dB", "tick")
    front = _front([(row["fps"], _decibels(row)) for row in shown])
    drawing.path([(across(x), up(y)) for x, y in front], "front")
    taken: list[tuple[float, float]] = []
    for row in sorted(shown, key=lambda row: -row["fps"]):
        x, y = across(row["fps"]), up(_decibels(row))
        told = f"{name(row)}: {number(row['fps'])} frames/s, {quality(row)} dB, SSIM {row['ssim']}"
        drawing.dot(x, y, 5, f"point {_kind(row)}", told)
        label_y = _free_place(x, y, taken)
        drawing.text(x + 9, label_y, f"{engine(row)} {precision(row)}{_extra(row, rows)}", "tick")
    return drawing.render()


def _free_place(x: float, y: float, taken: list[tuple[float, float]]) -> float:
    """Move a label down until no other one lies under it."""
    while any(abs(x - other_x) < 190 and abs(y - other_y) < 13 for other_x, other_y in taken):
        y += 13
    taken.append((x, y))
    return y


def _decibels(row: Row) -> float:
    return _IDENTICAL_DB if row["psnr_db"] is None else min(float(row["psnr_db"]), _IDENTICAL_DB)


def _extra(row: Row, rows: Sequence[Row]) -> str:
    """Name what differs between the rows shown."""
    words = [row["scenario"]] if row["scenario"] != "single-stream" else []
    if len({other["size"] for other in rows}) > 1:
        words.append(row["size"])
    if len({other["model"] for other in rows}) > 1:
        words.insert(0, row["model"])
    return f" ({', '.join(words)})" if words else ""


def _kind(row: Row) -> str:
    order = ("openvino", "tensorrt", "onnxruntime", "pytorch", "torch.compile")
    backend = row["backend"].split(":")[0]
    return f"series{order.index(backend) if backend in order else 0}"


def _front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that no other one exceeds in both, from left to right."""
    front: list[tuple[float, float]] = []
    for x, y in sorted(points, reverse=True):
        if not front or y > front[-1][1]:
            front.append((x, y))
    return front[::-1]


def stage_plot(rows: Sequence[Row]) -> str:
    """Draw where the time of a frame goes, stage by stage, with the budget of 30 frames/s."""
    shown = [row for row in rows if len(row["stages_ms"]) > 1]
    shown = [row for row in shown if _total(row) < 20 * _CAMERA_BUDGET_MS]
    if not shown:
        return ""
    drawing = Drawing(_WIDTH, _TOP + _ROW * len(shown) + _FOOT, "Time of each stage")
    axis = Axis(0, max(_CAMERA_BUDGET_MS, *map(_total, shown)) * 1.05, _LABELS, _WIDTH - 20)
    _x_axis(drawing, axis, "milliseconds of work per frame, medians")
    budget = axis(_CAMERA_BUDGET_MS)
    for place, row in enumerate(shown):
        y, at = _TOP + _ROW * (place + 0.5), 0.0
        drawing.text(_LABELS - 10, y, name(row), anchor="end")
        for stage, times in row["stages_ms"].items():
            left, right = axis(at), axis(at + times["p50"])
            share = 100 * times["p50"] / _CAMERA_BUDGET_MS
            told = f"{stage}: {number(times['p50'])} ms, {share:.0f} % of a frame at 30 frames/s"
            drawing.rect(left, y - 7, right - left - 1, 14, f"stage-{stage}", told)
            at += times["p50"]
    drawing.line(budget, _TOP, budget, drawing.height - _FOOT, "budget")
    drawing.text(budget + 4, _TOP - 6, "one frame at 30 frames/s", "tick")
    return drawing.render()


def _total(row: Row) -> float:
    return sum(float(times["p50"]) for times in row["stages_ms"].values())


def gantt_plot(row: Row) -> str:
    """Draw which thread did what for some frames of a stream, as it happened."""
    events = row["events"]
    lanes = list(dict.fromkeys(event["lane"] for event in events))
    if not events:
        return ""
    drawing = Drawing(_WIDTH, _TOP + 34 * len(lanes) + _FOOT, f"Threads of {name(row)}")
    begin = min(event["begin_ms"] for event in events)
    end = max(event["end_ms"] for event in events)
    axis = Axis(0, max(end - begin, 1e-3), 110, _WIDTH - 20)
    _x_axis(drawing, axis, "milliseconds")
    for place, lane in enumerate(lanes):
        drawing.text(102, _TOP + 34 * place + 17, lane, anchor="end")
    for event in events:
        y = _TOP + 34 * lanes.index(event["lane"]) + 5
        left, right = axis(event["begin_ms"] - begin), axis(event["end_ms"] - begin)
        spent = event["end_ms"] - event["begin_ms"]
        told = f"no. {event['number']}: {event['stage']}, {number(spent)} ms"
        drawing.rect(left, y, right - left - 0.5, 24, f"stage-{event['stage']}", told)
        if event["stage"] == "infer" and right - left > 16:
            drawing.text((left + right) / 2, y + 12, str(event["number"]), "inside", "middle")
    return drawing.render()


def scaling_plot(rows: Sequence[Row]) -> str:
    """Draw milliseconds per frame against the size of the frame, where there are several sizes."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row["scenario"] == "single-stream" and row["batch"] == 1:
            groups.setdefault(f"{row['model']} {engine(row)} {precision(row)}", []).append(row)
    groups = {key: group for key, group in groups.items() if len({r["size"] for r in group}) > 2}
    if not groups:
        return ""
    height = 300.0
    drawing = Drawing(_WIDTH, height, "Time against size")
    shown = [row for group in groups.values() for row in group]
    across = log_axis([_megapixels(row) for row in shown], 70, _WIDTH - 230)
    milliseconds = [row["latency_ms"]["p50"] for row in shown]
    up = log_axis(milliseconds, height - _FOOT - 6, _TOP)
    _x_axis(drawing, across, "megapixels")
    for value in up.ticks():
        drawing.line(70, up(value), _WIDTH - 230, up(value), "grid")
        drawing.text(62, up(value), tick_label(value), "tick", "end")
    drawing.text(70, _TOP - 6, "milliseconds, median", "tick")
    taken: list[tuple[float, float]] = []
    for number_of_group, (key, group) in enumerate(groups.items()):
        group.sort(key=_megapixels)
        points = [(across(_megapixels(r)), up(r["latency_ms"]["p50"])) for r in group]
        drawing.path(points, f"line series{number_of_group % 5}")
        for (x, y), row in zip(points, group, strict=True):
            told = f"{row['size']}: {number(row['latency_ms']['p50'])} ms"
            drawing.dot(x, y, 4, f"point series{number_of_group % 5}", told)
        right, last = points[-1]
        drawing.text(right + 9, _free_place(right, last, taken), key, "tick")
    return drawing.render()


def _megapixels(row: Row) -> float:
    width, height = row["size"].split("x")
    return int(width) * int(height) / 1e6


def _x_axis(drawing: Drawing, axis: Axis, title: str) -> None:
    bottom = drawing.height - _FOOT
    for value in axis.ticks():
        drawing.line(axis(value), _TOP, axis(value), bottom, "grid")
        drawing.text(axis(value), bottom + 10, tick_label(value), "tick", "middle")
    drawing.text((axis.start + axis.end) / 2, bottom + 25, title, "tick", "middle")
