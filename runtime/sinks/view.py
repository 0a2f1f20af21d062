"""What the window shows around the image: the frame beside it, state and latency, the keys."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.effect import Effect
from dayshift.runtime.frame import Pixels
from dayshift.runtime.streaming.control import Settings
from dayshift.runtime.streaming.status import Status

try:
    import cv2
except ImportError as error:
    raise missing_dependency("cv2", error) from error

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_INK, _RED, _WHITE = (235, 235, 235), (90, 90, 255), (255, 255, 255)
_LINES_IN_HEIGHT = 30  # text in proportion to the picture


def draw_view(
    image: Pixels,
    source: Pixels,
    settings: Settings,
    status: Status | None,
    *,
    effect: Effect,
    keys: Sequence[tuple[str, str]] = (),
) -> Pixels:
    """Return what to show; the image itself where there is nothing to add.

    Args:
        image: Translated, BGR (H, W, 3); not changed.
        source: The frame it was made from, left of the split where it has the image's size.
        settings: Whether there is a split, an overlay, a recording.
        status: For the overlay.
        effect: For the overlay.
        keys: To be listed, each with what it does.
    """
    lines = [*_status_lines(status, effect)] if settings.has_overlay else []
    lines += [f"{key}\t{meaning}" for key, meaning in keys]
    has_split = settings.split is not None and source.shape == image.shape
    if not (lines or has_split or settings.is_recording):
        return image
    view = image.copy()
    height, width = view.shape[:2]
    if has_split and settings.split is not None:
        at = round(settings.split * width)
        view[:, :at] = source[:, :at]
        cv2.line(view, (at, 0), (at, height), _WHITE, max(1, height // 360))
    if lines:
        _write(view, lines)
    if settings.is_recording:
        radius = max(4, height // 60)
        cv2.circle(view, (width - 3 * radius, 3 * radius), radius, _RED, -1, cv2.LINE_AA)
    return view


def _status_lines(status: Status | None, effect: Effect) -> list[str]:
    if status is None:
        return ["starting"]
    latency = status.latency_ms
    lamps = "" if effect.lamps is None else f"  lamps {effect.lamps:.0%}"
    return [
        f"{status.state}  {status.fps_out:.1f} of {status.fps_in:.1f} fps  {status.size}",
        f"latency {latency.get('p50', 0):.0f} ms, p95 {latency.get('p95', 0):.0f} ms",
        f"dropped {status.frames_dropped}  outages {status.outages}",
        f"{status.model} {status.backend} {status.precision}",
        f"strength {effect.strength:.0%}{lamps}",
    ]


def _write(view: Pixels, lines: Sequence[str]) -> None:
    """Write lines on a darkened part of the picture, in place; a tab leads to a second column."""
    line_height = max(12, view.shape[0] // _LINES_IN_HEIGHT)
    scale, column = line_height / 32, 2 * line_height
    places = [
        (left, number * line_height, text)
        for number, line in enumerate(lines, start=1)
        for left, text in zip((line_height // 2, column), line.split("\t"), strict=False)
    ]
    right = max(left + cv2.getTextSize(text, _FONT, scale, 1)[0][0] for left, _, text in places)
    bottom = line_height * (len(lines) + 1) - line_height // 3
    corner = view[:bottom, : right + line_height // 2]
    corner[:] = np.asarray(cv2.convertScaleAbs(corner, alpha=0.35), np.uint8)
    for left, base, text in places:
        cv2.putText(view, text, (left, base), _FONT, scale, _INK, 1, cv2.LINE_AA)
