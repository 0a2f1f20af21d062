"""Seams of a video translated in segments, against one pass: the images, before encoding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dayshift.runtime.frame import Pixels
from dayshift.runtime.model import Model, load
from dayshift.runtime.quality import psnr
from dayshift.runtime.sources.base import Source
from dayshift.runtime.sources.video import VideoSource
from dayshift.runtime.sources.video_span import VideoSpan, read_index
from dayshift.runtime.stabiliser import Stabiliser
from dayshift.runtime.stream_memory import Memory
from dayshift.tasks import Request

_SEAM_FRAMES = 12  # behind a border, that are looked at one by one


def _images(source: Source, model: Model, *, is_stabilised: bool) -> Iterator[Pixels]:
    """Translate as `dayshift translate` does: a model with a memory uses it."""
    stabiliser, memory = Stabiliser(), Memory()
    with source:
        while (frame := source.read()) is not None:
            image = model.translate(frame.pixels, memory).image
            if is_stabilised:
                image = stabiliser(frame, image)
            if frame.index >= 0:
                yield image


def measure_seams(video: Path, segment_s: float) -> dict[str, Any]:
    """Compare the images of segments with those of one pass, with and without a memory."""
    index = read_index(video)
    assert index is not None
    told: dict[str, Any] = {}
    warm_up = Request().warm_up_frames
    with load("day2night") as model:
        ways = [
            ("without memory", 0, False),
            ("stabilised", warm_up, True),
            ("stabilised, no warm-up", 0, True),
        ]
        if model.has_memory:  # which takes the stabiliser's place
            ways = [("memory", warm_up, False), ("memory, no warm-up", 0, False)]
        for name, warm, is_stabilised in ways:
            spans = index.split(segment_s, warm)
            whole = _images(VideoSource(video), model, is_stabilised=is_stabilised)
            distances: list[tuple[int, float]] = []  # frames since the border, PSNR
            for span in spans:
                part = _images(VideoSpan(video, span), model, is_stabilised=is_stabilised)
                for number, (image, other) in enumerate(zip(part, whole, strict=False)):
                    same = np.array_equal(image, other)
                    level = float("inf") if same else psnr(image, other)
                    distances.append((number if span is not spans[0] else 10**6, level))
            seam = [level for number, level in distances if number < _SEAM_FRAMES]
            away = [level for number, level in distances if number >= _SEAM_FRAMES]
            told[name] = {
                "borders": len(spans) - 1,
                "warm_up_frames": warm,
                "seam_psnr_db_min": _finite(min(seam)),
                "frames_equal_away": sum(level == float("inf") for level in away),
                "frames_away": len(away),
                "away_psnr_db_min": _finite(min(away)),
            }
    return told


def _finite(value: float) -> float | str:
    return "equal" if value == float("inf") else round(value, 2)
