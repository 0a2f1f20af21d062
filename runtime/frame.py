"""What a source hands out and a sink is told about: one frame and its place in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a source. Its pixels belong to whoever holds it: no source writes to them again.

    Attributes:
        pixels: uint8 BGR (H, W, 3).
        index: Its number in the source, from 0. Frames that a pipeline drops leave gaps.
        captured_at: `perf_counter` seconds at which the camera delivered it or the file was asked
            for it, before it was decoded: latency counts from here.
        pts_s: Its time in the source in seconds, 0 for the first frame; None for images.
        name: The file name it was read from, where every frame is a file.
        is_placeholder: It stands in for a camera that is away; its image is not a translation.
    """

    pixels: Pixels
    index: int
    captured_at: float
    pts_s: float | None
    name: str | None = None
    is_placeholder: bool = False
