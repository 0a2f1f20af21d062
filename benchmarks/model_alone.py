"""The model alone: shrink, engine and apply on real frames, nothing else running."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import cycle
from typing import Any

import cv2
import numpy as np

from dayshift.runtime.image import Pixels
from dayshift.runtime.model import Translation, load
from dayshift.runtime.timing import summarize

WARMUP = 30


def measure_model_alone(
    model: str,
    frames: Sequence[Pixels],
    *,
    size_wh: tuple[int, int],
    precision: str = "int8",
    count: int = 300,
) -> dict[str, Any]:
    """Translate `count` frames one after the other and return the latency of each step.

    Args:
        model: a bundled name or a model folder.
        frames: real frames, BGR; resized to `size_wh` beforehand.
        size_wh: width and height.
        precision: as for `load`.
        count: timed frames.
    """
    resized = (cv2.resize(frame, size_wh, interpolation=cv2.INTER_AREA) for frame in frames)
    prepared = cycle([np.asarray(frame, dtype=np.uint8) for frame in resized])
    with load(model, precision=precision, size=size_wh[::-1]) as loaded:
        for _ in range(WARMUP):
            loaded(next(prepared))
        # Only the times are kept: images would hold ever new memory, whose first touch is slow.
        times = [_stages(loaded.translate(next(prepared))) for _ in range(count)]
        whole = summarize(sum(stages) for stages in times)
        return {
            "model": loaded.spec.name,
            "form": loaded.form,
            "backend": loaded.backend_name,
            "backend_version": loaded.backend_version,
            "precision_actual": loaded.precision,
            "size": f"{size_wh[0]}x{size_wh[1]}",
            "latency_ms": asdict(whole),
            "fps": 1e3 / whole.p50,
            "stages_ms": {
                name: summarize(stages[place] for stages in times).p50
                for place, name in enumerate(("preprocess", "infer", "postprocess"))
            },
        }


def _stages(translation: Translation) -> tuple[float, float, float]:
    return translation.preprocess_ms, translation.infer_ms, translation.postprocess_ms
