"""A camera without a camera: `synthetic://?size=1280x720&fps=30&frames=N&pace=0|1`.

A street drawn from its frame number passes by, the same on every machine. With `pace=1`, the
default, a frame is due every 1/fps seconds as from a camera; with `pace=0` as soon as it is read.
With `faults=` it misbehaves on demand: see `dayshift.runtime.sources.faults`.
"""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np

from dayshift.runtime.errors import SourceError
from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.sources.base import CorruptFrame, Source
from dayshift.runtime.sources.faults import FaultScript, parse_faults
from dayshift.runtime.uri import Uri, check_options, parse_number, parse_size

DEFAULT_SIZE = "1280x720"
DEFAULT_FPS = 30.0
_STEP_PX = 4  # the street moves by this much per frame
_SLOWER = 4  # a slow camera gives one frame in the time of so many


class SyntheticSource(Source):
    """Frames of a moving street, live when paced.

    Args:
        size: (width, height) in pixels.
        fps: Frames per second.
        frames: How many frames it gives; None is without end.
        pace: Wait until each frame is due, and skip what was missed, as a camera does.
        faults: What goes wrong, and when.
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        fps: float,
        frames: int | None = None,
        pace: bool = True,
        faults: FaultScript | None = None,
    ) -> None:
        width, height = size
        self.name = f"synthetic {width}x{height}"
        self.size = size
        self.fps: Fraction | None = Fraction(fps).limit_denominator(1001)
        self.frame_count = frames
        self.is_live = pace
        self._period_s = 1 / fps
        self._street = _draw_street(width, height)
        self._index = 0
        self._started_at: float | None = None
        self._due_at = 0.0
        self._faults = faults
        self._first = 0

    def read(self) -> Frame | None:
        """Return the next frame, when it is due.

        Raises:
            SourceError: A fault of the script is on.
        """
        trouble = self._faults.current() if self._faults else None
        kind, left_s = (trouble[0].kind, trouble[1]) if trouble else (None, 0.0)
        self._suffer(kind, left_s)
        if self.frame_count is not None and self._index >= self.frame_count:
            return None
        captured_at = self._wait_until_due() if self.is_live else time.perf_counter()
        if self._started_at is None:
            self._started_at = captured_at
        index = self._index
        self._index += 1
        pts_s = captured_at - self._started_at if self.is_live else index * self._period_s
        pixels = self._draw(index)
        if kind == "size":
            pixels = pixels[::2, ::2].copy()
        return Frame(pixels, index - self._first, captured_at, pts_s)

    def close(self) -> None:
        """There is nothing to release."""

    def reopen(self) -> Source:
        """Come back with the faults that are left.

        Raises:
            SourceError: A disconnection is not over.
        """
        trouble = self._faults.current() if self._faults else None
        if trouble and trouble[0].kind == "disconnect":
            raise SourceError(f"{self.name} is not there: a disconnection of its fault script")
        again = SyntheticSource(
            self.size,
            fps=1 / self._period_s,
            frames=self.frame_count,
            pace=self.is_live,
            faults=self._faults,
        )
        # What it shows goes on; its numbers begin anew, as a camera's do.
        again._index = again._first = self._index
        return again

    def _suffer(self, kind: str | None, left_s: float) -> None:
        """Do what a bad camera does, apart from the size of its frames."""
        match kind:
            case "stall":
                time.sleep(left_s)
            case "drop":
                self._index += max(1, round(left_s / self._period_s))
                time.sleep(left_s)
            case "corrupt":
                time.sleep(self._period_s)
                self._index += 1
                raise CorruptFrame(f"{self.name} gave a damaged frame: {self._index}")
            case "disconnect":
                raise SourceError(f"{self.name} was disconnected: a fault of its script")
            case "slow":
                time.sleep((_SLOWER - 1) * self._period_s)

    def _wait_until_due(self) -> float:
        now = time.perf_counter()
        # A reader that is late by a frame or more gets the present, not the backlog.
        if self._started_at is None or now - self._due_at > self._period_s:
            self._due_at = now
        time.sleep(max(0.0, self._due_at - now))
        self._due_at += self._period_s
        return time.perf_counter()

    def _draw(self, index: int) -> Pixels:
        width = self.size[0]
        left = index * _STEP_PX % width
        return self._street[:, left : left + width].copy()


def open_synthetic(uri: Uri, size: tuple[int, int] | None) -> SyntheticSource:
    """Read the options of a `synthetic://` URI; `size` overrides the one in it."""
    check_options(uri, ("size", "fps", "frames", "pace", "faults", "seed"))
    in_uri = parse_size(uri.options.get("size", DEFAULT_SIZE), uri)
    fps = parse_number("fps", uri, default=DEFAULT_FPS, low=1, high=1000)
    frames = int(parse_number("frames", uri, default=0, low=0, high=1e9))
    pace = bool(int(parse_number("pace", uri, default=1, low=0, high=1)))
    seed = int(parse_number("seed", uri, default=0, low=0, high=2**32))
    faults = parse_faults(uri.options["faults"], seed=seed) if "faults" in uri.options else None
    return SyntheticSource(size or in_uri, fps=fps, frames=frames or None, pace=pace, faults=faults)


def _draw_street(width: int, height: int) -> Pixels:
    """Return sky, houses and road, BGR (H, 2W, 3): the right half repeats the left."""
    horizon = height * 6 // 10
    canvas = np.empty((height, width, 3), np.uint8)
    fade = np.linspace(0, 1, horizon)[:, None, None]
    canvas[:horizon] = np.rint((1 - fade) * (235, 170, 110) + fade * (240, 225, 205))
    canvas[horizon:] = (95, 92, 90)
    canvas[horizon : horizon + max(1, height // 40)] = (60, 130, 70)
    facades = ((70, 90, 170), (150, 160, 165), (90, 150, 190), (120, 90, 80))
    house_px = max(2, width // (2 * len(facades)))
    for number, facade in enumerate(facades):
        left = number * 2 * house_px
        top = horizon - horizon * (3 + number % 3) // 8
        canvas[top:horizon, left : left + house_px] = facade
    dash = slice(horizon + (height - horizon) // 2, horizon + (height - horizon) // 2 + 3)
    for left in range(0, width, max(2, width // 8)):
        canvas[dash, left : left + max(1, width // 16)] = (230, 235, 235)
    return np.concatenate([canvas, canvas], axis=1)
